"""A multi-view video that a prior makes of a scene at rest, kept as pictures and read as the frames to fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from a4d.config import plain
from a4d.errors import ConfigError
from a4d.priors.sampling_settings import SamplingSettings
from a4d.running.weights import record_weights, weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from torch import Tensor

    from a4d.geometry.cameras import Cameras
    from a4d.priors.placement import Placement
    from a4d.priors.protocol import Prior
    from a4d.scenes.scene import Scene
    from a4d.views import Frames

BACKGROUNDS = {"black": 0.0, "grey": 0.5, "white": 1.0}

CLEAR, SOLID = 0.12, 0.3
"""Distances in sRGB from the background between which a sampled pixel goes from empty to full."""


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
        from a4d.priors.catalogue import check_options

        if self.views != own_settings(self.prior)["views"]:
            check_options(self.prior, ["views"])
        if self.condition_frame_time_zero:
            check_options(self.prior, ["condition_frame_time_zero"])
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What the prior is told of itself, as far as it can be told; another size than its own it makes by itself."""
        from a4d.priors.catalogue import find

        names = find(self.prior).options.keys() & {"size", "views", "condition_frame_time_zero"}
        return {name: getattr(self, name) for name in names}

    @property
    def times(self) -> list[float]:
        """Of the frames, in [0, 1] of the clip."""
        last = self.frames if self.periodic else self.frames - 1
        return [index / last for index in range(self.frames)]

    def ring(self, height: int, width: int, scene: Scene) -> Cameras:
        """The cameras of a video of a scene at rest, one per view."""
        import torch

        from a4d.geometry.cameras import orbit

        azimuth = self.azimuth + torch.arange(self.views) * (360 / self.views)
        elevation = torch.full((self.views,), self.elevation)
        return orbit(azimuth, elevation, self._distance(scene), self.fov, width, height)

    def _distance(self, scene: Scene) -> float:
        """Metres from the middle to the cameras."""
        from a4d.scenes.protocols import Splatting

        if self.fill is None or not isinstance(scene, Splatting):
            return self.radius
        reach = float(scene.gaussians().means.detach().abs().max())
        return reach / (self.fill * math.tan(math.radians(self.fov) / 2))

    def require_weights(self, overrides: str) -> None:
        """Look for the weights, reading none.

        Raises:
            BackendUnavailableError: they are missing; the remedy is the command that fetches them.
            ConfigError: there is no such prior.
        """
        from a4d.priors.catalogue import locate, with_bases

        for name in with_bases([self.prior]):
            locate(name, weight_overrides(overrides))


def own_settings(prior: str) -> dict[str, Any]:
    """How a prior is sampled unless told otherwise.

    Raises:
        ConfigError: there is no such prior, or it draws no multi-view videos.
    """
    from a4d.priors.catalogue import catalogue, find

    settings = find(prior).sampling
    if settings is None:
        able = ", ".join(name for name, entry in catalogue().items() if entry.sampling is not None)
        raise ConfigError(f"sample.prior: {prior} draws no multi-view videos", f"Choose {able}")
    return plain(settings)


def sampled_frames(
    work: Transaction, scene: Scene, config: SampleConfig, prompt: str, placement: Placement, runtime: Runtime
) -> Frames:
    """The frames that a prior makes, unless an interrupted run has made them.

    They are kept as `previews/sampled/view_V/FFFFF.png`, and read from there: a resumed run sees what the first saw.

    Args:
        work: of the run.
        scene: at rest; its renders are the first frames.
        config: the prior and the cameras.
        prompt: what happens, where the settings do not say it.
        placement: of the prior.
        runtime: device, seed and console.

    Raises:
        ConfigError: the prior cannot draw as the settings say.
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
    """
    from a4d.priors.catalogue import load_prior, locate, with_bases

    folder = work.previews / "sampled"
    finished = folder / "done"
    overrides = placement.overrides
    record_weights(work, {name: locate(name, overrides) for name in with_bases([config.prior])}, overrides)
    if not finished.is_file():
        prior = load_prior(config.prior, placement, config.options)
        rgb = make_video(prior, scene.to(runtime.device), config, config.prompt or prompt, runtime)
        write_views(folder, rgb, config)
        finished.touch()
    return read_views(folder, config, scene)


def make_video(prior: Prior, scene: Scene, config: SampleConfig, prompt: str, runtime: Runtime) -> Tensor:
    """(V, F, h, w, 3) sRGB: frame 0 is the scene at rest."""
    import torch

    from a4d.console import progress
    from a4d.priors.protocol import Query
    from a4d.priors.sampling import FreeInit, known_first_frames, sample
    from a4d.randomness import generator
    from a4d.render.footprint import pixel_sizes
    from a4d.scenes.protocols import Splatting

    cameras = config.ring(*config.size, scene).to(runtime.device)
    if isinstance(scene, Splatting):
        scene.see_pixels(float(pixel_sizes(cameras).min()))
    with torch.no_grad():
        rest = scene.render(cameras)
        first = (config.exposure * rest.rgb + BACKGROUNDS[config.background] * (1 - rest.alpha)).clamp(0, 1)
    draws = generator(runtime.seed, "sample", config.prior)
    latents = prior.encode(first, draws)
    each = torch.arange(prior.views, device=runtime.device).repeat_interleave(config.frames)
    query = Query(
        prior.condition([prompt], first, cameras),
        prior.unconditional([config.negative_prompt], first, cameras),
        cameras[each],
        torch.tensor(config.times, device=runtime.device).repeat(prior.views),
    )
    shape = (1, prior.views, config.frames, latents.shape[1], latents.shape[2], latents.shape[3])
    free_init = FreeInit(config.free_init) if config.free_init > 1 else None
    with progress(runtime.console) as bar:
        task = bar.add_task("sample", total=config.free_init * config.steps, losses="")
        sampled = sample(
            prior, query, known_first_frames(latents, config.frames), shape, config.steps, config.guidance_scale, draws,
            free_init, config.spacing, lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip
    with torch.no_grad():
        return prior.decode(sampled).clamp(0, 1).unflatten(0, (prior.views, config.frames)).cpu()


def write_views(folder: Path, rgb: Tensor, config: SampleConfig) -> None:
    """Write (V, F, h, w, 3) pictures as RGBA, without their background and as bright as the scene."""
    import torch

    from a4d.io.pictures.images import write_image

    level = BACKGROUNDS[config.background]
    alpha = (((rgb - level).norm(dim=-1, keepdim=True) - CLEAR) / (SOLID - CLEAR)).clamp(0, 1)
    straight = (rgb - level * (1 - alpha)) / (config.exposure * alpha.clamp_min(1e-3))
    straight = straight.clamp(0, 1) * (alpha > 0)
    for view, frames in enumerate(torch.cat([straight, alpha], dim=-1)):
        (folder / f"view_{view}").mkdir(parents=True, exist_ok=True)
        for index, rgba in enumerate(frames):
            write_image(folder / f"view_{view}" / f"{index:05d}.png", rgba.numpy())


def read_views(folder: Path, config: SampleConfig, scene: Scene) -> Frames:
    """The pictures that `write_views` has written, with their cameras and times, view by view."""
    import torch

    from a4d.io.pictures.images import read_image
    from a4d.views import Frames

    rgba, cameras, times, names = [], [], [], []
    for view in range(config.views):
        for index, time in enumerate(config.times):
            path = folder / f"view_{view}" / f"{index:05d}.png"
            rgba.append(torch.from_numpy(read_image(path)))
            height, width = rgba[-1].shape[:2]
            cameras.append(config.ring(height, width, scene)[view])
            times.append(time)
            names.append(f"view_{view}_{index:05d}")
    return Frames(rgba, cameras, torch.tensor(times), names, ["train"] * len(rgba))
