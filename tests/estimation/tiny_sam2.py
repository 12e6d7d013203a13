"""A tiny random SAM 2, saved as the released ones are."""

from pathlib import Path
from typing import Any

import torch

SIDE = 64

WIDTH = 128
"""Twice what transformers' attention to the memory is wide, whatever its configuration says."""


def tiny_network(seed: int = 0) -> Any:
    from transformers import Sam2VideoConfig, Sam2VideoModel

    eyes = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1] * 4, "mlp_ratio": 2.0,
        "window_size_per_stage": [4, 4, 4, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": eyes, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": WIDTH,
    }  # fmt: skip
    memory = {
        "memory_attention_hidden_size": WIDTH, "memory_attention_num_layers": 1, "memory_fuser_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 16, "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": WIDTH, "memory_encoder_output_channels": 64, "memory_fuser_embed_dim": WIDTH,
        "memory_fuser_intermediate_dim": 16, "mask_downsampler_embed_dim": WIDTH,
        "num_maskmem": 3, "max_object_pointers_in_encoder": 4,
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": WIDTH, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
        image_size=SIDE,
        **memory,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = Sam2VideoModel(config).eval()
    with torch.no_grad():  # weights of .02 say the same of everything
        for parameter in network.parameters():
            parameter.mul_(4) if parameter.ndim > 1 else None
    return network


def save_tiny(folder: Path, seed: int = 0) -> Path:
    tiny_network(seed).save_pretrained(folder)
    return folder
