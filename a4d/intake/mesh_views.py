"""A mesh taken into a workspace: placed in our world, and seen from known cameras with all that is known of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from a4d.config import Config
from a4d.errors import UsageError
from a4d.intake.common import Rate, Square
from a4d.intake.mesh_renders import MeshRenders, Shot
from a4d.memory import Demand, require_memory
from a4d.runtime import Runtime
from a4d.workspace.source import ClipFacts, SourceAsset
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from torch import Tensor

    from a4d.geometry.assets.animation import Clip
    from a4d.geometry.assets.asset import Asset
    from a4d.geometry.assets.placement import Axis, Orientation
    from a4d.geometry.cameras import Cameras
    from a4d.geometry.mesh import Mesh
    from a4d.render.asset import Lighting
    from a4d.render.environment import EnvironmentLight

logger = logging.getLogger(__name__)

AxisName = Literal["+x", "-x", "+y", "-y", "+z", "-z", "x", "y", "z"]

Found = Literal["given", "format", "guessed"]

VERTEX_BYTES = 24
"""Of a vertex at a moment: its place in the moment's surface, and in the array of all moments."""


class MeshPlacement(Config):
    """How a mesh stands."""

    up: AxisName | None = Field(default=None, description="axis of a mesh that points up; found if not given")
    front: AxisName | None = Field(default=None, description="axis of a mesh that points to the front")


class RingSettings(Config):
    """From where a subject is seen; elevations, azimuth, radius and field of view count where no file says it."""

    views: int | None = Field(default=None, ge=1, le=9999, description="cameras around a mesh; 24, 4 for an animation")
    test_views: int | None = Field(default=None, ge=0, le=9999, description="held-out cameras between them; 8, or 4")
    elevations: list[float] | None = Field(
        default=None, min_length=1, max_length=1000, description="degrees above the subject, of each ring of cameras"
    )
    azimuth: float | None = Field(default=None, description="degrees, of the first camera; 0, the front, if not given")
    radius: float = Field(default=3.0, gt=1, description="metres from the middle of the subject to the cameras")
    fov: float = Field(default=40.0, gt=1, lt=150, description="vertical field of view of these cameras in degrees")


class MeshViews(MeshPlacement, RingSettings, Square, Rate):
    """How a mesh is placed, what is shown of it, and from where."""

    clip: str | None = Field(default=None, description="animation of a mesh to show: its name or number, all or none")
    frames: int = Field(default=16, ge=1, le=9999, description="moments of each animation, over all of it or by --fps")
    lighting: Literal["auto", "unlit", "shaded"] = Field(
        default="auto", description="of a mesh's pictures; auto shades what has no colours of its own"
    )
    environment: Path | None = Field(default=None, description="an .hdr panorama that lights a mesh")
    videos: Path | None = Field(
        default=None, description="folder of view_0.mp4 ... or view_0/ ... that show how a mesh moves"
    )
    tracks: int | None = Field(
        default=None, ge=1, le=100_000, description="points of a mesh's surface to follow through all frames"
    )
    normal: bool = Field(default=False, description="write a mesh's exact normals as a channel of its frames")


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
    from a4d.geometry.assets.placement import normalising, placed
    from a4d.geometry.assets.posing import deform
    from a4d.io.assets.asset_reader import read_asset

    path = work.workspace.source_path()
    source = read_asset(path)
    orientation, found = _orientation(source, path, config)
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
    from a4d.geometry.assets.placement import normalising, placed
    from a4d.geometry.assets.posing import deform
    from a4d.io.assets.asset_reader import read_asset
    from a4d.render.asset import AssetRenderer

    path = work.workspace.source_path()
    source = read_asset(path)
    shots = [_shot(source, clip, config) for clip in _clips(source, path, config.clip)]
    _require_memory(source, shots)
    orientation, found = _orientation(source, path, config)
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
    from a4d.geometry.assets.left_out import left_out_warning

    if (warning := left_out_warning(path.name, {"pictures": entries})) is not None:
        work.warn(warning)


def _unshown(asset: Asset, shots: list[Shot], config: MeshViews) -> list[str]:
    """What an asset has and its pictures lack, without the clips that the user chose not to see."""
    from a4d.geometry.assets.left_out import unshown_clips, unshown_looks

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
    from a4d.geometry.assets.clip_times import rated_times, spread_times

    if clip is None:
        return Shot.at_rest()
    count, fps = config.frames, config.fps
    return Shot(clip, spread_times(clip, count) if fps is None else rated_times(asset, clip, count, fps))


def _require_memory(asset: Asset, shots: list[Shot]) -> None:
    """Refuse clips whose vertices at all moments do not fit: they are written as one array."""
    from a4d.geometry.assets.posing import deform

    most = max(len(shot.seconds) for shot in shots)
    if most > 1:
        surface = most * len(deform(asset).vertices) * VERTEX_BYTES
        require_memory("preprocess", [Demand(f"{most} moments", surface)], knobs=("frames", "fps"))


def _rate(shot: Shot) -> float | None:
    """Frames per second of a clip's moments, None for a single one."""
    steps = shot.seconds.diff()
    return round(1 / float(steps[0]), 6) if len(steps) and float(steps[0]) > 0 else None


def _orientation(asset: Asset, path: Path, config: MeshPlacement) -> tuple[Orientation, Found]:
    from a4d.geometry.assets.orientation import guess_orientation
    from a4d.geometry.assets.placement import Orientation
    from a4d.geometry.assets.posing import deform
    from a4d.io.assets.asset_reader import Y_UP_FORMATS

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


def axis_named(name: AxisName | None) -> Axis | None:
    """The axis that a setting names, with or without a plus."""
    return None if name is None else cast("Axis", name if name[0] in "+-" else f"+{name}")


def _shown_surfaces(asset: Asset, shots: list[Shot]) -> Iterator[Tensor]:
    """(V, 3) the vertices of faces at every moment of all shots; stray points have no part in the size."""
    from a4d.geometry.assets.posing import deform

    for shot in shots:
        for second in shot.seconds.tolist():
            surface = deform(asset, shot.clip, second)
            yield surface.vertices[surface.faces.unique()]


def _cameras(config: MeshViews, *, is_moving: bool) -> tuple[Cameras, Cameras]:
    """Views to train on, and held-out ones between them."""
    from a4d.geometry.rings import Rings

    elevations = config.elevations or ([15.0] if is_moving else [-15.0, 15.0, 45.0])
    count = config.views or (4 if is_moving else 24)
    held_out = config.test_views if config.test_views is not None else (4 if is_moving else 8)
    rings = Rings(count, elevations, config.azimuth or 0.0, config.radius, config.fov, config.size)
    return rings.cameras(), rings.between(held_out)


def _lighting(asset: Asset, config: MeshViews) -> Lighting:
    from a4d.render.asset import is_colourless

    if config.lighting != "auto":
        return config.lighting
    return "shaded" if config.environment is not None or is_colourless(asset) else "unlit"


def _environment(config: MeshViews) -> EnvironmentLight | None:
    import torch

    from a4d.io.pictures.hdr import read_hdr
    from a4d.render.environment import EnvironmentLight

    if config.environment is None:
        return None
    return EnvironmentLight.from_panorama(torch.from_numpy(read_hdr(config.environment)))
