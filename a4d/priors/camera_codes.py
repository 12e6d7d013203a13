"""Cameras as the numbers that view-conditioned models were trained with."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras, opencv_from_opengl

FRONT_X_UP_Z_FROM_OURS = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""World axes of MVDream and Animate3D (front +X, up +Z, azimuth from +X to +Y) from ours (front +Z, up +Y)."""

VIEW_NUMBERS = 6
"""How many `view_code` has."""


def spherical(cameras: Cameras) -> Tensor:
    """Where cameras are, as seen from the origin; the inverse of `orbit`.

    Returns:
        (B, 3) azimuth in degrees in (-180, 180], 0 at the front and positive toward +X; elevation in degrees, positive
        above; distance in metres.
    """
    x, y, z = cameras.positions.unbind(-1)
    distance = cameras.positions.norm(dim=-1)
    elevation = torch.asin((y / distance.clamp_min(1e-12)).clamp(-1, 1))
    return torch.stack([torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(elevation), distance], dim=-1)


def relative_view_code(
    view: Tensor,  # (B, 3) from `spherical`
    reference: Tensor,  # (B, 3), or (1, 3) for all
) -> Tensor:
    """Zero-1-to-3's view change from the reference to each view.

    The polar angle is counted from above and in radians, so that its change is the reference's elevation minus the
    view's. The model's azimuth grows counter-clockwise seen from above, as ours does: a camera that moves to its right
    has a positive sine. (Code in which the image is mirrored against the world needs a minus sign here.)

    Returns:
        (B, 4) polar change in radians, sine and cosine of the azimuth change, change of distance in metres.
    """
    turn, rise, away = (view - reference).unbind(-1)
    turn = torch.deg2rad(turn)
    return torch.stack([-torch.deg2rad(rise), turn.sin(), turn.cos(), away], dim=-1)


def angle_between_views(
    cameras: Cameras,  # B
    reference: Cameras,  # B, or 1 for all
) -> Tensor:
    """(B,) degrees in [0, 180] between the directions in which two cameras lie from the origin."""
    a = torch.nn.functional.normalize(cameras.positions, dim=-1)
    b = torch.nn.functional.normalize(reference.positions, dim=-1)
    return torch.rad2deg(torch.acos((a * b).sum(-1).clamp(-1, 1)))


def multi_view_code(cameras: Cameras) -> Tensor:
    """MVDream's camera: the rows of `world_from_camera` with OpenGL camera axes, front +X and up +Z.

    Positions are brought to distance 1, so that the model sees neither distance nor field of view.

    Returns:
        (B, 16).
    """
    poses = FRONT_X_UP_Z_FROM_OURS.to(cameras.world_from_camera) @ opencv_from_opengl(cameras.world_from_camera)
    position = poses[:, :3, 3]
    poses = poses.clone()
    poses[:, :3, 3] = position / (position.norm(dim=-1, keepdim=True) + 1e-8)
    return poses.flatten(1)


def view_code(cameras: Cameras) -> Tensor:
    """Position, yaw, pitch and field of view, as X-Dreamer's camera network reads them (section 3.2); roll is left out.

    All are about the camera itself: one that stands aside of what it shows is known by its place and its direction.

    Returns:
        (B, 6) position in metres; yaw in half turns in (-1, 1], 0 where it looks at the front and growing toward +X;
        pitch in quarter turns in [-1, 1], positive where it looks down; vertical field of view in radians.
    """
    behind_x, behind_y, behind_z = (-cameras.world_from_camera[:, :3, 2]).unbind(-1)
    yaw, pitch = torch.atan2(behind_x, behind_z) / torch.pi, torch.asin(behind_y.clamp(-1, 1)) * 2 / torch.pi
    fov = 2 * torch.atan(cameras.height / 2 / cameras.intrinsics[:, 1])
    return torch.cat([cameras.positions, torch.stack([yaw, pitch, fov], dim=-1)], dim=-1)
