"""What the released models have in common: a UNet, image preparation, text encoders with a memory, latent encoders."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import Cameras
from a4d.io.weight_files import read_weights
from a4d.priors.attention_maps import MAPS, recorded_attention
from a4d.priors.offloading import OffloadedModel
from a4d.priors.protocol import ANYWHERE, Conditioning, Prior, Viewpoints
from a4d.priors.schedule import NoiseSchedule

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)

TOKEN_IN_PROMPT = re.compile(r"<token(?::([^<>]*))?>")
"""What stands in prompts for a personalised token, `<token>` or `<token:panda>`."""


def resized(
    rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
    size: tuple[int, int],  # height, width
    mode: str = "bilinear",
    low_pass: bool = True,
) -> Tensor:
    """Images (B, 3, h, w) in [0, 1] at another size, low-pass filtered where that is smaller unless told otherwise."""
    images = rgb.permute(0, 3, 1, 2)
    if images.shape[-2:] == size:
        return images
    return interpolate(images, size, mode=mode, align_corners=False, antialias=low_pass and images.shape[-2] > size[0])


def read_token(path: Path) -> tuple[str, Tensor]:
    """A personalised token and its embedding (D,), as textual inversion saves them.

    Args:
        path: diffusers' `learned_embeds.safetensors`, or the older `learned_embeds.bin`.

    Raises:
        BackendUnavailableError: the file is damaged, or does not hold one embedding under its token.
    """
    embeddings = read_weights(path)
    token, embedding = next(iter(embeddings.items()))
    if len(embeddings) != 1 or embedding.numel() != embedding.shape[-1]:
        raise BackendUnavailableError(f"{path} does not hold one token and its embedding")
    return token, embedding.flatten()


class Encoder(Protocol):
    """Images (B, H, W, 3) sRGB in [0, 1] to what a UNet calls latents (B, C, h, w)."""

    size: tuple[int, int]

    def __call__(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The latents."""

    def decode(self, latents: Tensor) -> Tensor:
        """The images (B, H, W, 3) sRGB in [0, 1] of latents (B, C, h, w)."""


class UNetPrior(Prior):
    """Base of the released models: an encoder, and a UNet of any dtype that predicts what its schedule says.

    Args:
        unet: of diffusers; its dtype is the one computed in.
        encoder: at the model's size.
        schedule: as the model was trained.
    """

    offers = MAPS

    def __init__(self, unet: Any, encoder: Encoder, schedule: NoiseSchedule) -> None:
        self.unet, self.encoder, self.schedule = unet, encoder, schedule

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Float32 latents (B, C, h, w)."""
        return self.encoder(rgb, generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, H, W, 3) sRGB in [0, 1] at the model's size."""
        return self.encoder.decode(latents)

    def denoise(self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints = ANYWHERE) -> Tensor:
        """The noise that the UNet predicts."""
        output = self.predict(latents.to(self.unet.dtype), t, conditioning, seen.cameras)
        t_of_image = t.repeat_interleave(len(latents) // len(t))
        return self.schedule.noise_from_output(output.to(latents), latents, t_of_image)

    def denoise_with(
        self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints, extras: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The noise, and with it the cross-attention (B, L, T) of each layer, see `recorded_attention`."""
        wanted = MAPS.intersection(extras)
        if not wanted:
            return super().denoise_with(latents, t, conditioning, seen, extras)
        with recorded_attention(self.unet, wanted) as maps:
            noise, _ = super().denoise_with(latents, t, conditioning, seen, extras)
        return noise, dict(maps)

    @abstractmethod
    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output (B, C, h, w) for latents of its dtype, timesteps (S,) and conditionings of any."""


class TextEncoder:
    """Prompts to token embeddings; each prompt is encoded once.

    `<token>` in a prompt stands for the personalised token that was learnt last, whatever its own name is; where none
    was learnt, `<token:panda>` is read as panda.

    Args:
        tokenizer: of transformers; pads to its own maximal length.
        model: a CLIP or T5 text model, left on the device it is on.
        with_mask: whether the model is told which tokens are padding, as T5 is and CLIP is not.
    """

    def __init__(self, tokenizer: Any, model: Any, with_mask: bool = False) -> None:
        self.tokenizer, self.model, self.with_mask = tokenizer, model, with_mask
        self._known: dict[str, Tensor] = {}
        self._learnt: str | None = None

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], device: torch.device | str) -> Tensor:
        """(S, L, D) final hidden states, after the last layer norm."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            self._known.update(zip(new, self.states(new).to(device), strict=True))
        return torch.stack([self._known[prompt] for prompt in prompts]).to(device)

    def summaries(self, prompts: Sequence[str], device: torch.device | str) -> Tensor:
        """(S, D) final hidden states of the tokens that end the texts (EOT), which have seen all of them."""
        ends = (self._tokens(prompts).input_ids == self.tokenizer.eos_token_id).int().argmax(dim=1)
        return self(prompts, device)[torch.arange(len(ends)), ends]

    def places(self, prompt: str, phrase: str) -> list[int]:
        """Which tokens of a prompt stand for a phrase of it, where it is first said.

        Raises:
            ConfigError: the prompt does not hold the phrase, or not among the tokens that the model reads.
        """
        spoken = self.tokenizer(self._spoken(phrase), add_special_tokens=False).input_ids
        tokens = self._tokens([prompt]).input_ids[0].tolist()
        for start in range(len(tokens) - len(spoken) + 1):
            if spoken and tokens[start : start + len(spoken)] == spoken:
                return list(range(start, start + len(spoken)))
        raise ConfigError(f"the prior does not read '{phrase}' in the prompt '{prompt}'", "Name words of the prompt")

    def states(self, prompts: Sequence[str]) -> Tensor:
        """(S, L, D) like a call, computed anew on the model's device and with the graph.

        Raises:
            ConfigError: a prompt speaks of a token, and none was learnt.
        """
        tokens = self._tokens(prompts).to(self.model.device)
        mask = {"attention_mask": tokens.attention_mask} if self.with_mask else {}
        states: Tensor = self.model(tokens.input_ids, **mask).last_hidden_state
        return states

    def _tokens(self, prompts: Sequence[str]) -> Any:
        """What the tokenizer makes of prompts, all of one length, on the CPU."""
        return self.tokenizer(
            [self._spoken(prompt) for prompt in prompts],
            padding="max_length",
            max_length=min(self.tokenizer.model_max_length, 77),
            truncation=True,
            return_tensors="pt",
        )

    def _spoken(self, prompt: str) -> str:
        def word(place: re.Match[str]) -> str:
            """What stands in for a token of the prompt."""
            said = self._learnt or place[1]
            if said is None:
                raise ConfigError(
                    f"the prompt '{prompt}' speaks of a token, and the prior has learnt none",
                    "Give the prior `adapters: [NAME]`; `a4d train-prior textual-inversion` makes one",
                )
            return said

        return TOKEN_IN_PROMPT.sub(word, prompt)

    def learn(self, token: str, embedding: Tensor) -> None:
        """Add a personalised token.

        Args:
            token: as it is written in prompts; an existing one gets the new meaning.
            embedding: (D,) of the model's token table.
        """
        self.tokenizer.add_tokens([token])
        self.model.resize_token_embeddings(len(self.tokenizer))
        table = self.model.get_input_embeddings().weight
        with torch.no_grad():
            table[self.tokenizer.convert_tokens_to_ids(token)] = embedding.to(table)
        self._known.clear()
        self._learnt = token


class PixelEncoder:
    """Images scaled to [-1, 1], for models that work on pixels.

    Args:
        size: height and width to which images are brought.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 3, h, w) of (B, H, W, 3) sRGB in [0, 1]."""
        return resized(rgb, self.size) * 2 - 1

    def decode(self, latents: Tensor) -> Tensor:
        """(B, H, W, 3) sRGB in [0, 1] of (B, 3, H, W)."""
        return ((latents + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)


class LatentEncoder:
    """Images to the scaled latents of a variational autoencoder.

    Args:
        vae: diffusers' `AutoencoderKL`.
        size: height and width in pixels to which images are brought.
        chunk: images encoded at once; with more, each chunk is encoded again in the backward pass to save memory, and
            so is every one if the autoencoder is offloaded.
        low_pass: filter images that are made smaller; some models were trained without.
    """

    def __init__(self, vae: Any, size: tuple[int, int], chunk: int = 4, low_pass: bool = True) -> None:
        self.vae, self.size, self.chunk, self.low_pass = vae, size, chunk, low_pass

    def __call__(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, C, h, w) float32 latents of (B, H, W, 3) sRGB in [0, 1].

        A sample of the posterior where there is a generator, else its mean.
        """
        images = (resized(rgb, self.size, low_pass=self.low_pass) * 2 - 1).to(self.vae.dtype)
        parts = images.split(self.chunk)
        # An offloaded one's graph would hold its weights on the device, while the denoiser needs the room.
        if len(parts) == 1 and not isinstance(self.vae, OffloadedModel):
            moments = self._moments(images)
        else:
            moments = torch.cat([checkpoint(self._moments, part, use_reentrant=False) for part in parts])
        mean, log_variance = moments.float().chunk(2, dim=1)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise
        return mean * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, H, W, 3) float32 sRGB in [0, 1] of (B, C, h, w) scaled latents."""
        parts = (latents / self.vae.config.scaling_factor).to(self.vae.dtype).split(self.chunk)
        images = torch.cat([self.vae.decode(part).sample.float() for part in parts])
        return ((images + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)

    def unscaled(self, rgb: Tensor) -> Tensor:
        """(B, C, h, w) float32 posterior means without the scaling factor, as a channel condition takes them."""
        return self(rgb) / self.vae.config.scaling_factor

    def _moments(self, images: Tensor) -> Tensor:
        return self.vae.encode(images).latent_dist.parameters


def clip_pixels(
    rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
    size: int,
) -> Tensor:
    """(B, 3, size, size) input of a CLIP image encoder: bicubic, normalised by CLIP's mean and deviation."""
    images = resized(rgb, (size, size), "bicubic").clamp(0, 1)
    mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_DEVIATION))
    return (images - mean) / deviation
