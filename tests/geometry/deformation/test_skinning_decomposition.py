from dataclasses import replace

import pytest
import torch

from a4d.errors import UsageError
from a4d.geometry.assets.assembly import primitive_from_mesh, skinned_asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.deformation.skinning_decomposition import decompose_skinning
from a4d.geometry.primitives import torus
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.assets.gltf.reader import read_gltf


def rigged(bones=5, frames=24, sections=32):
    """A torus moved by bones around it, each with its own smooth random turns; (T, V, 3) double."""
    random = torch.Generator().manual_seed(7)
    mesh = torus(sections=sections)
    vertices = mesh.vertices.double()
    angle = torch.arange(bones).double() * (2 * torch.pi / bones)
    centres = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1) * 0.45
    weights = torch.softmax(-40 * torch.cdist(vertices, centres).square(), dim=1)
    weights = torch.where(weights > 0.02, weights, 0)
    weights /= weights.sum(1, keepdim=True)
    time = torch.arange(frames).double()[:, None, None] / frames
    axis, phase = (torch.randn(1, bones, 3, generator=random).double() for _ in range(2))
    half = 0.35 * axis * torch.sin(2 * torch.pi * time + phase)
    rotation = rotation_from_quaternion(torch.cat([torch.ones(frames, bones, 1).double(), half], dim=2))
    moved = centres + 0.1 * torch.sin(2 * torch.pi * time + phase.flip(1))
    transforms = rigid_from_parts(rotation, moved - (rotation @ centres[..., None]).squeeze(-1))
    return mesh, vertices, linear_blend_skinning(vertices, weights, transforms)


def box_diagonal(points):
    return float((points.amax((0, 1)) - points.amin((0, 1))).norm())


def test_a_generated_rig_is_recovered():
    _, vertices, frames = rigged()
    result = decompose_skinning(frames, 5, rest=vertices)
    shown = linear_blend_skinning(
        result.rest, result.influences.weights.double(), result.bone_transforms, result.influences.joints
    )
    distance = (shown - frames).norm(dim=-1)
    size = box_diagonal(frames)
    assert float(distance.square().mean().sqrt()) == pytest.approx(result.error, rel=1e-3, abs=1e-9)
    assert result.error < 0.002 * size
    assert float(distance.max()) < 0.02 * size
    weights = result.influences.weights
    assert weights.shape[1] == 4
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    linear = result.bone_transforms[..., :3, :3]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(3).double().expand_as(linear), rtol=0, atol=1e-9)
    assert float(torch.linalg.det(linear).min()) > 0.999


def test_more_bones_and_influences_fit_better():
    _, vertices, frames = rigged(frames=12, sections=20)
    bones = [decompose_skinning(frames, count, vertices, rounds=5).error for count in (1, 3, 6)]
    assert bones[0] > 1.5 * bones[1] > 2 * bones[2]
    assert decompose_skinning(frames, 5, vertices, 1).error > 1.5 * decompose_skinning(frames, 5, vertices, 3).error


def test_a_rigid_motion_needs_one_bone_and_units_do_not_matter():
    _, vertices, _ = rigged(sections=12)
    half = torch.linspace(0, 1.5, 10).double()
    rotation = rotation_from_quaternion(torch.stack([half.cos(), half.sin(), 0 * half, 0 * half], dim=1))
    for unit in (1e-3, 1.0, 1e3):
        frames = (vertices @ rotation.mT + torch.tensor([3.0, 0, 1])) * unit
        result = decompose_skinning(frames, 4)
        assert result.bone_transforms.shape[1] == 1
        assert result.error < 1e-9 * unit


def test_trajectories_become_a_small_skinned_asset():
    mesh, vertices, frames = rigged()
    result = decompose_skinning(frames, 5, rest=vertices)
    primitive = replace(primitive_from_mesh(mesh), influences=result.influences)
    asset = skinned_asset("ring", primitive, {"wave": result.motion(1 / 24)})
    for frame in (0, 9, 23):
        posed = deform(asset, asset.clips[0], frame / 24)
        distance = (posed.vertices - frames[frame]).norm(dim=1)
        assert float(distance.square().mean().sqrt()) < 0.005 * box_diagonal(frames)


def test_numbers_out_of_range_are_refused():
    frames = torch.rand(2, 10, 3)
    for bones, influences in ((0, 4), (3, 0), (3, 8)):
        with pytest.raises(UsageError, match="bones"):
            decompose_skinning(frames, bones, influences=influences)


@pytest.mark.parametrize("name", ["Fox", "RiggedFigure"])
def test_rigs_of_others_are_recovered(real_data, name):
    asset = read_gltf(real_data / "gltf_khronos" / name / "glTF-Binary" / f"{name}.glb")
    clip = asset.clips[-1]
    frames = torch.stack([deform(asset, clip, number / 24 * clip.duration).vertices for number in range(24)])
    result = decompose_skinning(frames, 24)
    shown = linear_blend_skinning(
        result.rest, result.influences.weights.double(), result.bone_transforms, result.influences.joints
    )
    distance = (shown - frames).norm(dim=-1) / box_diagonal(frames)
    assert float(distance.square().mean().sqrt()) < 0.003
    assert float(distance.quantile(0.99)) < 0.01
