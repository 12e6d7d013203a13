"""What a fit makes of a film's repetition: a scene that may repeat does, and one that must not is held more firmly."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field
from rich.console import Console

from a4d.config import Config, Number, Spec, overlaid, unknown_key
from a4d.estimation.repetition import find_cycles
from a4d.fitting.settings import Fitting
from a4d.scenes import scene_class
from a4d.views import Frames

CYCLES = "cycles"
"""The setting of scenes that may repeat."""

FittingType = TypeVar("FittingType", bound=Fitting)


class Unrepeated(Config):
    """What is different where a motion does not repeat: every pose is then seen from one side alone."""

    scene: Spec = Field(default={}, description="settings of the scene in place of the others")
    weights: dict[str, Number] = Field(default={}, description="of objectives, by their kinds")


def may_repeat(scene: Spec) -> bool:
    """Whether the motion of a scene of this configuration can repeat."""
    return CYCLES in scene_class(str(scene.get("kind"))).config_class.model_fields


def of_its_cycles(
    config: FittingType,
    unrepeated: Unrepeated | None,
    frames: Frames,
    radius: float,
    console: Console,
) -> tuple[FittingType, dict[str, Any]]:
    """The settings for a film whose motion repeats so often, which is found where they do not say it.

    Args:
        config: complete.
        unrepeated: what is different where it does not repeat.
        frames: of the film.
        radius: metres, of the ball around the origin in which the subject stays.
        console: is told what was found.

    Returns:
        the settings; and of a scene that may repeat `cycles`, and where they were looked for `cycles_lead`, the
        deviations by which they explain the silhouettes better than other numbers.
    """
    scene = config.scene or {}
    if not may_repeat(scene):
        return config, {}
    facts: dict[str, Any] = {CYCLES: scene.get(CYCLES)}
    if facts[CYCLES] is None:
        found = find_cycles(frames, radius)
        facts = {CYCLES: found.cycles, "cycles_lead": found.lead}
        console.print(
            f"The motion repeats {found.cycles:.3g} times in the clip (--cycles N says otherwise)."
            if found.cycles
            else "No repetition of the motion was found: every pose counts as seen once (--cycles N says otherwise)."
        )
    config = config.changed(scene={**scene, CYCLES: facts[CYCLES]})
    if facts[CYCLES] or unrepeated is None:
        return config, facts
    return _held(config, unrepeated), facts


def _held(config: FittingType, unrepeated: Unrepeated) -> FittingType:
    """The settings of a motion that does not repeat.

    Raises:
        ConfigError: a weight is given of an objective that is not there.
    """
    kinds = {str(spec.get("kind")) for spec in config.objectives}
    for name in unrepeated.weights:
        if name not in kinds:
            raise unknown_key(f"unrepeated.weights.{name}", name, kinds)
    weights = unrepeated.weights
    objectives = [
        {**spec, "weight": weights[spec["kind"]]} if spec["kind"] in weights else spec for spec in config.objectives
    ]
    return config.changed(scene=overlaid(config.scene or {}, unrepeated.scene), objectives=objectives)
