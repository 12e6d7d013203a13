"""The first guess of a shape, by its kind: what the workspace's pictures, points or mesh say, or a simple body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import normalize

from a4d.contents.assets import still_asset
from a4d.contents.bodies import has_tracked_body, load_tracked_body
from a4d.contents.frames import load_depth
from a4d.errors import InvalidInputError, MissingInputError
from a4d.fitting.seed_settings import SeedConfig, ShapeConfig, shape_model
from a4d.fitting.shapes import placed_in_picture, read_shape
from a4d.geometry.assets.placement import normalising
from a4d.geometry.assets.posing import deform
from a4d.geometry.directions import degrees_around
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import cylinder, icosphere
from a4d.geometry.reconstruction.colouring import colour_from_view
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate
from a4d.geometry.reconstruction.limbs import area_beside, with_limbs
from a4d.geometry.reconstruction.visual_hull import Occupancy, surface_colours, visual_hull
from a4d.geometry.transforms import transform_points
from a4d.intake.mesh_views import orientation_of
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.ply import read_point_cloud
from a4d.priors.catalogue import load_image_to_shape
from a4d.priors.image_to_shape import surface_of
from a4d.priors.placement import Placement
from a4d.scenes import load_scene
from a4d.scenes.asset_seed import seed_from_asset
from a4d.scenes.protocols import Splatting
from a4d.scenes.seed import Seed
from a4d.views import Frames
from a4d.views.recent import Made
from a4d.workspace.workspace import Workspace

AROUND = 150.0
"""Degrees between two directions from which a film has seen its subject from all sides, which its hull bounds."""

BLOATED = 1.3
"""Times that a hull may be as large as an outline, blown up, to be believed.

What is not bounded in depth reaches far along the lines of sight. Of a running fox, seen by a camera that swings about
its side, its front, or in between, by 20 to 120 degrees to either side, or that goes from one to the other, hulls of up
to 1.3 times the size have at most 4.3 % of the diagonal to the truth, and larger ones up to 15 %; so it is of a horse,
a shark and another fox. The largest angle between two directions does not tell: a swing by 45 degrees bounds a fox that
it sees from before by 3 %, and from its side by 13 %.
"""

COARSE, WIDE = 64, 128
"""Cells along the cube, and pixels along the longer side, of the hull and the outline whose sizes are compared."""

LIMBS = 256
"""Pixels of the longer side of outlines among which that is chosen which shows most limbs beside a trunk."""

OUTLINE = 1024
"""Pixels of the longer side of outlines that carve a hull, which are all held at once: a cell is wider than theirs."""

SLIVER = 0.25
"""Share of the volume of the hull that tolerates wrong views below which the hull of all views is no trunk.

Of a running fox it is 0.39, and 0.09 where one of 120 masks holds but the fifth of the fox on one side.
"""

FRAMED = 0.5
"""Share of a film's views that have each part of its subject in their frame: frames that cut it off are left out."""


@dataclass(frozen=True)
class Known:
    """Of what a seed is made.

    Args:
        workspace: holds pictures, points or a mesh.
        frames: the pictures with their cameras.
        config: the kind of seed, and how it is made.
        placement: of models.
    """

    workspace: Workspace
    frames: Frames
    config: SeedConfig
    placement: Placement


def make_seed(workspace: Workspace, frames: Frames, config: SeedConfig, placement: Placement) -> Seed:
    """What is known of the shape; a capture says it by its points, else by its masks, else not at all.

    Raises:
        MissingInputError: the kind of seed needs something that the workspace does not hold.
        InvalidInputError: the silhouettes leave nothing, or a model makes nothing of the picture.
        BackendUnavailableError: a model's weights are missing, damaged, or of another architecture.
    """
    return KINDS[config.kind](Known(workspace, frames, config, placement))


def _captured(known: Known) -> Seed:
    frames = known.frames
    has_masks = all(float(rgba[..., 3].min()) < 0.5 for rgba in frames.rgba) and len(frames) > 1
    has_points = (known.workspace.path / "points.ply").is_file()
    kind = "points" if has_points else "visual-hull" if has_masks else "ball"
    return KINDS[kind](known)


def _inflated(known: Known) -> Seed:
    return _blown_up(known, 0)


def _blown_up(known: Known, index: int) -> Seed:
    """The outline of one of the frames, inflated."""
    rgba, camera = known.frames.rgba[index], known.frames.cameras[index]
    settings = InflationSettings(thickness=known.config.thickness)
    mesh = inflate(rgba[..., 3], camera, load_depth(known.workspace, known.frames.names[index]), settings)
    return Seed(mesh=colour_from_view(mesh, rgba, camera), is_bounded=False)


def _given(known: Known) -> Seed:
    path = known.workspace.require("points.ply", "Only a capture with points has it; choose another seed.kind")
    cloud = read_point_cloud(path)
    points, radius = torch.from_numpy(cloud.positions).float(), known.config.radius
    # What lies far outside is background, and would spread the Gaussians thin.
    near = points.norm(dim=-1) < 4 * radius
    colours = None if cloud.colours is None else torch.from_numpy(cloud.colours)[near]
    return Seed(points=points[near], colours=colours, radius=radius)


def _carved(known: Known) -> Seed:
    train, config = known.frames.subset(known.frames.select("train")), known.config
    return hull_seed(train, config.radius, config.resolution, config.tolerated)


def hull_seed(train: Frames, radius: float, resolution: int, tolerated: float = 0.0) -> Seed:
    """The hull of outlines in the cube [-radius, radius]³ of so many cells along a side.

    Args:
        train: the pictures with their cameras.
        radius: metres.
        resolution: cells.
        tolerated: share of the views that may be wrong about a cell.

    Raises:
        InvalidInputError: the outlines leave nothing.
    """
    return _painted(_hull(train, radius, resolution, tolerated), train, radius)


def _hull(train: Frames, radius: float, resolution: int, tolerated: float, framed: float = 0.0) -> Occupancy:
    masks = Made(len(train), lambda index: train.reduced(index, OUTLINE)[0][..., 3])
    cameras = [train.reduced(index, OUTLINE)[1] for index in range(len(train))]
    bounds = torch.tensor([[-radius] * 3, [radius] * 3])
    return visual_hull(masks, cameras, bounds, resolution, tolerated, framed)


def _painted(hull: Occupancy, train: Frames, radius: float) -> Seed:
    colours = Made(len(train), lambda index: train.rgba[index][..., :3])
    points, normals = hull.surface()
    seen = surface_colours(points, normals, colours, train.cameras, hull.spacing)
    return Seed(points=points, colours=seen, radius=radius, solid=hull)


def _filmed(known: Known) -> Seed:
    """The hull in one piece, where cameras saw the subject from different sides; else the widest outline, inflated.

    What looks widest is seen from its broad side, along which it is least deep.
    """
    train, config = shown(known.frames), known.config
    if all(float(rgba[..., 3].min()) > 0.5 for rgba in train.rgba):
        raise MissingInputError("nothing says what of the film is its subject", "Run `a4d preprocess` with --matting")
    if not _is_bounded(train, config):
        return _blown_up(replace(known, frames=train), _widest(train))
    if config.limbs is not None and degrees_seen(train) >= AROUND:
        return _painted(_limbed(train, config, config.limbs), train, config.radius)
    hull = _hull(train, config.radius, config.resolution, config.tolerated, FRAMED)
    return _painted(hull.largest_part(), train, config.radius)


def _limbed(train: Frames, config: SeedConfig, tolerated: float) -> Occupancy:
    """A trunk, and in one piece with it what the outline that shows most beside it has there."""
    trunk = _trunk(train, config, tolerated)
    areas = []
    for index in range(len(train)):
        rgba, camera = train.reduced(index, LIMBS)
        areas.append(area_beside(trunk, rgba[..., 3], camera))
    rgba, camera = train.reduced(areas.index(max(areas)), OUTLINE)
    return with_limbs(trunk, rgba[..., 3], camera).largest_part()


def _trunk(train: Frames, config: SeedConfig, tolerated: float) -> Occupancy:
    """The hull of all frames; where one wrong mask leaves nothing or a sliver of it, the hull that tolerates more."""
    tolerant = _hull(train, config.radius, config.resolution, config.tolerated, FRAMED).largest_part()
    try:
        trunk = _hull(train, config.radius, config.resolution, tolerated, FRAMED).largest_part()
    except InvalidInputError:
        return tolerant
    return tolerant if trunk.volume < SLIVER * tolerant.volume else trunk


def shown(frames: Frames) -> Frames:
    """Those to train on that show a film's subject; the others would carve all of it away.

    Raises:
        MissingInputError: none does.
    """
    indices = frames.showing()
    if not indices:
        raise MissingInputError("no frame shows the film's subject", "Run `a4d preprocess` with --matting or --mask")
    return frames.subset(indices)


def _is_bounded(train: Frames, config: SeedConfig) -> bool:
    """Whether outlines bound their subject in depth: they are from all sides, or their hull is small enough."""
    if degrees_seen(train) >= AROUND:
        return True
    rgba, camera = train.reduced(_widest(train), WIDE)
    try:
        outline = inflate(rgba[..., 3], camera, settings=InflationSettings(thickness=config.thickness))
        hull = _hull(train, config.radius, COARSE, config.tolerated, FRAMED).largest_part()
    except InvalidInputError:
        return False
    return hull.volume <= BLOATED * outline.volume


def _widest(train: Frames) -> int:
    """The frame whose outline takes up most of its picture."""
    areas = [float(rgba[..., 3].mean()) for rgba in train.rgba]
    return areas.index(max(areas))


def degrees_seen(frames: Frames) -> float:
    """Degrees around the world's origin from which frames see it, in [0, 180]; see `degrees_around`."""
    directions = normalize(torch.cat([camera.positions for camera in frames.cameras]), dim=-1)
    return degrees_around(directions, directions.new_tensor([0.0, 1.0, 0.0]))


def _modelled(known: Known) -> Seed:
    """The mesh itself, at the first moment that the frames show."""
    return seed_from_asset(still_asset(known.workspace))


def _round(known: Known) -> Seed:
    return Seed(radius=known.config.radius)


def _of_a_file(known: Known) -> Seed:
    """Any mesh, whose axes, size and place the first picture tells."""
    if known.config.file is None:
        raise MissingInputError("no file has the shape", "Give --shape FILE, or choose another seed.kind")
    return _placed(read_shape(known.config.file), known.frames, is_oriented=False)


def _of_a_model(known: Known) -> Seed:
    """What a model makes of the first picture."""
    # The model is gone before its surface is sought: either may take gigabytes.
    field = load_image_to_shape(shape_model(known.config), known.placement, known.config.options).shape(
        known.frames.rgba[0]
    )
    return _placed(surface_of(field), known.frames, is_oriented=True)


def _placed(mesh: Mesh, frames: Frames, is_oriented: bool) -> Seed:
    shape = placed_in_picture(mesh, frames.rgba[0], frames.cameras[0], is_oriented)
    return Seed(mesh=shape.mesh, outline_iou=shape.iou)


KINDS: Mapping[str, Callable[[Known], Seed]] = {
    "inflation": _inflated,
    "capture": _captured,
    "points": _given,
    "visual-hull": _carved,
    "film": _filmed,
    "mesh": _modelled,
    "ball": _round,
    "file": _of_a_file,
    "image-to-shape": _of_a_model,
}
"""What makes a seed of each kind."""


def shape_seed(config: ShapeConfig) -> Seed:
    """A shape around the origin.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it holds no mesh.
    """
    if config.file is not None:
        return _coarse(config.file, config)
    if config.kind == "ball":
        return Seed(radius=config.radius)
    body = icosphere(config.radius) if config.kind == "ellipsoid" else cylinder(config.radius, 2 * config.radius)
    return Seed(mesh=Mesh(body.vertices * body.vertices.new_tensor(config.axes), body.faces))


def _coarse(file: Path, config: ShapeConfig) -> Seed:
    """A mesh of the user's in its place; what it looks like does not count."""
    asset = read_asset(file)
    mesh = deform(asset).mesh
    world_from_source = normalising(orientation_of(asset, file, config)[0], [mesh.vertices[mesh.faces.unique()]])
    vertices = config.radius * transform_points(world_from_source, mesh.vertices.double()).float()
    return Seed(mesh=Mesh(vertices, mesh.faces))


def seed_at_rest(workspace: Workspace, scene: str | None, clip: str | None) -> Seed:
    """What begins to move: a static scene, the mesh as it stands in the first of the frames, and a body in its poses.

    Args:
        workspace: holds one of them at least.
        scene: the static scene's name; None where there is none.
        clip: which of the mesh's animations the frames show; None is the first.

    Raises:
        MissingInputError: there is none.
        InvalidInputError: the body is damaged.
    """
    body = load_tracked_body(workspace) if has_tracked_body(workspace) else None
    static = load_scene(workspace.scene(scene)) if scene else None
    asset = still_asset(workspace, clip) if workspace.metadata.asset is not None else None
    if asset is None and body is None and not isinstance(static, Splatting):
        raise MissingInputError(
            f"{workspace.path} holds no mesh, and no static scene with Gaussians is named",
            f"Run `a4d fit-static {workspace.argument}`, then go on with --from fit-static",
        )
    if not isinstance(static, Splatting):
        return Seed(asset=asset, body=body)
    return Seed(asset=asset, gaussians=static.gaussians().detach(), footprint=static.footprint, body=body)
