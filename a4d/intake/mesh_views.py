"""A mesh taken into a workspace: placed in our world, and seen from known cameras with all that is known of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.clip_times import rated_times, spread_times
from a4d.geometry.assets.left_out import left_out_warning, unshown_clips, unshown_looks
from a4d.geometry.assets.orientation import guess_orientation
from a4d.geometry.assets.placement import Orientation, normalising, placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.rings import Rings
from a4d.intake.mesh_renders import MeshRenders, Shot
from a4d.intake.settings import MeshPlacement, MeshViews, axis_named
from a4d.io.assets.asset_reader import Y_UP_FORMATS, read_asset
from a4d.io.pictures.hdr import read_hdr
from a4d.memory import Demand, require_memory
from a4d.render.asset import AssetRenderer, Lighting, is_colourless
from a4d.render.environment import EnvironmentLight
from a4d.runtime import Runtime
from a4d.workspace.source import ClipFacts, SourceAsset
from a4d.workspace.transaction import Transaction

logger = logging.getLogger(__name__)

Found = Literal["given", "format", "guessed"]

VERTEX_BYTES = 24
"""Of a vertex at a moment: its place in the moment's surface, and in the array of all moments."""


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh as it stands at rest in the unit ball.

    Args:
        file: as it was given.
        surface: in the workspace's world.
        world_from_source: (4, 4) float64 similarity.
        orientation: of the source.
    """

    file: Path
    surface: Mesh
    world_from_source: Tensor
    orientation: Orientation


def take_mesh_at_rest(work: Transaction, config: MeshPlacement) -> tuple[dict[str, Any], PlacedMesh]:
    """Place a mesh in the unit ball as it stands at rest, and leave it to others to show it.

    Returns:
        facts for the record, and the mesh in its place.

    Raises:
        InvalidInputError: the mesh cannot be read.
    """
    path = work.workspace.source_path()
    source = read_asset(path)
    orientation, found = orientation_of(source, path, config)
    world_from_source = normalising(orientation, _shown_surfaces(source, [Shot.at_rest()]))
    _warn_of_left_out(work, path, source.left_out)
    facts = _facts(source, world_from_source, orientation, found)
    work.describe(asset=facts.model_dump(mode="json"))
    rest = deform(placed(source, world_from_source))
    placed_mesh = PlacedMesh(path, rest.mesh, world_from_source, orientation)
    return {"vertices": len(rest.vertices), "faces": len(rest.faces)}, placed_mesh


def take_mesh(work: Transaction, config: MeshViews, runtime: Runtime) -> dict[str, Any]:
    """Place a mesh in the unit ball and write its pictures, cameras and ground truth.

    Args:
        work: takes images, depth maps and further channels, cameras and ground truth.
        config: what to show, and from where.
        runtime: its seed chooses the points that are followed.

    Raises:
        InvalidInputError: the mesh cannot be read.
        UsageError: there is no such clip.
    """
    path = work.workspace.source_path()
    source = read_asset(path)
    shots = [_shot(source, clip, config) for clip in _clips(source, path, config.clip)]
    _require_memory(source, shots)
    orientation, found = orientation_of(source, path, config)
    world_from_source = normalising(orientation, _shown_surfaces(source, shots))
    asset = placed(source, world_from_source)
    train, test = _cameras(config, is_moving=any(shot.clip for shot in shots))
    lighting = _lighting(asset, config)
    renderer = AssetRenderer(asset, lighting, _environment(config))
    _warn_of_left_out(work, path, (*source.left_out, *_unshown(source, shots, config)))
    renders = MeshRenders(asset, shots, (train, test))
    files = renders.write_pictures(work, renderer, runtime.console, with_normal=config.normal)
    if config.tracks is not None:
        renders.write_tracks(work, config.tracks, runtime.seed)
    rendered = renders.write_truth(work)
    renders.write_cameras(work, world_from_source, files)
    facts = _facts(source, world_from_source, orientation, found)
    facts = facts.model_copy(update={"lighting": lighting, "rendered": rendered})
    rate = _rate(shots[0]) if shots[0].clip is not None else None
    work.describe(frame_count=len(files), asset=facts.model_dump(mode="json"), fps=rate)
    rest = deform(asset)
    return {
        "vertices": len(rest.vertices),
        "faces": len(rest.faces),
        "frames": len(files),
        "views": len(train),
        "test_views": len(test),
        "clips": len([shot for shot in shots if shot.clip]),
        "axes": f"{orientation.up} up, {orientation.front} front ({found})",
    }


def orientation_of(asset: Asset, path: Path, config: MeshPlacement) -> tuple[Orientation, Found]:
    """Which axes of a file point up and to the front, and how that is known.

    Args:
        asset: in its own world.
        path: of its file.
        config: what the user says of it.

    Raises:
        UsageError: what is said does not fit together.
    """
    up, front = axis_named(config.up), axis_named(config.front)
    if up and front:
        return Orientation(up, front), "given"
    if path.suffix.lower() in Y_UP_FORMATS and up is None:
        if front and front[1] == "y":
            raise UsageError(f"--front {config.front} is up in {path.suffix} files", "Give --up as well")
        return Orientation("+y", front or "+z"), "given" if front else "format"
    shown = deform(asset).mesh
    guess = guess_orientation(shown, path.suffix.lower(), up)
    orientation = Orientation(guess.up, front or guess.front)
    logger.info(
        "guessed from the shape that %s is %s %s; say it with --up and --front where it is not",
        path.name,
        f"{orientation.up} up and" if up is None else f"{orientation.up} up as given and",
        f"{orientation.front} front",
    )
    return orientation, "guessed"


def _facts(source: Asset, world_from_source: Tensor, orientation: Orientation, found: Found) -> SourceAsset:
    """How a mesh was placed, and what it can do."""
    return SourceAsset(
        world_from_source=world_from_source.tolist(),
        up=orientation.up,
        front=orientation.front,
        axes=found,
        clips=[ClipFacts(name=clip.name, seconds=clip.duration) for clip in source.clips],
        left_out=list(source.left_out),
    )


def _warn_of_left_out(work: Transaction, path: Path, entries: Sequence[str]) -> None:
    if (warning := left_out_warning(path.name, {"pictures": entries})) is not None:
        work.warn(warning)


def _unshown(asset: Asset, shots: list[Shot], config: MeshViews) -> list[str]:
    """What an asset has and its pictures lack, without the clips that the user chose not to see."""
    shown = [shot.clip.name for shot in shots if shot.clip]
    clips = unshown_clips([clip.name for clip in asset.clips], shown) if config.clip is None else []
    return [*unshown_looks(asset), *clips]


def _clips(asset: Asset, path: Path, wanted: str | None) -> list[Clip | None]:
    """The clips that a name means; a file with nothing but motion shows that by default."""
    if wanted is None:
        wanted = "all" if path.suffix.lower() == ".bvh" else "none"
        if asset.clips and wanted == "none":
            logger.info("the rest pose is shown; --clip NAME, NUMBER or all shows animations")
    if wanted == "none":
        return [None]
    if wanted == "all" and asset.clips:
        return list(asset.clips)
    return [asset.clip(wanted)]


def _shot(asset: Asset, clip: Clip | None, config: MeshViews) -> Shot:
    if clip is None:
        return Shot.at_rest()
    count, fps = config.frames, config.fps
    return Shot(clip, spread_times(clip, count) if fps is None else rated_times(asset, clip, count, fps))


def _require_memory(asset: Asset, shots: list[Shot]) -> None:
    """Refuse clips whose vertices at all moments do not fit: they are written as one array."""
    most = max(len(shot.seconds) for shot in shots)
    if most > 1:
        surface = most * len(deform(asset).vertices) * VERTEX_BYTES
        require_memory("preprocess", [Demand(f"{most} moments", surface)], knobs=("frames", "fps"))


def _rate(shot: Shot) -> float | None:
    """Frames per second of a clip's moments, None for a single one."""
    steps = shot.seconds.diff()
    return round(1 / float(steps[0]), 6) if len(steps) and float(steps[0]) > 0 else None


def _shown_surfaces(asset: Asset, shots: list[Shot]) -> Iterator[Tensor]:
    """(V, 3) the vertices of faces at every moment of all shots; stray points have no part in the size."""
    for shot in shots:
        for second in shot.seconds.tolist():
            surface = deform(asset, shot.clip, second)
            yield surface.vertices[surface.faces.unique()]


def _cameras(config: MeshViews, *, is_moving: bool) -> tuple[Cameras, Cameras]:
    """Views to train on, and held-out ones between them."""
    elevations = config.elevations or ([15.0] if is_moving else [-15.0, 15.0, 45.0])
    count = config.views or (4 if is_moving else 24)
    held_out = config.test_views if config.test_views is not None else (4 if is_moving else 8)
    rings = Rings(count, elevations, config.azimuth or 0.0, config.radius, config.fov, config.size)
    return rings.cameras(), rings.between(held_out)


def _lighting(asset: Asset, config: MeshViews) -> Lighting:
    if config.lighting != "auto":
        return config.lighting
    return "shaded" if config.environment is not None or is_colourless(asset) else "unlit"


def _environment(config: MeshViews) -> EnvironmentLight | None:
    if config.environment is None:
        return None
    return EnvironmentLight.from_panorama(torch.from_numpy(read_hdr(config.environment)))
