"""The exact prior: the ideal denoiser of a finite set of images, posed views, multi-views or videos, in closed form.

A diffusion model trained to perfection on N examples predicts, from a noisy latent z at levels (alpha, sigma), the
posterior mean `sum_i p(i | z) x_i` with `p(i | z) ~ p_i exp(-|z - alpha x_i|^2 / (2 sigma^2))` (Karras et al. 2022,
appendix B.3). Prompts and cameras choose p_i. Distilling against it must recover what the set shows, so it tests every
form of distillation without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from a4d.config import unknown_key
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.protocol import ANYWHERE, Conditioning, Modality, Prior, Viewpoints, frame_mask
from a4d.priors.schedule import NoiseSchedule, noise_schedule

LinearEncoder = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in [-1, 1] to latents (B, C, h, w), linear."""


@dataclass(frozen=True)
class ExampleSet:
    """N examples of V views and F frames each, all in one list of M = N x V x F images, frames running fastest.

    Args:
        rgb: (M, H, W, 3) sRGB in [0, 1].
        views: V.
        frames: F.
        prompts: N texts, by which examples can be chosen; None where the set has none.
        cameras: M, by which examples can be chosen; None where views are not posed.
        times: (M,) in [0, 1], by which posed views can be chosen as well; None for still things.
    """

    rgb: Tensor
    views: int = 1
    frames: int = 1
    prompts: Sequence[str] | None = None
    cameras: Cameras | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: they do not fit together.
        """
        count, rest = divmod(len(self.rgb), self.views * self.frames)
        sizes = {len(part) for part in (self.cameras, self.times) if part is not None} - {len(self.rgb)}
        if rest or sizes or (self.prompts is not None and len(self.prompts) != count):
            raise ValueError(f"{len(self.rgb)} images are not N x {self.views} views x {self.frames} frames")

    @property
    def modality(self) -> Modality:
        """What one example is."""
        if self.views > 1:
            return "multi-view" if self.frames == 1 else "multi-view-video"
        if self.frames > 1:
            return "video"
        return "image" if self.cameras is None else "posed-image"

    def to(self, device: torch.device | str) -> ExampleSet:
        """The same set on another device."""
        return replace(
            self,
            rgb=self.rgb.to(device),
            cameras=None if self.cameras is None else self.cameras.to(device),
            times=None if self.times is None else self.times.to(device),
        )


def pixels(images: Tensor) -> Tensor:
    """The encoder that changes nothing: images (B, 3, H, W) are their own latents."""
    return images


@dataclass(frozen=True)
class PatchEncoder:
    """A linear encoder: every patch of p x p pixels becomes C numbers.

    Args:
        weight: (C, 3, p, p); orthonormal rows keep distances, so that nothing of the set is lost when C = 3 p^2.
    """

    weight: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Latents (B, C, H / p, W / p) of images (B, 3, H, W)."""
        return conv2d(images, self.weight.to(images), stride=self.weight.shape[-1])


class ExactPrior(Prior):
    """The ideal denoiser of an example set; images are resized to the set's size, range [-1, 1], no background.

    Args:
        examples: at least one.
        schedule: Stable Diffusion's if absent.
        encoder: linear.
        bandwidths: degrees between cameras and distance in time at which an example's share falls to exp(-1/2).
        nearest: take the example nearest in these units alone.
        clean_frames: leading frames of each view that are told and not noisy. They choose examples as if they carried
            the noise of timestep 0.
    """

    def __init__(
        self,
        examples: ExampleSet,
        schedule: NoiseSchedule | None = None,
        encoder: LinearEncoder = pixels,
        bandwidths: tuple[float, float] = (10.0, 0.1),
        nearest: bool = True,
        clean_frames: int = 0,
    ) -> None:
        self.examples, self.encoder = examples, encoder
        self.clean_frames = clean_frames
        self.modality = examples.modality
        self.schedule = noise_schedule() if schedule is None else schedule
        self.views = examples.views
        self.bandwidths, self.nearest = bandwidths, nearest
        latents = self.encode(examples.rgb)
        self.latents = latents.reshape(len(latents) // (examples.views * examples.frames), -1)
        """(N, D) clean latents, one row per example."""

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Logarithms (S, N) of the share that each example has of a prompt; the empty prompt is the whole set.

        Raises:
            ConfigError: no example has such a prompt.
        """
        known = self.examples.prompts
        chosen = torch.ones(len(prompts), len(self.latents), dtype=torch.bool, device=self.latents.device)
        for row, prompt in enumerate(prompts):
            if known is not None and prompt:
                chosen[row] = torch.tensor([prompt == each for each in known], device=chosen.device)
                if not chosen[row].any():
                    raise unknown_key(f"prompt: {prompt}", prompt, set(known))
        zero = self.latents.new_zeros(())
        return Conditioning({"log_shares": torch.where(chosen, zero, zero - torch.inf)})

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of images at the set's size."""
        size = (self.examples.rgb.shape[1], self.examples.rgb.shape[2])
        images = rgb.permute(0, 3, 1, 2) * 2 - 1
        if images.shape[-2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True)
        return self.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels as they are.

        Raises:
            ConfigError: there is an encoder, which is not undone.
        """
        return super().decode(latents) if self.encoder is not pixels else latents.permute(0, 2, 3, 1) / 2 + 0.5

    def denoise(self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints = ANYWHERE) -> Tensor:
        """The exact expectation of the noise.

        Raises:
            ConfigError: the batch is not one sample per timestep.
        """
        noisy = latents.reshape(len(t), -1)
        if noisy.shape[1] != self.latents.shape[1]:
            raise ConfigError(
                f"{len(latents)} images are not {len(t)} samples of {self.views} views x {self.examples.frames} frames"
            )
        clean = self.latents.to(noisy)
        alpha, sigma = self._levels(t, noisy)
        # |noisy|^2 is common to all examples; leaving it out of the exponent leaves the softmax its digits.
        fit = (alpha / sigma**2 * noisy) @ clean.T - (alpha / sigma).square() @ clean.square().T / 2
        selector = conditioning["log_shares"].to(noisy) + self._by_view(len(t), seen).to(noisy)
        expected = torch.softmax(fit + selector, dim=1) @ clean
        return ((noisy - alpha * expected) / sigma).view_as(latents)

    def _levels(self, t: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise levels (S, D) of each latent number, those of timestep 0 in frames that are told."""
        carries_noise = frame_mask(self, 1, self.views * self.examples.frames).to(noisy.device)
        of_image = torch.where(carries_noise, t.to(noisy.device)[:, None], 0)
        of_number = of_image.repeat_interleave(noisy.shape[1] // len(carries_noise), dim=1)
        alpha, sigma = self.schedule.alpha(of_number, noisy), self.schedule.sigma(of_number, noisy)
        return alpha.view_as(noisy), sigma.view_as(noisy)

    def _by_view(self, samples: int, seen: Viewpoints) -> Tensor:
        """Logarithms (S, N) of the shares that examples seen from about the same place and time have."""
        apart = self.latents.new_zeros(samples, len(self.latents))
        if self.examples.cameras is not None and seen.cameras is not None:
            degrees = _rotation_angles(seen.cameras, self.examples.cameras) / self.bandwidths[0]
            apart = apart + self._per_example(degrees, samples)
        if self.examples.times is not None and seen.times is not None:
            seconds = (seen.times[:, None] - self.examples.times) / self.bandwidths[1]
            apart = apart + self._per_example(seconds, samples)
        if self.nearest:
            return torch.where(apart == apart.amin(1, keepdim=True), 0.0, -torch.inf)
        return -apart / 2

    def _per_example(self, distances: Tensor, samples: int) -> Tensor:
        """(S, N) mean squares of distances (B, M) between images, which are matched one to one within an example."""
        size = self.examples.views * self.examples.frames
        pairs = distances.reshape(samples, size, -1, size)
        return pairs.diagonal(dim1=1, dim2=3).square().mean(-1)


def _rotation_angles(cameras: Cameras, others: Cameras) -> Tensor:
    """(B, M) degrees between the orientations of two lists of cameras."""
    a, b = cameras.world_from_camera[:, :3, :3], others.world_from_camera[:, :3, :3]
    cosine = (torch.einsum("bij,mij->bm", a, b.to(a)) - 1) / 2
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
