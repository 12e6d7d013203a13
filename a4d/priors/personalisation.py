"""Personalised priors: a token or low-rank adapters learnt from a few pictures, and how they are stored and used.

Both learners are what the training loop calls a trainee: a module of the parameters that train, and their loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from a4d.errors import BackendUnavailableError, ConfigError, UsageError
from a4d.geometry.cameras import Cameras, concatenate
from a4d.io.checkpoints import read_weights
from a4d.priors.components import UNetPrior, read_token
from a4d.priors.lora import LORA_FILE, LoraAdapter, attach_lora, merge_lora
from a4d.priors.protocol import Conditioning, Prior, join, sample_count
from a4d.priors.stable_diffusion import StableDiffusion
from a4d.randomness import generator

TOKEN_FILES = ("learned_embeds.safetensors", "learned_embeds.bin")
"""The names by which diffusers looks for them."""

PHRASES = ("{}", "a photo of {}", "a picture of {}", "a rendering of {}", "a close view of {}")
"""Prompts that a new token is learnt in, so that it takes on the subject and not one phrase."""

VALIDATION_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the noise schedule at which progress is judged, always on the same noise."""


@dataclass(frozen=True)
class Pictures:
    """What a prior is personalised on.

    Args:
        rgb: samples, each (B, H, W, 3) sRGB in [0, 1]: a picture, a ring of views, or the frames of a clip.
        cameras: the B cameras of each sample, for priors that know views.
    """

    rgb: Sequence[Tensor]
    cameras: Sequence[Cameras]


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
        ConfigError: the pictures are not whole samples of the prior.
    """

    module: nn.Module

    def __init__(self, prior: UNetPrior, pictures: Pictures) -> None:
        self.prior, self.pictures = prior, pictures
        size = len(pictures.rgb[0])
        if sample_count(prior, size) != 1:
            raise ConfigError(f"{size} images are {sample_count(prior, size)} samples of a {prior.modality} prior")
        with torch.no_grad():
            self.clean = [prior.encode(rgb) for rgb in pictures.rgb]

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
        return "denoising", self._loss(samples, t, draws)

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """The mean loss over all samples and five noise levels, on the same noise every time."""
        losses = []
        for level in VALIDATION_LEVELS:
            t = torch.tensor([self.prior.schedule.timestep(level)])
            losses += [
                self._loss([sample], t, generator(0, "validation", int(t), sample)) for sample in range(len(self.clean))
            ]
        return {"loss": float(torch.stack(losses).mean())}

    def _loss(self, samples: Sequence[int], t: Tensor, draws: torch.Generator) -> Tensor:
        clean = torch.cat([self.clean[sample] for sample in samples])
        noise = torch.randn(clean.shape, generator=draws).to(clean)
        conditioning = join([self.condition(sample, draws) for sample in samples])
        cameras = concatenate([self.pictures.cameras[sample] for sample in samples])
        return denoising_loss(self.prior, clean, t.to(clean.device), conditioning, cameras, noise)


class TokenLearner(Learner):
    """Textual inversion (Gal et al. 2022): the embedding with which a frozen model predicts the noise in pictures best.

    Args:
        prior: understands texts, and the token from now on.
        pictures: of one subject.
        token: not yet a word of the model.
        initial: words from whose mean embedding it starts.

    Raises:
        UsageError: the prior does not understand texts, or knows the token.
    """

    def __init__(self, prior: Prior, pictures: Pictures, token: str, initial: str) -> None:
        if not isinstance(prior, StableDiffusion):
            raise UsageError(f"a {prior.modality} prior learns no token", "Choose a model of texts with --prior")
        text = prior.text
        if token in text.tokenizer.get_vocab():
            raise UsageError(f"'{token}' is a word of the model already", "Choose another --token, such as <subject>")
        ids = text.tokenizer(initial, add_special_tokens=False).input_ids
        if not ids:
            raise UsageError(f"--initial '{initial}' holds no word")
        super().__init__(prior, pictures)
        self.text, self.token = text, token
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
) -> Tensor:
    """The loss that diffusion models are trained with: mean square between the output and what it should predict."""
    t_of_image = t.repeat_interleave(len(latents) // len(t))
    noisy = prior.schedule.add_noise(latents, noise, t_of_image)
    target = {"epsilon": noise, "v": prior.schedule.velocity(latents, noise, t_of_image), "x0": latents}
    output = prior.predict(noisy.to(prior.unet.dtype), t, conditioning, cameras)
    return mse_loss(output.float(), target[prior.schedule.prediction])


def save_token(path: Path, token: str, embedding: Tensor) -> None:
    """Write a token with its embedding (D,) as diffusers reads it."""
    save_file({token: embedding.float().cpu().contiguous()}, path)


def save_lora(path: Path, state: dict[str, Tensor]) -> None:
    """Write low-rank updates as diffusers reads them."""
    save_file(state, path)


def apply_adapter(prior: Any, folder: Path) -> None:
    """Give a prior the token or the low-rank updates that lie in a folder.

    Args:
        prior: a released model.
        folder: with `learned_embeds.safetensors` or the older `.bin`, or with `pytorch_lora_weights.safetensors`.

    Raises:
        BackendUnavailableError: it holds none of them, or of another architecture.
        ConfigError: it holds a token, and the prior does not understand texts.
    """
    tokens = [path for name in TOKEN_FILES if (path := folder / name).is_file()]
    lora = folder / LORA_FILE
    if not tokens and not lora.is_file():
        raise BackendUnavailableError(f"{folder} holds no adapter", "`a4d train-prior` makes one")
    if tokens:
        token, embedding = read_token(tokens[0])
        if not isinstance(prior, StableDiffusion):
            raise ConfigError(f"{folder} holds a token, and the prior does not understand texts")
        width = prior.text.model.get_input_embeddings().weight.shape[1]
        if len(embedding) != width:
            raise BackendUnavailableError(f"{tokens[0]} has {len(embedding)} numbers, and the model's tokens {width}")
        prior.text.learn(token, embedding)
    if lora.is_file():
        merge_lora(prior.unet, read_weights(lora))
