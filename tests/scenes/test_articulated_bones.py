"""Bones: who holds what, where points go and come back from, and where the bones are at first."""

import math

import pytest
import torch

from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle
from a4d.scenes.articulated.bones import Bones, farthest_points, spread_bones
from a4d.scenes.articulated.config import SkinningNetworkConfig
from a4d.scenes.articulated.warp import backward_warp, forward_warp


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def motions(count: int, angle: float, seed: int = 0) -> torch.Tensor:
    axes = torch.nn.functional.normalize(drawn(count, 3, seed=seed), dim=1)
    return rigid_from_parts(rotation_from_axis_angle(angle * axes), drawn(count, 3, seed=seed + 1))


def test_the_nearest_bone_holds_most_in_radii_of_its_own() -> None:
    bones = Bones(drawn(5, 3), torch.ones(5), None)
    points = drawn(40, 3, seed=1)
    weights = bones.skinning_weights(points)
    assert torch.allclose(weights.sum(-1), torch.ones(40))
    distances = torch.cdist(points, bones.centres)
    assert torch.equal(weights.argmax(1), distances.argmin(1))
    assert torch.allclose(weights, torch.softmax(-distances.square(), 1), atol=1e-6)
    with torch.no_grad():
        bones.log_radii[0] = 3.0
    assert bool((bones.skinning_weights(points).argmax(1) == 0).all())


def test_posed_points_have_the_weights_that_they_had_at_rest_where_all_move_as_one() -> None:
    bones = Bones(drawn(4, 3), 0.5 * torch.ones(4), SkinningNetworkConfig(width=8))
    bones.initialise(torch.Generator().manual_seed(2))
    points, moved = drawn(20, 3, seed=3), motions(1, 0.7)
    posed = moved @ bones.rig().world_from_bone
    after = bones.skinning_weights((points @ moved[0, :3, :3].T + moved[0, :3, 3])[None], posed[None])
    assert torch.allclose(after[0], bones.skinning_weights(points), atol=1e-5)
    timed = bones.skinning_weights(points[None], bones.rig().world_from_bone[None], torch.tensor([0.3]))
    assert not torch.allclose(timed[0], bones.skinning_weights(points), atol=1e-6)
    assert bool((bones.corrections(points) >= 0).all())


@pytest.mark.parametrize("blending", ["dual-quaternion", "linear"])
def test_a_single_bone_takes_points_along_and_back(blending: str) -> None:
    points, moved = drawn(10, 3), motions(3, 1.1)[:, None]
    weights = torch.ones(10, 1)
    there = forward_warp(points, weights, moved, blending)
    assert torch.allclose(there[1], points @ moved[1, 0, :3, :3].T + moved[1, 0, :3, 3], atol=1e-5)
    assert torch.allclose(backward_warp(there, weights.expand(3, 10, 1), moved, blending)[2], points, atol=1e-5)


def test_bones_turned_by_nearly_half_a_turn_blend_without_a_jump() -> None:
    points = torch.tensor([[0.0, 0.0, 1.0]])
    weights = torch.tensor([[0.5, 0.5]])

    def at(degrees: float) -> torch.Tensor:
        turns = torch.tensor([[0.0, 0.0, math.radians(170.0)], [0.0, 0.0, math.radians(degrees)]])
        moved = rigid_from_parts(rotation_from_axis_angle(turns), torch.zeros(2, 3))
        return forward_warp(points + torch.tensor([1.0, 0.0, 0.0]), weights, moved[None], "dual-quaternion")

    assert float((at(179.0) - at(181.0)).norm()) < 0.05
    assert float(at(180.0).norm()) == pytest.approx(math.sqrt(2), abs=1e-4)


def test_bones_begin_spread_over_the_shape() -> None:
    places = torch.cat([drawn(200, 3) * 0.05 + torch.tensor([float(x), 0.0, 0.0]) for x in range(4)])
    centres, radii = spread_bones(places, 4)
    assert torch.allclose(centres[:, 0].sort().values, torch.arange(4.0), atol=0.02)
    assert torch.allclose(radii, torch.full((4,), 0.05 * math.sqrt(3)), rtol=0.15)
    assert len(spread_bones(torch.zeros(5, 3), 3)[0]) == 1
    chosen = farthest_points(places, 4)
    assert torch.equal(places[chosen][:, 0].round().sort().values.abs(), torch.arange(4.0))
