"""MVDream: four views of one object at once, from a prompt and their cameras."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.camera_codes import multi_view_code
from a4d.priors.components import Encoder, TextEncoder
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.priors.schedule import NoiseSchedule

CAMERA_NUMBERS = 16

_PROJECTION = re.compile(r"\.\d+\.proj_in\.weight")
"""Of a transformer block, in every layout; a picture encoder beside them has a `proj_in` of its own."""


class MultiViewAttention:
    """Self-attention among the tokens of all views of a sample, where the 2D model attends within one image.

    Args:
        views: images per sample, next to each other in the batch.
    """

    def __init__(self, views: int) -> None:
        self.views = views

    def __call__(self, attention: Any, hidden_states: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        """(B, L, C) tokens that have seen those of their sample's other views."""
        batch, length, width = hidden_states.shape
        tokens = hidden_states.reshape(batch // self.views, self.views * length, width)
        heads = (attention.heads, -1)
        query, key, value = (
            project(tokens).unflatten(-1, heads).transpose(1, 2)
            for project in (attention.to_q, attention.to_k, attention.to_v)
        )
        mixed = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        for layer in attention.to_out:
            mixed = layer(mixed)
        return mixed.reshape(batch, length, width)


def join_views(unet: Any, views: int) -> None:
    """Make every self-attention of a diffusers UNet one among all views of a sample."""
    unet.set_attn_processor(
        {
            name: MultiViewAttention(views) if ".attn1." in name else processor
            for name, processor in unet.attn_processors.items()
        }
    )


class MVDream(StableDiffusion):
    """MVDream (Shi et al. 2023): Stable Diffusion whose time embedding also says where each view's camera is.

    Four images a quarter turn apart; 256 x 256, [-1, 1], trained over plain grey. Both halves of guidance see cameras.

    Args:
        unet: diffusers' `UNet2DConditionModel` whose class embedding is a projection of 16 numbers, as
            `multi_view_config` makes it.
        encoder: at the model's size.
        text: prompts to the UNet's cross-attention width.
        schedule: as the model was trained.
        views: images per sample.
    """

    modality: Modality = "multi-view"

    def __init__(self, unet: Any, encoder: Encoder, text: TextEncoder, schedule: NoiseSchedule, views: int = 4) -> None:
        super().__init__(unet, encoder, text, schedule)
        self.views = views
        join_views(unet, views)

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for each view.

        Raises:
            ConfigError: there are no cameras, or not as many as the model has views.
        """
        if cameras is None or len(latents) != len(t) * self.views:
            raise ConfigError(
                f"MVDream takes {self.views} views with their cameras at once",
                f"Set the view set's ring to {self.views} and its batch to a multiple of that",
            )
        t_of_view, text = (each.repeat_interleave(self.views, dim=0) for each in (t, conditioning["text"]))
        code = multi_view_code(cameras).to(latents)
        return self.ask(latents, t_of_view, text, conditioning, cameras, class_labels=code)


def multi_view_config(config: Mapping[str, Any], state: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """A diffusers UNet's configuration with room for cameras, from that of its 2D model or of its LDM original.

    Args:
        config: of `UNet2DConditionModel`, or with the keys of latent-diffusion's `unet_config`.
        state: the UNet's tensors in any layout of `multi_view_state`. They tell linear projections from convolutional
            ones by their shapes, since ports of the original have linear ones without saying so; None believes
            `config`.

    Raises:
        BackendUnavailableError: a key of the original's is missing.
    """
    values = {key: value for key, value in config.items() if not key.startswith("_")}
    if "model_channels" in values:
        try:
            values = _diffusers_config(values)
        except KeyError as error:
            raise BackendUnavailableError(f"the UNet's configuration does not say {error}") from None
    projections = {value.ndim for key, value in (state or {}).items() if _PROJECTION.search(key)}
    if len(projections) == 1:
        values["use_linear_projection"] = projections == {2}
    return {**values, "class_embed_type": "projection", "projection_class_embeddings_input_dim": CAMERA_NUMBERS}


def _diffusers_config(ldm: Mapping[str, Any]) -> dict[str, Any]:
    channels = [ldm["model_channels"] * factor for factor in ldm["channel_mult"]]
    last = len(channels) - 1
    return {
        "sample_size": 32,
        "in_channels": ldm["in_channels"],
        "out_channels": ldm["out_channels"],
        "block_out_channels": channels,
        "layers_per_block": ldm["num_res_blocks"],
        "down_block_types": ["CrossAttnDownBlock2D"] * last + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * last,
        "cross_attention_dim": ldm["context_dim"],
        "attention_head_dim": _head_counts(ldm, channels),
        "use_linear_projection": bool(ldm.get("use_linear_in_transformer")),
    }


def _head_counts(ldm: Mapping[str, Any], channels: Sequence[int]) -> int | list[int]:
    # What diffusers calls the dimension of heads is, for these UNets, their number.
    if ldm.get("num_head_channels", -1) > 0:
        return [width // ldm["num_head_channels"] for width in channels]
    return int(ldm["num_heads"])


def multi_view_state(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """A multi-view UNet's tensors under the names of `UNet2DConditionModel`, from any of the layouts in circulation.

    Args:
        state: latent-diffusion's names, with or without `model.diffusion_model.` before them and other parts of the
            checkpoint beside them; or diffusers' names with `camera_embedding`.
        config: from `multi_view_config`.
    """
    prefix = "model.diffusion_model."
    if not any("input_blocks." in key for key in state):
        return {key.replace("camera_embedding.", "class_embedding."): value for key, value in state.items()}
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    inside = any(key.startswith(prefix) for key in state)
    named = {key if inside else prefix + key: value for key, value in state.items()}
    # The converter knows latent-diffusion's label embedding, whose place the camera's takes.
    renamed = {key.replace("camera_embed.", "label_emb.0."): value for key, value in named.items()}
    converted: dict[str, Tensor] = convert_ldm_unet_checkpoint(renamed, dict(config))
    return converted
