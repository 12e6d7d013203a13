"""Personalised priors: a token or low-rank adapters learnt from a few pictures, and how they are stored and used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from a4d.errors import BackendUnavailableError, ConfigError, UsageError
from a4d.geometry.cameras import Cameras
from a4d.io.checkpoints import read_weights
from a4d.priors.components import TextEncoder, UNetPrior, read_token
from a4d.priors.lora import attach_lora, lora_state, merge_lora
from a4d.priors.protocol import Conditioning, Prior
from a4d.priors.stable_diffusion import StableDiffusion
from a4d.randomness import generator

TOKEN_FILES = ("learned_embeds.safetensors", "learned_embeds.bin")
LORA_FILE = "pytorch_lora_weights.safetensors"
"""The names by which diffusers looks for them."""

PHRASES = ("{}", "a photo of {}", "a picture of {}", "a rendering of {}", "a close view of {}")
"""Prompts that a new token is learnt in, so that it takes on the subject and not one phrase."""


@dataclass(frozen=True)
class Pictures:
    """What a prior is personalised on.

    Args:
        rgb: F pictures, each (1, H, W, 3) sRGB in [0, 1].
        cameras: F single cameras, for priors that know views.
    """

    rgb: Sequence[Tensor]
    cameras: Sequence[Cameras]


@dataclass(frozen=True)
class Training:
    """How long and how fast.

    Args:
        iterations: steps of one picture each.
        rate: of Adam.
        seed: of pictures, noise levels and noise.
        report: is told each step, counted from 0, and its loss.
    """

    iterations: int
    rate: float
    seed: int = 0
    report: Callable[[int, float], None] = lambda step, loss: None


def learn_token(prior: Prior, pictures: Pictures, token: str, initial: str, training: Training) -> Tensor:
    """Textual inversion (Gal et al. 2022): the embedding with which a frozen model predicts the noise in pictures best.

    Args:
        prior: understands texts; afterwards the token as well.
        pictures: of one subject.
        token: not yet a word of the model.
        initial: words from whose mean embedding it starts.
        training: how long and how fast.

    Returns:
        (D,) float32 embedding, on the CPU.

    Raises:
        UsageError: the prior does not understand texts, or knows the token.
    """
    if not isinstance(prior, StableDiffusion):
        raise UsageError(f"a {prior.modality} prior learns no token", "Choose a text-to-image model with --prior")
    text = prior.text
    if token in text.tokenizer.get_vocab():
        raise UsageError(f"'{token}' is a word of the model already", "Choose another --token, such as <subject>")
    ids = text.tokenizer(initial, add_special_tokens=False).input_ids
    if not ids:
        raise UsageError(f"--initial '{initial}' holds no word")
    start = text.model.get_input_embeddings().weight[ids].float().mean(0)  # type: ignore[operator]
    text.learn(token, start)
    embedding = nn.Parameter(start.clone())
    with _embedded(text, token, embedding):

        def condition(step: int, draws: torch.Generator) -> Conditioning:
            phrase = PHRASES[int(torch.randint(len(PHRASES), (), generator=draws))]
            return Conditioning({"text": text.states([phrase.format(token)]).to(prior.unet.device)})

        _train(prior, pictures, [embedding], condition, training)
    learnt = embedding.detach().float().cpu()
    text.learn(token, learnt)
    return learnt


@contextmanager
def _embedded(text: TextEncoder, token: str, embedding: Tensor) -> Iterator[None]:
    """Let a tensor (D,) stand for a token inside the block, so that gradients reach it and nothing else changes."""
    number = text.tokenizer.convert_tokens_to_ids(token)

    def replace(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return torch.where((arguments[0] == number)[..., None], embedding.to(output), output)

    handle = text.model.get_input_embeddings().register_forward_hook(replace)  # type: ignore[operator]
    try:
        yield
    finally:
        handle.remove()


def learn_lora(
    prior: Prior, pictures: Pictures, prompt: str, training: Training, rank: int = 4, image_dropout: float = 0.1
) -> dict[str, Tensor]:
    """Low-rank updates of the attention with which a model predicts the noise in pictures best.

    A model of posed images learns each picture from the first.

    Args:
        prior: its model has the updates attached afterwards.
        pictures: of one subject.
        prompt: that describes them.
        training: how long and how fast.
        rank: of each update.
        image_dropout: share of steps without prompt and picture, which keeps guidance working.

    Returns:
        the updates, as `merge_lora` takes them.

    Raises:
        UsageError: the prior judges no single images.
    """
    if not isinstance(prior, UNetPrior) or prior.modality not in ("image", "posed-image"):
        raise UsageError(
            f"a {prior.modality} prior is not personalised", "Choose a model of single images with --prior"
        )
    layers = attach_lora(prior.unet, rank, generator(training.seed, "lora"))
    reference, camera = pictures.rgb[0], pictures.cameras[0]
    with torch.no_grad():
        conditional = prior.condition([prompt], reference, camera)
        unconditional = prior.unconditional([""], reference, camera)

    def condition(step: int, draws: torch.Generator) -> Conditioning:
        return unconditional if float(torch.rand((), generator=draws)) < image_dropout else conditional

    parameters = [part for layer in layers.values() for part in (layer.down, layer.up)]
    _train(prior, pictures, parameters, condition, training)
    return lora_state(layers)


def denoising_loss(
    prior: UNetPrior,
    latents: Tensor,  # (1, C, h, w) clean
    t: Tensor,  # (1,)
    conditioning: Conditioning,
    camera: Cameras,
    noise: Tensor,  # (1, C, h, w)
) -> Tensor:
    """The loss that diffusion models are trained with: mean square between the output and what it should predict."""
    noisy = prior.schedule.add_noise(latents, noise, t)
    target = {"epsilon": noise, "v": prior.schedule.velocity(latents, noise, t), "x0": latents}
    output = prior.predict(noisy.to(prior.unet.dtype), t, conditioning, camera)
    return mse_loss(output.float(), target[prior.schedule.prediction])


def _train(
    prior: UNetPrior,
    pictures: Pictures,
    parameters: list[nn.Parameter],
    condition: Callable[[int, torch.Generator], Conditioning],
    training: Training,
) -> None:
    optimiser = torch.optim.Adam(parameters, lr=training.rate)
    with torch.no_grad():
        clean = [prior.encode(rgb) for rgb in pictures.rgb]
    for step in range(training.iterations):
        draws = generator(training.seed, "personalise", step)
        index = int(torch.randint(len(clean), (), generator=draws))
        t = torch.randint(len(prior.schedule), (1,), generator=draws).to(clean[index].device)
        noise = torch.randn(clean[index].shape, generator=draws).to(clean[index])
        conditioning = condition(step, draws)
        loss = denoising_loss(prior, clean[index], t, conditioning, pictures.cameras[index], noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        training.report(step, float(loss.detach()))


def save_token(folder: Path, token: str, embedding: Tensor) -> None:
    """Write a token with its embedding (D,) as diffusers reads it."""
    save_file({token: embedding.float().cpu().contiguous()}, folder / TOKEN_FILES[0])


def save_lora(folder: Path, state: dict[str, Tensor]) -> None:
    """Write low-rank updates as diffusers reads them."""
    save_file(state, folder / LORA_FILE)


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
        width = prior.text.model.get_input_embeddings().weight.shape[1]  # type: ignore[operator]
        if len(embedding) != width:
            raise BackendUnavailableError(f"{tokens[0]} has {len(embedding)} numbers, and the model's tokens {width}")
        prior.text.learn(token, embedding)
    if lora.is_file():
        merge_lora(prior.unet, read_weights(lora))
