"""Tiny random components of every released prior, built from configurations in a blink and without weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    MotionAdapter,
    UNet2DConditionModel,
    UNet3DConditionModel,
    UNetMotionModel,
)
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    DPTConfig,
    DPTForDepthEstimation,
    T5Config,
    T5EncoderModel,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from a4d.priors.components import LatentEncoder, TextEncoder

WIDTH = 16
LETTERS = "abcdefghijklmnopqrstuvwxyz,"
SIZE = 64


def random_weights(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights large enough that every input shows in the output, zero-initialised layers included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.6 / max(parameter[0].numel(), 1) ** 0.5 if parameter.ndim > 1 else 0.1
            offset = 1.0 if parameter.ndim == 1 and float(parameter.mean()) == 1.0 else 0.0
            parameter.copy_(offset + spread * torch.randn(parameter.shape, generator=generator))
    return model.requires_grad_(False).eval()


def tokenizer() -> CLIPTokenizer:
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def text_encoder(width: int = WIDTH) -> TextEncoder:
    config = CLIPTextConfig(
        vocab_size=60, hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return TextEncoder(tokenizer(), random_weights(CLIPTextModel(config)))


def t5_encoder() -> TextEncoder:
    config = T5Config(
        vocab_size=60, d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return TextEncoder(tokenizer(), random_weights(T5EncoderModel(config)), with_mask=True)


def vae() -> LatentEncoder:
    model = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 8, 8], norm_num_groups=4, latent_channels=4, sample_size=SIZE, scaling_factor=0.18215,
    )  # fmt: skip
    return LatentEncoder(random_weights(model), (SIZE, SIZE))


SCHEDULER = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def save_all_but_the_unet(folder: Path, width: int = WIDTH) -> Path:
    """The components that every latent model has, in diffusers' layout."""
    text = text_encoder(width)
    vae().vae.save_pretrained(folder / "vae")
    text.model.save_pretrained(folder / "text_encoder")
    text.tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}


def unet(**values: object) -> UNet2DConditionModel:
    return random_weights(UNet2DConditionModel(**{**UNET, **values}))


def unet_3d() -> UNet3DConditionModel:
    values = {
        **UNET,
        "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
        "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
        "attention_head_dim": 8,
    }
    return random_weights(UNet3DConditionModel(**values))


def motion_adapter(**values: object) -> MotionAdapter:
    settings = {
        "block_out_channels": UNET["block_out_channels"],
        "motion_layers_per_block": 1,
        "motion_num_attention_heads": 2,
        "motion_norm_num_groups": 8,
        "motion_max_seq_length": 6,
    }
    return random_weights(MotionAdapter(**{**settings, **values}), seed=4)


def unet_motion() -> UNetMotionModel:
    return UNetMotionModel.from_unet2d(unet(), motion_adapter()).requires_grad_(False).eval()


def controlnet() -> ControlNetModel:
    values = {key: value for key, value in UNET.items() if key not in ("sample_size", "out_channels", "up_block_types")}
    return random_weights(ControlNetModel(**values, conditioning_embedding_out_channels=[4, 8, 8, 8]), seed=3)


def image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=WIDTH, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    return random_weights(CLIPVisionModelWithProjection(config))


def save_clip(folder: Path) -> Path:
    """A CLIP in transformers' layout, its tokenizer beside its weights."""
    config = CLIPConfig(
        text_config=text_encoder().model.config.to_dict(),
        vision_config=image_encoder().config.to_dict(),
        projection_dim=WIDTH,
    )
    random_weights(CLIPModel(config)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def lpips_state(kernels: list[tuple[int, int, int]], widths: list[int], taps: list[int]) -> dict[str, torch.Tensor]:
    """Tensors of LPIPS under Zhang et al.'s names.

    Args:
        kernels: slice, number and width of the kernel of each convolution.
        widths: channels of each.
        taps: channels of each head.
    """
    generator = torch.Generator().manual_seed(5)
    state, channels = {}, 3
    for (part, number, kernel), width in zip(kernels, widths, strict=True):
        spread = (2 / (channels * kernel**2)) ** 0.5
        weight = spread * torch.randn(width, channels, kernel, kernel, generator=generator)
        state[f"net.slice{part}.{number}.weight"] = weight
        state[f"net.slice{part}.{number}.bias"] = 0.1 * torch.randn(width, generator=generator)
        channels = width
    for head, width in enumerate(taps):
        state[f"lin{head}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    return state


def alexnet_lpips(widths: list[int]) -> dict[str, torch.Tensor]:
    kernels = [(1, 0, 11), (2, 3, 5), (3, 6, 3), (4, 8, 3), (5, 10, 3)]
    return lpips_state(kernels, widths, widths)


def vgg_lpips(widths: list[int]) -> dict[str, torch.Tensor]:
    """Widths of the five blocks."""
    blocks = [(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)]
    kernels = [(part, number, 3) for part, numbers in enumerate(blocks, start=1) for number in numbers]
    wide = [width for width, numbers in zip(widths, blocks, strict=True) for _ in numbers]
    return lpips_state(kernels, wide, widths)


VISION = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}

SEEN = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save_vision(model: torch.nn.Module, folder: Path, seed: int = 0, **preparation: object) -> Path:
    """A network that looks at pictures in transformers' layout, with how they are prepared for it."""
    random_weights(model, seed).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**SEEN, **preparation}))
    return folder


def save_dinov2(folder: Path) -> Path:
    return save_vision(Dinov2Model(Dinov2Config(**VISION)), folder, size={"shortest_edge": 256})


def save_depth_anything(folder: Path) -> Path:
    backbone = Dinov2Config(
        **VISION, out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
        head_hidden_size=4,
    )  # fmt: skip
    size = {"height": 56, "width": 56}
    model = DepthAnythingForDepthEstimation(config)
    return save_vision(model, folder, size=size, keep_aspect_ratio=True, ensure_multiple_of=14)


def save_dpt(folder: Path) -> Path:
    config = DPTConfig(
        **{**VISION, "image_size": 64, "patch_size": 16}, intermediate_size=32, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, is_hybrid=False, use_auxiliary_head=False,
    )  # fmt: skip
    # With other seeds nothing of it is above the zero at which its output ends.
    return save_vision(DPTForDepthEstimation(config), folder, seed=5, size={"height": 64, "width": 64})


def save_vitpose(folder: Path, joints: int = 17) -> Path:
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48], patch_size=[16, 16], hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        out_indices=[2], part_features=4,
    )  # fmt: skip
    config = VitPoseConfig(backbone_config=backbone, num_labels=joints, scale_factor=4, use_simple_decoder=True)
    return save_vision(VitPoseForPoseEstimation(config), folder, size={"height": 64, "width": 48})
