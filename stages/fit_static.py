"""fit-static: a static scene from one image, from photographs with cameras, or from a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from a4d.config import Config
from a4d.errors import UsageError
from a4d.fitting.demands import demands
from a4d.fitting.files import files_read, image_files
from a4d.fitting.fitting import fit
from a4d.fitting.settings import Fitting, complete_with_scene, profile_values
from a4d.fitting.stage import FittingStage
from a4d.fitting.start import kind_of, require_another_name, start, still_frames
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.quality import Gate, judge
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.scenes.scene import Scene
    from a4d.scenes.seed import Seed
    from a4d.views import Frames

GATES = (
    Gate(
        "contrast_left_out", 0.5, math.inf,
        "{value:.0%} of the picture's contrast lies outside of its subject: look at images/, or give a --mask",
    ),
)  # fmt: skip
"""When it is doubted that the subject was found."""

PROFILE_FOLDER = Path(__file__).parent / "profiles"

PROFILES = {
    "image": "fit-static-image",
    "video": "fit-static-image",
    "images": "fit-static-capture",
    "capture": "fit-static-capture",
    "mesh": "fit-static-mesh",
}
"""The defaults that suit each kind of source."""

SCENE_PROFILES = {"field": "fit-static-field", "tetmesh": "fit-static-tetmesh"}
"""The defaults of scenes that are made from views alone, whatever the source."""


class SeedConfig(Config):
    """Where the first guess of the shape comes from."""

    kind: Literal["inflation", "capture", "points", "visual-hull", "mesh", "ball"] = "ball"
    thickness: float = Field(default=0.82, ge=0, le=2, description="depth of an inflated silhouette over its size")
    resolution: int = Field(default=96, ge=16, le=512, description="cells along the visual hull's side")
    radius: float = Field(default=1.0, gt=0, description="metres; extent of the ball and of the hull")


class ProxyConfig(Config):
    """Renders of the first guess that stand in for observations where there are none."""

    count: int = Field(default=24, ge=1, le=1000)
    size: int = Field(default=256, ge=16, le=4096)
    elevations: list[float] = Field(
        default=[-15.0, 15.0, 45.0], min_length=1, max_length=1000, description="degrees, one ring of views each"
    )


class FitStatic(Fitting):
    """Everything that decides a static scene; a profile for the kind of source fills in what is not given."""

    frame: int | None = Field(default=None, ge=0, description="fit this frame alone; all of them if not given")
    seed: SeedConfig
    proxies: ProxyConfig | None = None


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else the one that suits the kind of source, and of the scene that is given."""
    profile, given = values.get("profile", "auto"), values.get("from_scene")
    if profile == "auto":
        profile = _suitable(workspace, values.get("scene"), given)
    chosen = profile_values(PROFILE_FOLDER, "fit-static", str(profile), workspace)
    return {**chosen, "scene": None, "proxies": None} if given else chosen


def _suitable(workspace: Workspace, scene: Any, given: str | None) -> str:
    source = workspace.metadata.source
    kind = source.kind if source else "capture"
    asked = scene.get("kind") if isinstance(scene, Mapping) else None
    if given and asked is None:
        asked = kind_of(workspace, given)
    if kind in ("mesh", "capture", "images") and asked in SCENE_PROFILES:
        return SCENE_PROFILES[asked]
    if kind not in PROFILES:
        raise UsageError(
            f"fit-static has no built-in profile for a source of kind '{kind}'", "Give --profile or --config"
        )
    return PROFILES[kind]


def inputs(workspace: Workspace, config: FitStatic) -> list[Path]:
    """The images and their cameras, and whatever else is known of the shape."""
    known = [*image_files(workspace), *(workspace.path / name for name in ("depth", "points.ply"))]
    if config.seed.kind == "mesh":
        known.append(workspace.path / "source")
    return known + files_read(workspace, config)


def memory(config: FitStatic) -> list[Demand]:
    """The scene, the renders of each view set, and those that stand in for observations."""
    asked = demands(config)
    if config.proxies is not None:
        pixels = config.proxies.count * config.proxies.size**2
        asked.append(Demand("proxies", PICTURE_PIXEL * pixels, on_device=False))
    return asked


def run(work: Transaction, config: FitStatic, runtime: Runtime) -> dict[str, Any]:
    """Guess the shape, start a scene on it or on a given one, optimise it against the images, and save it.

    Raises:
        UsageError: the scene would take its own place.
    """
    from a4d.contents.frames import load_frames

    require_another_name(work, config)
    frames = load_frames(work.workspace)
    frames = still_frames(frames) if config.frame is None else choose_frame(work, frames, config.frame)
    seed = None if config.from_scene else make_seed(work.workspace, frames, config.seed)
    if seed is not None and config.seed.kind == "inflation":
        runtime.console.print("One image, no prior: the sides and the back are an informed guess from the silhouette.")
    if config.proxies is not None and seed is not None and seed.mesh is not None:
        frames = frames.extended(render_proxies(seed, frames, config.proxies))
    scene = start(work.workspace, config, seed, runtime)
    metrics: dict[str, Any] = fit(work, config, scene, frames, runtime)
    source = work.workspace.metadata.source
    if source is not None and source.kind == "image":
        metrics |= score_picture(work.workspace, scene, frames)
        judge(work, metrics, GATES)
    return metrics


def score_picture(workspace: Workspace, scene: Scene, frames: Frames) -> dict[str, float]:
    """The render of the one frame against that frame's outline, and against the whole picture it was cut out of."""
    import torch

    from a4d.evaluation.picture import figures_of_picture
    from a4d.evaluation.views import compare_views
    from a4d.framing import Crop
    from a4d.io.pictures.images import read_image

    crop = Crop.model_validate(workspace.metadata.notes["crop"])
    with torch.no_grad():
        render = scene.render(frames.cameras[0].to(next(scene.parameters()).device))
    straight = render.rgb / render.alpha.clamp_min(1e-3)
    rgba = torch.cat([straight.clamp(0, 1), render.alpha], dim=-1)[0].cpu().numpy()
    picture = read_image(workspace.source_path(), max_size=4 * crop.size)
    return {"iou": compare_views(scene, frames.only(0))["iou"], **figures_of_picture(rgba, crop, picture)}


def choose_frame(work: Transaction, frames: Frames, index: int) -> Frames:
    """The one frame that is fitted; of a clip, the user is told that the others do not take part.

    Raises:
        UsageError: there is no such frame.
    """
    if index >= len(frames):
        raise UsageError(f"there is no frame {index} among {len(frames)}", f"Give --frame 0 to {len(frames) - 1}")
    if len(frames) > 1:
        work.warn(f"frame {index} of {len(frames)} alone is fitted; a static scene has no room for the others")
    return frames.only(index)


def make_seed(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    """What the workspace says of the shape; a capture says it by its points, else by its masks, else not at all.

    Raises:
        MissingInputError: the kind of seed needs something that the workspace does not hold.
        InvalidInputError: the silhouettes leave nothing.
    """
    from a4d.scenes.seed import Seed

    kind = config.kind
    if kind == "capture":
        has_masks = all(float(rgba[..., 3].min()) < 0.5 for rgba in frames.rgba) and len(frames) > 1
        has_points = (workspace.path / "points.ply").is_file()
        kind = "points" if has_points else "visual-hull" if has_masks else "ball"
    if kind == "inflation":
        return _inflated(workspace, frames, config)
    if kind == "points":
        return _given(workspace, config)
    if kind == "visual-hull":
        return _carved(frames, config)
    if kind == "mesh":
        return _modelled(workspace)
    return Seed(radius=config.radius)


def _inflated(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    from a4d.contents.frames import load_depth
    from a4d.geometry.reconstruction.colouring import colour_from_view
    from a4d.geometry.reconstruction.inflation import InflationSettings, inflate
    from a4d.scenes.seed import Seed

    rgba, camera = frames.rgba[0], frames.cameras[0]
    settings = InflationSettings(thickness=config.thickness)
    mesh = inflate(rgba[..., 3], camera, load_depth(workspace, frames.names[0]), settings)
    return Seed(mesh=colour_from_view(mesh, rgba, camera))


def _given(workspace: Workspace, config: SeedConfig) -> Seed:
    import torch

    from a4d.io.assets.ply import read_point_cloud
    from a4d.scenes.seed import Seed

    path = workspace.require("points.ply", "Only a capture with points has it; choose another seed.kind")
    cloud = read_point_cloud(path)
    points = torch.from_numpy(cloud.positions).float()
    # What lies far outside is background, and would spread the Gaussians thin.
    near = points.norm(dim=-1) < 4 * config.radius
    colours = None if cloud.colours is None else torch.from_numpy(cloud.colours)[near]
    return Seed(points=points[near], colours=colours, radius=config.radius)


def _carved(frames: Frames, config: SeedConfig) -> Seed:
    import torch

    from a4d.geometry.reconstruction.visual_hull import surface_colours, visual_hull
    from a4d.scenes.seed import Seed
    from a4d.views.recent import Made

    train = frames.subset(frames.select("train"))
    masks = Made(len(train), lambda index: train.rgba[index][..., 3])
    colours = Made(len(train), lambda index: train.rgba[index][..., :3])
    bounds = torch.tensor([[-config.radius] * 3, [config.radius] * 3])
    hull = visual_hull(masks, train.cameras, bounds, config.resolution)
    points, normals = hull.surface()
    seen = surface_colours(points, normals, colours, train.cameras, hull.spacing)
    return Seed(points=points, colours=seen, radius=config.radius, solid=hull)


def _modelled(workspace: Workspace) -> Seed:
    """The mesh itself, at the first moment that the frames show."""
    from a4d.contents.assets import still_asset
    from a4d.scenes.asset_seed import seed_from_asset

    return seed_from_asset(still_asset(workspace))


def render_proxies(seed: Seed, frames: Frames, config: ProxyConfig) -> Frames:
    """Renders of the first guess from around it, but not from where the reference was taken."""
    import torch

    from a4d.geometry.cameras import orbit
    from a4d.render.mesh import render_mesh
    from a4d.views import Frames

    assert seed.mesh is not None
    position = frames.cameras[0].positions[0]
    radius = float(position.norm())
    front = float(torch.rad2deg(torch.atan2(position[0], position[2])))
    fov = 2 * torch.rad2deg(torch.atan(frames.cameras[0].height / 2 / frames.cameras[0].intrinsics[0, 1]))
    rings = len(config.elevations)
    indices = torch.arange(config.count)
    # Each ring is turned a little against its neighbours; none looks from within 20 degrees of the reference.
    azimuth = front + 20 + 320 * (indices // rings + (indices % rings) / rings) / max(config.count / rings, 1)
    elevation = torch.tensor(config.elevations)[indices % rings]
    cameras = orbit(azimuth, elevation, radius, float(fov), config.size, config.size)
    images = []
    for index in range(config.count):
        render = render_mesh(seed.mesh, cameras[index])
        straight = render.rgb / render.alpha.clamp_min(1e-3)
        images.append(torch.cat([straight.clamp(0, 1), render.alpha], dim=-1)[0])
    names = [f"proxy-{index:03d}" for index in range(config.count)]
    singles = [cameras[index] for index in range(config.count)]
    times = None if frames.times is None else torch.zeros(config.count)
    return Frames(images, singles, times, names, ["proxy"] * config.count)


STAGE = FittingStage(
    name="fit-static",
    summary="Fit a static scene to one image, to photographs with known cameras, or to a mesh.",
    example="a4d fit-static photo.png",
    config=FitStatic,
    run=run,
    defaults=defaults,
    complete=partial(complete_with_scene, purpose="fit"),
    inputs=inputs,
    memory=memory,
    needs=("preprocess", "estimate-pose"),
    memory_knobs=(
        "scene.count",
        "scene.encoding.table",
        "scene.surface.resolution",
        "views.*.batch",
        "views.*.size",
        "proxies.count",
        "proxies.size",
    ),
)
