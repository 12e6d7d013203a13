"""Every released prior with tiny random weights, what is shown to them, and what their networks are called with."""

import tiny_models as tiny
import torch
from torch import nn

from a4d.geometry.cameras import turntable
from a4d.priors.components import PixelEncoder
from a4d.priors.released.controlnet_tile import ControlNetTile
from a4d.priors.released.mvdream import MVDream, multi_view_config
from a4d.priors.released.stable_diffusion import DeepFloyd, StableDiffusion
from a4d.priors.released.text_to_video import AnimateDiff, TextToVideo
from a4d.priors.released.zero123 import Zero123
from a4d.priors.schedule import noise_schedule

SCHEDULE = noise_schedule()
VIEWS = turntable(4, 15.0, 2.0, 40.0, 48)


def pictures(count=4, size=48):
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(2))


def noise(count, channels=4, size=8):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def stable_diffusion(**schedule):
    return StableDiffusion(tiny.unet(), tiny.vae(), tiny.text_encoder(), noise_schedule(**schedule))


def deep_floyd():
    unet = tiny.unet(sample_size=16, in_channels=3, out_channels=6, cross_attention_dim=tiny.WIDTH, encoder_hid_dim=24)
    return DeepFloyd(unet, PixelEncoder((16, 16)), tiny.t5_encoder(), noise_schedule("cosine"))


def zero123():
    projection = tiny.random_weights(nn.Linear(tiny.WIDTH + 4, tiny.WIDTH))
    return Zero123(tiny.unet(in_channels=8), tiny.vae(), tiny.image_encoder(), projection, SCHEDULE)


def mvdream():
    return MVDream(tiny.unet(**multi_view_config(tiny.UNET)), tiny.vae(), tiny.text_encoder(), SCHEDULE)


def text_to_video():
    return TextToVideo(tiny.unet_3d(), tiny.vae(), tiny.text_encoder(), SCHEDULE)


def animatediff():
    return AnimateDiff(tiny.unet_motion(), tiny.vae(), tiny.text_encoder(), noise_schedule("linear"))


def controlnet_tile():
    return ControlNetTile(tiny.unet(), tiny.controlnet(), tiny.vae(), tiny.text_encoder(), SCHEDULE)


BUILDERS = {
    builder.__name__: builder
    for builder in (stable_diffusion, deep_floyd, zero123, mvdream, text_to_video, animatediff, controlnet_tile)
}


def samples_of(prior, batch=4):
    return 1 if prior.modality in ("multi-view", "video") else batch


def conditionings(prior, samples, prompt="a cat", image=0):
    images = pictures(5)[image : image + 1].expand(samples, -1, -1, -1)
    return (
        prior.condition([prompt] * samples, images, VIEWS[:1]),
        prior.unconditional([""] * samples, images, VIEWS[:1]),
    )


def spy_on(module, monkeypatch):
    seen = {}
    forward = module.forward

    def record(*arguments, **keywords):
        seen["arguments"], seen["keywords"] = arguments, keywords
        return forward(*arguments, **keywords)

    monkeypatch.setattr(module, "forward", record)
    return seen
