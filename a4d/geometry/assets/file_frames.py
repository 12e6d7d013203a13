"""The frames of files: which way is up in them, and Gaussians taken there and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from a4d.geometry.assets.placement import Orientation
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.spherical_harmonics import turned_harmonics
from a4d.geometry.transforms import (
    quaternion_from_rotation,
    quaternion_product,
    rigid_from_parts,
    transform_points,
)

UpAxis = Literal["y", "-y", "z", "-z"]

SPLATS_UP: UpAxis = "-y"
"""By the custom of 3DGS, whose cameras look along +Z with +Y down; viewers turn every file half round about its Z."""

AXES: dict[UpAxis, Orientation] = {
    "y": Orientation("+y", "+z"),
    "-y": Orientation("-y", "+z"),
    "z": Orientation("+z", "-y"),
    "-z": Orientation("-z", "+y"),
}
"""Which axes of files are up and in front: for +Z up as in Blender, for -Y up as after the viewers' half turn."""


def frame_of_files(up: UpAxis, scale: float = 1.0) -> Tensor:
    """(4, 4) float64 similarity from a world with +Y up and +Z in front to one whose `up` axis points up."""
    return rigid_from_parts(scale * AXES[up].world_from_source.T, torch.zeros(3, dtype=torch.float64))


def gaussians_for_files(gaussians: Gaussians, up: UpAxis) -> Gaussians:
    """Gaussians of a world with +Y up as they stand in a file whose `up` axis points up."""
    return gaussians if up == "y" else move_gaussians(gaussians, frame_of_files(up))


def gaussians_from_files(gaussians: Gaussians, up: UpAxis) -> Gaussians:
    """Gaussians of a file whose `up` axis points up in a world with +Y up."""
    return gaussians if up == "y" else move_gaussians(gaussians, frame_of_files(up).T)


def move_gaussians(
    gaussians: Gaussians,
    target_from_source: Tensor,  # (4, 4) similarity without mirroring
) -> Gaussians:
    """The same Gaussians in another frame: places, axes, sizes, and the directions of their colours."""
    matrix = target_from_source.to(gaussians.means.device).double()
    scale = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
    rotation = matrix[:3, :3] / scale
    like = gaussians.means
    return replace(
        gaussians,
        means=transform_points(matrix, gaussians.means.double()).to(like),
        quaternions=quaternion_product(
            quaternion_from_rotation(rotation).expand(len(gaussians), 4), gaussians.quaternions.double()
        ).to(like),
        log_scales=gaussians.log_scales + scale.log().to(like),
        sh=turned_harmonics(gaussians.sh, rotation, gaussians.sh_degree),
    )
