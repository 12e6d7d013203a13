"""distill: a scene, given or begun from a simple shape, moved toward what diffusion priors expect of its renders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from a4d.errors import UsageError
from a4d.fitting.files import files_read, fit_inputs, placement, require_weights
from a4d.fitting.sample_settings import ViewSampleConfig
from a4d.fitting.seed_settings import ShapeConfig
from a4d.fitting.settings import Fitting, complete_with_scene, profile_values
from a4d.fitting.stage import FittingStage
from a4d.priors.catalogue import locate
from a4d.running.quality import Gate, judge
from a4d.running.weights import record_weights, weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.scenes.seed import Seed
    from a4d.views import Frames

DEFAULT_PROFILE = "distill-text"

HULL_CELLS = 64
"""Along a side of the cube in which the outlines of sampled views are filled."""

GATES = (
    Gate(
        "sampled_iou", 0.8, 0.6,
        "the outlines of the shape and of the prior's views overlap by {value:.0%} alone",
        at_least=True,
    ),
    Gate(
        "words_understood", 0.01, 0.01, "the prior knows no word of the prompt, and what it drew may be anything",
        at_least=True,
    ),
    Gate("colour_lead", 0.0, -0.3, "another colour than the one that is named leads by {value:.0%}", at_least=True),
)  # fmt: skip
"""When it is doubted that a scene is what words and sampled views say, and when nobody goes on with it unasked."""


class Distill(Fitting):
    """Everything that decides a distilled scene."""

    seed: ShapeConfig = ShapeConfig()
    sample: ViewSampleConfig | None = Field(
        default=None, description="a prior that draws views of the prompt, which are the frames of observed view sets"
    )

    @model_validator(mode="after")
    def _check_outlines(self) -> Distill:
        if self.seed.kind == "visual-hull" and self.sample is None:
            raise ValueError("seed.kind: visual-hull fills outlines of sampled views; give `sample`")
        return self


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else text to Gaussians; a given scene brings its own configuration."""
    profile = values.get("profile", "auto")
    name = DEFAULT_PROFILE if profile == "auto" else str(profile)
    chosen = profile_values(Path(__file__).parent / "profiles", "distill", name, workspace)
    if values.get("from_scene"):
        chosen["scene"] = None
    return chosen


def inputs(workspace: Workspace, config: Distill) -> list[Path]:
    """What every fit reads but for images that are sampled, and the file of the shape that a new scene begins from."""
    read = fit_inputs(workspace, config) if config.sample is None else files_read(workspace, config)
    return read + ([] if config.from_scene else config.seed.files)


def complete(config: Distill) -> Distill:
    """See `complete_with_scene`.

    Raises:
        UsageError: views are to be sampled, but nobody says of what.
    """
    if config.sample is not None and not config.prompt:
        raise UsageError("the views that the prior should draw have no words", "Give --prompt 'a red robot'")
    return complete_with_scene(config, purpose="distill")


def require(config: Distill) -> None:
    """Look for the weights of all priors, reading none."""
    require_weights(config)
    if config.sample is not None:
        locate(config.sample.prior, weight_overrides(config.weights))


def run(work: Transaction, config: Distill, runtime: Runtime) -> dict[str, Any]:
    """Sample views where they are asked for, read or begin the scene, optimise it, and save it.

    Raises:
        UsageError: the scene would take its own place.
    """
    from a4d.contents.frames import load_frames
    from a4d.fitting.fitting import fit
    from a4d.fitting.start import require_another_name, start
    from a4d.fitting.text_views import figures_of_words, sampled_text_views

    require_another_name(work, config)
    if config.sample is not None:
        assert config.prompt is not None
        place = placement(config, runtime)
        if config.sample.prior not in config.resolved.weights:
            folder = locate(config.sample.prior, place.overrides)
            record_weights(work, {config.sample.prior: folder}, place.overrides)
        frames: Frames | None = sampled_text_views(work, config.sample, config.prompt, place, runtime)
    else:
        frames = load_frames(work.workspace) if config.resolved.reads_frames else None
    scene = start(work, config, None if config.from_scene else _seed(config, frames), runtime)
    metrics: dict[str, Any] = fit(work, config, scene, frames, runtime)
    if config.sample is not None:
        assert frames is not None
        assert config.prompt is not None
        metrics |= figures_of_words(scene, frames, config.prompt, config.sample.prior)
        judge(work, metrics, GATES)
    return metrics


def _seed(config: Distill, frames: Frames | None) -> Seed:
    from a4d.fitting.seeds import hull_seed, shape_seed

    if config.seed.kind != "visual-hull":
        return shape_seed(config.seed)
    assert frames is not None
    return hull_seed(frames, config.seed.radius, HULL_CELLS)


STAGE = FittingStage(
    name="distill",
    summary="Move a scene, or a new one, toward what diffusion priors expect of its renders.",
    example='a4d distill "a corgi wearing a beret"',
    config=Distill,
    run=run,
    inputs=inputs,
    defaults=defaults,
    complete=complete,
    require=require,
    needs=("preprocess",),
    memory_knobs=(
        "offload",
        "views.*.batch",
        "views.*.size",
        "objectives.*.patch",
        "priors.*.text_on_cpu",
        "priors.*.images_at_once",
        "priors.*.samples_at_once",
        "scene.count",
        "scene.encoding.table",
        "scene.surface.resolution",
    ),
)
