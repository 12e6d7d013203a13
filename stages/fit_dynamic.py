"""fit-dynamic: a moving scene from a multi-view video: the workspace's own frames, or sampled from a prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from a4d.config import Spec
from a4d.errors import ConfigError, UsageError
from a4d.fitting.demands import demands
from a4d.fitting.files import files_read, image_files, placement, require_weights
from a4d.fitting.film_settings import FilmFitting
from a4d.fitting.films import begin_film, may_repeat
from a4d.fitting.pace import Pace, paced
from a4d.fitting.sample_settings import BACKGROUNDS, SampleConfig
from a4d.fitting.settings import Fitting, complete_fitting, profile_values
from a4d.fitting.stage import FittingStage
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.quality import Gate, judge
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.fitting.resolution import SceneChoice
    from a4d.scenes.scene import Scene

GATES_OF_FILMS = (
    Gate("motion_followed", 0.9, 0.75, "of what moves in the frames, {value:.0%} is followed", at_least=True),
    Gate("psnr_worst", 20, 15, "the subject at time {psnr_worst_time:.2f} is {value:.0f} dB away", at_least=True),
    Gate("iou_worst", 0.85, 0.7, "outlines at time {iou_worst_time:.2f} agree by {value:.2f} alone", at_least=True),
    Gate("volume_change", 0.2, 0.4, "the volume changes by {value:.0%} over the clip"),
    Gate("strain_rms", 0.3, 0.45, "the surface is strained by {value:.0%} on average"),
)
"""When a motion that was seen is doubted, and when nobody goes on with it unasked.

Chosen on a galloping horse of 8 moments and on a figure that swings a sword by a right angle and more between two. Rigs
strain their surfaces by 10 to 40 % at some moments, and skinning changes their volume by up to 8 %.
"""

GATES_OF_SAMPLES = (
    Gate("motion_followed", 0.5, 0.2, "of what moves in the prior's frames, {value:.0%} is followed", at_least=True),
    Gate("path_mean", 0.03, 0.005, "hardly anything moves: by {value:.1%} of the subject's size", at_least=True),
    Gate("iou_worst", 0.6, 0.45, "outlines at time {iou_worst_time:.2f} agree by {value:.2f} alone", at_least=True),
    Gate("volume_change", 0.05, 0.15, "the volume changes by {value:.0%} over the clip"),
    Gate("strain_rms", 0.07, 0.15, "the surface is strained by {value:.0%} on average"),
)
"""The same of a motion that a prior draws: its outlines are ragged, and no strain is meant. Chosen on a walking fox."""


GATES_OF_BODIES = (
    Gate("psnr_worst", 17, 8, "the person at time {psnr_worst_time:.2f} is {value:.0f} dB away", at_least=True),
    Gate("iou_worst", 0.8, 0.3, "outlines at time {iou_worst_time:.2f} agree by {value:.2f} alone", at_least=True),
)
"""The same of a body that was followed: masks cut hands off, and clothes have folds. A real film has 19 dB and .90."""

GATES_OF_BONES = (
    Gate("motion_followed", 0.3, 0.1, "of what moves in the frames, {value:.0%} is followed", at_least=True),
    Gate("psnr_worst", 15, 10, "the subject at time {psnr_worst_time:.2f} is {value:.0f} dB away", at_least=True),
    Gate("iou_worst", 0.7, 0.5, "outlines at time {iou_worst_time:.2f} agree by {value:.2f} alone", at_least=True),
    Gate("strain_rms", 0.4, 0.7, "the surface is strained by {value:.0%} on average"),
    Gate(
        "seen_degrees",
        150,
        -1,
        "the film sees its subject from within {value:.0f} degrees: depth is a guess, and what lies behind is made up",
        at_least=True,
    ),
    Gate("strayed_degrees", 15, math.inf, "cameras were found {value:.0f} degrees off: so is, perhaps, what they see"),
    Gate("strayed_share", 0.2, math.inf, "cameras were found off by {value:.0%} of their distance to the subject"),
)
"""The same of a shape and bones that nobody knew before, from a single camera."""


class FitDynamic(FilmFitting):
    """Everything that decides a moving scene; a profile fills in what is not given."""

    from_scene: str | None = Field(default=None, description="static scene of the subject; new Gaussians if not given")
    clip: str | None = Field(
        default=None, description="which rendered animation, by name or number; the first if not given"
    )
    sample: SampleConfig | None = Field(default=None, description="a prior that makes the video, instead of the frames")
    cycles: float | None = Field(
        default=None, ge=0, le=1000, description="how often the motion repeats, 0 for never; found if not given"
    )
    pace: Pace | None = Field(default=None, description="steps per moment, for schedules that count in moments")
    moments: int = Field(
        default=16, ge=2, le=10_000, description="of the clip, by which these schedules go; those that it has"
    )

    @property
    def begun(self) -> Spec | None:
        """A static scene is what the moving one begins from."""
        return self.scene


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else the one for a body, for frames, or for a prior where these stand still."""
    from a4d.contents.bodies import has_tracked_body
    from a4d.contents.frames import count_moments

    profile = values.get("profile", "auto")
    if profile == "auto":
        seen = "body" if has_tracked_body(workspace) else "film" if _is_alone(workspace, values) else "frames"
        profile = f"fit-dynamic-{'sampled' if values.get('sample') else seen}"
    chosen = profile_values(Path(__file__).parent / "profiles", "fit-dynamic", str(profile), workspace)
    motion = workspace.metadata.prompts.get("motion")
    sample = values.get("sample") or chosen.get("sample")
    moments = sample.get("frames") if sample else count_moments(workspace, values.get("clip"))
    is_clip = moments is not None and moments > 1
    return {**chosen, "prompt": motion or chosen["prompt"], **({"moments": moments} if is_clip else {})}


def _is_alone(workspace: Workspace, values: Mapping[str, Any]) -> bool:
    """Whether nothing is known of the shape but what a film shows, and nobody says what the scene is made of."""
    scene = values.get("scene")
    is_said = isinstance(scene, Mapping) and "kind" in scene
    return workspace.metadata.asset is None and not values.get("from_scene") and not is_said


def complete(config: FitDynamic) -> FitDynamic:
    """Check scene, views, objectives, priors and optimiser, and fill in their defaults.

    Raises:
        UsageError: a prior is to make the video, but nobody says of what; or the scene's motion cannot repeat.
    """
    if config.sample is not None and not (config.sample.prompt or config.prompt):
        raise UsageError("the motion that the prior should make has no words", "Give --prompt 'a fox is running'")
    if config.pace is not None:
        counted = config.model_dump(include={"scene", "views", "objectives", "optimiser", "iterations"})
        config = config.model_copy(update=paced(counted, config.pace, config.moments))
    if not config.scene:
        raise ConfigError("scene: nothing says what moves", "Give `scene`, or leave --profile to its default")
    if config.cycles is not None:
        if not may_repeat(config.scene):
            raise UsageError(
                f"--cycles: the motion of a scene of kind '{config.scene.get('kind')}' is no cycle", "Leave it out"
            )
        config = config.model_copy(update={"scene": {**config.scene, "cycles": config.cycles}})
    return complete_fitting(_of_its_length(config))


def _of_its_length(config: FitDynamic) -> FitDynamic:
    """The settings of a scene that lasts as long as the clip that a prior makes, where it does not say otherwise."""
    from a4d.scenes import scene_class

    scene = config.scene or {}
    known = scene_class(str(scene.get("kind"))).config_class.model_fields
    if config.sample is None or "seconds" not in known or scene.get("seconds") is not None:
        return config
    return config.model_copy(update={"scene": {**scene, "seconds": config.sample.seconds}})


def inputs(workspace: Workspace, config: FitDynamic) -> list[Path]:
    """The static scene, the mesh, the body, the frames and their cameras, adapters and frozen scenes."""
    from a4d.contents.bodies import body_files

    mesh = [workspace.path / "source"] if workspace.metadata.asset is not None else []
    frames = image_files(workspace) if config.sample is None else []
    return mesh + body_files(workspace) + frames + files_read(workspace, config)


def require(config: FitDynamic) -> None:
    """Look for the weights of all priors, reading none."""
    require_weights(config)
    if config.sample is not None:
        config.sample.require_weights(config.weights)


def memory(config: FitDynamic) -> list[Demand]:
    """The scene, the renders of each view set, and the clip that a prior makes."""
    asked = demands(config)
    if config.sample is not None:
        height, width = config.sample.size
        pixels = config.sample.views * config.sample.frames * height * width
        asked.append(Demand("sample", PICTURE_PIXEL * pixels, on_device=False))
    return asked


def run(work: Transaction, config: FitDynamic, runtime: Runtime) -> dict[str, Any]:
    """Start a scene on what stands still, find or make the video, fit the motion to it, and save the scene.

    Raises:
        UsageError: the scene would take its own place.
        MissingInputError: the workspace knows no shape, or its frames do not move.
    """
    from a4d.evaluation.following import figures_of_motion
    from a4d.fitting.fitting import fit
    from a4d.fitting.sampled_views import sampled_frames
    from a4d.fitting.seeds import seed_at_rest
    from a4d.fitting.start import observed_clip, require_another_name
    from a4d.randomness import generator

    require_another_name(work, config)
    draws, place, facts = generator(runtime.seed, "begin"), placement(config, runtime), dict[str, Any]()
    fitted: Fitting = config
    if config.seed is not None and not config.from_scene:
        frames = observed_clip(work.workspace, config.clip)
        begun = begin_film(work.workspace, config, frames, place, runtime.console)
        fitted, facts = begun.config, begun.facts
        scene = _choice(fitted).begin(begun.seed, draws)
    else:
        seed = seed_at_rest(work.workspace, config.from_scene, config.clip)
        scene = _choice(config).begin(seed, draws)
        if config.sample is None:
            frames = observed_clip(work.workspace, config.clip, may_stand_still=seed.body is not None)
        else:
            frames = sampled_frames(work, scene, config.sample, config.prompt or "", place, runtime)
    metrics = facts | fit(work, fitted, scene, frames, runtime)
    metrics |= figures_of_motion(
        scene, frames.seen_by(scene), None if config.sample is None else BACKGROUNDS[config.sample.background]
    )
    judge(work, metrics, _gates(scene) if config.sample is None else GATES_OF_SAMPLES)
    if "path_mean" in metrics and "motion_followed" not in metrics:
        work.warn(
            "what moves in the frames, if anything does, is less than the scene misses of them where it stands still"
        )
    return metrics


def _choice(config: Fitting) -> SceneChoice:
    choice = config.resolved.scene
    assert choice is not None
    return choice


def _gates(scene: Scene) -> Sequence[Gate]:
    """Those of frames that were observed."""
    from a4d.scenes.protocols import Articulated, Embodied

    if isinstance(scene, Articulated):
        return GATES_OF_BONES
    return GATES_OF_BODIES if isinstance(scene, Embodied) else GATES_OF_FILMS


STAGE = FittingStage(
    name="fit-dynamic",
    summary="Fit a motion to a multi-view video, observed or sampled from a prior.",
    example="a4d fit-dynamic fox.a4d --from fit-static",
    config=FitDynamic,
    run=run,
    defaults=defaults,
    complete=complete,
    inputs=inputs,
    require=require,
    memory=memory,
    needs=("preprocess",),
    memory_knobs=(
        "offload",
        "scene.count",
        "scene.texels",
        "scene.motion",
        "views.*.chosen",
        "views.*.size",
        "sample.frames",
        "sample.size",
    ),
    code_version=3,
)
