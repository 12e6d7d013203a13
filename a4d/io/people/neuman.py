"""NeuMan's scenes: a camera that moves, by COLMAP, masks that are black on the person, poses of ROMP or HUGS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.transforms import invert_rigid, rigid_from_parts
from a4d.io.array_files import read_arrays
from a4d.io.captures.canonical_frame import transform_capture
from a4d.io.captures.capture import CaptureChoice, PosedCapture
from a4d.io.captures.colmap import find_colmap_models, read_colmap
from a4d.io.people.people_sequence import PeopleSequence, pictures_of
from a4d.io.people.splits import named_splits
from a4d.io.pickled_arrays import read_pickled_values
from a4d.io.trackers.person_track import (
    LARGEST,
    PersonTrack,
    TrackCamera,
    numbers,
    same_length,
    turned_joints,
)
from a4d.pixels import Array

ALIGNMENTS = "alignments.npy"
ESTIMATES = ("smpl_output_optimized.pkl", "smpl_output_romp.pkl")
"""Poses before they are aligned, the better first."""

REFIT = "4d_humans/smpl_optimized_aligned_scale.npz"
REFIT_MASKS = "4d_humans/sam_segmentations"


def is_layout(folder: Path) -> bool:
    """Whether a folder is such a scene."""
    has_poses = (folder / REFIT).is_file() or (folder / ALIGNMENTS).is_file()
    return has_poses and (folder / "images").is_dir() and bool(find_colmap_models(folder))


def read(folder: Path) -> PeopleSequence:
    """Read a scene, in metres: COLMAP's unit is undone by the size that the person has in it.

    Raises:
        MissingInputError: there are no masks or poses.
        InvalidInputError: there are not as many images, masks and poses as belong together.
    """
    whole = read_colmap(folder, CaptureChoice(images_folder=folder / "images", root=folder))
    chosen = named_splits(folder, [image.name for image in whole.images])
    frames = [frame for frame, _ in chosen]
    capture = replace(whole.subset(frames), splits=tuple(split for _, split in chosen), masks=None)
    is_refit = (folder / REFIT).is_file()
    vectors, shape, scene_from_body = (_refit if is_refit else _aligned)(folder, [image.name for image in whole.images])
    same_length(folder, images=torch.zeros(len(whole), 0), poses=vectors)
    scale = float(torch.linalg.det(scene_from_body[:, :3, :3]).pow(1 / 3).median())
    if not scale > 0:
        raise InvalidInputError(f"{folder} has a person of no size")
    metric = transform_capture(capture, np.diag([1 / scale, 1 / scale, 1 / scale, 1.0]))
    # Depths and points say nothing of the person.
    metric = replace(metric, depths=None, points=None, up_axis=None)
    return PeopleSequence(
        metric,
        _track(vectors, shape, scene_from_body, scale).at(torch.tensor(frames)),
        _pictures(folder, capture, is_refit),
    )


def _track(
    vectors: Tensor,  # (N, 72)
    shape: Tensor,  # (N, S)
    scene_from_body: Tensor,  # (N, 4, 4) similarities
    scale: float,  # of most of them
) -> PersonTrack:
    """The person in metres: the frame in which its root turns without moving takes the place of a camera's."""
    linear = scene_from_body[:, :3, :3]
    sizes = torch.linalg.det(linear).pow(1 / 3)
    world_from_body = rigid_from_parts(linear / sizes[:, None, None], scene_from_body[:, :3, 3] / scale)
    rotations = turned_joints(Path(REFIT), vectors)
    still = RootPose(rotations[:, 0], torch.zeros(len(vectors), 3, dtype=torch.float64))
    frame = TrackCamera(torch.ones(1, 4, dtype=torch.float64), (1, 1), invert_rigid(world_from_body))
    return PersonTrack("0", torch.arange(len(vectors)), rotations, shape, in_camera=still, camera=frame)


def _refit(folder: Path, names: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 72) poses, (N, S) shapes and (N, 4, 4) scene_from_body as HUGS fitted them: scaled, and then moved."""
    del names
    path = folder / REFIT
    wanted = ("global_orient", "body_pose", "transl", "betas", "scale")
    arrays = read_arrays(path, wanted, "poses", largest=LARGEST)
    root, joints = numbers(path, arrays, "global_orient", None, 3), numbers(path, arrays, "body_pose", None, 69)
    places = numbers(path, arrays, "transl", None, 3)
    sizes = numbers(path, {"scale": arrays["scale"].reshape(-1)}, "scale", None).expand(len(root))
    shape = numbers(path, arrays, "betas", None, None)
    same_length(path, global_orient=root, body_pose=joints, transl=places)
    linear = sizes[:, None, None] * torch.eye(3, dtype=torch.float64)
    return torch.cat([root, joints], dim=1), shape, rigid_from_parts(linear, places)


def _aligned(folder: Path, names: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """The same of ROMP's poses, whose similarities into the scene are stored transposed, by image."""
    path = next((folder / name for name in ESTIMATES if (folder / name).is_file()), None)
    if path is None:
        raise MissingInputError(f"there is no {ESTIMATES[-1]} in {folder}", "NeuMan's scenes come with one")
    people, alignments = read_pickled_values(path, "poses"), read_pickled_values(folder / ALIGNMENTS, "alignments")
    if not isinstance(people, Mapping) or len(people) != 1 or not isinstance(alignments, Mapping):
        raise InvalidInputError(f"{path} tells of {len(people)} people, and one is wanted")
    (person,) = people.values()
    rows = [int(Path(name).stem) for name in names]
    pose, shape = numbers(path, person, "pose", None, 72), numbers(path, person, "betas", None, None)
    if max(rows) >= len(pose):
        raise InvalidInputError(f"{path} has {len(pose)} poses, and there is an image {max(rows)}")
    stored = torch.stack([numbers(folder / ALIGNMENTS, alignments, name, 4, 3) for name in names])
    bottom = stored.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(names), 1, 4)
    return pose[rows], shape[:1], torch.cat([stored.transpose(1, 2), bottom], dim=1)


def _pictures(folder: Path, capture: PosedCapture, is_refit: bool) -> Callable[[], Iterator[tuple[Array, Array]]]:
    """Images with NeuMan's masks, which are inverted, or with those of the refit, which are not."""
    masks = folder / (REFIT_MASKS if is_refit and (folder / REFIT_MASKS).is_dir() else "segmentations")
    files = [masks / image.name for image in capture.images]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise MissingInputError(f"{missing[0]} does not exist", "Each image of such a scene has its mask")
    return pictures_of(capture.images, files, is_inverted=masks.name == "segmentations")
