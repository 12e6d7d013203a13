"""How another body moves: motion capture, the clip of another file, or what another workspace shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from a4d.contents.subjects import SubjectRequest, is_given_mesh, load_subject
from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.geometry.assets.animation import named_index
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.placement import Orientation
from a4d.geometry.assets.reposing import motion_of
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.transforms import rigid_from_parts
from a4d.io.assets.asset_files import asset_files
from a4d.io.assets.bvh import read_bvh
from a4d.io.assets.gltf.reader import SUFFIXES as GLTF_SUFFIXES
from a4d.io.assets.gltf.reader import read_gltf
from a4d.workspace.workspace import Workspace

BVH_CLIP = "motion"
"""What the only motion of a BVH file is called."""


@dataclass(frozen=True)
class MotionSource:
    """A motion on disk.

    Args:
        path: `.bvh`, `.glb`, `.gltf` with or without a mesh, or a workspace.
        clip: name or number of its animation; the first if None.
        orientation: the axes of the file that point up and to the front; of a workspace, of its world.
    """

    path: Path
    clip: str | None = None
    orientation: Orientation = field(default_factory=Orientation)


def load_motion(source: MotionSource) -> Motion:
    """Read a motion, +Y up and +Z in front.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is of another kind, damaged, or nothing in it moves joints.
        UsageError: it has no clip of that name.
    """
    motion = _read(source.path, source.clip)
    turn = rigid_from_parts(source.orientation.world_from_source, torch.zeros(3, dtype=torch.float64))
    return motion.seen_from(turn)


def motion_files(path: Path) -> list[Path]:
    """The files that a motion is read from."""
    if not path.is_dir():
        return asset_files(path)
    workspace = Workspace.open(path)
    return [path / "source"] if is_given_mesh(workspace, None, is_posed=True) else [workspace.scene(None)]


def _read(path: Path, clip: str | None) -> Motion:
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if path.is_dir():
        return _of_workspace(Workspace.open(path), clip)
    if suffix == ".bvh":
        if clip is not None and named_index((BVH_CLIP,), clip) is None:
            raise UsageError(f"{path.name} has no clip {clip!r}", "A BVH file holds one; leave --motion-clip out")
        return read_bvh(path)
    if suffix in GLTF_SUFFIXES:
        return _of_asset(path, read_gltf(path), clip)
    kinds = ", ".join(sorted({*GLTF_SUFFIXES, ".bvh"}))
    raise InvalidInputError(f"{path}: motions are not read from such a file", f"Give one of {kinds}, or a workspace")


def _of_asset(path: Path, asset: Asset, clip: str | None) -> Motion:
    if not asset.clips:
        raise InvalidInputError(f"{path} holds no motion", "Choose a file with an animation")
    return motion_of(asset, asset.clip(clip) if clip is not None else asset.clips[0])


def _of_workspace(workspace: Workspace, clip: str | None) -> Motion:
    subject = load_subject(workspace, SubjectRequest(clip=clip, is_posed=True))
    moved = subject.posable
    if moved is None or not subject.is_moving:
        raise InvalidInputError(f"{workspace.path} shows no joints that move", "Choose a rigged mesh with an animation")
    return moved.motion(subject.moments.times)
