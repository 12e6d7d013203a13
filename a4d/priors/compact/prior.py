"""The compact network as a prior: still rings of views, clips of rings, or one new view of a picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.camera_codes import spherical
from a4d.priors.compact.diffusion import compact_schedule
from a4d.priors.compact.network import CompactNetwork, Task
from a4d.priors.compact.weights import load_network
from a4d.priors.compact.words import encode_prompts, report_missing_motions
from a4d.priors.components import PixelEncoder
from a4d.priors.protocol import ANYWHERE, Conditioning, Modality, Prior, Viewpoints

logger = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
SAME_VIEW_DEGREES = 10.0
"""A camera this near to that of the reference is taken for the same."""


class CompactPrior(Prior):
    """The package's own prior: pixels over white in [-1, 1], a small vocabulary, objects like its training set's.

    As a `multi-view` prior it takes rings of four still views, as a `posed-image` prior single views beside a reference
    picture, and as a `multi-view-video` prior clips of four views whose first frames are given and carry no noise. A
    reference and its camera may be given to a `multi-view` prior as well.

    Args:
        network: frozen, on its device.
        modality: one of these three.
    """

    def __init__(self, network: CompactNetwork, modality: Modality = "multi-view") -> None:
        if modality not in ("multi-view", "multi-view-video", "posed-image"):
            raise ConfigError(f"the compact prior is no {modality} prior")
        self.network, self.modality = network, modality
        self.schedule = compact_schedule()
        self.views = 1 if modality == "posed-image" else 4
        self.clean_frames = 1 if modality == "multi-view-video" else 0
        self.needs_reference = modality == "posed-image"
        self.encoder = PixelEncoder((network.config.size, network.config.size))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.position.device

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """The words, and the reference with its direction where there is one.

        Raises:
            ConfigError: single views are asked for without a reference.
        """
        if self.modality == "multi-view-video":
            report_missing_motions(prompts)
        tensors = {"words": encode_prompts(prompts, self.network.config.text_length).to(self.device)}
        if self.modality != "multi-view-video" and images is not None and cameras is not None:
            count = len(prompts)
            tensors["reference"] = self.encode(images[:1]).expand(count, -1, -1, -1).to(self.device)
            tensors["direction"] = spherical(cameras)[:1, :2].expand(count, -1).to(self.device)
        elif self.needs_reference:
            raise ConfigError("single views of the compact prior need a reference picture and its camera")
        return Conditioning(tensors)

    def unconditional(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """The negative prompt; the picture stays, since guidance is to strengthen the words."""
        return self.condition(prompts, images, cameras)

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pixels (B, 3, 64, 64) in [-1, 1]; what is behind the object should be white."""
        return self.encoder(rgb)

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 64, 64, 3) in [0, 1], over white."""
        return self.encoder.decode(latents)

    def denoise(self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints = ANYWHERE) -> Tensor:
        """The predicted noise; zero in first frames that are given.

        Raises:
            ConfigError: there are no cameras, or the images do not make whole samples.
        """
        samples = len(t)
        if seen.cameras is None or len(latents) % (samples * self.views):
            raise ConfigError(
                f"the compact prior takes {self.views} views with their cameras at once, not {len(latents)} images",
                f"Set the view set's ring to {self.views} and its batch to a multiple of that",
            )
        images = latents.to(self.device).unflatten(0, (samples, self.views, -1))
        directions = spherical(seen.cameras).to(images).view(samples, self.views, -1, 3)[:, :, 0, :2]
        if self.modality == "multi-view-video":
            predicted = self._moving(images, t.to(self.device), conditioning, directions, seen.times)
        else:
            predicted = self._still(images, t.to(self.device), conditioning, directions)
        return predicted.flatten(0, 2).to(latents)

    def _moving(
        self, images: Tensor, t: Tensor, conditioning: Conditioning, directions: Tensor, times: Tensor | None
    ) -> Tensor:
        samples, views, frames = images.shape[:3]
        if times is None:
            phase = (torch.arange(frames, device=images.device) / frames).expand(samples, -1)
        else:
            phase = times.to(images).view(samples, views, frames)[:, 0]
        known = images.new_ones(samples, views)
        task = self._task(images[:, :, 0], known, directions, (phase - phase[:, :1])[:, 1:], conditioning, moving=True)
        noise = self._noise(images[:, :, 1:], t, task)
        return torch.cat([torch.zeros_like(images[:, :, :1]), noise], dim=2)

    def _still(self, images: Tensor, t: Tensor, conditioning: Conditioning, directions: Tensor) -> Tensor:
        samples, views = images.shape[:2]
        if images.shape[2] != 1:
            raise ConfigError(f"a {self.modality} prior takes still images", "Set the prior to compact-video")
        known = images.new_zeros(samples, views)
        pictures = torch.ones_like(images[:, :, 0])
        if "reference" not in conditioning.tensors:
            task = self._task(pictures, known, directions, images.new_zeros(samples, 1), conditioning)
            return self._noise(images, t, task)
        reference, direction = conditioning["reference"][:, None], conditioning["direction"][:, None]
        apart = ((directions - direction)[..., 0] + 180) % 360 - 180
        is_same = (apart.abs() < SAME_VIEW_DEGREES)[..., None, None, None]
        # The reference stands beside the views that are asked for, unless it is one of them.
        known = torch.cat([known.new_ones(samples, 1), is_same[..., 0, 0, 0].to(known)], dim=1)
        pictures = torch.cat([reference, torch.where(is_same, reference, pictures)], dim=1)
        task = self._task(
            pictures, known, torch.cat([direction, directions], dim=1), images.new_zeros(samples, 1), conditioning
        )
        if bool(is_same.flatten(1).any(1).all()):
            task = _without_first(task)
            return self._noise(images, t, task)
        return self._noise(torch.cat([reference[:, :, None], images], dim=1), t, task)[:, 1:]

    def _task(
        self,
        pictures: Tensor,  # (S, V, 3, h, w)
        known: Tensor,  # (S, V)
        directions: Tensor,  # (S, V, 2) azimuth and elevation in degrees
        phase: Tensor,  # (S, F)
        conditioning: Conditioning,
        moving: bool = False,
    ) -> Task:
        return Task(
            still=pictures,
            known=known,
            azimuth=directions[..., 0],
            elevation=directions[..., 1],
            phase=phase,
            moving=known.new_full((len(known),), float(moving)),
            words=conditioning["words"],
        )

    def _noise(self, images: Tensor, t: Tensor, task: Task) -> Tensor:
        """The noise (S, V, F, 3, h, w) that the network predicts in images; in known still views what is not them."""
        levels = t[:, None, None].expand(-1, *images.shape[1:3]).flatten()
        alpha, sigma = (level(levels, images.flatten(0, 2)) for level in (self.schedule.alpha, self.schedule.sigma))
        is_given = (task.known * (1 - task.moving[:, None]))[:, :, None, None, None, None] > 0
        clean = torch.where(is_given, task.still[:, :, None], images)
        level = torch.where(is_given[..., 0, 0, 0], 0.0, sigma.view(images.shape[:3]))
        output = self.network(clean, level, task).velocity
        noise = self.schedule.noise_from_output(output.flatten(0, 2), images.flatten(0, 2), levels).view_as(images)
        exact = (images - alpha.view_as(level)[..., None, None, None] * task.still[:, :, None]) / sigma.view(
            *level.shape, 1, 1, 1
        )
        return torch.where(is_given, exact, noise)


def _without_first(task: Task) -> Task:
    """A task whose first view is left out."""
    return Task(
        task.still[:, 1:],
        task.known[:, 1:],
        task.azimuth[:, 1:],
        task.elevation[:, 1:],
        task.phase,
        task.moving,
        task.words,
    )


def package_folder() -> Path:
    """Where the weights that ship lie."""
    return Path(__file__).parent


def load_compact_prior(
    folder: Path,
    modality: str = "multi-view",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CompactPrior:
    """The prior from a folder with its weights; the package's own is that of this module.

    Raises:
        BackendUnavailableError: the weights are missing, damaged, or of another architecture.
        ConfigError: there is no such modality.
    """
    if modality not in get_args(Modality):
        raise ConfigError(f"there is no modality '{modality}'")
    path = folder / WEIGHTS
    if not path.is_file():
        raise BackendUnavailableError(f"{folder} has no {WEIGHTS}", "Train them with `a4d train-prior compact`")
    network, facts = load_network(path)
    _warn_once(str(path), str(facts.get("limits", "")))
    chosen: Any = modality
    return CompactPrior(network.to(device, dtype), chosen)


@lru_cache(maxsize=16)
def _warn_once(path: str, limits: str) -> None:
    if limits:
        logger.warning("the compact prior %s", limits)
