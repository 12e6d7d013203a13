"""Bones that are held to the ways of another scene: what counts for nothing, what costs, and where gradients lead."""

import math

import pytest
import torch

from a4d.errors import ConfigError
from a4d.geometry.deformation.bone_pairs import neighbouring_bones, relative_motion
from a4d.geometry.primitives import icosphere
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle
from a4d.objectives import build_objectives
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes import scene_class
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed

BONES = 6


def moving(seed: int = 0, size: float = 0.1) -> Scene:
    """Bones in a ball that move at random."""
    spec = {"kind": "articulated", "bones": BONES, "count": 60}
    scene = scene_class("articulated").begin(spec, Seed(mesh=icosphere(0.5, 2)), generator(0, "begin"))
    with torch.no_grad():
        draws = torch.Generator().manual_seed(seed)
        for network in (scene.articulation, scene.root):
            network.network[-1].weight.normal_(0, size, generator=draws)
    return scene


def objective(kind: str, **values) -> Objective:
    (built,) = build_objectives([{"kind": kind, "frozen": "fit", **values}])
    return built


def step_of(scene: Scene, frozen: Scene, index: int = 0) -> Step:
    return Step(index, 0, scene, {}, frozen={"fit": frozen})


def bend(scene: Scene, angle: float, shift: float = 0.0) -> Scene:
    """One more turn of the first bone, and a shift, at all times."""
    with torch.no_grad():
        bias = scene.articulation.network[-1].bias
        bias[:6] += torch.tensor([math.cos(angle) - 1, math.sin(angle), 0, -math.sin(angle), math.cos(angle) - 1, 0])
        bias[6 * BONES] += shift
    return scene


def test_relative_motion_is_what_it_is_called() -> None:
    centres = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]])
    pairs = neighbouring_bones(centres, lambda points: torch.softmax(-torch.cdist(points, centres), 1), 1)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert torch.equal(pairs.lengths, torch.tensor([1.0, 4.0]))
    assert float(pairs.strengths[0]) > float(pairs.strengths[1]) > 0
    whole = rigid_from_parts(rotation_from_axis_angle(torch.tensor([0.3, 1.0, -0.2])), torch.tensor([1.0, 2, 3]))
    posed = whole.repeat(1, 3, 1, 1)
    # The second turns by half a radian about the joint, the third leaves by 0.2.
    turn = rotation_from_axis_angle(torch.tensor([0.0, 0.0, 0.5]))
    about = pairs.joints[0] - turn @ pairs.joints[0]
    posed[0, 1] = whole @ rigid_from_parts(turn, about)
    motion = relative_motion(pairs, centres, posed)
    assert float(motion.angles[0, 0]) == pytest.approx(0.5, abs=1e-5)
    assert float(motion.gaps[0, 0]) == pytest.approx(0, abs=1e-5)
    assert float(motion.shifts[0, 0].norm()) == pytest.approx(2 * 0.5 * math.sin(0.25), abs=1e-5)
    posed[0, 2] = whole @ rigid_from_parts(torch.eye(3), torch.tensor([0.0, 0.2, 0.0]))
    posed[0, 1] = whole
    parted = relative_motion(pairs, centres, posed)
    assert float(parted.gaps[0, 1]) == pytest.approx(0.2, abs=1e-5)
    assert float(parted.angles.abs().max()) == pytest.approx(0, abs=1e-3)


@torch.no_grad()
def test_what_moves_as_it_did_costs_nothing_and_every_other_motion_does() -> None:
    fit = moving()
    displacement, ranges = objective("bone-displacement"), objective("skeleton-range", margin=0.0, over=200)
    assert float(displacement(step_of(moving(), fit))) == 0
    assert float(ranges(step_of(moving(), fit))) < 1e-5
    # The whole may go anywhere.
    elsewhere = moving()
    with torch.no_grad():
        elsewhere.root.network[-1].bias.add_(0.4)
    assert float(displacement(step_of(elsewhere, fit))) < 1e-5
    assert float(ranges(step_of(elsewhere, fit))) < 1e-5
    for each, changed in ((displacement, bend(moving(), 0.0, 0.2)), (ranges, bend(moving(), 2.0))):
        small = float(each(step_of(changed, fit)))
        assert small > 1e-3
        assert float(each.model_copy(update={"tolerance": 9.0, "margin": 9.0})(step_of(changed, fit))) < small


def test_the_scene_that_stays_is_looked_at_once(monkeypatch) -> None:
    fit, scene, ranges = moving(), moving(), objective("skeleton-range")
    asked = []
    look = fit.bone_transforms
    monkeypatch.setattr(fit, "bone_transforms", lambda times: asked.append(len(times)) or look(times))
    values = [float(ranges(step_of(scene, fit, index)).detach()) for index in range(3)]
    assert asked == [64]
    assert float(ranges(step_of(scene, fit, 2)).detach()) == values[2]
    other = bend(moving(), 2.0)
    assert not torch.equal(ranges(step_of(scene, other)), ranges(step_of(scene, fit)))


@pytest.mark.parametrize("kind", ["bone-displacement", "skeleton-range"])
def test_its_gradient_is_that_of_its_value_and_brings_bones_back(kind: str) -> None:
    fit, scene = moving(), bend(moving(), 1.5, 0.3)
    held = objective(kind, margin=0.0) if kind == "skeleton-range" else objective(kind)
    first = held(step_of(scene, fit))
    first.backward()
    parameter = scene.articulation.network[-1].bias
    slope = parameter.grad.clone()
    assert all(each.grad is None for each in fit.parameters())
    with torch.no_grad():
        length, reach = float(slope.norm()), 1e-3
        ends = []
        for side in (reach, -reach):
            parameter += side * slope / length
            ends.append(float(held(step_of(scene, fit))))
            parameter -= side * slope / length
    assert (ends[0] - ends[1]) / (2 * reach) == pytest.approx(length, rel=0.02)
    optimiser = torch.optim.Adam([parameter], lr=4e-2)
    for index in range(30):
        optimiser.zero_grad()
        held(step_of(scene, fit, index)).backward()
        optimiser.step()
    assert float(held(step_of(scene, fit)).detach()) < 0.3 * float(first.detach())


def test_it_asks_for_bones_on_both_sides() -> None:
    gaussians = scene_class("gaussians").begin({"kind": "gaussians", "count": 5}, Seed(), generator(0, "begin"))
    held = objective("skeleton-range")
    assert held.scenes_shown == ("fit",)
    with pytest.raises(ConfigError, match="articulated"):
        held.require(gaussians)
    with pytest.raises(ConfigError, match="articulated"):
        held(step_of(moving(), gaussians))
