"""Real spherical harmonics as 3DGS files hold them, and their coefficients in turned axes."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.gaussians import SH_DEGREE_0

PROBES = 64
"""Directions from which the rotation of spherical harmonics is found; 16 coefficients need no more."""


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics with the signs and the order of the 3DGS file format.

    Args:
        directions: (N, 3) unit vectors.
        degree: 0 to 3.

    Returns:
        (N, (degree + 1)^2).
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    bands = [
        [torch.full_like(x, SH_DEGREE_0)],
        [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x],
        [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ],
        [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ],
    ]
    return torch.stack([value for band in bands[: degree + 1] for value in band], dim=-1)


def turned_harmonics(
    sh: Tensor,  # (N, K, 3)
    rotation: Tensor,  # (3, 3) target_from_source
    degree: int,
) -> Tensor:
    """(N, K, 3) coefficients by which a direction in the target has the colour that it had in the source."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(PROBES, 3, generator=generator).double(), dim=1)
    before, after = sh_basis(directions, degree), sh_basis(directions @ rotation.cpu().T, degree)
    # after @ turned = before @ sh for all directions; both bases span the same functions, so that it is exact.
    turn = torch.linalg.lstsq(after, before).solution.to(sh)
    return torch.einsum("kj,njc->nkc", turn, sh)
