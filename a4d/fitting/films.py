"""What a fit to the film of one camera begins with, and what is different where the film says less than it might."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from a4d.config import Number, Spec, overlaid, parse, plain, unknown_key
from a4d.contents.frames import has_approximate_cameras
from a4d.estimation.repetition import find_cycles, frames_of_one_pose
from a4d.fitting.film_settings import FilmFitting, Otherwise, OtherwiseBegun
from a4d.fitting.seed_settings import SeedConfig
from a4d.fitting.seeds import degrees_seen, make_seed, shown
from a4d.fitting.settings import Fitting
from a4d.priors.placement import Placement
from a4d.scenes import scene_class
from a4d.scenes.seed import Seed
from a4d.views import Frames
from a4d.workspace.workspace import Workspace

SIDES_APART = 100.0
"""Degrees between two directions at the least, from which little of a subject is never seen."""

CYCLES = "cycles"
"""The setting of scenes that may repeat."""


def may_repeat(scene: Spec) -> bool:
    """Whether the motion of a scene of this configuration can repeat."""
    return CYCLES in scene_class(str(scene.get("kind"))).config_class.model_fields


@dataclass(frozen=True)
class Repeating:
    """How a film is fitted that repeats so often.

    Args:
        config: the settings; frames around a pose are those around the one that the shape begins with.
        seed: how the first guess of the shape is made.
        frames: of which it is made.
        facts: `cycles`, and where they were looked for `cycles_evidence`, as `Repetition` has it; none of a scene that
            cannot repeat.
    """

    config: Fitting
    seed: SeedConfig
    frames: Frames
    facts: dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """With what the fit of a film begins.

    Args:
        config: the settings that suit what the film says.
        seed: the first guess of the shape.
        facts: of its repetition, and `seen_degrees`, from within how many the subject is seen.
    """

    config: Fitting
    seed: Seed
    facts: dict[str, Any]


def begin_film(
    workspace: Workspace, config: FilmFitting, frames: Frames, placement: Placement, console: Console
) -> Begun:
    """The first guess of the shape that a film shows, and the settings by which it is fitted.

    Args:
        workspace: of the film.
        config: complete, with a seed.
        frames: of the film.
        placement: of models that make the guess.
        console: is told what was found.

    Raises:
        MissingInputError: no frame shows the subject.
        ConfigError: a weight is given of an objective that is not there.
    """
    frames, are_found = shown(frames), has_approximate_cameras(workspace)
    facts = {"seen_degrees": degrees_seen(frames)}
    fitted = of_its_cycles(config, frames, console, are_cameras_found=are_found)
    seed = make_seed(workspace, fitted.frames, fitted.seed, placement)
    chosen = fitted.config
    if may_repeat(config.scene or {}):
        if not seed.is_bounded or degrees_seen(fitted.frames) < SIDES_APART:
            chosen = _otherwise(chosen, config.lacking.one_sided, "one_sided")
        if are_found:
            chosen = _otherwise(chosen, config.lacking.strayed, "strayed")
    return Begun(chosen, seed, fitted.facts | facts)


def of_its_cycles(
    config: FilmFitting, frames: Frames, console: Console, *, are_cameras_found: bool = False
) -> Repeating:
    """The settings for a film whose motion repeats so often, which is found where they do not say it.

    Where it repeats, the first guess is the shape of one pose, which is seen from several sides if the camera went
    around. Where it does not, it is made of all frames.

    Args:
        config: complete, with a seed.
        frames: that show the subject.
        console: is told what was found.
        are_cameras_found: by the subject itself, some degrees off.

    Raises:
        ConfigError: a weight is given of an objective that is not there.
    """
    assert config.seed is not None
    scene, facts = config.scene or {}, dict[str, Any]()
    if not may_repeat(scene):
        return Repeating(config, config.seed, frames, facts)
    facts[CYCLES] = scene.get(CYCLES)
    if facts[CYCLES] is None:
        found = find_cycles(frames, config.seed.radius, are_cameras_found=are_cameras_found)
        facts |= {CYCLES: found.cycles, "cycles_evidence": found.evidence}
        console.print(
            f"The motion repeats {found.cycles:.3g} times in the clip; --cycles N says otherwise."
            if found.cycles
            else "No repetition of the motion was found: every pose counts as seen once; --cycles N says otherwise."
        )
    fitted = Repeating(config.changed(scene={**scene, CYCLES: facts[CYCLES]}), config.seed, frames, facts)
    if facts[CYCLES] and "cycles_evidence" in facts:
        fitted = replace(fitted, config=_otherwise(fitted.config, config.lacking.uncounted, "uncounted"))
    if facts[CYCLES]:
        return _begun_at_one_pose(fitted, facts[CYCLES])
    name = "unrepeated_strayed" if are_cameras_found else "unrepeated"
    others: OtherwiseBegun = getattr(config.lacking, name)
    seed = parse(SeedConfig, overlaid(plain(config.seed), others.seed), f"lacking.{name}.seed")
    return replace(fitted, config=_otherwise(fitted.config, others, name), seed=seed)


def _begun_at_one_pose(fitted: Repeating, cycles: float) -> Repeating:
    """The same with a first guess, and frames to begin with, of the pose that the silhouettes tell best."""
    time, chosen = frames_of_one_pose(fitted.frames, cycles, fitted.seed.radius)
    begun = {"time": time, CYCLES: cycles}
    views = {
        name: {**spec, "around": {**spec["around"], **begun}} if spec.get("around") else spec
        for name, spec in fitted.config.views.items()
    }
    return replace(fitted, config=fitted.config.changed(views=views), frames=fitted.frames.subset(chosen))


def _otherwise(config: Fitting, others: Otherwise, name: str) -> Fitting:
    """The settings with others in place of their own, which a user knows by a name.

    Objectives that are left out need no weight, and a rate that is there stays.
    """
    known = {label for spec in config.objectives for label in _labels(spec)}
    for label in others.weights:
        if label not in known and label.partition("/")[0] not in config.without:
            raise unknown_key(f"lacking.{name}.weights.{label}", label, known)
    return config.changed(
        scene=overlaid(config.scene or {}, others.scene),
        objectives=[_weighted(spec, others.weights) for spec in config.objectives],
        optimiser={**config.optimiser, "rates": {**others.rates, **config.optimiser.get("rates", {})}},
    )


def _weighted(spec: Spec, weights: Mapping[str, Number]) -> Spec:
    """An objective's settings with the weight that is given under the last of its names."""
    given = [weights[label] for label in _labels(spec) if label in weights]
    return {**spec, "weight": given[-1]} if given else spec


def _labels(spec: Spec) -> list[str]:
    """What an objective is called: by its kind, and by what of the scene it reads."""
    kind = str(spec.get("kind"))
    return [kind, f"{kind}/{spec['of']}"] if "of" in spec else [kind]
