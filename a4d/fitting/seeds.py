"""The first guess of a shape, by its kind: what the workspace's pictures, points or mesh say, or a simple body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from a4d.contents.assets import still_asset
from a4d.contents.frames import load_depth
from a4d.errors import MissingInputError
from a4d.fitting.seed_settings import SeedConfig, ShapeConfig
from a4d.geometry.assets.placement import normalising
from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import cylinder, icosphere
from a4d.geometry.reconstruction.colouring import colour_from_view
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate
from a4d.geometry.reconstruction.visual_hull import surface_colours, visual_hull
from a4d.geometry.transforms import transform_points
from a4d.intake.mesh_views import orientation_of
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.ply import read_point_cloud
from a4d.scenes import load_scene
from a4d.scenes.asset_seed import seed_from_asset
from a4d.scenes.protocols import Splatting
from a4d.scenes.seed import Seed
from a4d.views import Frames
from a4d.views.recent import Made
from a4d.workspace.workspace import Workspace


def make_seed(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    """What the workspace says of the shape; a capture says it by its points, else by its masks, else not at all.

    Raises:
        MissingInputError: the kind of seed needs something that the workspace does not hold.
        InvalidInputError: the silhouettes leave nothing.
    """
    return KINDS[config.kind](workspace, frames, config)


def _captured(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    has_masks = all(float(rgba[..., 3].min()) < 0.5 for rgba in frames.rgba) and len(frames) > 1
    has_points = (workspace.path / "points.ply").is_file()
    kind = "points" if has_points else "visual-hull" if has_masks else "ball"
    return KINDS[kind](workspace, frames, config)


def _inflated(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    rgba, camera = frames.rgba[0], frames.cameras[0]
    settings = InflationSettings(thickness=config.thickness)
    mesh = inflate(rgba[..., 3], camera, load_depth(workspace, frames.names[0]), settings)
    return Seed(mesh=colour_from_view(mesh, rgba, camera))


def _given(workspace: Workspace, _: Frames, config: SeedConfig) -> Seed:
    path = workspace.require("points.ply", "Only a capture with points has it; choose another seed.kind")
    cloud = read_point_cloud(path)
    points = torch.from_numpy(cloud.positions).float()
    # What lies far outside is background, and would spread the Gaussians thin.
    near = points.norm(dim=-1) < 4 * config.radius
    colours = None if cloud.colours is None else torch.from_numpy(cloud.colours)[near]
    return Seed(points=points[near], colours=colours, radius=config.radius)


def _carved(_: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    train = frames.subset(frames.select("train"))
    masks = Made(len(train), lambda index: train.rgba[index][..., 3])
    colours = Made(len(train), lambda index: train.rgba[index][..., :3])
    bounds = torch.tensor([[-config.radius] * 3, [config.radius] * 3])
    hull = visual_hull(masks, train.cameras, bounds, config.resolution)
    points, normals = hull.surface()
    seen = surface_colours(points, normals, colours, train.cameras, hull.spacing)
    return Seed(points=points, colours=seen, radius=config.radius, solid=hull)


def _modelled(workspace: Workspace, _: Frames, __: SeedConfig) -> Seed:
    """The mesh itself, at the first moment that the frames show."""
    return seed_from_asset(still_asset(workspace))


def _round(_: Workspace, __: Frames, config: SeedConfig) -> Seed:
    return Seed(radius=config.radius)


KINDS: Mapping[str, Callable[[Workspace, Frames, SeedConfig], Seed]] = {
    "inflation": _inflated,
    "capture": _captured,
    "points": _given,
    "visual-hull": _carved,
    "mesh": _modelled,
    "ball": _round,
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
    """What begins to move: a static scene, and the mesh as it stands in the first of the frames.

    Args:
        workspace: holds either or both.
        scene: the static scene's name; None where there is none.
        clip: which of the mesh's animations the frames show; None is the first.

    Raises:
        MissingInputError: there is neither.
    """
    static = load_scene(workspace.scene(scene)) if scene else None
    asset = still_asset(workspace, clip) if workspace.metadata.asset is not None else None
    if asset is None and not isinstance(static, Splatting):
        raise MissingInputError(
            f"{workspace.path} holds no mesh, and no static scene with Gaussians is named",
            f"Run `a4d fit-static {workspace.argument}`, then go on with --from fit-static",
        )
    if not isinstance(static, Splatting):
        return Seed(asset=asset)
    return Seed(asset=asset, gaussians=static.gaussians().detach(), footprint=static.footprint)
