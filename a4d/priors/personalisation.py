"""Personalised priors: a token or low-rank adapters learnt from a few pictures.

Both learners are what the training loop calls a trainee: a module of the parameters that train, and their loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from a4d.errors import ConfigError, UsageError
from a4d.geometry.cameras import Cameras, concatenate
from a4d.priors.adapters import save_lora, save_token
from a4d.priors.augmentation import Augmentation
from a4d.priors.components import UNetPrior
from a4d.priors.lora import LoraAdapter, attach_lora
from a4d.priors.protocol import Conditioning, Prior, join, sample_count
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.randomness import generator

PHRASES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a dark photo of the {}",
    "a photo of my {}",
    "a photo of the cool {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a cropped photo of a {}",
    "a photo of the {}",
    "a good photo of the {}",
    "a photo of one {}",
    "a close-up photo of the {}",
    "a rendition of the {}",
    "a photo of the clean {}",
    "a rendition of a {}",
    "a photo of a nice {}",
    "a good photo of a {}",
    "a photo of the nice {}",
    "a photo of the small {}",
    "a photo of the weird {}",
    "a photo of the large {}",
    "a photo of a cool {}",
    "a photo of a small {}",
)
"""Prompts that a new token is learnt in: CLIP's for objects, as textual inversion has them (Gal et al. 2022)."""

LEAST_WEIGHT = 1e-6
"""Of all latents together; a batch may show nothing of the subject."""

VALIDATION_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the noise schedule at which progress is judged, always on the same noise."""


@dataclass(frozen=True)
class Pictures:
    """What a prior is personalised on.

    Args:
        rgb: samples, each (B, H, W, 3) sRGB in [0, 1]: a picture, a ring of views, or the frames of a clip.
        cameras: the B cameras of each sample, for priors that know views.
        masks: (B, H, W, 1) coverage by the subject, in [0, 1], of each sample; none: all that is seen counts.
        background: level of grey around the subject.
    """

    rgb: Sequence[Tensor]
    cameras: Sequence[Cameras]
    masks: Sequence[Tensor] = ()
    background: float = 1.0


@dataclass(frozen=True)
class Encoded:
    """A sample as the loss sees it.

    Args:
        latents: (B, C, h, w) clean.
        weights: (B, 1, h, w) share of each that shows the subject; None: all of them count.
    """

    latents: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Choices:
    """Which samples each step sees, as the training loop asks for them.

    Args:
        count: how many there are.
        batch: how many a step sees.
        seed: of the choice.
    """

    count: int
    batch: int = 1
    seed: int = 0

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"sample": torch.randint(self.count, (self.batch,), generator=generator(self.seed, "choice", index))}


class Learner(ABC):
    """A part of a frozen prior that learns to predict the noise in pictures; a trainee of the training loop.

    Args:
        prior: frozen.
        pictures: of one subject.

    Raises:
        ConfigError: the pictures are not whole samples of the prior, or show no subject.
    """

    module: nn.Module

    def __init__(self, prior: UNetPrior, pictures: Pictures) -> None:
        self.prior, self.pictures = prior, pictures
        size = len(pictures.rgb[0])
        if sample_count(prior, size) != 1:
            raise ConfigError(f"{size} images are {sample_count(prior, size)} samples of a {prior.modality} prior")
        if pictures.masks and not any(bool(mask.any()) for mask in pictures.masks):
            raise ConfigError(
                "the pictures show no subject: nothing of them is opaque", "Cut one out, or set masked: false"
            )
        masks: Sequence[Tensor | None] = pictures.masks or [None] * len(pictures.rgb)
        self.clean = [self.encoded(rgb, mask) for rgb, mask in zip(pictures.rgb, masks, strict=True)]

    @torch.no_grad()
    def encoded(self, rgb: Tensor, mask: Tensor | None, draws: torch.Generator | None = None) -> Encoded:
        """A sample, and the mask of its subject at the resolution of its latents.

        Args:
            rgb: (B, H, W, 3) sRGB in [0, 1].
            mask: (B, H, W, 1) in [0, 1], or None.
            draws: for a sample of the posterior in place of its mean.
        """
        latents = self.prior.encode(rgb, draws)
        if mask is None:
            return Encoded(latents)
        return Encoded(latents, interpolate(mask.permute(0, 3, 1, 2), latents.shape[-2:], mode="area").to(latents))

    def seen(self, sample: int, draws: torch.Generator) -> Encoded:
        """A sample as a step sees it."""
        return self.clean[sample]

    @abstractmethod
    def condition(self, sample: int, draws: torch.Generator) -> Conditioning:
        """What the model is told about a sample."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write what was learnt."""

    def loss(self, batch: Mapping[str, Tensor], draws: torch.Generator) -> tuple[str, Tensor]:
        """The denoising loss of the batch's samples, each at a noise level of its own."""
        samples: list[int] = batch["sample"].tolist()
        t = torch.randint(len(self.prior.schedule), (len(samples),), generator=draws)
        return "denoising", self._loss(samples, [self.seen(sample, draws) for sample in samples], t, draws)

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """The mean loss over all samples and five noise levels, on the same noise every time."""
        losses = []
        for level in VALIDATION_LEVELS:
            t = torch.tensor([self.prior.schedule.timestep(level)])
            losses += [
                self._loss([sample], [seen], t, generator(0, "validation", int(t), sample))
                for sample, seen in enumerate(self.clean)
            ]
        return {"loss": float(torch.stack(losses).mean())}

    def _loss(self, samples: Sequence[int], seen: Sequence[Encoded], t: Tensor, draws: torch.Generator) -> Tensor:
        clean = torch.cat([each.latents for each in seen])
        weights = [each.weights for each in seen if each.weights is not None]
        noise = torch.randn(clean.shape, generator=draws).to(clean)
        conditioning = join([self.condition(sample, draws) for sample in samples])
        cameras = concatenate([self.pictures.cameras[sample] for sample in samples])
        return denoising_loss(
            self.prior, clean, t.to(clean.device), conditioning, cameras, noise, torch.cat(weights) if weights else None
        )


class TokenLearner(Learner):
    """Textual inversion (Gal et al. 2022): the embedding with which a frozen model predicts the noise in pictures best.

    Args:
        prior: is told nothing but texts, and understands the token from now on.
        pictures: of one subject; with masks, the token learns from what they cover alone.
        token: not yet a word of the model.
        initial: words from whose mean embedding it starts.
        augmentation: by which each step sees the pictures changed; None: they are seen as they are.

    Raises:
        UsageError: the prior is told other things than texts, or knows the token.
    """

    def __init__(
        self,
        prior: Prior,
        pictures: Pictures,
        token: str,
        initial: str,
        augmentation: Augmentation | None = None,
    ) -> None:
        if not isinstance(prior, StableDiffusion) or not prior.texts_suffice:
            raise UsageError(f"this {prior.modality} prior learns no token", "Choose a model of texts with --prior")
        text = prior.text
        if token in text.tokenizer.get_vocab():
            raise UsageError(f"'{token}' is a word of the model already", "Choose another --token, such as <subject>")
        ids = text.tokenizer(initial, add_special_tokens=False).input_ids
        if not ids:
            raise UsageError(f"--initial '{initial}' holds no word")
        super().__init__(prior, pictures)
        self.text, self.token, self.augmentation = text, token, augmentation
        table: nn.Module = text.model.get_input_embeddings()
        start = table.weight[ids].float().mean(0)  # type: ignore[index]
        text.learn(token, start)
        self.embedding = nn.Parameter(start.clone())
        self.module = nn.ParameterDict({"embedding": self.embedding})
        self._number = text.tokenizer.convert_tokens_to_ids(token)
        # The table itself stays frozen: one row of it is replaced on the way out, and the gradient goes to that row.
        self._hook = text.model.get_input_embeddings().register_forward_hook(self._replace)

    def _replace(self, layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        chosen = (arguments[0] == self._number)[..., None]
        return torch.where(chosen, self.embedding.to(output.device, output.dtype), output)

    def seen(self, sample: int, draws: torch.Generator) -> Encoded:
        """The sample changed at random, where it is to be."""
        if self.augmentation is None:
            return super().seen(sample, draws)
        rgb, masks, background = self.pictures.rgb[sample], self.pictures.masks, self.pictures.background
        mask = masks[sample] if masks else torch.ones_like(rgb[..., :1])
        changed, moved = self.augmentation(rgb, mask, background, draws)
        return self.encoded(changed, moved if masks else None, draws)

    def condition(self, sample: int, draws: torch.Generator) -> Conditioning:
        """The token in a phrase."""
        phrase = PHRASES[int(torch.randint(len(PHRASES), (), generator=draws))]
        return Conditioning({"text": self.text.states([phrase.format(self.token)]).to(self.prior.unet.device)})

    def learnt(self) -> Tensor:
        """(D,) float32 embedding, on the CPU; the model's table holds it from now on."""
        embedding = self.embedding.detach().float().cpu()
        self._hook.remove()
        self.text.learn(self.token, embedding)
        return embedding

    def save(self, path: Path) -> None:
        """Write the token with its embedding as diffusers reads it."""
        save_token(path, self.token, self.embedding.detach())


class LoraLearner(Learner):
    """Low-rank updates of the attention with which a model predicts the noise in pictures best.

    A model of posed images learns each picture from the first; one that is given what it shows, from itself.

    Args:
        prior: of any modality; its model has the updates attached from now on.
        pictures: of one subject.
        prompt: that describes them.
        rank: of each update.
        image_dropout: share of samples without prompt and picture, which keeps guidance working.
        seed: of the updates' start.
    """

    def __init__(
        self,
        prior: Prior,
        pictures: Pictures,
        prompt: str,
        rank: int = 4,
        image_dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not isinstance(prior, UNetPrior):
            raise UsageError(f"this {prior.modality} prior has no attention to adapt")
        super().__init__(prior, pictures)
        self.adapter = LoraAdapter(attach_lora(prior.unet, rank, generator(seed, "lora")))
        self.module = self.adapter
        self.image_dropout = image_dropout
        with torch.no_grad():
            told = [self._told(sample) for sample in range(len(pictures.rgb))]
            self.conditional = [prior.condition([prompt], *each) for each in told]
            self.unconditional = [prior.unconditional([""], *each) for each in told]

    def _told(self, sample: int) -> tuple[Tensor, Cameras]:
        shown = 0 if self.prior.needs_reference else sample
        return self.pictures.rgb[shown][:1], self.pictures.cameras[shown][:1]

    def condition(self, sample: int, draws: torch.Generator) -> Conditioning:
        """The prompt and the picture, or neither."""
        is_dropped = float(torch.rand((), generator=draws)) < self.image_dropout
        return (self.unconditional if is_dropped else self.conditional)[sample]

    def learnt(self) -> dict[str, Tensor]:
        """The updates, as `merge_lora` takes them."""
        return self.adapter.state()

    def save(self, path: Path) -> None:
        """Write the updates as diffusers reads them."""
        save_lora(path, self.learnt())


def denoising_loss(
    prior: UNetPrior,
    latents: Tensor,  # (B, C, h, w) clean
    t: Tensor,  # (S,)
    conditioning: Conditioning,
    cameras: Cameras,  # B
    noise: Tensor,  # (B, C, h, w)
    weights: Tensor | None = None,  # (B, 1, h, w)
) -> Tensor:
    """The loss that diffusion models are trained with: mean square between the output and what it should predict.

    With weights it is their weighted mean; what weighs nothing has no gradient of its own.
    """
    t_of_image = t.repeat_interleave(len(latents) // len(t))
    noisy = prior.schedule.add_noise(latents, noise, t_of_image)
    target = {"epsilon": noise, "v": prior.schedule.velocity(latents, noise, t_of_image), "x0": latents}
    output = prior.predict(noisy.to(prior.unet.dtype), t, conditioning, cameras)
    aim = target[prior.schedule.prediction]
    if weights is None:
        return mse_loss(output.float(), aim)
    total = (weights * (output.float() - aim).square()).sum()
    return total / (weights.sum() * aim.shape[1]).clamp_min(LEAST_WEIGHT)
