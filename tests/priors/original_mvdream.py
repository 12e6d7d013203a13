"""MVDream's network as latent-diffusion configures it and names its tensors."""

import tiny_models as tiny

LDM = {
    "in_channels": 4, "out_channels": 4, "model_channels": 32, "attention_resolutions": [2, 1], "num_res_blocks": 1,
    "channel_mult": [1, 2], "num_head_channels": 8, "use_spatial_transformer": True, "use_linear_in_transformer": True,
    "transformer_depth": 1, "context_dim": tiny.WIDTH, "camera_dim": 16,
}  # fmt: skip


def ldm_names(state):
    """Diffusers' names as latent-diffusion writes them, for the two levels of the configuration above."""
    places = {
        "conv_in.": "input_blocks.0.0.",
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "class_embedding.linear_1.": "camera_embed.0.",
        "class_embedding.linear_2.": "camera_embed.2.",
        "down_blocks.0.resnets.0.": "input_blocks.1.0.",
        "down_blocks.0.attentions.0.": "input_blocks.1.1.",
        "down_blocks.0.downsamplers.0.conv.": "input_blocks.2.0.op.",
        "down_blocks.1.resnets.0.": "input_blocks.3.0.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
        "up_blocks.0.resnets.0.": "output_blocks.0.0.",
        "up_blocks.0.resnets.1.": "output_blocks.1.0.",
        "up_blocks.0.upsamplers.0.conv.": "output_blocks.1.1.conv.",
        "up_blocks.1.resnets.0.": "output_blocks.2.0.",
        "up_blocks.1.attentions.0.": "output_blocks.2.1.",
        "up_blocks.1.resnets.1.": "output_blocks.3.0.",
        "up_blocks.1.attentions.1.": "output_blocks.3.1.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
    }
    inside = {
        "norm1.": "in_layers.0.",
        "conv1.": "in_layers.2.",
        "time_emb_proj.": "emb_layers.1.",
        "norm2.": "out_layers.0.",
        "conv2.": "out_layers.3.",
        "conv_shortcut.": "skip_connection.",
    }
    renamed = {}
    for key, value in state.items():
        place = next(p for p in places if key.startswith(p))
        rest = key[len(place) :]
        if ".resnets." in key:
            part = next(p for p in inside if rest.startswith(p))
            rest = inside[part] + rest[len(part) :]
        renamed[places[place] + rest] = value
    return renamed
