"""Placing subjects in the world and back, views around them, moments of clips, and guessed axes."""

import math

import pytest
import torch

from a4d.errors import UsageError
from a4d.geometry.assets.animation import Channel, Clip, Curve
from a4d.geometry.assets.assembly import MorphMotion, morphing_asset, primitive_from_mesh, static_asset
from a4d.geometry.assets.capsules import capsule_asset
from a4d.geometry.assets.clip_times import is_cycle, rated_times, spread_times
from a4d.geometry.assets.orientation import guess_orientation
from a4d.geometry.assets.placement import AXES, Orientation, direction, normalising, placed
from a4d.geometry.assets.posing import deform, pose
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, torus
from a4d.geometry.rings import Rings
from a4d.geometry.transforms import rigid_from_parts

PAIRS = [(up, front) for up in AXES for front in AXES if up[1] != front[1]]


@pytest.mark.parametrize(("up", "front"), PAIRS)
def test_every_pair_of_axes_ends_up_and_in_front_within_the_ball(up: str, front: str) -> None:
    draws = torch.Generator().manual_seed(PAIRS.index((up, front)))
    shape = torch.rand(1, 3, generator=draws) * 50
    moments = [torch.randn(40, 3, generator=draws) * shape + 200 * torch.rand(3, generator=draws) for _ in range(3)]
    matrix = normalising(Orientation(up, front), moments)
    world = [points.double() @ matrix[:3, :3].T + matrix[:3, 3] for points in moments]
    radii = torch.stack(world).norm(dim=-1)
    assert float(radii.max()) == pytest.approx(1, abs=1e-9)
    assert torch.allclose(matrix[:3, :3] @ direction(up) / matrix[:3, :3].det() ** (1 / 3), direction("+y"))
    assert torch.allclose(matrix[:3, :3] @ direction(front) / matrix[:3, :3].det() ** (1 / 3), direction("+z"))
    assert float(torch.linalg.det(matrix[:3, :3])) > 0


def test_axes_along_one_line_are_refused() -> None:
    with pytest.raises(UsageError, match="same line"):
        Orientation("+y", "-y")


def test_a_placed_asset_moves_as_before_in_the_other_world() -> None:
    ring = torus(sections=12)
    frames = torch.stack([ring.vertices, ring.vertices * torch.tensor([1.0, 2, 1]), ring.vertices + 3])
    asset = morphing_asset("ring", primitive_from_mesh(ring), MorphMotion(frames, 0.5))
    matrix = normalising(Orientation("+z", "-y"), frames)
    there = placed(asset, matrix)
    for seconds in (0.0, 0.3, 1.0):
        own = deform(asset, asset.clips[0], seconds).vertices.double()
        moved = deform(there, there.clips[0], seconds).vertices.double()
        assert (own @ matrix[:3, :3].T + matrix[:3, 3] - moved).abs().max() < 1e-6
    back = placed(there, torch.linalg.inv(matrix))
    assert (deform(back, back.clips[0], 0.7).vertices - deform(asset, asset.clips[0], 0.7).vertices).abs().max() < 1e-5


def turned(mesh: Mesh, orientation: Orientation) -> Mesh:
    """The mesh as a file would hold it in which these axes are up and front."""
    return Mesh((mesh.vertices.double() @ orientation.world_from_source).float(), mesh.faces)


def test_an_animal_is_set_on_its_feet_whatever_its_file_s_custom() -> None:
    animal = creature(resolution=40)
    stretched = Mesh(animal.vertices * torch.tensor([1.0, 1.0, 1.6]), animal.faces)
    for up, front, suffix in (
        ("+y", "+z", ".obj"), ("+z", "-y", ".obj"), ("+z", "+x", ".ply"), ("+y", "-z", ".stl"), ("+z", "+y", ".stl"),
    ):  # fmt: skip
        found = guess_orientation(turned(stretched, Orientation(up, front)), suffix)
        assert (found.up, found.front) == (up, front)
    assert guess_orientation(stretched, ".obj", "-y").up == "-y", "what is known is not guessed"


def test_held_out_views_stand_between_those_of_the_rings() -> None:
    rings = Rings(12, (-10.0, 20.0), 5.0, 2.5, 30.0, 32)
    train, test = rings.cameras(), rings.between(6)
    assert (train.width, len(train), len(test)) == (32, 12, 6)
    assert torch.allclose(train.positions.norm(dim=1), torch.tensor(2.5))
    degrees = torch.rad2deg(torch.asin(train.positions[:, 1] / 2.5))
    assert torch.allclose(degrees, torch.tensor([-10.0, 20.0]).repeat(6), atol=1e-3)
    first = math.degrees(math.atan2(float(train.positions[0, 0]), float(train.positions[0, 2])))
    assert first == pytest.approx(5.0, abs=1e-3)
    assert torch.allclose(torch.rad2deg(torch.asin(test.positions[:, 1] / 2.5)), torch.tensor(5.0), atol=1e-3)
    nearest = torch.cdist(test.positions, train.positions).min(dim=1).values
    assert float(nearest.min()) > 0.6, "no held-out camera stands at one that is trained on"
    one = Rings(4).cameras().positions
    azimuth = torch.rad2deg(torch.atan2(one[:, 0], one[:, 2])) % 360
    assert torch.allclose(azimuth, torch.tensor([0.0, 90, 180, 270]), atol=1e-3)


def skeleton_motion(angles: list[float]) -> Motion:
    """Two joints on a line, of which the second turns about z, a frame every quarter of a second."""
    rest = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    rest[1, 1, 3] = 2.0
    frames = rest.repeat(len(angles), 1, 1, 1)
    for frame, angle in zip(frames, angles, strict=True):
        c, s = math.cos(angle), math.sin(angle)
        frame[0, :3, :3] = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return Motion(Skeleton(("hip", "knee"), torch.tensor([-1, 0]), rest), frames, 0.25)


def test_a_cycle_goes_on_and_another_clip_is_slowed_down() -> None:
    cycle = capsule_asset("x", skeleton_motion([0.0, 0.4, 0.8, 0.4, 0.0]))
    once = capsule_asset("x", skeleton_motion([0.0, 0.3, 0.6, 0.9, 1.2]))
    assert is_cycle(cycle, cycle.clips[0])
    assert not is_cycle(once, once.clips[0])
    assert rated_times(cycle, cycle.clips[0], 7, 4.0).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 0, 0.25, 0.5])
    assert rated_times(once, once.clips[0], 9, 4.0).tolist() == pytest.approx([i / 8 for i in range(9)])
    assert rated_times(once, once.clips[0], 3, 4.0, 0.5).tolist() == pytest.approx([0.5, 0.75, 1.0])
    late = Clip("late", (Channel(0, "translation", Curve(torch.tensor([2.0, 4.0]), torch.zeros(2, 3))),))
    assert spread_times(late, 3).tolist() == [2, 3, 4]


def test_capsules_reach_from_joint_to_joint_and_follow_them() -> None:
    asset = capsule_asset("x", skeleton_motion([0.0, math.pi / 2]))
    rest, end = deform(asset), deform(asset, asset.clips[0], 0.25)
    assert float(rest.vertices[:, 1].min()) < 0 < 2 < float(rest.vertices[:, 1].max()) < 2.5
    turned_vertices = torch.stack([-rest.vertices[:, 1], rest.vertices[:, 0], rest.vertices[:, 2]], dim=1)
    assert (end.vertices - turned_vertices).abs().max() < 1e-5
    joints = asset.shown_joints()
    assert pose(asset, asset.clips[0], 0.25).positions[joints][1].tolist() == pytest.approx([-2, 0, 0], abs=1e-6)


def test_a_still_asset_is_placed_by_any_similarity() -> None:
    ring = torus(sections=8)
    matrix = rigid_from_parts(3 * Orientation("-x", "+y").world_from_source, torch.tensor([1.0, 2, 3]).double())
    there = deform(placed(static_asset("ring", primitive_from_mesh(ring)), matrix))
    expected = ring.vertices.double() @ matrix[:3, :3].T + matrix[:3, 3]
    assert (there.vertices - expected).abs().max() < 1e-5
    assert (there.normals.norm(dim=1) - 1).abs().max() < 1e-5
