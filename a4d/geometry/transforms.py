"""Rotations and rigid transforms on tensors.

Convention: a transform is named `a_from_b` and maps points in b to points in a; matrices act on column vectors;
quaternions are wxyz; angles are radians unless a name ends in `_degrees`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def rotation_from_quaternion(quaternions: Tensor) -> Tensor:
    """Rotation matrices of quaternions, which are normalised first.

    Args:
        quaternions: (..., 4) wxyz, any non-zero length.

    Returns:
        (..., 3, 3) rotations.
    """
    w, x, y, z = normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_rotation(rotations: Tensor) -> Tensor:
    """Unit quaternions of rotation matrices, with w >= 0.

    Of the four algebraically equal forms the one with the largest divisor is taken, so that no half turn loses digits.

    Args:
        rotations: (..., 3, 3).

    Returns:
        (..., 4) wxyz.
    """
    m = rotations
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], dim=-1)
    yz, zx, xy = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    yz_, zx_, xy_ = m[..., 2, 1] + m[..., 1, 2], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 0] + m[..., 0, 1]
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], yz, zx, xy], dim=-1),
            torch.stack([yz, squares[..., 1], xy_, zx_], dim=-1),
            torch.stack([zx, xy_, squares[..., 2], yz_], dim=-1),
            torch.stack([xy, zx_, yz_, squares[..., 3]], dim=-1),
        ],
        dim=-2,
    )
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternions = normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quaternions[..., :1] < 0, -quaternions, quaternions)


def rotation_from_axis_angle(vectors: Tensor) -> Tensor:
    """Rotation matrices of axes whose lengths are the angles, differentiable everywhere, also at no angle at all.

    Args:
        vectors: (..., 3) radians.

    Returns:
        (..., 3, 3) rotations.
    """
    squared = vectors.square().sum(-1, keepdim=True)
    is_small = squared < 1e-6
    # The root has no gradient at 0: the branch that is not taken must not see it.
    angle = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    cosine = torch.where(is_small, 1 - squared / 8, (angle / 2).cos())
    scale = torch.where(is_small, 0.5 - squared / 48, (angle / 2).sin() / angle)
    return rotation_from_quaternion(torch.cat([cosine, scale * vectors], dim=-1))


def rotation_from_axes(
    axes: Tensor,  # (..., 6) two directions, not parallel
) -> Tensor:
    """Rotations (..., 3, 3) whose first column is the first direction, and whose second lies in the plane of both.

    Continuous everywhere, unlike any three or four numbers (Zhou et al. 2019, equation 15).
    """
    x = normalize(axes[..., :3], dim=-1)
    y = normalize(axes[..., 3:] - (x * axes[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def quaternion_product(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product: the rotation `b` followed by the rotation `a`.

    Args:
        a: (..., 4) wxyz.
        b: (..., 4) wxyz.

    Returns:
        (..., 4) wxyz.
    """
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def rigid_from_parts(rotation: Tensor, translation: Tensor) -> Tensor:
    """Homogeneous matrices from rotations and translations.

    Args:
        rotation: (..., 3, 3).
        translation: (..., 3).

    Returns:
        (..., 4, 4).
    """
    bottom = rotation.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*rotation.shape[:-2], 1, 4)
    return torch.cat([torch.cat([rotation, translation[..., None]], dim=-1), bottom], dim=-2)


def invert_rigid(a_from_b: Tensor) -> Tensor:
    """Inverse of rigid transforms, without a general matrix inversion.

    Args:
        a_from_b: (..., 4, 4) rotation and translation.

    Returns:
        (..., 4, 4) b_from_a.
    """
    rotation = a_from_b[..., :3, :3].transpose(-1, -2)
    return rigid_from_parts(rotation, -(rotation @ a_from_b[..., :3, 3:]).squeeze(-1))


def transform_points(a_from_b: Tensor, points_in_b: Tensor) -> Tensor:
    """Apply transforms to points.

    Args:
        a_from_b: (..., 4, 4) affine.
        points_in_b: (..., N, 3).

    Returns:
        (..., N, 3) points in a.
    """
    return points_in_b @ a_from_b[..., :3, :3].transpose(-1, -2) + a_from_b[..., None, :3, 3]


def slerp(a: Tensor, b: Tensor, fraction: Tensor) -> Tensor:
    """Spherical interpolation of rotations along the shorter arc, differentiable also where both are equal.

    Args:
        a: (..., 4) quaternions of any non-zero length, at fraction 0.
        b: (..., 4), at fraction 1.
        fraction: (...) in [0, 1].

    Returns:
        (..., 4) unit quaternions.
    """
    a, b = normalize(a, dim=-1), normalize(b, dim=-1)
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)
    fraction = fraction[..., None]
    # Of the ways to get an angle from two unit vectors this one keeps its digits near 0, where arccos loses half.
    angle = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    is_small = angle < 1e-6
    sine = torch.where(is_small, torch.ones_like(angle), angle.sin())
    weight_a = torch.where(is_small, 1 - fraction, ((1 - fraction) * angle).sin() / sine)
    weight_b = torch.where(is_small, fraction, (fraction * angle).sin() / sine)
    return normalize(weight_a * a + weight_b * b, dim=-1)
