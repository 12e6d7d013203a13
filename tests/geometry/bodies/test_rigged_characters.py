"""Rigged assets as bodies: what their clips show is what their joints do."""

from dataclasses import replace

import pytest
import torch
from rigged_body import BODY, rigged

from a4d.errors import InvalidInputError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.reposing import motion_of
from a4d.geometry.bodies.rigged_character import rigged_character
from a4d.geometry.primitives import box
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.assets.asset_reader import read_asset


def posed_like_the_clip(asset, body, frame, rate=30.0):
    """The body in the pose in which a clip's joints stand, whose axes at rest may be any."""
    motion = motion_of(asset, asset.clips[0], rate)
    rest, moved = motion.skeleton.rest_world[:, :3, :3], motion.world_from_joint[frame]
    turned = moved[:, :3, :3] @ rest.transpose(-1, -2)
    parents = motion.skeleton.parents
    above = torch.where((parents >= 0)[:, None, None], turned[parents.clamp(min=0)], torch.eye(3, dtype=turned.dtype))
    root = motion.skeleton.from_the_roots()[0]
    shift = moved[root, :3, 3] - body.rest()[1][root]
    return body.posed(above.transpose(-1, -2) @ turned, translation=shift), frame * motion.seconds_per_frame


def test_a_clip_moves_the_surface_as_it_does_in_the_file():
    asset = rigged()
    body = rigged_character(asset).to(dtype=torch.float64)
    posed, time = posed_like_the_clip(asset, body, 3)
    expected = deform(asset, asset.clips[0], time).vertices.double()
    assert float((expected - body.rest()[0]).norm(dim=1).max()) > 0.2
    # Reduced tracks are within the tolerance of the clip, not equal to it.
    assert float((posed.vertices - expected).norm(dim=1).max()) < 1e-5


def test_vertices_are_those_of_the_rest_pose_where_that_is_the_bind_pose(real_data):
    asset = read_asset(real_data / "rigged_kaykit/sketchpunk/models/mannequin_v2/manny_med_mod.gltf")
    body = rigged_character(asset)
    assert len(asset.instances) > 1
    assert torch.allclose(body.vertices, deform(asset).vertices, atol=1e-5)
    assert torch.equal(body.faces, deform(asset).faces)


def test_a_file_at_rest_in_another_pose_is_bound_as_it_was_skinned():
    asset = rigged()
    nodes = asset.nodes
    joint = nodes.names.index("LeftForeArm")
    rest = nodes.rest.clone()
    rest[joint, :3, :3] = rotation_from_axis_angle(torch.tensor([0.0, 0.9, 0.0], dtype=torch.float64))
    bent = replace(asset, nodes=replace(nodes, rest=rest))
    assert float((deform(bent).vertices - deform(asset).vertices).abs().max()) > 0.1
    assert torch.allclose(rigged_character(bent).vertices, rigged_character(asset).vertices, atol=1e-6)


def test_what_hangs_on_a_node_moves_with_the_joint_above_it():
    asset = rigged()
    hand = asset.nodes.names.index("LeftHand")
    held = static_asset("tool", primitive_from_mesh(box((0.1, 0.1, 0.1))))
    instance = replace(held.instances[0], node=hand, mesh=len(asset.meshes))
    carrying = replace(asset, meshes=(*asset.meshes, *held.meshes), instances=(*asset.instances, instance))
    body = rigged_character(carrying)
    tool = slice(len(rigged_character(asset).vertices), None)
    assert torch.allclose(body.vertices, deform(carrying).vertices, atol=1e-6)
    assert (body.weights[tool, list(BODY).index("LeftHand")] == 1).all()


def test_an_asset_without_a_skin_is_no_body():
    with pytest.raises(InvalidInputError, match="no skeleton"):
        rigged_character(static_asset("box", primitive_from_mesh(box((1.0, 1.0, 1.0)))))


def test_a_flat_joint_is_refused():
    asset = rigged()
    flat = asset.skins[0].inverse_bind.clone()
    flat[2, :3, :3] = 0.0
    with pytest.raises(InvalidInputError, match="flat"):
        rigged_character(replace(asset, skins=(replace(asset.skins[0], inverse_bind=flat),)))
