"""The settings of what a prior makes to be fitted: a multi-view video, or still views of what words say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from a4d.config import Config, plain
from a4d.errors import ConfigError
from a4d.priors.catalogue import catalogue, check_options, find, locate, with_bases
from a4d.priors.sampling_settings import SamplingSettings, Spacing
from a4d.running.weights import weight_overrides

Background = Literal["black", "grey", "white"]
BACKGROUNDS: dict[Background, float] = {"black": 0.0, "grey": 0.5, "white": 1.0}


class SampleConfig(SamplingSettings):
    """Which prior makes the video, of what, and how; what is not said, the prior's entry in the catalogue says."""

    prior: str = Field(description="a multi-view video prior of the catalogue, such as compact-video")
    prompt: str | None = Field(default=None, description="what happens; the stage's prompt if not given")
    negative_prompt: str = Field(default="", description="what should not be seen")
    azimuth: float = Field(default=0.0, description="degrees, of the first camera; 0 is the front")
    condition_frame_time_zero: bool = Field(default=False, description="tell first frames that they carry no noise")

    @model_validator(mode="before")
    @classmethod
    def _as_the_prior_draws_best(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("prior"), str):
            return values
        own = own_settings(values["prior"])
        if "radius" in values:
            own["fill"] = None
        return {**own, **values}

    @model_validator(mode="after")
    def _check_what_the_prior_can_be_told(self) -> SampleConfig:
        if self.views != own_settings(self.prior)["views"]:
            check_options(self.prior, ["views"])
        if self.condition_frame_time_zero:
            check_options(self.prior, ["condition_frame_time_zero"])
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What the prior is told of itself, as far as it can be told; another size than its own it makes by itself."""
        names = find(self.prior).options.keys() & {"size", "views", "condition_frame_time_zero"}
        return {name: getattr(self, name) for name in names}

    @property
    def times(self) -> list[float]:
        """Of the frames, in [0, 1] of the clip."""
        last = self.frames if self.periodic else self.frames - 1
        return [index / last for index in range(self.frames)]

    def require_weights(self, overrides: str) -> None:
        """Look for the weights, reading none.

        Raises:
            BackendUnavailableError: they are missing; the remedy is the command that fetches them.
            ConfigError: there is no such prior.
        """
        for name in with_bases([self.prior]):
            locate(name, weight_overrides(overrides))


class ViewSampleConfig(Config):
    """Which prior draws still views of what words say, from where, how, and how often, of which the best are taken."""

    prior: str = Field(description="a multi-view prior of the catalogue, such as compact")
    draws: int = Field(default=8, ge=1, le=256, description="of which the one is taken that agrees best with itself")
    size: int = Field(ge=16, le=1024, description="pixels of a side")
    elevation: float = Field(ge=-89, le=89, description="degrees above the subject")
    radius: float = Field(gt=0, description="metres from the middle to the cameras")
    fov: float = Field(gt=1, lt=150, description="vertical field of view in degrees")
    background: Background = Field(description="behind the subject")
    steps: int = Field(ge=1, le=1000, description="of the sampler")
    guidance_scale: float = Field(description="of the words")
    spacing: Spacing = Field(default="trailing", description="of the sampler's timesteps")


def own_settings(prior: str) -> dict[str, Any]:
    """How a prior is sampled unless told otherwise.

    Raises:
        ConfigError: there is no such prior, or it draws no multi-view videos.
    """
    settings = find(prior).sampling
    if settings is None:
        able = ", ".join(name for name, entry in catalogue().items() if entry.sampling is not None)
        raise ConfigError(f"sample.prior: {prior} draws no multi-view videos", f"Choose {able}")
    return plain(settings)
