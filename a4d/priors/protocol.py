"""The fourth of the four nouns: a prior encodes images, conditions on prompts and views, and predicts noise.

Convention: images come in a flat batch B = samples x views x frames, frames running fastest; everything that concerns
a whole sample (timesteps, prompts) has the leading size S = samples. A single image is a sample of one view and frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras, concatenate
from a4d.priors.schedule import NoiseSchedule

Modality = Literal["image", "posed-image", "multi-view", "video", "multi-view-video"]
GuidanceForm = Literal["from-unconditional", "from-conditional"]


@dataclass(frozen=True)
class Viewpoints:
    """From where and when B images are seen, as far as it is known.

    Args:
        cameras: B.
        times: (B,) in [0, 1].
    """

    cameras: Cameras | None = None
    times: Tensor | None = None

    def __getitem__(self, images: slice) -> Viewpoints:
        """Those of some of the images."""
        return Viewpoints(
            None if self.cameras is None else self.cameras[images], None if self.times is None else self.times[images]
        )

    def repeated(self, count: int) -> Viewpoints:
        """Those of the images so many times over, one copy behind the other."""
        return Viewpoints(
            None if self.cameras is None else concatenate([self.cameras] * count),
            None if self.times is None else self.times.repeat(count),
        )


ANYWHERE = Viewpoints()
"""Nothing is known of views and times."""


@dataclass(frozen=True)
class Conditioning:
    """What a prediction is conditioned on, as tensors that only their prior understands.

    Args:
        tensors: by name, each with leading size S or B.
    """

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def part(self, start: int, stop: int, samples: int) -> Conditioning:
        """What some of S samples are conditioned on."""
        rows = {name: len(values) // samples for name, values in self.tensors.items()}
        return Conditioning({name: self[name][start * count : stop * count] for name, count in rows.items()})

    def blended(self, other: Conditioning, share: Tensor) -> Conditioning:
        """This conditioning moved toward another by a share (S,) in [0, 1], for prompts between two views."""
        return Conditioning(
            {
                name: torch.lerp(mine, other[name], share.to(mine).view(-1, *[1] * (mine.ndim - 1)))
                for name, mine in self.tensors.items()
            }
        )


def join(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Several conditionings of the same prior one after the other, as for a batch of that many times the samples."""
    names = conditionings[0].tensors
    return Conditioning({name: torch.cat([each[name] for each in conditionings]) for name in names})


class Prior(ABC):
    """A diffusion model as the objectives see it.

    Attributes:
        modality: what one sample is.
        schedule: noise levels and the meaning of the model's output.
        views: views per sample, 1 unless the modality is multi-view.
        clean_frames: leading frames of each view that the model conditions on: they never carry noise.
        needs_reference: whether the model conditions on a picture of the subject and the camera that saw it.
        samples_at_once: that go through the model together, to save memory; None is all.
        offers: what can be had of a pass beside the predicted noise, see `denoise_with`.
    """

    modality: Modality
    schedule: NoiseSchedule
    views: int = 1
    clean_frames: int = 0
    needs_reference: bool = False
    samples_at_once: int | None = None
    offers: frozenset[str] = frozenset()

    @abstractmethod
    def condition(
        self,
        prompts: Sequence[str],  # S
        images: Tensor | None = None,  # (S or B, H, W, 3) sRGB in [0, 1], where the model takes an image
        cameras: Cameras | None = None,  # from where those images were seen
    ) -> Conditioning:
        """What the model is told about S samples.

        Raises:
            ConfigError: the model needs an image or its camera and got none.
        """

    def unconditional(
        self,
        prompts: Sequence[str],  # S negative prompts, usually empty
        images: Tensor | None = None,
        cameras: Cameras | None = None,
    ) -> Conditioning:
        """The other end of classifier-free guidance: the negative prompt, and no image where training dropped it."""
        return self.condition(prompts)

    @abstractmethod
    def encode(
        self,
        rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Latents (B, C, h, w), differentiable in the images, which are resized as the model needs them.

        A stochastic encoder draws from the generator; without one it returns its mean.
        """

    def decode(
        self,
        latents: Tensor,  # (B, C, h, w)
    ) -> Tensor:
        """Images (B, H, W, 3) sRGB in [0, 1] of latents, without a graph.

        Raises:
            ConfigError: the model only judges images.
        """
        raise ConfigError(f"this {self.modality} prior judges images and makes none")

    @abstractmethod
    def denoise(
        self,
        latents: Tensor,  # (B, C, h, w) noisy
        t: Tensor,  # (S,) integer timesteps
        conditioning: Conditioning,
        seen: Viewpoints = ANYWHERE,
    ) -> Tensor:
        """The predicted noise (B, C, h, w), of the latents' dtype, whatever the model itself predicts."""

    def denoise_with(
        self,
        latents: Tensor,  # (B, C, h, w) noisy
        t: Tensor,  # (S,)
        conditioning: Conditioning,
        seen: Viewpoints,
        extras: Sequence[str],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Like `denoise`, with what else is wanted of the same pass.

        Returns:
            (B, C, h, w) noise; tensors of leading size S or B, by names that begin with that of an extra.

        Raises:
            ConfigError: the prior does not offer one of the extras.
        """
        for name in extras:
            if name not in self.offers:
                has = f"It offers: {', '.join(sorted(self.offers))}" if self.offers else "Ask another prior"
                raise ConfigError(f"this {self.modality} prior offers no {name}", has)
        return self.denoise(latents, t, conditioning, seen), {}


def sample_count(prior: Prior, batch: int) -> int:
    """How many samples a batch of images is: a clip is one, and so is one image from each of a prior's views.

    Raises:
        ConfigError: the batch does not divide into the prior's views.
    """
    if batch % prior.views:
        raise ConfigError(
            f"a {prior.modality} prior takes {prior.views} views at once, not {batch}",
            f"Set the view set's batch to a multiple of {prior.views}",
        )
    return 1 if prior.modality in ("video", "multi-view-video") else batch // prior.views


def frame_mask(
    prior: Prior,
    samples: int,
    batch: int,
) -> Tensor:
    """(B,) which images of a batch carry noise: all but the frames that the prior conditions on."""
    frames = batch // (samples * prior.views)
    return (torch.arange(frames) >= prior.clean_frames).repeat(samples * prior.views)


@dataclass(frozen=True)
class Query:
    """What a prior is told about the S samples of B images that it denoises.

    Args:
        conditional: the prompt, and the image where the prior takes one.
        unconditional: the negative prompt; None where nothing is guided.
        cameras: B, where the prior knows views.
        times: (B,) in [0, 1], where the prior knows times.
    """

    conditional: Conditioning
    unconditional: Conditioning | None = None
    cameras: Cameras | None = None
    times: Tensor | None = None

    @property
    def seen(self) -> Viewpoints:
        """The cameras and times together."""
        return Viewpoints(self.cameras, self.times)


def denoise_guided(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w) noisy
    t: Tensor,  # (S,)
    query: Query,
    scale: float,
    form: GuidanceForm = "from-unconditional",
) -> tuple[Tensor, Tensor]:
    """Guided and conditional noise, each (B, C, h, w).

    One pass through the model unless it takes fewer samples at once, of half the size where guidance adds nothing.
    """
    neutral = 1.0 if form == "from-unconditional" else 0.0
    if query.unconditional is None or scale == neutral:
        conditional, _ = denoise_in_parts(prior, latents, t, query.conditional, query.seen)
        return conditional, conditional
    both = [query.unconditional, query.conditional]
    unconditional, conditional = denoise_jointly(prior, latents, t, both, query.seen)
    return guide(conditional, unconditional, scale, form), conditional


def denoise_jointly(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w)
    t: Tensor,  # (S,)
    conditionings: Sequence[Conditioning],  # K
    seen: Viewpoints = ANYWHERE,
) -> list[Tensor]:
    """K predictions (B, C, h, w) for the same noisy latents, in one pass where the model takes so many samples."""
    count = len(conditionings)
    predicted, _ = denoise_in_parts(
        prior, latents.repeat(count, 1, 1, 1), t.repeat(count), join(conditionings), seen.repeated(count)
    )
    return list(predicted.chunk(count))


def denoise_in_parts(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w)
    t: Tensor,  # (S,)
    conditioning: Conditioning,
    seen: Viewpoints,
    extras: Sequence[str] = (),
) -> tuple[Tensor, dict[str, Tensor]]:
    """What `denoise_with` returns, by as many samples at once as the prior takes.

    Of several parts with a graph, each keeps no more than its input, and is computed again in the backward pass.
    """
    samples = len(t)
    count, size = prior.samples_at_once or samples, len(latents) // samples
    if count >= samples:
        return prior.denoise_with(latents, t, conditioning, seen, extras)
    parts = []
    for start in range(0, samples, count):
        images, stop = slice(start * size, (start + count) * size), min(start + count, samples)
        part = (latents[images], t[start:stop], conditioning.part(start, stop, samples), seen[images], extras)
        if torch.is_grad_enabled():
            parts.append(checkpoint(prior.denoise_with, *part, use_reentrant=False))
        else:
            parts.append(prior.denoise_with(*part))
    found = {name: torch.cat([each[name] for _, each in parts]) for name in parts[0][1]}
    return torch.cat([noise for noise, _ in parts]), found


def guide(
    conditional: Tensor,  # (B, C, h, w) predicted noise
    unconditional: Tensor,  # (B, C, h, w)
    scale: float,
    form: GuidanceForm = "from-unconditional",
) -> Tensor:
    """Classifier-free guidance.

    Args:
        conditional: c, with the prompt.
        unconditional: u, without it, or with the negative prompt.
        scale: s, of which 1 means no guidance in the first form and 0 in the second.
        form: `from-unconditional` is u + s (c - u) (Ho and Salimans 2022; diffusers), `from-conditional` is
            c + s (c - u) (DreamFusion's text), the first form at s + 1.

    Returns:
        (B, C, h, w) guided noise; `match_deviation` to the conditional rescales it.
    """
    start = unconditional if form == "from-unconditional" else conditional
    return start + scale * (conditional - unconditional)


def match_deviation(
    values: Tensor,  # (B, ...)
    reference: Tensor,  # (B, ...)
    share: float,
    images_per_sample: int = 1,
) -> Tensor:
    """Values (B, ...) scaled toward the standard deviation that a reference has over each sample, by a share.

    Against the over-exposure that strong guidance brings (Lin et al. 2023, section 3.4).
    """
    deviation = reference.reshape(-1, images_per_sample * reference[0].numel()).std(dim=1)
    ratio = deviation / values.reshape(len(deviation), -1).std(dim=1).clamp_min(1e-12)
    factor = (1 - share + share * ratio).repeat_interleave(images_per_sample)
    return values * factor.view(-1, *[1] * (values.ndim - 1))
