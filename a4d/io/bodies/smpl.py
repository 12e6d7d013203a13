"""Models of the SMPL family out of the user's own files: SMPL, SMPL+H and SMPL-X, as pickles or archives of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.smpl import SmplBody
from a4d.geometry.deformation.skeleton import joint_in_loop
from a4d.io.array_files import read_arrays
from a4d.io.arrays import require_finite
from a4d.io.pickled_arrays import read_pickled_arrays

REQUIRED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
OPTIONAL = ("vt", "ft")

LARGEST = 1 << 30
"""Bytes of the largest array of an archive, far above those of SMPL-X."""

TRUNK = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
FACE = ("jaw", "left_eye", "right_eye")
HANDS = tuple(
    f"{side}_{finger}{number}"
    for side in ("left", "right")
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for number in (1, 2, 3)
)

JOINTS = {
    24: (*TRUNK, "left_hand", "right_hand"),
    52: (*TRUNK, *HANDS),
    55: (*TRUNK, *FACE, *HANDS),
}
"""Names of the joints of SMPL, SMPL+H and SMPL-X, in their order."""

EXPRESSIONS_BEGIN = {400: 300, 20: 10}
"""Where the expressions of SMPL-X begin among so many shape directions."""


def read_smpl(path: Path, betas: int = 10, expressions: int = 10) -> SmplBody:
    """Read a model as its authors publish it.

    Args:
        path: `.pkl`, of which nothing is run, or `.npz`.
        betas: principal components of shapes, at most those that the file has.
        expressions: those of faces, of SMPL-X alone.

    Returns:
        A body, float32, whose shape is the betas and then the expressions. It has texture coordinates where the file
        has them (`vt`, `ft`).

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, asks to run something, or its arrays make no body.
    """
    if path.suffix == ".pkl":
        arrays = read_pickled_arrays(path, REQUIRED, "body model", OPTIONAL)
    elif path.suffix == ".npz":
        arrays = read_arrays(path, REQUIRED, "body model", OPTIONAL, LARGEST)
    else:
        raise InvalidInputError(f"{path} is no body model", "SMPL and SMPL-X come as .pkl and .npz")
    _check(path, arrays)
    count, joints = int(arrays["shapedirs"].shape[2]), len(arrays["J_regressor"])
    first = EXPRESSIONS_BEGIN.get(count, count) if joints == len(JOINTS[55]) else count
    shapes = [*range(min(betas, first)), *range(first, min(first + expressions, count))]
    return SmplBody(
        names=JOINTS.get(joints, tuple(f"joint{joint}" for joint in range(joints))),
        parents=_parents(path, arrays["kintree_table"]),
        faces=torch.from_numpy(arrays["f"].astype(np.int64)),
        weights=_floats(arrays["weights"]),
        uvs=_uvs(path, arrays),
        template=_floats(arrays["v_template"]),
        shape_directions=_floats(arrays["shapedirs"][:, :, shapes].transpose(2, 0, 1)),
        pose_directions=_floats(arrays["posedirs"].transpose(2, 0, 1)),
        joint_regressor=_floats(arrays["J_regressor"]),
        named_shapes=tuple(f"beta{i}" if i < first else f"expression{i - first}" for i in shapes),
    )


def _check(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Whether the arrays belong together.

    Raises:
        InvalidInputError: one has another shape than the others ask for, or is not finite.
    """
    vertices, joints = len(arrays["v_template"]), len(arrays["J_regressor"])
    directions = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim else 0
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, directions),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
        "f": (len(arrays["f"]), 3),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise InvalidInputError(f"{path} is no body model: '{name}' is {arrays[name].shape} and should be {shape}")
        require_finite(path, name, _single(arrays[name]))
    _check_range(path, "f", arrays["f"], vertices)


def _check_range(path: Path, name: str, indices: NDArray[Any], count: int) -> None:
    if not indices.size or indices.min() < 0 or indices.max() >= count:
        raise InvalidInputError(f"{path} is no body model: '{name}' speaks of vertices that it lacks")


def _parents(path: Path, table: NDArray[Any]) -> Tensor:
    """(J,) parents of a kinematic tree whose root has any number that is no joint's.

    Raises:
        InvalidInputError: it is no tree.
    """
    parents = [int(parent) if 0 <= parent < table.shape[1] else -1 for parent in table[0].tolist()]
    if parents.count(-1) != 1 or joint_in_loop(parents) is not None:
        raise InvalidInputError(f"{path} is no body model: its joints form no tree")
    return torch.tensor(parents, dtype=torch.int64)


def _uvs(path: Path, arrays: dict[str, NDArray[Any]]) -> Tensor | None:
    """(F, 3, 2) of texture coordinates that are stored with v up, as OBJ has them."""
    if not all(name in arrays for name in OPTIONAL):
        return None
    places, corners = arrays["vt"], arrays["ft"]
    if places.shape[1:] != (2,) or corners.shape != arrays["f"].shape:
        raise InvalidInputError(f"{path} is no body model: its texture coordinates are not those of its faces")
    require_finite(path, "vt", _single(places))
    _check_range(path, "ft", corners, len(places))
    return _floats(np.stack([places[..., 0], 1.0 - places[..., 1]], axis=-1)[corners.astype(np.int64)])


def _floats(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(_single(values))


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused as such
        return np.ascontiguousarray(values, dtype=np.float32)
