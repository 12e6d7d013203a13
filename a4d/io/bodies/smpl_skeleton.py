"""The joints of the SMPL family where no model's file is at hand: as they are placed at rest, to a centimetre."""

from __future__ import annotations

import torch

from a4d.geometry.bodies.rigged_character import RiggedCharacter
from a4d.io.bodies.smpl import JOINTS

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

PLACES = (
    (0.00, -0.22, 0.03), (0.07, -0.31, 0.02), (-0.07, -0.31, 0.02), (0.00, -0.11, 0.00), (0.10, -0.69, 0.02),
    (-0.10, -0.69, 0.02), (0.00, 0.02, 0.00), (0.09, -1.09, -0.03), (-0.09, -1.09, -0.03), (0.00, 0.07, 0.03),
    (0.12, -1.14, 0.09), (-0.12, -1.14, 0.09), (0.00, 0.29, -0.01), (0.08, 0.19, -0.01), (-0.08, 0.19, -0.01),
    (0.00, 0.35, 0.04), (0.17, 0.23, -0.02), (-0.17, 0.23, -0.02), (0.43, 0.21, -0.04), (-0.43, 0.21, -0.04),
    (0.68, 0.22, -0.04), (-0.68, 0.22, -0.04), (0.77, 0.21, -0.06), (-0.77, 0.21, -0.06),
)  # fmt: skip
"""Metres, of the mean shape made symmetric; the pelvis is where all SMPL models put it, below the origin."""


def mean_smpl(size: float = 1.0) -> RiggedCharacter:
    """The 24 joints of SMPL as a body whose only vertices are the joints themselves, so many times as large.

    It says how a pose of any model of the family moves joints of the mean shape, as nearly as a centimetre of rounding
    and a shape that is not asked for allow; SMPL+H and SMPL-X share its first 22.
    """
    places = size * torch.tensor(PLACES)
    return RiggedCharacter(
        names=JOINTS[len(PARENTS)],
        parents=torch.tensor(PARENTS),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        weights=torch.eye(len(PARENTS)),
        uvs=None,
        vertices=places,
        joints=places,
    )
