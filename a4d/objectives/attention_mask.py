"""The objective that holds a prior's attention and the subject's silhouette together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate

from a4d.errors import ConfigError
from a4d.objectives.asking import PriorObjective
from a4d.objectives.objective import Step
from a4d.priors.attention_maps import ATTENTION, ATTENTION_LOGITS
from a4d.priors.components import TextEncoder
from a4d.priors.prediction import Wants
from a4d.priors.protocol import Prior
from a4d.priors.subjects import subjects

EXTRAS = {"probabilities": ATTENTION, "logits": ATTENTION_LOGITS}


class AttentionMask(PriorObjective):
    """Where the prior looks for the subject's words, in every layer of its cross-attention, against the rendered mask.

    The attention-mask alignment of X-Dreamer (equation 4), with every layer's mask shrunk from the rendered one and
    every image brought to [0, 1] by itself, where the released code sees the last layer alone and one range per batch.
    It teaches what of the prior learns, and it moves the scene by way of its colours, and of its silhouette unless the
    mask is detached. What counts is the prediction with the prompt, which score distillation that asks alike shares.

    A prior that learns by it needs `denoising` beside it, lest it forgets what it knows (`CgLoraConfig`). Probabilities
    come closer to the masks than the released code's logits do by their own measure, 0.11 against 0.18 after as many
    steps, and cost the prior less.
    """

    kind: Literal["attention-mask"] = "attention-mask"
    subject: str | None = Field(
        default=None, description="words of the prompt that the mask shows; None: its first noun phrase, by rule"
    )
    scores: Literal["probabilities", "logits"] = Field(
        default="probabilities", description="attention before or after the softmax over the prompt's tokens"
    )
    detach_mask: bool = Field(default=False, description="leave the silhouette as it is")

    @model_validator(mode="after")
    def _speaks_of_the_subject(self) -> AttentionMask:
        if self.prompt and self.subject is not None and self.subject not in self.template.replace("{}", self.prompt):
            raise ValueError(f"subject: the prompt '{self.prompt}' does not hold '{self.subject}'")
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """That there are several subjects, which one mask cannot tell apart."""
        found = subjects(self.prompt)
        if self.subject is not None or len(found) == 1:
            return ()
        warning = (
            f"{self.label}: the prompt names several subjects, and one mask cannot tell them apart (a limit of "
            f"X-Dreamer's): '{found[0]}' is aligned with it, not {', '.join(found[1:])}; `subject` chooses another"
        )
        return (warning,)

    def wants(self, step: int) -> Wants:
        """The scores, with a graph into what of the prior learns and into the renders."""
        return Wants(into_model=True, into_latents=True, extras=frozenset({EXTRAS[self.scores]}))

    def __call__(self, step: Step) -> Tensor:
        """Mean over images, layers and pixels, in [0, 1].

        Raises:
            ConfigError: the prior has no cross-attention with a text per image, or does not read the subject's words.
        """
        prediction = self.ask(step).prediction
        tokens = self._tokens(step.prior(self.prior))
        mask = self.rendered(step, lambda render: render.alpha)
        layers = {name: maps for name, maps in prediction.extras.items() if name.startswith(f"{EXTRAS[self.scores]}/")}
        if not layers or any(len(maps) != len(mask) for maps in layers.values()):
            raise ConfigError(f"{self.label}: the prior does not look for words in single images", "Ask another prior")
        looked = {name: maps[..., tokens].mean(-1) for name, maps in layers.items()}
        return alignment_errors(looked, mask.detach() if self.detach_mask else mask, prediction.latents.shape).mean()

    def _tokens(self, prior: Prior) -> Sequence[int]:
        """The subject's places in the prompt, before which a view's name does not stand."""
        text = getattr(prior, "text", None)
        if not isinstance(text, TextEncoder):
            raise ConfigError(f"{self.label}: the prior does not understand texts", "Ask another prior")
        return text.places(self.template.replace("{}", self.prompt), self.subject or subjects(self.prompt)[0])


def alignment_errors(
    maps: Mapping[str, Tensor],  # (B, L) per layer, of any range
    mask: Tensor,  # (B, H, W, 1) in [0, 1]
    latents: Sequence[int],
) -> Tensor:
    """Mean absolute difference between each image's attention, brought to [0, 1] by its own extremes, and its mask.

    Args:
        maps: what the layers' latent tokens pay of attention.
        mask: shrunk to each layer's size by area.
        latents: shape (B, C, h, w) of the latents that the model saw.

    Returns:
        (B,) mean over pixels and layers, in [0, 1].
    """
    errors = []
    for looked in maps.values():
        low, high = looked.aminmax(dim=1, keepdim=True)
        size = layer_size(looked.shape[1], latents[-2], latents[-1])
        covered = interpolate(mask.permute(0, 3, 1, 2), size, mode="area").flatten(1)
        errors.append(((looked - low) / (high - low + 1e-6) - covered).abs().mean(1))
    return torch.stack(errors).mean(0)


def layer_size(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a layer's latent tokens, whose model halves its latents' sides and rounds up.

    Raises:
        ConfigError: no number of halvings makes so many.
    """
    while height * width > tokens:
        height, width = (height + 1) // 2, (width + 1) // 2
    if height * width != tokens:
        raise ConfigError(f"{tokens} tokens of a layer are no picture", "Ask a prior of images")
    return height, width
