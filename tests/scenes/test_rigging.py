"""A scene of loose bones leaves as a skinned surface, and does there what it does here."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from gltf_validator import errors, installed_validator
from loose_scene import Loose

from a4d.export.moments import Moments
from a4d.export.subject import Subject, SurfaceOptions
from a4d.export.surfaces import write_glb
from a4d.geometry.assets.file_frames import frame_of_files
from a4d.geometry.assets.posing import deform
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.assets.gltf.reader import read_gltf
from a4d.scenes.protocols import Articulated, Baking

MOMENTS = Moments(tuple(index / 12 for index in range(13)), 0.5 / 12, is_periodic=True)


@pytest.fixture(scope="module")
def subject() -> Subject:
    scene = Loose()
    assert isinstance(scene, Articulated)
    assert isinstance(scene, Baking)
    return Subject("body", scene, moments=MOMENTS)


@pytest.fixture(scope="module")
def file(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rig") / "body.glb"
    facts = write_glb(path, subject)
    assert facts["bones"] >= 10
    assert facts["rig_mean"] <= 0.003
    assert facts["rig_p99"] <= 0.015
    assert facts["glb_psnr"] > 25
    return path


def test_the_file_moves_as_the_scene_does(subject: Subject, file: Path) -> None:
    asset, scene = read_gltf(file), subject.scene
    rest = deform(asset).vertices
    diagonal = float((rest.amax(0) - rest.amin(0)).norm())
    assert torch.allclose(rest, scene.rest.vertices, atol=1e-6)
    truth = scene.warped(rest, MOMENTS.times)
    posed = torch.stack([deform(asset, asset.clips[0], time * 0.5).vertices for time in MOMENTS.times])
    apart = (posed - truth).norm(dim=-1) / diagonal
    moved = (truth - rest).norm(dim=-1).mean() / diagonal
    assert float(apart.mean()) <= 0.003 < 0.2 * float(moved)
    assert float(apart.flatten().quantile(0.99)) <= 0.015
    parents = asset.skeleton(0).parents.tolist()
    assert parents.count(-1) == 1
    (primitive,) = asset.meshes[0].primitives
    assert primitive.influences.joints.shape[1] == 4
    assert primitive.colours is not None


def test_another_program_turns_a_joint_and_moves_that_limb_alone(file: Path) -> None:
    asset = read_gltf(file)
    skeleton, skin = asset.skeleton(0), asset.skins[0]
    graph, rest = trimesh.load_scene(file, process=False).graph, skeleton.rest_world
    toe = int(rest[:, 1, 3].argmin())
    turn = rotation_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 3]).double())
    above, local = skeleton.names[int(skeleton.parents[toe])], skeleton.rest[toe].clone()
    local[:3, :3] = turn @ local[:3, :3]
    graph.update(frame_to=skeleton.names[toe], frame_from=above, matrix=local.numpy())
    posed_joints = torch.stack([torch.from_numpy(graph.get(name)[0].copy()) for name in skeleton.names])
    primitive = asset.meshes[0].primitives[0]
    vertices, influences = primitive.positions.double(), primitive.influences
    bones = posed_joints @ skin.inverse_bind
    posed = linear_blend_skinning(vertices, influences.weights.double(), bones, influences.joints)
    apart = (posed - vertices).norm(dim=1)
    side = rest[toe, [0, 2], 3].sign()
    on_limb = ((vertices[:, [0, 2]] * side) > 0.02).all(1) & (vertices[:, 1] < 0)
    assert float(apart.max()) > 0.05
    assert float(apart[~on_limb].max()) < 0.01


def test_a_picture_takes_the_place_of_vertex_colours(subject: Subject, tmp_path: Path) -> None:
    textured = replace(subject, surface_options=SurfaceOptions(texture=64))
    facts = write_glb(tmp_path / "body.glb", textured)
    asset = read_gltf(tmp_path / "body.glb")
    (primitive,) = asset.meshes[0].primitives
    assert primitive.colours is None
    assert asset.materials[0].base_colour_map.image.shape[:2] == (64, 64)
    assert facts["rig_p99"] <= 0.015
    assert facts["glb_psnr"] > 25


@pytest.mark.slow
def test_the_official_validator_finds_no_error(subject: Subject, file: Path, tmp_path: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    other = replace(subject, frame_from_world=frame_of_files("z", 3.0))
    assert write_glb(tmp_path / "other.glb", other)["rig_mean"] <= 0.003
    assert errors(script, [file, tmp_path / "other.glb"]) == {}
