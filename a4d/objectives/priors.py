"""Priors by configuration: released models by their catalogue name, or the exact prior of a workspace's own frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from a4d.priors.adapters import apply_adapter
from a4d.priors.catalogue import catalogue, check_options, find, load_prior, with_bases
from a4d.priors.cg_lora import CgLoraConfig
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.lora import LoraConfig
from a4d.priors.placement import Placement
from a4d.priors.protocol import Prior
from a4d.priors.sampling_settings import Size
from a4d.randomness import generator
from a4d.trainable import Trainable
from a4d.views import Frames, frames_of_split

OPTIONS = ("size", "views", "condition_frame_time_zero", "strength", "control_prompt")


class PriorSettings(Config, ABC):
    """Base of the settings of priors, which say themselves what they need of a run."""

    reads_frames: ClassVar[bool] = False
    """Whether it is made of the workspace's images."""

    kind: str

    @property
    def needs_prompt(self) -> bool:
        """Whether nothing but words tells it what to expect."""
        return False

    @property
    def weights(self) -> list[str]:
        """The entries of the catalogue that it is read from."""
        return []

    def adapter_folders(self, root: Path, name: str) -> list[Path]:
        """Folders of the adapters that it uses, where `root` holds the workspace's and `name` is its own."""
        return []

    @abstractmethod
    def build(self, name: str, frames: Frames | None, placement: Placement, adapters: Path) -> Prior:
        """The prior; see `build_priors`."""

    def learner(self, name: str, prior: Prior, seed: int) -> Trainable | None:
        """What of the prior learns in a run, which takes part in what it predicts from now on; None is nothing.

        Raises:
            ConfigError: the prior has no attention to adapt.
        """
        return None


class ReleasedPrior(PriorSettings):
    """A model of the catalogue, and how it computes."""

    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="None is half precision on CUDA and single on the CPU"
    )
    text_on_cpu: bool = Field(default=False, description="leave the text encoder off the device")
    images_at_once: int = Field(default=4, ge=1, description="that the autoencoder takes; fewer need less memory")
    samples_at_once: int | None = Field(
        default=None, ge=1, description="that the denoiser takes, two of each where it is guided; None: all"
    )
    adapters: list[str] = Field(default=[], description="names in the workspace's `adapters/`, or other folders")
    learns: LoraConfig | CgLoraConfig | None = Field(
        default=None,
        description="what of it learns in the run, at the rates PRIOR/GROUP; kept in `adapters/RUN/PRIOR`",
    )
    size: Size | None = Field(default=None, description="pixels that it judges; None is what it was trained for")
    views: int | None = Field(default=None, ge=1, le=64, description="of a sample; None is what it was trained for")
    condition_frame_time_zero: bool | None = Field(
        default=None, description="tell first frames that they carry no noise; None is how it was trained"
    )

    strength: float | None = Field(
        default=None, ge=0, le=10, description="factor on what a picture that controls it adds; None is 1"
    )
    control_prompt: str | None = Field(
        default=None, description="what the model that looks at this picture is told; None is how it was trained"
    )

    @property
    def options(self) -> dict[str, Any]:
        """In place of the catalogue's."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _check_options(self) -> ReleasedPrior:
        check_options(self.kind, self.options)
        return self

    @property
    def needs_prompt(self) -> bool:
        """As its entry in the catalogue says."""
        return find(self.kind).words

    @property
    def weights(self) -> list[str]:
        """Its own entry, and those that it is built of."""
        return with_bases([self.kind])

    def adapter_folders(self, root: Path, name: str) -> list[Path]:
        """A name without a slash is one of those in `root`."""
        return [adapter_folder(adapter, root, name) for adapter in self.adapters]

    def build(self, name: str, frames: Frames | None, placement: Placement, adapters: Path) -> Prior:
        """The model with its adapters."""
        own = replace(
            placement,
            dtype=getattr(torch, self.dtype) if self.dtype else None,
            text_on_cpu=self.text_on_cpu,
            images_at_once=self.images_at_once,
            samples_at_once=self.samples_at_once,
        )
        prior = load_prior(self.kind, own, self.options)
        for folder in self.adapter_folders(adapters, name):
            apply_adapter(prior, folder)
        return prior

    def learner(self, name: str, prior: Prior, seed: int) -> Trainable | None:
        """A low-rank adapter of its attention."""
        if self.learns is None:
            return None
        return self.learns.attach(prior, generator(seed, "learns", name), f"priors.{name}.learns")


class FramesPrior(PriorSettings):
    """The ideal denoiser of the workspace's own frames: a recipe can be tried with it before weights are fetched."""

    reads_frames = True
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

    def build(self, name: str, frames: Frames | None, placement: Placement, adapters: Path) -> Prior:
        """Of the frames of the split."""
        return ExactPrior(example_set(self, frames, name).to(placement.device), clean_frames=self.clean_frames)


KINDS: dict[str, type[PriorSettings]] = {"exact": FramesPrior}
"""Those that no entry of the catalogue stands for."""


def prior_settings(specs: Mapping[str, Spec], objectives: Sequence[Objective]) -> dict[str, PriorSettings]:
    """Priors from their configurations, and those of the catalogue that objectives name without more ado.

    Raises:
        ConfigError: an unknown kind or key, or an objective that names no prior or asks a text model without a prompt.
    """
    asked = [(objective, name) for objective in objectives for name in objective.priors_asked]
    implied = {name: {"kind": name} for _, name in asked if name in catalogue()}
    settings: dict[str, PriorSettings] = {}
    for name, given in {**implied, **specs}.items():
        spec = {"kind": name, **given} if name in catalogue() else given
        kind = str(spec.get("kind"))
        if kind not in {*KINDS, *catalogue()}:
            raise unknown_key(f"priors.{name}.kind: {kind}", kind, {*KINDS, *catalogue()})
        settings[name] = parse(KINDS.get(kind, ReleasedPrior), spec, f"priors.{name}")
    for objective, name in asked:
        if name not in settings:
            raise unknown_key(f"prior: {name}", name, {*settings, *catalogue()})
        if objective.takes_prompt and settings[name].needs_prompt and not getattr(objective, "prompt", ""):
            raise ConfigError(f"{objective.label} has no prompt", "Give --prompt, or the objective a `prompt`")
    return settings


def adapter_folder(name: str, root: Path, prior: str) -> Path:
    """The folder of one adapter: of what a run taught the prior of this name, or of one that was trained alone.

    Raises:
        OutsideError: the name leads out of `root`.
    """
    if "/" in name:
        return Path(name).expanduser()
    folder = contained(root, name)
    return folder / prior if (folder / prior).is_dir() else folder


def build_priors(
    settings: Mapping[str, PriorSettings],
    frames: Frames | None,
    placement: Placement,
    adapters: Path,
) -> dict[str, Prior]:
    """Priors by name.

    Args:
        settings: from `prior_settings`.
        frames: of the workspace, for exact priors.
        placement: of all of them, as far as their configurations do not say more.
        adapters: the folder of the workspace's adapters.

    Raises:
        BackendUnavailableError: weights or adapters are missing, damaged, or of another architecture.
        MissingInputError: an exact prior's split has no frames.
        ConfigError: its frames differ in size or do not make whole examples.
    """
    return {name: each.build(name, frames, placement, adapters) for name, each in settings.items()}


def build_trainables(
    settings: Mapping[str, PriorSettings], priors: Mapping[str, Prior], seed: int
) -> dict[str, Trainable]:
    """What of the priors learns in a run, by the priors' names; from now on it takes part in what they predict.

    Raises:
        ConfigError: a prior has no attention to adapt.
    """
    learners = {name: each.learner(name, priors[name], seed) for name, each in settings.items()}
    return {name: learner for name, learner in learners.items() if learner is not None}


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
    batches = list(frames_of_split(frames, config.split, size=config.size, background=config.background))
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
