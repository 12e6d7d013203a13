"""Gradients of cameras by what they see, where a rasteriser knows those of the Gaussians alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import quaternion_from_rotation, quaternion_product, transform_points


def is_learnt(cameras: Cameras) -> bool:
    """Whether cameras are part of an autograd graph."""
    return cameras.intrinsics.requires_grad or cameras.world_from_camera.requires_grad


def detached(cameras: Cameras) -> Cameras:
    """The same cameras outside of any graph."""
    return replace(
        cameras,
        world_from_camera=cameras.world_from_camera.detach(),
        intrinsics=cameras.intrinsics.detach(),
    )


def carrying(gaussians: Gaussians, camera: Cameras) -> Gaussians:
    """The same Gaussians, as part of the graph of one camera: they move in the image as its gradients say.

    Centres move and turn exactly, sizes by the lens alone. That a camera which comes nearer sees another side of a
    Gaussian is left out.

    Args:
        gaussians: N.
        camera: one.

    Returns:
        Gaussians of equal values, to be drawn by the camera outside of its graph.
    """
    held = detached(camera)
    seen = transform_points(camera.camera_from_world, gaussians.means[None])[0]
    lens, centre = camera.intrinsics[0].split(2)
    held_lens, held_centre = held.intrinsics[0].split(2)
    along = (seen[:, :2] * lens + seen[:, 2:] * (centre - held_centre)) / held_lens
    moved = transform_points(held.world_from_camera, torch.cat([along, seen[:, 2:]], dim=1)[None])[0]
    growth = (lens / held_lens).log().mean()
    turn = quaternion_from_rotation(held.world_from_camera[0, :3, :3] @ camera.camera_from_world[0, :3, :3])
    turned = quaternion_product(turn, gaussians.quaternions)
    # What is added is nothing, so that images stay the same to the last bit.
    return replace(
        gaussians,
        means=gaussians.means + _gradient_of(moved - gaussians.means),
        quaternions=gaussians.quaternions + _gradient_of(turned - gaussians.quaternions),
        log_scales=gaussians.log_scales + _gradient_of(growth),
    )


def _gradient_of(values: Tensor) -> Tensor:
    """Zeros with the gradients of some values."""
    return values - values.detach()
