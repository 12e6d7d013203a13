"""A set of 3D Gaussians as plain tensors, in the unconstrained form that optimisers and the 3DGS file format share."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SH_DEGREE_0 = 0.28209479177387814
"""Value of the constant real spherical harmonic: colour = 0.5 + SH_DEGREE_0 * coefficient."""


def count_numbers(sh_degree: int) -> int:
    """Numbers of one Gaussian with spherical harmonics up to a degree."""
    return 11 + 3 * (sh_degree + 1) ** 2


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians with view-dependent colour (Kerbl et al. 2023, section 4).

    Args:
        means: (N, 3) world, metres.
        quaternions: (N, 4) wxyz, any non-zero length.
        log_scales: (N, 3) natural logarithm of the standard deviations in metres.
        opacity_logits: (N,) opacity is their sigmoid.
        sh: (N, K, 3) real spherical-harmonic coefficients of sRGB minus 0.5, K = (degree + 1)^2.
    """

    means: Tensor
    quaternions: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    sh: Tensor

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Gaussians:
        return Gaussians(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 3."""
        return {1: 0, 4: 1, 9: 2, 16: 3}[self.sh.shape[1]]

    @property
    def scales(self) -> Tensor:
        """(N, 3) standard deviations, metres."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """(N,) in [0, 1]."""
        return self.opacity_logits.sigmoid()

    @property
    def colours(self) -> Tensor:
        """(N, 3) sRGB of the view-independent part, clipped to [0, 1]."""
        return colours_from_sh(self.sh[:, 0])

    def to(self, target: torch.device | str | torch.dtype) -> Gaussians:
        """The same Gaussians on another device or in another precision."""
        return Gaussians(**{field.name: getattr(self, field.name).to(target) for field in fields(self)})

    def detach(self) -> Gaussians:
        """The same Gaussians without their gradient history."""
        return Gaussians(**{field.name: getattr(self, field.name).detach() for field in fields(self)})


def sh_from_colours(colours: Tensor) -> Tensor:
    """(..., 3) sRGB in [0, 1] to the coefficients of the constant harmonic."""
    return (colours - 0.5) / SH_DEGREE_0


def colours_from_sh(coefficients: Tensor) -> Tensor:
    """(..., 3) coefficients of the constant harmonic to sRGB, clipped to [0, 1]."""
    return (coefficients * SH_DEGREE_0 + 0.5).clamp(0, 1)
