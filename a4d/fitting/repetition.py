"""What a fit makes of a film's repetition: a scene that may repeat does, and one that must not is held more firmly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field
from rich.console import Console

from a4d.config import Config, Number, Spec, overlaid, parse, plain, unknown_key
from a4d.estimation.repetition import find_cycles, frames_of_one_pose
from a4d.fitting.seed_settings import SeedConfig
from a4d.fitting.settings import Fitting
from a4d.scenes import scene_class
from a4d.views import Frames

CYCLES = "cycles"
"""The setting of scenes that may repeat."""


class Unrepeated(Config):
    """What is different where a motion does not repeat: every pose is then seen from one side alone."""

    seed: Spec = Field(default={}, description="settings of the first guess of the shape in place of the others")
    scene: Spec = Field(default={}, description="settings of the scene in place of the others")
    weights: dict[str, Number] = Field(default={}, description="of objectives, by their kinds")


def may_repeat(scene: Spec) -> bool:
    """Whether the motion of a scene of this configuration can repeat."""
    return CYCLES in scene_class(str(scene.get("kind"))).config_class.model_fields


@dataclass(frozen=True)
class Repeating:
    """How a film is fitted that repeats so often.

    Args:
        scene: its configuration.
        views: in which frames around a pose are those around the one that the shape begins with.
        objectives: theirs.
        seed: how the first guess of the shape is made.
        frames: of which it is made.
        facts: `cycles`, and where they were looked for `cycles_lead`, the deviations by which they explain the
            silhouettes better than other numbers; none of a scene that cannot repeat.
    """

    scene: Spec
    views: dict[str, Spec]
    objectives: list[Spec]
    seed: SeedConfig
    frames: Frames
    facts: dict[str, Any]


def of_its_cycles(
    config: Fitting, seed: SeedConfig, unrepeated: Unrepeated, frames: Frames, console: Console
) -> Repeating:
    """The settings for a film whose motion repeats so often, which is found where they do not say it.

    Where it repeats, the first guess is the shape of one pose, which is seen from several sides. Where it does not, it
    is made of all frames.

    Args:
        config: complete.
        seed: how the first guess of the shape is made.
        unrepeated: what is different where the motion does not repeat.
        frames: of the film.
        console: is told what was found.

    Raises:
        ConfigError: a weight is given of an objective that is not there.
    """
    scene, facts = config.scene or {}, dict[str, Any]()
    if not may_repeat(scene):
        return Repeating(scene, config.views, config.objectives, seed, frames, facts)
    facts[CYCLES] = scene.get(CYCLES)
    if facts[CYCLES] is None:
        found = find_cycles(frames, seed.radius)
        facts = {CYCLES: found.cycles, "cycles_lead": found.lead}
        console.print(
            f"The motion repeats {found.cycles:.3g} times in the clip; --cycles N says otherwise."
            if found.cycles
            else "No repetition of the motion was found: every pose counts as seen once; --cycles N says otherwise."
        )
    scene = {**scene, CYCLES: facts[CYCLES]}
    if not facts[CYCLES]:
        held = parse(SeedConfig, overlaid(plain(seed), unrepeated.seed), "unrepeated.seed")
        scene, objectives = overlaid(scene, unrepeated.scene), _weighted(config, unrepeated)
        return Repeating(scene, config.views, objectives, held, frames, facts)
    time, chosen = frames_of_one_pose(frames, facts[CYCLES], seed.radius)
    begun = {"time": time, CYCLES: facts[CYCLES]}
    views = {
        name: {**spec, "around": {**spec["around"], **begun}} if spec.get("around") else spec
        for name, spec in config.views.items()
    }
    return Repeating(scene, views, config.objectives, seed, frames.subset(chosen), facts)


def _weighted(config: Fitting, unrepeated: Unrepeated) -> list[Spec]:
    """The objectives with the weights of a motion that does not repeat."""
    weights, kinds = unrepeated.weights, {str(spec.get("kind")) for spec in config.objectives}
    for name in weights:
        if name not in kinds:
            raise unknown_key(f"unrepeated.weights.{name}", name, kinds)
    return [
        {**spec, "weight": weights[spec["kind"]]} if spec["kind"] in weights else spec for spec in config.objectives
    ]
