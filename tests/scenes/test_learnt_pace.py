"""How often a motion repeats is learnt on from a guess."""

from pathlib import Path

import pytest
import torch
from articulated_ball import articulated

from a4d.fitting.figures import repetition
from a4d.randomness import generator
from a4d.scenes import begin_from, load_scene
from a4d.scenes.articulated.gaussians import ArticulatedGaussians

TIMES = torch.linspace(0, 1, 33).tolist()


def follow(scene: ArticulatedGaussians, paths: torch.Tensor) -> float:
    """Bring bones to (T, B, 3) places at all times; metres that are left."""
    groups = scene.groups()
    rates = {"articulation": 5e-3, "pace": 2e-4}
    optimiser = torch.optim.Adam([{"params": groups[name], "lr": rate} for name, rate in rates.items()])
    for _ in range(400):
        optimiser.zero_grad()
        (scene.joints(TIMES) - paths).square().mean().backward()
        optimiser.step()
    return float((scene.joints(TIMES) - paths).detach().norm(dim=-1).mean())


@pytest.mark.parametrize("guess", [3.95, 4.05])
def test_a_guess_of_the_cycles_comes_to_what_repeats(guess: float) -> None:
    with torch.no_grad():
        paths = articulated(moving=True, cycles=4).joints(TIMES)
    scene = articulated(moving=True, cycles=guess)
    assert follow(scene, paths) < 5e-3
    assert scene.cycles == pytest.approx(4, abs=5e-3)
    assert repetition(scene) == {"cycles": scene.cycles}


def test_a_pace_is_kept_with_the_scene_and_another_motion_has_none(tmp_path: Path) -> None:
    scene = articulated(moving=True, cycles=4)
    with torch.no_grad():
        scene.log_pace.fill_(0.1)
    scene.save(tmp_path)
    again = load_scene(tmp_path)
    assert torch.equal(again.joints(TIMES), scene.joints(TIMES))
    assert again.cycles == pytest.approx(4 * 1.1051709)
    assert begin_from(scene, {"cycles": 3}, generator(0, "begin")).cycles == 3
    assert repetition(articulated(cycles=0)) == {}
