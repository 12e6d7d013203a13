"""The cameras of a film around one thing, placed in the world, and what they can be trusted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.errors import QualityError
from a4d.estimation.objects import carving_kernels
from a4d.estimation.objects.courses import Array, Course, Known, standing
from a4d.estimation.objects.crops import FILLED, Crops, look_at_subject
from a4d.estimation.objects.search import EFFORTS, TOLERATED, Effort, find_course
from a4d.geometry.reconstruction.visual_hull import view_weights
from a4d.pixels import Array as Picture

FEWEST = 8
"""Frames that have to show the whole subject: in fewer, one course explains them as well as another."""

VOXELS = 48
"""Along the box of the shape by which cameras are centred."""

RADIUS = 0.9
"""Metres of the largest silhouette around its middle: what moves stays in the unit ball."""

REMEDY = "Film it for longer and from more sides, or give its cameras with --cameras"


@dataclass(frozen=True)
class ObjectCameras:
    """Cameras of F frames around a thing in the middle of the world, +Y up.

    Args:
        world_from_camera: (F, 4, 4) float64, OpenCV axes, metres.
        is_seen: (F,) whether a frame shows the subject.
        is_whole: (F,) whether it shows all of it; the cameras of other frames are filled in.
        is_still: whether all look from one side.
        turn: degrees between the outermost azimuths, of which 360 is once around.
        elevation: degrees above the horizon, in the mean.
        overlap: of silhouettes with those of a shape that the other half of the frames made, in [0, 1].
        confidence: in [0, 1], the share of all likely courses that agrees with this one; None where it was known.
        shape: (P, 3) float64 world: the surface that most frames agree on, as points.
        spacing: metres between neighbouring ones.
    """

    world_from_camera: Array
    is_seen: NDArray[np.bool_]
    is_whole: NDArray[np.bool_]
    is_still: bool
    turn: float
    elevation: float
    overlap: float
    confidence: float | None
    shape: Array
    spacing: float


def find_cameras(
    film: Sequence[Picture],  # F of (H, W, 4) sRGB in [0, 1], straight alpha
    lens: Array,  # (4,) fx, fy, cx, cy in pixels
    filmed: Array,  # (4,) left, top, right, bottom in pixels
    known: Known,
    told: Callable[[float], None],
    efforts: Sequence[Effort] = EFFORTS,
) -> ObjectCameras:
    """The course that a camera takes around what its film shows, which may move.

    Args:
        film: is read frame by frame.
        lens: of all frames.
        filmed: what of the frames was filmed, which a crop may reach beyond.
        known: of the course; nobody looks for that of a camera that is known to stand still.
        told: is told of the share that has been done.
        efforts: of the search.

    Raises:
        QualityError: too few frames show the whole subject.
    """
    crops = look_at_subject(film, lens, filmed)
    if (seen := int(crops.is_whole.sum())) < FEWEST:
        raise QualityError(f"only {seen} of {len(film)} frames show the whole subject, of {FEWEST} at least", REMEDY)
    found = None if known.is_still else find_course(crops, told, efforts, known.elevation)
    course = _facing(found.best.course if found else standing(len(film)), known)
    looking = course.camera_from_object
    poses = _centred(crops, looking, _carved(crops, looking))
    shape = _carved(crops, poses)
    middle = (shape.min(0) + shape.max(0)) / 2
    scale = RADIUS * crops.focal / (FILLED * crops.rgba.shape[1])
    return ObjectCameras(
        world_from_camera=_world_from_camera(crops, poses, middle, scale),
        is_seen=crops.is_seen,
        is_whole=crops.is_whole,
        is_still=course.is_still,
        turn=float(np.ptp(course.azimuth)),
        elevation=float(course.elevation.mean()),
        overlap=_held_out_overlap(crops, poses),
        confidence=found.likelihood if found else None,
        shape=(shape - middle) * scale,
        spacing=2 * crops.extent / VOXELS * scale,
    )


def _facing(course: Course, known: Known) -> Course:
    """The course with its first view where it is said to be; one and the same view where the camera stands still."""
    if not course.is_still:
        return replace(course, azimuth=course.azimuth - course.azimuth[0] + known.azimuth)
    level = np.zeros(len(course.azimuth))
    return replace(course, azimuth=level + known.azimuth, elevation=level + (known.elevation or 0.0))


def _carved(crops: Crops, poses: Array, frames: slice = slice(None)) -> Array:
    """(P, 3) the surface that the whole ones of some frames agree on."""
    whole = np.flatnonzero(crops.is_whole)[frames]
    full = np.zeros((VOXELS,) * 3, np.bool_)
    masks, _ = crops.reduced(crops.rgba.shape[1], whole)
    carving_kernels.carve(masks, view_weights(poses[whole]), poses[whole], crops.focal, crops.extent, TOLERATED, full)
    return np.asarray(carving_kernels.surface(full, crops.extent))


def _centred(crops: Crops, poses: Array, shape: Array) -> Array:
    """(F, 3, 4) the same poses, moved aside to where the shape overlaps each silhouette most.

    Crops look at the middle of a silhouette, which limbs move.
    """
    whole = np.flatnonzero(crops.is_whole)
    masks, _ = crops.reduced(crops.rgba.shape[1], whole)
    shifts = np.stack([_shift(_silhouette(crops, poses[f], shape), mask) for f, mask in zip(whole, masks, strict=True)])
    every = np.arange(len(poses))
    slopes = np.stack([np.interp(every, whole, shifts[:, axis]) for axis in range(2)], axis=-1) / crops.focal
    moved = poses.copy()
    moved[:, :2, 3] += slopes * moved[:, 2:, 3]
    return moved


def _silhouette(crops: Crops, pose: Array, shape: Array) -> NDArray[np.bool_]:
    side = crops.rgba.shape[1]
    nearest, depths = np.empty((side, side), np.int64), np.empty((side, side))
    carving_kernels.draw(shape, 2 * crops.extent / VOXELS, pose, crops.focal, nearest, depths)
    return nearest >= 0


def _shift(drawn: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Array:
    """(2,) whole pixels right and down by which a drawing overlaps a mask most; the smallest of such ways."""
    most = mask.shape[0] // 4
    wide = np.pad(mask.astype(np.float32), most)
    shared = cv2.matchTemplate(wide, drawn.astype(np.float32), cv2.TM_CCORR)
    shifts = np.argwhere(shared > shared.max() - 0.5) - most
    return np.asarray(shifts[np.square(shifts).sum(1).argmin()][::-1], np.float64)


def _held_out_overlap(crops: Crops, poses: Array) -> float:
    """The mean overlap of each half of the whole frames, every other one, with the shape that the other half makes."""
    whole, overlaps = np.flatnonzero(crops.is_whole), []
    for own, other in ((0, 1), (1, 0)):
        shape, seen = _carved(crops, poses, slice(other, None, 2)), whole[own::2]
        masks, _ = crops.reduced(crops.rgba.shape[1], seen)
        for frame, mask in zip(seen, masks, strict=True):
            drawn = _silhouette(crops, poses[frame], shape)
            overlaps.append((drawn & mask).sum() / (drawn | mask).sum())
    return float(np.mean(overlaps))


def _world_from_camera(crops: Crops, poses: Array, middle: Array, scale: float) -> Array:
    """(F, 4, 4) of the frames' own cameras, in a world around the shape's middle and of another scale."""
    rotations = crops.camera_from_crop @ poses[:, :, :3]
    places = np.einsum("fij,fj->fi", crops.camera_from_crop, poses[:, :, 3]) + rotations @ middle
    world_from_camera = np.tile(np.eye(4), (len(poses), 1, 1))
    world_from_camera[:, :3, :3] = rotations.swapaxes(-1, -2)
    world_from_camera[:, :3, 3] = -scale * np.einsum("fji,fj->fi", rotations, places)
    return world_from_camera
