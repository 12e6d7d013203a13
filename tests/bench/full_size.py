"""The released priors at full size with random weights, from their configurations; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel, UNet3DConditionModel, UNetMotionModel
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from a4d.priors.components import LatentEncoder, PixelEncoder
from a4d.priors.mv_vdm.prior import MultiViewVideoDiffusion
from a4d.priors.mv_vdm.unet import MultiViewVideoUNet, motion_config
from a4d.priors.protocol import Prior
from a4d.priors.released.controlnet_tile import ControlNetTile
from a4d.priors.released.mvdream import MVDream, multi_view_config
from a4d.priors.released.stable_diffusion import DeepFloyd, StableDiffusion
from a4d.priors.released.text_to_video import AnimateDiff, TextToVideo
from a4d.priors.released.zero123 import Zero123
from a4d.priors.schedule import noise_schedule

SD1: dict[str, Any] = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2, "cross_attention_dim": 768, "attention_head_dim": 8,
}  # fmt: skip
SD2: dict[str, Any] = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
DEEP_FLOYD: dict[str, Any] = {
    "sample_size": 64, "in_channels": 3, "out_channels": 6, "block_out_channels": [704, 1408, 2112, 2816],
    "layers_per_block": 3, "attention_head_dim": 64, "cross_attention_dim": 2816, "encoder_hid_dim": 4096,
    "act_fn": "gelu", "addition_embed_type": "text", "addition_embed_type_num_heads": 64,
    "cross_attention_norm": "group_norm", "resnet_time_scale_shift": "scale_shift", "mid_block_scale_factor": 1.414,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "time_embedding_act_fn": "gelu", "conv_in_kernel": 3,
    "down_block_types": ["ResnetDownsampleBlock2D"] + 3 * ["SimpleCrossAttnDownBlock2D"],
    "up_block_types": 3 * ["SimpleCrossAttnUpBlock2D"] + ["ResnetUpsampleBlock2D"],
}  # fmt: skip
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": 4 * ["DownEncoderBlock2D"], "up_block_types": 4 * ["UpDecoderBlock2D"],
}  # fmt: skip


@dataclass
class ConstantText:
    """Stands for a text encoder whose prompts are known already.

    Args:
        width: of the embeddings.
        length: in tokens.
    """

    width: int
    length: int = 77

    def __call__(self, prompts: Sequence[str], device: torch.device | str) -> Tensor:
        draws = torch.Generator().manual_seed(0)
        return torch.randn(1, self.length, self.width, generator=draws).to(device).expand(len(prompts), -1, -1)


@dataclass(frozen=True)
class FullSize:
    """A released prior.

    Args:
        size: pixels of the images that a step renders.
        images: per step.
        parts: builders of all components with weights by name; each is built on the device of the context.
        prior: from the components that a step asks.
        frames: of each view; None for still images.
    """

    size: int
    images: int
    parts: dict[str, Callable[[], nn.Module]]
    prior: Callable[[dict[str, Any]], Prior]
    frames: int | None = None

    def build(self, device: str, dtype: torch.dtype) -> Prior:
        """Random weights."""
        with torch.device("meta"):
            models = self.models(dtype)
        for model in models.values():
            _fill(model.to_empty(device=device))
        return self.prior(models)

    def models(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        """All that a step uses, by name; text encoders have done their work after the first one."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        models = {name: build() for name, build in self.parts.items() if name != "text_encoder"}
        torch.set_default_dtype(before)
        return {name: model.requires_grad_(False).eval() for name, model in models.items()}

    def parameter_counts(self) -> dict[str, int]:
        """By component."""
        with torch.device("meta"):
            parts = {name: build() for name, build in self.parts.items()}
        return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    """Weights that keep activations of about size one."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.5 / parameter[0].numel() ** 0.5)
        else:
            parameter.zero_()
    for module in model.modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm) and module.weight is not None:
            module.weight.fill_(1)
    for name, buffer in model.named_buffers():
        buffer.copy_(
            torch.arange(buffer.numel()).view_as(buffer) if "position_ids" in name else torch.zeros_like(buffer)
        )


def _clip_l() -> nn.Module:
    return CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))


def _open_clip_h() -> nn.Module:
    return CLIPTextModel(
        CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=23)
    )


def _vision(hidden: int, layers: int, projected: int) -> nn.Module:
    """CLIP's image encoder with patches of 14 pixels."""
    config = CLIPVisionConfig(
        hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers, num_attention_heads=16,
        patch_size=14, image_size=224, projection_dim=projected,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def _t5_xxl() -> nn.Module:
    config = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu", vocab_size=32128
    )
    return T5EncoderModel(config)


def _latent(parts: dict[str, Any], height: int, width: int | None = None) -> LatentEncoder:
    return LatentEncoder(parts["vae"], (height, width or height))


def _parts(unet: Callable[[], nn.Module], **others: Callable[[], nn.Module]) -> dict[str, Callable[[], nn.Module]]:
    return {"unet": unet, "vae": lambda: AutoencoderKL(**VAE), **others}


def _diffusion(config: dict[str, Any], size: int, text: Callable[[], nn.Module]) -> FullSize:
    width = config["cross_attention_dim"]
    return FullSize(
        size,
        1,
        _parts(lambda: UNet2DConditionModel(**config), text_encoder=text),
        lambda parts: StableDiffusion(
            parts["unet"],
            _latent(parts, size),
            ConstantText(width),
            noise_schedule(),  # type: ignore[arg-type]
        ),
    )


def _text_to_video(height: int, width: int) -> FullSize:
    return FullSize(
        height,
        16,
        _parts(lambda: UNet3DConditionModel(attention_head_dim=64), text_encoder=_open_clip_h),
        lambda parts: TextToVideo(
            parts["unet"],
            _latent(parts, height, width),
            ConstantText(1024),
            noise_schedule(),  # type: ignore[arg-type]
        ),
        frames=16,
    )


PRIORS: dict[str, FullSize] = {
    "stable-diffusion-1.5": _diffusion(SD1, 512, _clip_l),
    "stable-diffusion-2.1-base": _diffusion(SD2, 512, _open_clip_h),
    "stable-diffusion-2.1": _diffusion({**SD2, "sample_size": 96}, 768, _open_clip_h),
    "deep-floyd-if-1": FullSize(
        64,
        1,
        {"unet": lambda: UNet2DConditionModel(**DEEP_FLOYD), "text_encoder": _t5_xxl},
        lambda parts: DeepFloyd(
            parts["unet"],
            PixelEncoder((64, 64)),
            ConstantText(4096),
            noise_schedule("cosine"),  # type: ignore[arg-type]
        ),
    ),
    "zero123-xl": FullSize(
        256,
        1,
        _parts(
            lambda: UNet2DConditionModel(**{**SD1, "sample_size": 32, "in_channels": 8}),
            image_encoder=lambda: _vision(1024, 24, 768),
            projection=lambda: nn.Linear(772, 768),
        ),
        lambda parts: Zero123(
            parts["unet"], _latent(parts, 256), parts["image_encoder"], parts["projection"], noise_schedule()
        ),
    ),
    "mvdream-2.1": FullSize(
        256,
        4,
        _parts(
            lambda: UNet2DConditionModel(**multi_view_config({**SD2, "sample_size": 32})), text_encoder=_open_clip_h
        ),
        lambda parts: MVDream(
            parts["unet"],
            _latent(parts, 256),
            ConstantText(1024),
            noise_schedule(),  # type: ignore[arg-type]
        ),
    ),
    "modelscope-1.7b": _text_to_video(256, 256),
    "zeroscope-576w": _text_to_video(320, 576),
    "animatediff-1.5.2": FullSize(
        256,
        16,
        _parts(lambda: UNetMotionModel(**motion_config(SD1)), text_encoder=_clip_l),
        lambda parts: AnimateDiff(
            parts["unet"],
            _latent(parts, 256),
            ConstantText(768),
            noise_schedule("linear"),  # type: ignore[arg-type]
        ),
        frames=16,
    ),
    "controlnet-tile": FullSize(
        1024,
        1,
        _parts(
            lambda: UNet2DConditionModel(**SD1),
            controlnet=lambda: ControlNetModel(cross_attention_dim=768, attention_head_dim=8),
            text_encoder=_clip_l,
        ),
        lambda parts: ControlNetTile(
            parts["unet"],
            parts["controlnet"],
            _latent(parts, 1024),
            ConstantText(768),
            noise_schedule(),  # type: ignore[arg-type]
        ),
    ),
    "mv-vdm": FullSize(
        256,
        4 * 16,
        _parts(
            lambda: MultiViewVideoUNet(**motion_config(SD1)),
            image_encoder=lambda: _vision(1280, 32, 1024),
            text_encoder=_clip_l,
        ),
        lambda parts: MultiViewVideoDiffusion(
            parts["unet"],
            _latent(parts, 256),
            ConstantText(768),  # type: ignore[arg-type]
            parts["image_encoder"],
            noise_schedule("linear"),
        ),
        frames=16,
    ),
}
