"""What every layout is read into: a person of the SMPL family over the frames of a film, and the camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.transforms import invert_rigid, rotation_from_axis_angle
from a4d.io.bodies.smpl import JOINTS, TRUNK

MODELS = {22: "smplx", 24: "smpl", 52: "smplh", 55: "smplx"}
"""Of which model of the family so many joints are; 22 are the trunk of all, which SMPL-X's trackers tell alone."""

LARGEST = 1 << 30
"""Bytes of the largest array of an archive."""


@dataclass(frozen=True)
class TrackFile:
    """What a tracker left.

    Args:
        path: of the file.
        values: what is in it, by name.
        film: width, height of the film in pixels, where a layout does not say for what picture its camera is.
    """

    path: Path
    values: Mapping[Any, Any]
    film: tuple[int, int]


@dataclass(frozen=True)
class TrackCamera:
    """The camera of a film.

    Args:
        intrinsics: (1, 4) or (T, 4) float64 fx, fy, cx, cy in pixels, the first pixel's centre at (.5, .5).
        size: width, height in pixels that the intrinsics are for.
        camera_from_world: (1, 4, 4) or (T, 4, 4) float64 rigid, OpenCV axes; None where it is not told.
    """

    intrinsics: Tensor
    size: tuple[int, int]
    camera_from_world: Tensor | None = None

    def at(self, moments: Tensor) -> TrackCamera:
        """The camera at some of the moments, by index."""
        intrinsics, poses = self.intrinsics, self.camera_from_world
        return TrackCamera(
            intrinsics[moments] if len(intrinsics) > 1 else intrinsics,
            self.size,
            poses[moments] if poses is not None and len(poses) > 1 else poses,
        )


@dataclass(frozen=True)
class PersonTrack:
    """A person of the SMPL family as another program followed it, at T moments.

    The whole body's pose is told in a world, as a camera sees it, or in both; in one of them at least.

    Args:
        person: by which the program tells people apart.
        frames: (T,) int64 places of the moments in the film, from 0.
        rotations: (T, J, 3, 3) float64 see `Body`; the root's own is not looked at.
        shape: (S,) or (T, S) float64 betas of the model; empty where they are not told.
        in_world: float64.
        in_camera: float64.
        camera: None where the program knows none.
        up: (3,) float64 against gravity in the world; None where the program does not know it.
        seconds_per_frame: None where it is not told.
        size: of the person over the mean shape, where points rather than betas tell it.
    """

    person: str
    frames: Tensor
    rotations: Tensor
    shape: Tensor
    in_world: RootPose | None = None
    in_camera: RootPose | None = None
    camera: TrackCamera | None = None
    up: Tensor | None = None
    seconds_per_frame: float | None = None
    size: float = 1.0

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def model(self) -> str:
        """The member of the family: `smpl`, `smplh` or `smplx`."""
        return MODELS[self.rotations.shape[1]]

    @property
    def joint_names(self) -> tuple[str, ...]:
        """J names."""
        return JOINTS.get(self.rotations.shape[1], TRUNK)

    @property
    def betas(self) -> Tensor:
        """(S,) of the one shape that a person has: the mean over the moments."""
        return self.shape.mean(0) if self.shape.ndim > 1 and len(self.shape) else self.shape.flatten()

    def at(self, moments: Tensor) -> PersonTrack:
        """The same person at some of the moments, by index."""
        return replace(
            self,
            frames=self.frames[moments],
            rotations=self.rotations[moments],
            in_world=None if self.in_world is None else self.in_world.at(moments),
            in_camera=None if self.in_camera is None else self.in_camera.at(moments),
            camera=None if self.camera is None else self.camera.at(moments),
        )

    def placed(
        self,
        pivot: Tensor,  # (3,) the root's joint at rest, which a shape has
    ) -> tuple[RootPose, Tensor]:
        """The whole body in the world, and (1 or T, 4, 4) camera_from_world, which both poses tell where both are told.

        The camera stands at the origin where nothing tells of it.
        """
        still = torch.eye(4, dtype=torch.float64)[None]
        told = still if self.camera is None or self.camera.camera_from_world is None else self.camera.camera_from_world
        if self.in_camera is None:
            assert self.in_world is not None
            return self.in_world, told
        if self.in_world is None:
            return self.in_camera.seen_from(invert_rigid(told), pivot), told
        return self.in_world, self.in_camera.transform_from(self.in_world, pivot)


def joined(tracks: Sequence[PersonTrack]) -> PersonTrack:
    """Parts of a sequence in the same world one after the other, with the shape and the model of the first.

    Raises:
        InvalidInputError: the parts turn other joints, or are in frames of different kinds.
    """
    first = tracks[0]
    roots, cameras = [track.in_world for track in tracks], [track.camera for track in tracks]
    if len({track.rotations.shape[1] for track in tracks}) > 1 or None in roots or None in cameras:
        raise InvalidInputError("the parts of a sequence tell of different bodies")
    known = [root for root in roots if root is not None]
    return replace(
        first,
        frames=torch.arange(sum(len(track) for track in tracks)),
        rotations=torch.cat([track.rotations for track in tracks]),
        shape=first.betas,
        in_world=RootPose(torch.cat([r.rotation for r in known]), torch.cat([r.translation for r in known])),
        camera=_joined_cameras([(camera, len(track)) for camera, track in zip(cameras, tracks, strict=True) if camera]),
    )


def _joined_cameras(parts: list[tuple[TrackCamera, int]]) -> TrackCamera:
    poses = [camera.camera_from_world for camera, _ in parts]
    if any(pose is None for pose in poses):
        poses = [torch.eye(4, dtype=torch.float64)[None]] * len(parts)
    return TrackCamera(
        torch.cat([camera.intrinsics.expand(count, 4) for camera, count in parts]),
        parts[0][0].size,
        torch.cat(
            [pose.expand(count, 4, 4) for pose, (_, count) in zip(poses, parts, strict=True) if pose is not None]
        ),
    )


def numbers(path: Path, values: Mapping[Any, Any], name: str, *shape: int | None) -> Tensor:
    """An array of a track, float64, of a shape in which None is any length.

    Raises:
        InvalidInputError: it is missing, of another shape, or not finite.
    """
    if name not in values:
        raise InvalidInputError(f"{path} is no track that can be read: it has no '{name}'")
    try:
        with np.errstate(invalid="ignore"):  # of a NaN that signals; it is refused below
            array = np.asarray(values[name], np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{path}: '{name}' holds no numbers") from None
    fits = len(array.shape) == len(shape) and all(
        wanted is None or wanted == length for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if length is None else str(length) for length in shape)
        raise InvalidInputError(f"{path}: '{name}' is {array.shape!s:.60} and should be {wanted}")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{path}: '{name}' holds values that are not finite numbers")
    return torch.from_numpy(array.copy())


def turned_joints(
    path: Path,
    vectors: Tensor,  # (T, 3 J) axes times angles
    counts: Sequence[int] = tuple(MODELS),
) -> Tensor:
    """(T, J, 3, 3) rotations of joints that are told by axes and angles.

    Raises:
        InvalidInputError: they are not of as many joints as a model has.
    """
    if vectors.shape[1] not in [3 * count for count in counts]:
        raise InvalidInputError(f"{path} turns {vectors.shape[1]} / 3 joints, which no model of the SMPL family has")
    return rotation_from_axis_angle(vectors.unflatten(1, (-1, 3)))


def same_length(path: Path, **parts: Tensor) -> None:
    """Check that there is as much of everything.

    Raises:
        InvalidInputError: there is not.
    """
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        told = ", ".join(f"{count} of {name}" for name, count in lengths.items())
        raise InvalidInputError(f"{path} is no track that can be read: it has {told}")


def pinhole(
    matrix: Tensor,  # (..., 3, 3) pixels
) -> Tensor:
    """(..., 4) fx, fy, cx, cy."""
    return torch.stack([matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 0, 2], matrix[..., 1, 2]], dim=-1)
