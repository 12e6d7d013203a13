"""What a prior predicts of noisy latents, with as much of a graph, and as much beside the noise, as somebody wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from a4d.priors.protocol import Prior, Query, denoise_in_parts, denoise_jointly, frame_mask


@dataclass(frozen=True)
class Wants:
    """What is wanted of a prediction; what several want is asked in one pass.

    Args:
        unconditional: the prediction without the prompt, for guidance.
        into_model: a graph into the parameters of the prior that learn.
        into_latents: a graph into the latents, and so into the renders that they were encoded from.
        extras: what the prior offers beside the noise, by name.
    """

    unconditional: bool = False
    into_model: bool = False
    into_latents: bool = False
    extras: frozenset[str] = frozenset()

    def __or__(self, other: Wants) -> Wants:
        return Wants(
            self.unconditional or other.unconditional,
            self.into_model or other.into_model,
            self.into_latents or other.into_latents,
            self.extras | other.extras,
        )


@dataclass(frozen=True)
class Prediction:
    """What a prior says of S samples of B images.

    Args:
        latents: (B, C, h, w) clean, with the graph of the images.
        t: (S,) timesteps.
        noise: (B, C, h, w) that was added.
        noisy: (B, C, h, w) what the model saw; frames that it conditions on are clean.
        is_noisy: (B,) which images are not such frames.
        conditional: (B, C, h, w) noise predicted with the prompt.
        unconditional: (B, C, h, w) the same without it, without a graph, or None where nobody wanted it.
        extras: what else the model gave with the prompt, by name, each of leading size S or B.
    """

    latents: Tensor
    t: Tensor
    noise: Tensor
    noisy: Tensor
    is_noisy: Tensor
    conditional: Tensor
    unconditional: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def t_of_image(self) -> Tensor:
        """(B,) timesteps."""
        return self.t.repeat_interleave(len(self.latents) // len(self.t))


def predict(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w) clean, ordered samples, views, frames
    t: Tensor,  # (S,)
    query: Query,
    wants: Wants,
    generator: torch.Generator | None = None,
) -> Prediction:
    """Add noise to latents and ask a prior for it, in no more passes than what is wanted takes.

    Without graph and extras, what is predicted with and without the prompt takes one pass together. With a graph, every
    part of `samples_at_once` keeps its input alone, and is computed again when gradients come back.

    Args:
        prior: what is asked.
        latents: with or without a graph.
        t: noise level of each sample.
        query: conditionings and views.
        wants: what for.
        generator: draws the noise, on the CPU so that every device draws the same.

    Raises:
        ConfigError: the prior does not offer one of the extras.
    """
    batch, samples = len(latents), len(t)
    t = t.to(latents.device)
    is_noisy = frame_mask(prior, samples, batch).to(latents.device)
    clean = latents if wants.into_latents else latents.detach()
    with torch.set_grad_enabled(wants.into_latents):
        noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32).to(latents)
        noisy = prior.schedule.add_noise(clean, noise, t.repeat_interleave(batch // samples))
        noisy = torch.where(is_noisy.view(-1, 1, 1, 1), noisy, clean)
    conditional, unconditional, extras = _asked(prior, noisy, t, query, wants)
    return Prediction(latents, t, noise, noisy, is_noisy, conditional, unconditional, extras)


def _asked(
    prior: Prior, noisy: Tensor, t: Tensor, query: Query, wants: Wants
) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """Noise with the prompt, noise without it where that is wanted, and the extras."""
    needs_graph = wants.into_model or wants.into_latents
    untold = query.unconditional if wants.unconditional else None
    if untold is not None and not needs_graph and not wants.extras:
        with torch.no_grad():
            unconditional, conditional = denoise_jointly(prior, noisy, t, [untold, query.conditional], query.seen)
        return conditional, unconditional, {}
    with torch.set_grad_enabled(needs_graph):
        conditional, extras = denoise_in_parts(prior, noisy, t, query.conditional, query.seen, sorted(wants.extras))
    if untold is None:
        return conditional, None, extras
    with torch.no_grad():
        unconditional, _ = denoise_in_parts(prior, noisy, t, untold, query.seen)
    return conditional, unconditional, extras
