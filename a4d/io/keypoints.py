"""Keypoints of a person in all frames of a workspace, `keypoints.npz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.array_files import read_arrays, write_arrays
from a4d.io.arrays import require_finite

KEYPOINTS_FILE = "keypoints.npz"

BLAZEPOSE = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky"),
    *("left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
    *("left_foot_index", "right_foot_index"),
)
"""The 33 names of BlazePose, in its order; left is the person's own."""

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""The 17 names of COCO, in its order."""

COCO_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
"""The six that COCO-WholeBody has of the feet, in its order."""

BODY_25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel"),
    *("right_big_toe", "right_small_toe", "right_heel"),
)
"""The 25 names of OpenPose, in its order."""

NAMES = frozenset({*BLAZEPOSE, *COCO_FEET, *BODY_25})
"""Everything that a keypoint may be called."""


@dataclass(frozen=True)
class Keypoints:
    """K keypoints of one person in F frames, in the order of the images.

    Args:
        names: of the keypoints, all different and among `NAMES`; left is the person's own.
        points: (F, K, 2) float32 pixels right and down, the first pixel's centre at (0.5, 0.5).
        visibility: (F, K) float32 in [0, 1].
        found: (F,) bool: frames that show the person. Nothing else is said of the others.
        world: (F, K, 3) float32 metres from the middle of the hips along the camera's axes, right, down and away, where
            they were told.
    """

    names: tuple[str, ...]
    points: NDArray[np.float32]
    visibility: NDArray[np.float32]
    found: NDArray[np.bool_]
    world: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Landmarks:
    """The K keypoints of a person in one picture.

    Args:
        points: (K, 2) pixels right and down, the first pixel's centre at (0.5, 0.5).
        visibility: (K,) in [0, 1].
        world: (K, 3) metres from the middle of the hips along the camera's axes, right, down and away, if told.
    """

    points: NDArray[np.float32]
    visibility: NDArray[np.float32]
    world: NDArray[np.float32] | None


def gathered(names: tuple[str, ...], seen: Sequence[Landmarks | None]) -> Keypoints:
    """The landmarks of one person in all frames of a film; of a frame without the person they are None."""
    nobody = Landmarks(*(np.zeros((len(names), *shape), np.float32) for shape in ((2,), (), (3,))))
    every = [nobody if landmarks is None else landmarks for landmarks in seen]
    metres = [landmarks.world for landmarks in every if landmarks.world is not None]
    return Keypoints(
        names=names,
        points=np.stack([landmarks.points for landmarks in every]),
        visibility=np.stack([landmarks.visibility for landmarks in every]),
        found=np.array([landmarks is not None for landmarks in seen]),
        world=np.stack(metres) if len(metres) == len(every) else None,
    )


def write_keypoints(path: Path, keypoints: Keypoints) -> None:
    """Write keypoints; zeros in frames without the person.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    told = {"points": keypoints.points, "visibility": keypoints.visibility}
    if keypoints.world is not None:
        told["world"] = keypoints.world
    found = np.asarray(keypoints.found, np.bool_)
    arrays = {name: np.where(_beside(found, values), values, 0).astype(np.float32) for name, values in told.items()}
    write_arrays(path, {"names": np.array(keypoints.names, np.str_), **arrays, "found": found})


def read_keypoints(path: Path, frames: int | None = None) -> Keypoints:
    """The keypoints of a workspace.

    Args:
        path: the file.
        frames: that there must be; any number by default.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, of another shape or type, of another number of frames, or names a keypoint
            twice or by a name that there is not.
    """
    arrays = read_arrays(path, ["names", "points", "visibility", "found"], "keypoints", optional=["world"])
    names, points = arrays["names"], arrays["points"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) != len(names) or not len(names):
        raise InvalidInputError(f"{path}: 'names' is no list of texts that differ")
    if unknown := sorted(set(names.tolist()) - NAMES):
        raise InvalidInputError(f"{path}: there is no keypoint '{unknown[0]:.40}'")
    count = len(points) if frames is None and points.ndim else frames
    wanted = {
        "points": ((count, len(names), 2), np.float32),
        "visibility": ((count, len(names)), np.float32),
        "found": ((count,), np.bool_),
        "world": ((count, len(names), 3), np.float32),
    }
    for name, (shape, dtype) in wanted.items():
        values = arrays.get(name)
        if values is None:
            continue
        if values.shape != shape or values.dtype != dtype:
            raise InvalidInputError(f"{path}: '{name}' is {values.dtype} {values.shape}, not {np.dtype(dtype)} {shape}")
        require_finite(path, name, values)
    visibility = arrays["visibility"]
    if visibility.size and not 0 <= visibility.min() <= visibility.max() <= 1:
        raise InvalidInputError(f"{path}: 'visibility' is not in [0, 1]")
    return Keypoints(tuple(names.tolist()), points, visibility, arrays["found"], arrays.get("world"))


def keypoint_problems(root: Path, frames: int) -> list[str]:
    """What of a workspace's keypoints breaks its format, in words.

    Args:
        root: of the workspace.
        frames: that it has.
    """
    if not (root / KEYPOINTS_FILE).is_file():
        return []
    try:
        read_keypoints(root / KEYPOINTS_FILE, frames)
    except InvalidInputError as error:
        return [error.problem]
    return []


def _beside(found: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(F, 1, ...) of as many dimensions as the values."""
    return found.reshape(-1, *(1,) * (values.ndim - 1))
