"""How another body moves: motion capture, the clip of another file, or what another workspace shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from a4d.contents.bodies import followed_body
from a4d.contents.subjects import SubjectRequest, is_given_mesh, load_subject
from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.geometry.assets.animation import named_index
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.motion_axes import standing
from a4d.geometry.assets.placement import Orientation
from a4d.geometry.assets.reposing import motion_of
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.transforms import rigid_from_parts
from a4d.intake.followed_body import posed_smpl
from a4d.io.array_files import array_names
from a4d.io.assets.asset_files import asset_files
from a4d.io.assets.bvh import read_bvh
from a4d.io.assets.gltf.reader import SUFFIXES as GLTF_SUFFIXES
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.bodies.smpl_skeleton import mean_smpl
from a4d.io.bodies.tracked_body import read_tracked_body
from a4d.io.trackers import amass
from a4d.workspace.workspace import Workspace

BVH, ARCHIVE = ".bvh", ".npz"

BVH_CLIP = "motion"
"""What the only motion of a BVH file is called."""


@dataclass(frozen=True)
class MotionSource:
    """A motion on disk.

    Args:
        path: `.bvh`, `.glb`, `.gltf` with or without a mesh, AMASS's `.npz`, a `body.npz`, or a workspace.
        clip: name or number of its animation; the first if None.
        orientation: the axes of the file that point up and to the front, of a workspace those of its world; None finds
            those of motion capture, and takes the rest to be +Y up and +Z in front.
    """

    path: Path
    clip: str | None = None
    orientation: Orientation | None = None


def load_motion(source: MotionSource) -> Motion:
    """Read a motion, +Y up and +Z in front.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is of another kind, damaged, or nothing in it moves joints.
        UsageError: it has no clip of that name.
    """
    motion, suffix = _read(source.path, source.clip), source.path.suffix.lower()
    if suffix == ARCHIVE and not _is_body(source.path):
        # Its rest pose has the axes of SMPL, whatever those of its world.
        return standing(motion, source.orientation)
    if suffix == BVH and source.orientation is None:
        motion = standing(motion)
    turn = (source.orientation or Orientation()).world_from_source
    return motion.seen_from(rigid_from_parts(turn, torch.zeros(3, dtype=torch.float64)))


def motion_files(path: Path) -> list[Path]:
    """The files that a motion is read from."""
    if not path.is_dir():
        return asset_files(path)
    workspace = Workspace.open(path)
    body = followed_body(workspace)
    if body is not None:
        return [body]
    return [path / "source"] if is_given_mesh(workspace, None, is_posed=True) else [workspace.scene(None)]


def _read(path: Path, clip: str | None) -> Motion:
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if path.is_dir():
        return _of_workspace(Workspace.open(path), clip)
    if suffix == BVH:
        if clip is not None and named_index((BVH_CLIP,), clip) is None:
            raise UsageError(f"{path.name} has no clip {clip!r}", "A BVH file holds one; leave --motion-clip out")
        return read_bvh(path)
    if suffix == ARCHIVE:
        return _of_archive(path)
    if suffix in GLTF_SUFFIXES:
        return _of_asset(path, read_gltf(path), clip)
    kinds = ", ".join(sorted({*GLTF_SUFFIXES, BVH, ARCHIVE}))
    raise InvalidInputError(f"{path}: motions are not read from such a file", f"Give one of {kinds}, or a workspace")


def _of_asset(path: Path, asset: Asset, clip: str | None) -> Motion:
    if not asset.clips:
        raise InvalidInputError(f"{path} holds no motion", "Choose a file with an animation")
    return motion_of(asset, asset.clip(clip) if clip is not None else asset.clips[0])


def _of_archive(path: Path) -> Motion:
    """That of a tracked body; or of SMPL's joints in the mean shape, by names that all bodies of the family share."""
    if _is_body(path):
        return _whole(read_tracked_body(path).animated)
    if not amass.is_archive(array_names(path)):
        raise InvalidInputError(
            f"{path} holds no motion", "Known are those of AMASS, with 'poses' and 'trans', and body.npz"
        )
    return _whole(posed_smpl(amass.read_archive(path)[0], mean_smpl()).animated)


def _is_body(path: Path) -> bool:
    """Whether an archive holds a body that was followed through a film."""
    return {"joint_names", "rotations"} <= set(array_names(path))


def _whole(animated: AnimatedBody) -> Motion:
    """All frames of a body's motion."""
    return animated.motion(torch.linspace(0, 1, len(animated), dtype=torch.float64).tolist())


def _of_workspace(workspace: Workspace, clip: str | None) -> Motion:
    """The motion of the body that was followed, else of the posable subject."""
    body = followed_body(workspace)
    if body is not None:
        return _whole(read_tracked_body(body).animated)
    subject = load_subject(workspace, SubjectRequest(clip=clip, is_posed=True))
    moved = subject.posable
    if moved is None or not subject.is_moving:
        raise InvalidInputError(f"{workspace.path} shows no joints that move", "Choose a rigged mesh with an animation")
    return moved.motion(subject.moments.times)
