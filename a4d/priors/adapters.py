"""Adapters in files: tokens and low-rank updates, as diffusers names them where it has a name; read into a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.io.weight_files import read_weights
from a4d.priors.cg_lora import CG_LORA_FILE, apply_cg_lora
from a4d.priors.components import TextEncoder, read_token
from a4d.priors.lora import LORA_FILE, merge_lora

TOKEN_FILES = ("learned_embeds.safetensors", "learned_embeds.bin")
"""The names by which diffusers looks for them."""


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
        folder: with `learned_embeds.safetensors` or the older `.bin`, with `pytorch_lora_weights.safetensors`, or with
            `cg_lora.safetensors`; or the file of a token itself.

    Raises:
        BackendUnavailableError: it holds none of them, of another architecture, or code besides tensors.
        ConfigError: it holds a token, and the prior does not understand texts, or updates that it cannot follow.
    """
    given = [folder] if folder.is_file() else [folder / name for name in TOKEN_FILES]
    tokens = [path for path in given if path.is_file()]
    lora, guided = folder / LORA_FILE, folder / CG_LORA_FILE
    if not tokens and not lora.is_file() and not guided.is_file():
        raise BackendUnavailableError(f"{folder} holds no adapter", "`a4d train-prior` makes one")
    if tokens:
        token, embedding = read_token(tokens[0])
        text = getattr(prior, "text", None)
        if not isinstance(text, TextEncoder):
            raise ConfigError(f"{folder} holds a token, and the prior does not understand texts")
        width = text.model.get_input_embeddings().weight.shape[1]
        if len(embedding) != width:
            raise BackendUnavailableError(f"{tokens[0]} has {len(embedding)} numbers, and the model's tokens {width}")
        text.learn(token, embedding)
    if lora.is_file():
        merge_lora(prior.unet, read_weights(lora))
    if guided.is_file():
        apply_cg_lora(prior, guided)
