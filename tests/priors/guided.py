"""A tiny Stable Diffusion with cross-attention at two sizes, and camera-guided updates of it that do something."""

import tiny_models as tiny
import torch

from a4d.geometry.cameras import orbit
from a4d.priors.cg_lora import CgLoraConfig
from a4d.priors.protocol import Query
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.priors.schedule import noise_schedule

SIZES = {"down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2}


def model(**values):
    return StableDiffusion(tiny.unet(**values), tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear"))


def attached(prior, **settings):
    config = CgLoraConfig(kind="cg-lora", **{"camera_features": 16, **settings})
    return config.attach(prior, torch.Generator().manual_seed(0), "priors.sd.learns")


@torch.no_grad()
def awakened(adapter):
    """B away from zero, as training leaves it, and nothing that learns."""
    draws = torch.Generator().manual_seed(1)
    for layer in adapter.layers.values():
        for update in layer.values():
            update.up.copy_(0.5 * torch.randn(update.up.shape, generator=draws))
    return adapter.requires_grad_(False)


def cameras(*azimuths, elevation=10.0, fov=40.0, radius=3.0):
    angles = torch.tensor(azimuths)
    return orbit(angles, torch.full_like(angles, elevation), radius, fov, 16, 16)


def query(prior, seen, prompts=None):
    prompts = prompts or ["a cat"] * len(seen)
    return Query(prior.condition(prompts), prior.unconditional([""] * len(seen)), seen)


def noisy(count=2, size=8):
    return torch.randn(count, 4, size, size, generator=torch.Generator().manual_seed(3))


def denoised(prior, seen, prompts=None):
    asked = query(prior, seen, prompts)
    return prior.denoise(noisy(len(seen)), torch.full((len(seen),), 300), asked.conditional, asked.seen)
