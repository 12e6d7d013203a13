"""What a fit makes of a film's repetition: what may repeat does, and poses from one side are held more firmly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field
from rich.console import Console

from a4d.config import Config, Number, Spec, overlaid, parse, plain, unknown_key
from a4d.estimation.repetition import find_cycles, frames_of_one_pose
from a4d.fitting.seed_settings import SeedConfig
from a4d.fitting.seeds import degrees_seen, is_bounded, shown
from a4d.fitting.settings import Fitting
from a4d.scenes import scene_class
from a4d.views import Frames

SIDES_APART = 100.0
"""Degrees between two directions at the least, from which little of a subject is never seen."""

ALL_SIDES = 135.0
"""The same, from which each side is seen."""

CYCLES = "cycles"
"""The setting of scenes that may repeat."""


class Otherwise(Config):
    """Settings in place of others, for films that say less than they might."""

    seed: Spec = Field(default={}, description="of the first guess of the shape")
    scene: Spec = Field(default={}, description="of the scene")
    weights: dict[str, Number] = Field(
        default={}, description="of objectives, by kind, or kind/of where there are several"
    )


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
        facts: `cycles`, and where they were looked for `cycles_evidence`, as `Repetition` has it; none of a scene that
            cannot repeat.
    """

    scene: Spec
    views: dict[str, Spec]
    objectives: list[Spec]
    seed: SeedConfig
    frames: Frames
    facts: dict[str, Any]


def of_its_cycles(
    config: Fitting,
    seed: SeedConfig,
    unrepeated: Otherwise,
    partly_seen: Otherwise,
    one_sided: Otherwise,
    frames: Frames,
    console: Console,
    *,
    are_cameras_found: bool = False,
) -> Repeating:
    """The settings for a film whose motion repeats so often, which is found where they do not say it.

    Where it repeats, the first guess is the shape of one pose, which is seen from several sides if the camera went
    around. Where it does not, it is made of all frames.

    Args:
        config: complete.
        seed: how the first guess of the shape is made.
        unrepeated: what is different where the motion does not repeat.
        partly_seen: what is different where the film never goes to some sides.
        one_sided: what is different where the frames of which the shape is made are not from sides far apart.
        frames: of the film.
        console: is told what was found.
        are_cameras_found: by the subject itself, some degrees off.

    Raises:
        ConfigError: a weight is given of an objective that is not there.
    """
    scene, facts = config.scene or {}, dict[str, Any]()
    fitted = Repeating(scene, config.views, config.objectives, seed, frames, facts)
    if not may_repeat(scene):
        return fitted
    facts[CYCLES] = scene.get(CYCLES)
    if facts[CYCLES] is None:
        found = find_cycles(frames, seed.radius, are_cameras_found=are_cameras_found)
        facts |= {CYCLES: found.cycles, "cycles_evidence": found.evidence}
        console.print(
            f"The motion repeats {found.cycles:.3g} times in the clip; --cycles N says otherwise."
            if found.cycles
            else "No repetition of the motion was found: every pose counts as seen once; --cycles N says otherwise."
        )
    fitted = replace(fitted, scene={**scene, CYCLES: facts[CYCLES]})
    if facts[CYCLES]:
        fitted = _begun_at_one_pose(fitted, facts[CYCLES])
    else:
        fitted = _otherwise(fitted, unrepeated, "unrepeated", config.without)
    whole, seen = shown(frames), shown(fitted.frames)
    if degrees_seen(whole) < ALL_SIDES:
        fitted = _otherwise(fitted, partly_seen, "partly_seen", config.without)
    is_enough = degrees_seen(seen) >= SIDES_APART and is_bounded(seen, fitted.seed)
    return fitted if is_enough else _otherwise(fitted, one_sided, "one_sided", config.without)


def _begun_at_one_pose(fitted: Repeating, cycles: float) -> Repeating:
    """The same with a first guess, and frames to begin with, of the pose that the silhouettes tell best."""
    time, chosen = frames_of_one_pose(fitted.frames, cycles, fitted.seed.radius)
    begun = {"time": time, CYCLES: cycles}
    views = {
        name: {**spec, "around": {**spec["around"], **begun}} if spec.get("around") else spec
        for name, spec in fitted.views.items()
    }
    return replace(fitted, views=views, frames=fitted.frames.subset(chosen))


def _otherwise(fitted: Repeating, others: Otherwise, name: str, left_out: Sequence[str]) -> Repeating:
    """The same with other settings in place of its own, which a user knows by a name.

    Objectives that are left out need no weight.
    """
    known = {label for spec in fitted.objectives for label in _labels(spec)}
    for label in others.weights:
        if label not in known and label.partition("/")[0] not in left_out:
            raise unknown_key(f"{name}.weights.{label}", label, known)
    return replace(
        fitted,
        seed=parse(SeedConfig, overlaid(plain(fitted.seed), others.seed), f"{name}.seed"),
        scene=overlaid(fitted.scene, others.scene),
        objectives=[_weighted(spec, others.weights) for spec in fitted.objectives],
    )


def _weighted(spec: Spec, weights: Mapping[str, Number]) -> Spec:
    """An objective's settings with the weight that is given under the last of its names."""
    given = [weights[label] for label in _labels(spec) if label in weights]
    return {**spec, "weight": given[-1]} if given else spec


def _labels(spec: Spec) -> list[str]:
    """What an objective is called: by its kind, and by what of the scene it reads."""
    kind = str(spec.get("kind"))
    return [kind, f"{kind}/{spec['of']}"] if "of" in spec else [kind]
