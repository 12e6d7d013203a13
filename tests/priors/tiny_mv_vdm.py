"""A tiny MV-VDM of random weights."""

from __future__ import annotations

from tiny_models import WIDTH, random_weights

from a4d.priors.mv_vdm.unet import MultiViewVideoUNet

IMAGE_WIDTH = 12

CONFIG = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlockMotion", "DownBlockMotion"],
    "up_block_types": ["UpBlockMotion", "CrossAttnUpBlockMotion"],
    "cross_attention_dim": WIDTH,
    "num_attention_heads": 2,
    "motion_num_attention_heads": 4,
    "norm_num_groups": 8,
    "motion_max_seq_length": 8,
}


def mv_vdm_unet(seed: int = 0, **values: object) -> MultiViewVideoUNet:
    return random_weights(MultiViewVideoUNet(IMAGE_WIDTH, 2, **{**CONFIG, **values}), seed)
