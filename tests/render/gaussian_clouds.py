"""Gaussians to be drawn, cameras that see them, and their images with gradients."""

import math
from dataclasses import fields

import torch

from a4d.geometry.cameras import Cameras, look_at, turntable
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.render.gaussians import render_gaussians

NAMES = [field.name for field in fields(Gaussians)]


def cloud(count, degree=0, opacity=0.0, seed=0):
    """Random ellipsoids in a ball, from pin-pricks to some that fill the image."""
    generator = torch.Generator().manual_seed(seed)
    return Gaussians(
        torch.randn(count, 3, generator=generator) * 0.4,
        torch.randn(count, 4, generator=generator),
        torch.randn(count, 3, generator=generator) * 0.5 - 2.8,
        torch.randn(count, generator=generator) * 2 + opacity,
        torch.randn(count, (degree + 1) ** 2, 3, generator=generator) * 0.3,
    )


def one(mean=(0.0, 0.0, 0.0), scale=0.1, opacity=0.9, colour=(1.0, 0.5, 0.25)):
    """A round Gaussian."""
    return Gaussians(
        torch.tensor([mean], dtype=torch.float32),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        torch.full((1, 3), math.log(scale)),
        torch.logit(torch.tensor([opacity])),
        sh_from_colours(torch.tensor([[colour]])),
    )


def off_centre_cameras(count, width, height):
    views = turntable(count, 15.0, 2.0, 50.0, 32).world_from_camera
    intrinsics = torch.tensor([[1.1 * width, 1.05 * width, 0.4 * width, 0.6 * height]]).expand(count, 4)
    return Cameras(views, intrinsics, width, height)


def front_camera(size=32, distance=2.0):
    return Cameras(
        look_at(torch.tensor([[0.0, 0.0, distance]])), torch.tensor([[40.0, 40, size / 2, size / 2]]), size, size
    )


def images_and_gradients(backend, gaussians, cameras, background, dtype, normals=False):
    """All images, and the gradients of one random linear function of them."""
    leaves = Gaussians(*(getattr(gaussians, name).to(dtype).clone().requires_grad_() for name in NAMES))
    device = gaussians.means.device
    probe = torch.zeros(len(cameras), len(gaussians), 2, dtype=dtype, device=device, requires_grad=True)
    render = render_gaussians(
        leaves, cameras, background.to(dtype), backend=backend, wants=("normal",) if normals else (), screen_probe=probe
    )
    images = {"rgb": render.rgb, "alpha": render.alpha, "depth": render.depth}
    if normals:
        images["normal"] = render.normal
    generator = torch.Generator().manual_seed(5)
    loss = sum(
        (image * torch.randn(image.shape, generator=generator, dtype=torch.float64).to(image)).sum()
        for image in images.values()
    )
    loss.backward()
    gradients = {name: getattr(leaves, name).grad for name in NAMES}
    return images, {**gradients, "screen_probe": probe.grad}, render.visible
