"""The UNet of MV-VDM: diffusers' motion UNet, told views, cameras and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection, TimestepEmbedding
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, UNetMotionModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from a4d.priors.mv_vdm.attention import (
    Layout,
    MultiViewImageAttention,
    SpatiotemporalAttention,
    TextImageAttention,
)
from a4d.priors.released.mvdream import CAMERA_NUMBERS

Context = tuple[Tensor, Tensor]
Layer = tuple[nn.Module, ...]


class MultiViewVideoUNet(UNetMotionModel):
    """Predicts the noise in V views of F frames at once, of any number and size.

    Args:
        image_width: of the picture embeddings, E.
        image_tokens: that a picture becomes.
        condition_frame_time_zero: tell frame 0, which is clean, that it is at timestep 0; the released weights were
            trained without.
        config: of `UNetMotionModel`, from `motion_config`.
    """

    def __init__(
        self,
        image_width: int = 1024,
        image_tokens: int = 4,
        condition_frame_time_zero: bool = False,
        **config: Any,
    ) -> None:
        super().__init__(**config)
        self.condition_frame_time_zero = condition_frame_time_zero
        self.recompute_activations = False
        """Whether training keeps only what lies between layers, and computes the rest again in the backward pass."""
        width, context = self.config["block_out_channels"][0] * 4, self.config["cross_attention_dim"]
        self.camera_embedding = TimestepEmbedding(CAMERA_NUMBERS, width)
        projection = ImageProjection(image_width, context, image_tokens)
        self.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
        self._install_attention()

    @property
    def longest(self) -> int:
        """Frames for which the motion modules have positions."""
        return int(self.config["motion_max_seq_length"])

    def _install_attention(self) -> None:
        for name, attention in list(self.named_modules()):
            if not isinstance(attention, Attention):
                continue
            channels = attention.to_q.in_features
            processor: Any
            if ".motion_modules." in name:
                processor = SpatiotemporalAttention(channels, self.longest)
            elif name.endswith(".attn1"):
                processor = MultiViewImageAttention(channels)
            else:
                processor = TextImageAttention(channels, attention.to_k.in_features)
            attention.set_processor(processor)
        for name, module in self.named_modules():
            # Positions are added inside the attention, to each branch its own.
            if ".motion_modules." in name and hasattr(module, "pos_embed"):
                module.pos_embed = None

    def forward(
        self,
        latents: Tensor,  # (S V F, C, h, w) noisy, frame 0 clean
        t: Tensor,  # (S,) integer timesteps
        text: Tensor,  # (S, L, D), or (S V, L, D)
        image: Tensor,  # (S V, E) embeddings of each view's frame 0
        camera: Tensor,  # (S V, 16)
    ) -> Tensor:
        """The predicted noise (S V F, C, h, w), without meaning in frame 0."""
        views, frames = len(camera) // len(t), len(latents) // len(camera)
        embedding = self._embedding(t, camera, frames)
        context = (text, self.encoder_hid_proj([image[:, None]])[0].flatten(1, 2))
        x = self.conv_in(latents)
        skips = [x]
        for block in self.down_blocks:
            for layer in _layers(block):
                x = self._layer(layer, x, embedding, context, (views, frames))
                skips.append(x)
            for downsample in block.downsamplers or ():  # type: ignore[union-attr]
                x = downsample(x)
                skips.append(x)
        first, *resnets = self.mid_block.resnets
        x = first(x, embedding)
        for layer in zip(self.mid_block.attentions, self.mid_block.motion_modules, resnets, strict=True):
            x = self._layer(layer, x, embedding, context, (views, frames))
        for block in self.up_blocks:
            for layer in _layers(block):
                x = torch.cat([x, skips.pop()], dim=1)
                x = self._layer(layer, x, embedding, context, (views, frames))
            for upsample in block.upsamplers or ():  # type: ignore[union-attr]
                # The size is given because an odd one is not twice the smaller.
                x = upsample(x, output_size=skips[-1].shape[-2:])
        output: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return output

    def _embedding(self, t: Tensor, camera: Tensor, frames: int) -> Tensor:
        """(S V F, T) what every residual block is told: the timestep and the camera."""
        times = t.repeat_interleave(len(camera) // len(t))[:, None].repeat(1, frames)
        if self.condition_frame_time_zero:
            times[:, 0] = 0
        time = self.time_embedding(self.time_proj(times.flatten()).to(self.dtype))
        place = self.camera_embedding(camera.to(self.dtype))
        embedding: Tensor = time + place.repeat_interleave(frames, dim=0)
        return embedding

    def _layer(self, modules: Layer, x: Tensor, embedding: Tensor, context: Context, counts: tuple[int, int]) -> Tensor:
        if self.recompute_activations and torch.is_grad_enabled():
            output: Tensor = checkpoint(self._run, modules, x, embedding, context, counts, use_reentrant=False)
            return output
        return self._run(modules, x, embedding, context, counts)

    @staticmethod
    def _run(modules: Layer, x: Tensor, embedding: Tensor, context: Context, counts: tuple[int, int]) -> Tensor:
        layout = {"layout": Layout(*counts, *x.shape[-2:])}
        for module in modules:
            if isinstance(module, Transformer2DModel):
                x = module(x, context, cross_attention_kwargs=layout, return_dict=False)[0]
            elif isinstance(module, AnimateDiffTransformer3D):
                x = module(x, num_frames=counts[1], cross_attention_kwargs=layout)
            else:
                x = module(x, embedding)
        return x


def _layers(block: Any) -> Iterator[Layer]:
    """What a block does in turn: residual block, attention where it has any, and motion module."""
    names = ("resnets", "attentions", "motion_modules")
    return zip(*(getattr(block, name) for name in names if hasattr(block, name)), strict=True)


def motion_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of `UNetMotionModel` from that of the image model that it extends.

    Args:
        config: of `UNet2DConditionModel`, with its wrong name for the number of heads.
    """
    kept = ("in_channels", "out_channels", "block_out_channels", "layers_per_block", "norm_num_groups", "norm_eps",
            "cross_attention_dim", "use_linear_projection")  # fmt: skip
    heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    last = len(config["block_out_channels"]) - 1
    return {
        **{key: config[key] for key in kept if key in config},
        "down_block_types": ["CrossAttnDownBlockMotion"] * last + ["DownBlockMotion"],
        "up_block_types": ["UpBlockMotion"] + ["CrossAttnUpBlockMotion"] * last,
        "num_attention_heads": heads,
        "motion_num_attention_heads": 8,
    }
