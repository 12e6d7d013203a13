"""Priors by configuration: released models by their catalogue name, or the exact prior of a workspace's own frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from a4d.config import Config, Spec, parse, unknown_key
from a4d.errors import ConfigError
from a4d.geometry.cameras import concatenate
from a4d.io.containment import contained
from a4d.objectives.objective import Objective
from a4d.objectives.score_distillation import ScoreDistillation
from a4d.priors.catalogue import catalogue, check_options, find, load_prior, locate, with_bases
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.personalisation import apply_adapter
from a4d.priors.placement import Placement
from a4d.priors.protocol import Prior
from a4d.priors.sampling_settings import Size
from a4d.views import Frames, ObservedViews


class ReleasedPrior(Config):
    """A model of the catalogue, and how it computes."""

    reads_frames: ClassVar[bool] = False

    kind: str
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="None is half precision on CUDA and single on the CPU"
    )
    text_on_cpu: bool = Field(default=False, description="leave the text encoder off the device")
    images_at_once: int = Field(default=4, ge=1, description="that the autoencoder takes; fewer need less memory")
    samples_at_once: int | None = Field(
        default=None, ge=1, description="that the denoiser takes, two of each where it is guided; None: all"
    )
    adapters: list[str] = Field(default=[], description="names in the workspace's `adapters/`, or other folders")
    size: Size | None = Field(default=None, description="pixels that it judges; None is what it was trained for")
    views: int | None = Field(default=None, ge=1, le=64, description="of a sample; None is what it was trained for")
    condition_frame_time_zero: bool | None = Field(
        default=None, description="tell first frames that they carry no noise; None is how it was trained"
    )

    @property
    def options(self) -> dict[str, Any]:
        """In place of the catalogue's."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _check_options(self) -> ReleasedPrior:
        check_options(self.kind, self.options)
        return self


OPTIONS = ("size", "views", "condition_frame_time_zero")


class FramesPrior(Config):
    """The ideal denoiser of the workspace's own frames: a recipe can be tried with it before weights are fetched."""

    reads_frames: ClassVar[bool] = True

    kind: Literal["exact"] = "exact"
    split: Literal["train", "test", "all", "proxy"] = "train"
    size: int | None = Field(
        default=None, ge=8, le=4096, description="pixels of the longer side; None keeps the image's own"
    )
    background: Literal["black", "white", "grey"] = "black"
    views: int = Field(
        default=1, ge=1, le=64, description="clips, or single frames, that follow each other make an example"
    )
    frames: int = Field(default=1, ge=1, le=1024, description="frames that follow each other make a clip")
    clean_frames: int = Field(
        default=0, ge=0, le=1024, description="leading frames of a clip that are told and not judged"
    )
    posed: bool = Field(default=True, description="choose the example that was seen from the same side")


PriorConfig = ReleasedPrior | FramesPrior


def prior_configs(specs: Mapping[str, Spec], objectives: Sequence[Objective]) -> dict[str, PriorConfig]:
    """Priors from their configurations, and those of the catalogue that objectives name without more ado.

    Raises:
        ConfigError: an unknown kind or key, or an objective that names no prior or asks a text model without a prompt.
    """
    asking = [objective for objective in objectives if isinstance(objective, ScoreDistillation)]
    implied = {each.prior: {"kind": each.prior} for each in asking if each.prior in catalogue()}
    configs: dict[str, PriorConfig] = {}
    for name, given in {**implied, **specs}.items():
        spec = {"kind": name, **given} if name in catalogue() else given
        kind = str(spec.get("kind"))
        if kind not in {FramesPrior().kind, *catalogue()}:
            raise unknown_key(f"priors.{name}.kind: {kind}", kind, {FramesPrior().kind, *catalogue()})
        model: type[PriorConfig] = FramesPrior if kind == FramesPrior().kind else ReleasedPrior
        configs[name] = parse(model, spec, f"priors.{name}")
    for objective in asking:
        if objective.prior not in configs:
            raise unknown_key(f"prior: {objective.prior}", objective.prior, {*configs, *catalogue()})
        kind = configs[objective.prior].kind
        if not objective.prompt and kind in catalogue() and find(kind).kind != "zero123":
            raise ConfigError(f"{objective.label} has no prompt", "Give --prompt, or the objective a `prompt`")
    return configs


def weight_folders(configs: Mapping[str, PriorConfig], overrides: Mapping[str, Path]) -> dict[str, Path]:
    """Where the weights that priors need lie on this machine, by catalogue name.

    Raises:
        BackendUnavailableError: some are missing; the remedy is the command that fetches them.
    """
    released = [config.kind for config in configs.values() if isinstance(config, ReleasedPrior)]
    return {name: locate(name, overrides) for name in with_bases(released)}


def adapter_folders(configs: Mapping[str, PriorConfig], root: Path) -> list[Path]:
    """The folders of all adapters that priors use; a name without a slash is one of those in `root`."""
    names = [name for config in configs.values() if isinstance(config, ReleasedPrior) for name in config.adapters]
    return [adapter_folder(name, root) for name in dict.fromkeys(names)]


def adapter_folder(name: str, root: Path) -> Path:
    """The folder of one adapter.

    Raises:
        OutsideError: the name leads out of `root`.
    """
    return Path(name).expanduser() if "/" in name else contained(root, name)


def build_priors(
    configs: Mapping[str, PriorConfig],
    frames: Frames | None,
    placement: Placement,
    adapters: Path,
) -> dict[str, Prior]:
    """Priors by name.

    Args:
        configs: from `prior_configs`.
        frames: of the workspace, for exact priors.
        placement: of all of them, as far as their configurations do not say more.
        adapters: the folder of the workspace's adapters.

    Raises:
        BackendUnavailableError: weights or adapters are missing, damaged, or of another architecture.
        MissingInputError: an exact prior's split has no frames.
        ConfigError: its frames differ in size or do not make whole examples.
    """
    priors: dict[str, Prior] = {}
    for name, config in configs.items():
        if isinstance(config, FramesPrior):
            examples = example_set(config, frames, name).to(placement.device)
            priors[name] = ExactPrior(examples, clean_frames=config.clean_frames)
        else:
            priors[name] = load_prior(config.kind, _placement(config, placement), config.options)
            for adapter in config.adapters:
                apply_adapter(priors[name], adapter_folder(adapter, adapters))
    return priors


def _placement(config: ReleasedPrior, placement: Placement) -> Placement:
    return replace(
        placement,
        dtype=getattr(torch, config.dtype) if config.dtype else None,
        text_on_cpu=config.text_on_cpu,
        images_at_once=config.images_at_once,
        samples_at_once=config.samples_at_once,
    )


def frozen_scenes(objectives: Sequence[Objective]) -> list[str]:
    """The names of scenes whose renders condition priors."""
    names = [each.frozen for each in objectives if isinstance(each, ScoreDistillation) and each.frozen]
    return list(dict.fromkeys(names))


def example_set(config: FramesPrior, frames: Frames | None, name: str) -> ExampleSet:
    """The frames of a split over a background, as examples of what the configuration says, on the CPU.

    Args:
        config: views and frames of an example.
        frames: in the workspace's order, which is that of the examples, their views and, fastest, their frames.
        name: of the prior, for messages.

    Raises:
        MissingInputError: the split has no frames.
        ConfigError: the frames differ in size or do not make whole examples.
    """
    observed = ObservedViews(split=config.split, size=config.size, background=config.background)
    batches = list(observed.every_frame(frames))
    if len({batch.rgb.shape for batch in batches}) > 1:
        raise ConfigError(f"priors.{name}: the frames differ in size", "Set its size, or resize the images")
    if config.clean_frames and config.clean_frames >= config.frames:
        raise ConfigError(f"priors.{name}: all {config.frames} frames of a clip are clean", "Leave some to be judged")
    if len(batches) % (config.views * config.frames):
        raise ConfigError(
            f"priors.{name}: {len(batches)} frames are not whole examples of "
            f"{config.views} views x {config.frames} frames"
        )
    times = [batch.times for batch in batches if batch.times is not None]
    return ExampleSet(
        torch.cat([batch.rgb for batch in batches]),
        config.views,
        config.frames,
        cameras=concatenate([batch.cameras for batch in batches]) if config.posed else None,
        times=torch.cat(times) if config.posed and times else None,
    )
