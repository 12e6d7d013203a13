"""`body.npz`: a body that was followed through a film, complete, so that no other file is needed to pose it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.rigged_character import RiggedCharacter
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.transforms import quaternion_from_rotation, rotation_from_quaternion
from a4d.io.array_files import read_arrays, write_arrays
from a4d.io.arrays import numpy_from_tensor, require_finite

BODY_FILE = "body.npz"

ARRAYS = (
    "model", "shape", "shape_names", "joint_names", "joint_parents", "vertices", "faces", "joints", "influences",
    "weights", "times", "seconds_per_frame", "rotations", "translation", "tracked",
)  # fmt: skip

DIMENSIONS = {
    "shape": "S", "shape_names": "S", "joint_names": "J", "joint_parents": "J", "vertices": "V3", "faces": "F3",
    "joints": "J3", "influences": "VK", "weights": "VK", "times": "T", "rotations": "TJ4", "translation": "T3",
    "tracked": "T", "uvs": "F32",
}  # fmt: skip
"""The sizes of the arrays: a letter stands for the same number everywhere, a digit for itself."""

SLACK = 1e-3
"""By which the length of a quaternion and the sum of a vertex's weights may differ from 1."""


def write_tracked_body(path: Path, tracked: TrackedBody) -> None:
    """Write a body and its poses, all or none; see FORMAT.md.

    Raises:
        InvalidInputError: a number is not finite.
        WorkspaceError: the file cannot be written.
    """
    animated, body = tracked.animated, tracked.animated.body
    vertices, joints = body.rest(None if isinstance(body, RiggedCharacter) else animated.shape)
    count = max(1, int((body.weights > 0).sum(1).max()))
    weights, influences = body.weights.topk(count, dim=1)
    arrays: dict[str, NDArray[Any]] = {
        "model": np.array(tracked.model),
        "shape": numpy_from_tensor(tracked.shape),
        "shape_names": np.array(tracked.shape_names, np.str_),
        "joint_names": np.array(body.names, np.str_),
        "joint_parents": numpy_from_tensor(body.parents, np.int64),
        "vertices": numpy_from_tensor(vertices),
        "faces": numpy_from_tensor(body.faces, np.int64),
        "joints": numpy_from_tensor(joints),
        "influences": numpy_from_tensor(influences, np.int64),
        "weights": numpy_from_tensor(weights),
        "times": numpy_from_tensor(tracked.times, np.float64),
        "seconds_per_frame": np.array(animated.seconds_per_frame),
        "rotations": numpy_from_tensor(quaternion_from_rotation(animated.rotations)),
        "translation": numpy_from_tensor(animated.translation),
        "tracked": numpy_from_tensor(tracked.is_tracked, np.bool_),
    }
    if body.uvs is not None:
        arrays["uvs"] = numpy_from_tensor(body.uvs)
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            require_finite(path, name, values)
    write_arrays(path, arrays)


def read_tracked_body(path: Path) -> TrackedBody:
    """Read what `write_tracked_body` or another program wrote.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or its arrays do not fit one another.
    """
    arrays = read_arrays(path, ARRAYS, "body", optional=("uvs",))
    _check(path, arrays)
    count = len(arrays["joint_names"])
    weights = torch.zeros(len(arrays["vertices"]), count).scatter_add(
        1, torch.from_numpy(arrays["influences"].astype(np.int64)), _floats(arrays["weights"])
    )
    body = RiggedCharacter(
        names=tuple(arrays["joint_names"].tolist()),
        parents=torch.from_numpy(arrays["joint_parents"].astype(np.int64)),
        faces=torch.from_numpy(arrays["faces"].astype(np.int64)),
        weights=weights / weights.sum(1, keepdim=True),
        uvs=_floats(arrays["uvs"]) if "uvs" in arrays else None,
        vertices=_floats(arrays["vertices"]),
        joints=_floats(arrays["joints"]),
    )
    animated = AnimatedBody(
        body,
        body.default_shape,
        rotation_from_quaternion(_floats(arrays["rotations"])),
        _floats(arrays["translation"]),
        float(arrays["seconds_per_frame"]),
    )
    return TrackedBody(
        animated,
        torch.from_numpy(arrays["times"].astype(np.float64)),
        torch.from_numpy(arrays["tracked"].astype(bool)),
        str(arrays["model"]),
        _floats(arrays["shape"]),
        tuple(arrays["shape_names"].tolist()),
    )


def _floats(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _check(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Refuse arrays that do not fit one another.

    Raises:
        InvalidInputError: names the file, and what does not fit.
    """
    sizes = {digit: int(digit) for digit in "0123456789"}
    for name, letters in DIMENSIONS.items():
        if name not in arrays:
            continue
        values = arrays[name]
        expected = tuple(sizes.setdefault(letter, size) for letter, size in zip(letters, values.shape, strict=False))
        if values.ndim != len(letters) or values.shape != expected:
            raise InvalidInputError(f"{path}: '{name}' of shape {values.shape!s:.60} does not fit the other arrays")
        if values.dtype.kind == "f":
            require_finite(path, name, values)
    vertices, joints = len(arrays["vertices"]), len(arrays["joint_names"])
    parents = arrays["joint_parents"]
    problems = {
        "no joints, no faces or no moments": not (joints and len(arrays["faces"]) and len(arrays["times"])),
        "a face with a vertex that is not there": bool(((arrays["faces"] < 0) | (arrays["faces"] >= vertices)).any()),
        "a weight of a joint that is not there": bool(
            ((arrays["influences"] < 0) | (arrays["influences"] >= joints)).any()
        ),
        "a joint whose parent is not there": bool(((parents < -1) | (parents >= joints)).any()),
        "joints in a circle": _is_circular(parents.tolist()),
        "weights that do not sum to 1": bool((np.abs(arrays["weights"].sum(1) - 1) > SLACK).any()),
        "rotations that are no unit quaternions": bool(
            (np.abs(np.linalg.norm(arrays["rotations"], axis=-1) - 1) > SLACK).any()
        ),
        "times that do not increase": bool((np.diff(arrays["times"]) <= 0).any()),
        "no rate": not float(arrays["seconds_per_frame"]) > 0,
    }
    for problem, is_so in problems.items():
        if is_so:
            raise InvalidInputError(f"{path} holds no body that can be posed: {problem}")


def _is_circular(parents: list[int]) -> bool:
    """Whether some joint is its own ancestor."""
    for joint in range(len(parents)):
        above, steps = joint, 0
        while 0 <= above < len(parents):
            above, steps = parents[above], steps + 1
            if steps > len(parents):
                return True
    return False
