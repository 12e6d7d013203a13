"""fit-dynamic: a moving scene from a multi-view video: the workspace's own frames, or sampled from a prior."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from a4d.config import Spec
from a4d.errors import ConfigError, UsageError
from a4d.fitting.demands import demands
from a4d.fitting.files import files_read, image_files, placement, require_weights
from a4d.fitting.pace import Pace, paced
from a4d.fitting.sample_settings import BACKGROUNDS, SampleConfig
from a4d.fitting.settings import Fitting, complete_fitting, profile_values
from a4d.fitting.stage import FittingStage
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.quality import Gate, judge
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

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


class FitDynamic(Fitting):
    """Everything that decides a moving scene; a profile fills in what is not given."""

    from_scene: str | None = Field(default=None, description="static scene of the subject; new Gaussians if not given")
    clip: str | None = Field(
        default=None, description="which rendered animation, by name or number; the first if not given"
    )
    sample: SampleConfig | None = Field(default=None, description="a prior that makes the video, instead of the frames")
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
        seen = "body" if has_tracked_body(workspace) else "frames"
        profile = f"fit-dynamic-{'sampled' if values.get('sample') else seen}"
    chosen = profile_values(Path(__file__).parent / "profiles", "fit-dynamic", str(profile), workspace)
    motion = workspace.metadata.prompts.get("motion")
    sample = values.get("sample") or chosen.get("sample")
    moments = sample.get("frames") if sample else count_moments(workspace, values.get("clip"))
    return {**chosen, "prompt": motion or chosen["prompt"], **({"moments": moments} if moments else {})}


def complete(config: FitDynamic) -> FitDynamic:
    """Check scene, views, objectives, priors and optimiser, and fill in their defaults.

    Raises:
        UsageError: a prior is to make the video, but nobody says of what.
    """
    if config.sample is not None and not (config.sample.prompt or config.prompt):
        raise UsageError("the motion that the prior should make has no words", "Give --prompt 'a fox is running'")
    if config.pace is not None:
        counted = config.model_dump(include={"scene", "views", "objectives", "optimiser", "iterations"})
        config = config.model_copy(update=paced(counted, config.pace, config.moments))
    if not config.scene:
        raise ConfigError("scene: nothing says what moves", "Give `scene`, or leave --profile to its default")
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
    choice = config.resolved.scene
    assert choice is not None
    seed = seed_at_rest(work.workspace, config.from_scene, config.clip)
    scene = choice.begin(seed, generator(runtime.seed, "begin"))
    if config.sample is None:
        frames = observed_clip(work.workspace, config.clip)
    else:
        frames = sampled_frames(work, scene, config.sample, config.prompt or "", placement(config, runtime), runtime)
    metrics: dict[str, Any] = fit(work, config, scene, frames, runtime)
    metrics |= figures_of_motion(
        scene, frames, None if config.sample is None else BACKGROUNDS[config.sample.background]
    )
    judge(work, metrics, GATES_OF_FILMS if config.sample is None else GATES_OF_SAMPLES)
    return metrics


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
)
