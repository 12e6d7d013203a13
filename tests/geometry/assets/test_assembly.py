from dataclasses import replace

import pytest
import torch

from a4d.errors import UsageError
from a4d.geometry.assets.assembly import (
    MorphMotion,
    MotionTolerance,
    morphing_asset,
    moving_asset,
    primitive_from_mesh,
    skinned_asset,
)
from a4d.geometry.assets.posing import deform
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.primitives import icosphere, torus
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion


def breathing(frames=30):
    """A sphere whose vertices swing along their normals, each in its own phase."""
    mesh = icosphere(0.5, 2)
    time = torch.arange(frames)[:, None, None] / 24
    return mesh, mesh.vertices * (1 + 0.3 * torch.sin(2 * time + 4 * mesh.vertices[:, :1]))


@pytest.mark.parametrize("interpolation", ["linear", "step"])
@pytest.mark.parametrize("tolerance", [0.02, 0.05])
def test_morph_targets_bring_every_vertex_within_the_tolerance(interpolation, tolerance):
    mesh, frames = breathing()
    motion = MorphMotion(frames, 1 / 24, tolerance, interpolation)
    asset = morphing_asset("ball", primitive_from_mesh(mesh), motion)
    assert len(asset.meshes[0].morph_names) < 29
    for number, frame in enumerate(frames):
        # A moment after the frame, for times in seconds are rounded and steps are not forgiving.
        posed = deform(asset, asset.clips[0], number / 24 + 1e-7)
        assert float((posed.vertices - frame).norm(dim=1).max()) <= tolerance + 1e-5
    at_key = torch.round(asset.clips[0].channels[0].curve.times[1] * 24).long()
    exact = deform(asset, asset.clips[0], float(at_key) / 24 + 1e-7)
    torch.testing.assert_close(exact.vertices, frames[at_key], rtol=0, atol=1e-5)
    torch.testing.assert_close(exact.normals, mesh.with_vertices(frames[at_key]).vertex_normals, rtol=0, atol=1e-4)


def test_a_shape_that_does_not_change_has_no_targets():
    mesh, frames = breathing(1)
    asset = morphing_asset("ball", primitive_from_mesh(mesh), MorphMotion(frames.repeat(5, 1, 1), 0.1))
    assert asset.clips == ()
    torch.testing.assert_close(deform(asset).vertices, frames[0])


def swinging_chain(frames=40):
    """Three bones in a row along x, each turning against the one before; (T, 3, 4, 4) relative to the parent."""
    time = torch.arange(frames).double() / 24
    matrices = []
    for joint in range(3):
        half = torch.sin(2 * time + joint) * 0.4
        quaternions = torch.stack([half.cos(), 0 * half, 0.6 * half.sin(), 0.8 * half.sin()], dim=1)
        shift = torch.tensor([0.4 * (joint > 0), 0, 0]).double().repeat(frames, 1)
        shift[:, 1] = 0.1 * (joint == 0) * time
        matrices.append(rigid_from_parts(rotation_from_quaternion(quaternions), shift))
    rest = torch.eye(4).double().repeat(3, 1, 1)
    rest[1:, 0, 3] = 0.4
    return Motion(Skeleton(("hip", "knee", "foot"), torch.tensor([-1, 0, 1]), rest), torch.stack(matrices, 1), 1 / 24)


def test_a_skinned_asset_follows_its_skeleton_with_few_keys():
    motion, mesh = swinging_chain(), torus()
    weights = torch.softmax(-20 * (mesh.vertices[:, :1] - torch.tensor([-0.4, 0.0, 0.4])).square(), dim=1)
    influences = Influences.strongest(weights, 2)
    torch.testing.assert_close(influences.weights.sum(1), torch.ones(len(weights)))
    assert torch.equal(influences.joints[:, 0], weights.argmax(1))
    primitive = replace(primitive_from_mesh(mesh), influences=influences)
    asset = skinned_asset("ring", primitive, {"swing": motion}, tolerance=MotionTolerance(1e-3, 0.2))
    bones = motion.world_from_joint @ torch.linalg.inv(motion.skeleton.rest_world)
    for frame in (0, 7, 23, 39):
        expected = linear_blend_skinning(
            mesh.vertices.double(), influences.weights.double(), bones[frame], influences.joints
        )
        posed = deform(asset, asset.clip("swing"), frame / 24)
        assert float((posed.vertices - expected).norm(dim=1).max()) < 0.01
    torch.testing.assert_close(deform(asset).vertices, mesh.vertices, rtol=0, atol=1e-6)
    tracks = {(channel.node, channel.target): len(channel.curve.times) for channel in asset.clips[0].channels}
    # Only the hip moves away from its parent, steadily; nothing is scaled.
    assert sorted(tracks) == [(1, "rotation"), (1, "translation"), (2, "rotation"), (3, "rotation")]
    assert tracks[1, "translation"] == 2
    assert tracks[1, "rotation"] < 25
    assert asset.nodes.names == ("ring armature", "hip", "knee", "foot", "ring")
    assert asset.nodes.parents.tolist() == [-1, 0, 1, 2, -1]


def test_scales_and_mirrors_are_tracks_and_shears_are_refused():
    scale = torch.tensor([[1.0, 1, 1], [-2, 1, 3], [-2, 1, 3]]).double()
    motion = Motion(
        Skeleton(("root",), torch.tensor([-1]), torch.eye(4).double()[None]),
        torch.diag_embed(torch.cat([scale, torch.ones(3, 1)], dim=1))[:, None],
        0.5,
    )
    mesh = icosphere(subdivisions=1)
    asset = moving_asset("ball", primitive_from_mesh(mesh), motion)
    posed = deform(asset, asset.clips[0], 0.5)
    torch.testing.assert_close(posed.vertices, mesh.vertices * scale[1].float(), rtol=0, atol=1e-6)
    sheared = motion.parent_from_joint.clone()
    sheared[1, 0, 0, 1] = 0.5
    with pytest.raises(UsageError, match="shears"):
        moving_asset("ball", primitive_from_mesh(mesh), replace(motion, parent_from_joint=sheared))
    with pytest.raises(UsageError, match="influences"):
        skinned_asset("ball", primitive_from_mesh(mesh), {"x": motion})
