"""Shapes to be compared, out of workspaces and mesh files, at the same moments and in the same frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from a4d.contents.assets import load_ground_truth, world_from_source
from a4d.contents.frames import load_frames
from a4d.contents.surfaces import surface_of
from a4d.evaluation.banmo import centimetres_per_unit, nearest_views
from a4d.evaluation.motion import MovingShape
from a4d.evaluation.sources import chosen_moments, shape_of_asset, shape_of_scene, shape_of_truth
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.placement import placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import concatenate
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.gltf.reader import SUFFIXES as METRIC
from a4d.io.assets.sequences import sequence_files
from a4d.io.ground_truth import GroundTruth
from a4d.scenes import load_scene
from a4d.scenes.protocols import is_moving
from a4d.workspace.workspace import Workspace


@dataclass(frozen=True)
class ShapeSource:
    """Where a shape comes from.

    Args:
        workspace: of the scene or the ground truth; None for a mesh file alone.
        scene: name of a scene; None is the newest.
        file: a mesh file instead, or a folder of them, one per moment, see `sequence_files`.
        clip: name of the animation of a file, or of the ground truth; None is the first.
        frame: of the file: "source" is that of the mesh that the workspace was made from.
    """

    workspace: Workspace | None = None
    scene: str | None = None
    file: Path | None = None
    clip: str | None = None
    frame: Literal["source", "world"] = "source"


def has_ground_truth(workspace: Workspace) -> bool:
    """Whether the frames were rendered from a mesh whose every moment is recorded."""
    return workspace.metadata.asset is not None and bool(workspace.metadata.asset.rendered)


def true_shape(workspace: Workspace, clip: str | None, most: int) -> tuple[MovingShape, list[float]]:
    """What is recorded of a clip, and the times in [0, 1] of the moments that were chosen.

    Args:
        workspace: of a mesh.
        clip: name of the animation; None is the first.
        most: moments.

    Raises:
        MissingInputError: nothing is recorded of it.
    """
    truth = load_ground_truth(workspace, clip)
    return _recorded(truth, most)


def _recorded(truth: GroundTruth, most: int) -> tuple[MovingShape, list[float]]:
    count = len(truth.seconds)
    moments = chosen_moments(count, most)
    return shape_of_truth(truth, moments), [moment / max(1, count - 1) for moment in moments]


def load_shape(source: ShapeSource, times: Sequence[float], device: str = "cpu") -> MovingShape:
    """A scene or a file at times in [0, 1] of its clip.

    Raises:
        MissingInputError: there is no such scene or file.
        InvalidInputError: the file is damaged.
        UsageError: the file has no clip of that name.
    """
    if source.file is not None and source.file.is_dir():
        return _shape_of_sequence(source, times)
    if source.file is not None:
        asset = file_asset(source)
        # A still truth is compared with the file as it stands, unless a clip is asked for.
        first = asset.clips[0] if asset.clips and len(times) > 1 else None
        return shape_of_asset(asset, asset.clip(source.clip) if source.clip else first, times)
    assert source.workspace is not None
    scene = load_scene(source.workspace.scene(source.scene), device)
    return shape_of_scene(scene, times, partial(surface_of, source.workspace))


def file_asset(source: ShapeSource) -> Asset:
    """The content of a mesh file, in the world of the workspace.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged.
    """
    assert source.file is not None
    return _in_world(source, read_asset(source.file))


def _shape_of_sequence(source: ShapeSource, times: Sequence[float]) -> MovingShape:
    """The surfaces whose moments are nearest to some times; vertices are followed where all have the same faces."""
    assert source.file is not None
    files = sequence_files(source.file)
    chosen = [files[round(time * (len(files) - 1))] for time in times]
    surfaces = tuple(deform(_in_world(source, read_asset(path))).mesh for path in chosen)
    is_followed = all(torch.equal(surface.faces, surfaces[0].faces) for surface in surfaces)
    return MovingShape(surfaces, torch.stack([surface.vertices for surface in surfaces]) if is_followed else None)


def _in_world(source: ShapeSource, asset: Asset) -> Asset:
    if source.frame == "source" and source.workspace is not None and source.workspace.metadata.asset is not None:
        return placed(asset, world_from_source(source.workspace))
    return asset


def moments_of(source: ShapeSource, most: int, device: str = "cpu") -> list[float]:
    """Times in [0, 1] at which a scene or a file is looked at: a single one where it does not move."""
    if source.file is not None and source.file.is_dir():
        count = len(sequence_files(source.file))
        return [moment / max(1, count - 1) for moment in chosen_moments(count, most)]
    if source.file is not None:
        has_motion = bool(file_asset(source).clips)
    else:
        assert source.workspace is not None
        has_motion = is_moving(load_scene(source.workspace.scene(source.scene), device))
    return torch.linspace(0, 1, most).tolist() if has_motion and most > 1 else [0.0]


def views_at(workspace: Workspace, clip: str | None, times: Sequence[float]) -> Tensor:
    """(T, 4, 4) camera_from_world of the workspace's frames that are nearest to times in [0, 1] of a clip.

    Raises:
        MissingInputError: there are no cameras yet, or no frames of the clip.
    """
    frames = load_frames(workspace, clip)
    seen_at = torch.zeros(len(frames)) if frames.times is None else frames.times
    return nearest_views(concatenate(frames.cameras).camera_from_world, seen_at, times)


def centimetres_of(source: ShapeSource) -> float | None:
    """How many centimetres of the size that a truth has by itself a unit of the world is; None where nobody knows.

    Only glTF says that its unit is the metre.
    """
    facts = None if source.workspace is None else source.workspace.metadata.asset
    path = source.file
    if path is None and source.workspace is not None and facts is not None:
        path = source.workspace.source_path()
    is_placed = source.workspace is not None and facts is not None and (source.file is None or source.frame == "source")
    world = world_from_source(source.workspace) if is_placed and source.workspace is not None else None
    return centimetres_per_unit(world, path is not None and path.suffix.lower() in METRIC)
