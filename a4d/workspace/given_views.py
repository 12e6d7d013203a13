"""Films of one subject from several sides taken into a workspace: every frame cut out, every view with its camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from a4d.errors import InvalidInputError, UsageError
from a4d.workspace.mesh_views import MeshViews
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from a4d.geometry.cameras import Cameras
    from a4d.geometry.mesh import Mesh
    from a4d.io.multi_view_folder import Excerpt, MultiViewFolder
    from a4d.pixels import Array

ELEVATION = 15.0
"""Degrees above the subject of cameras of which nobody says it: Animate3D's."""

HALF, SURE = 0.5, 0.8
"""Alpha of an outline; overlap of outlines below which the user is told to look."""


class GivenViews(MeshViews):
    """Where the films lie that show how a mesh moves, and where their cameras stood, beside what renders need."""

    videos: Path | None = Field(
        default=None, description="folder of view_0.mp4 ... or view_0/ ... that show how a mesh moves"
    )
    cameras: Path | None = Field(
        default=None, description="a transforms.json with the cameras of such films; else a ring of them is assumed"
    )


def take_views(
    work: Transaction,
    config: GivenViews,
    clip: MultiViewFolder,
    excerpt: Excerpt,
    cut_out: Callable[[Path, Array], Array],
    surface: Mesh | None = None,
) -> dict[str, Any]:
    """Write the frames of all views, and their cameras and times.

    Args:
        work: takes images and cameras.
        config: how many views are taken, and where they are if no file says it.
        clip: the views.
        excerpt: of each view.
        cut_out: a frame's file and pixels to its (H, W, 4) sRGB with straight alpha.
        surface: that the first moment should show, in the workspace's world; None checks nothing.

    Raises:
        InvalidInputError: the views differ in length or size, or cameras are damaged.
        UsageError: the views cannot be chosen as asked.
    """
    from a4d.io.images import write_image

    train, test = _chosen(len(clip.views), config)
    folder, sizes, counts, names = work.replace("images"), set[tuple[int, int]](), set[int](), list[str]()
    at_rest: list[Array] = []
    for view in (*train, *test):
        first = len(names)
        for frame in clip.frames(view, excerpt):
            rgba = cut_out(clip.views[view], frame)
            if len(names) == first:
                at_rest.append(rgba[..., 3])
            names.append(f"{len(names):05d}.png")
            write_image(folder / names[-1], rgba)
            sizes.add((rgba.shape[1], rgba.shape[0]))
        counts.add(len(names) - first)
    if len(sizes) > 1 or len(counts) > 1:
        raise InvalidInputError(f"the views of {clip.path} differ in length or size")
    (width, height), (moments,) = sizes.pop(), counts
    if moments < 2:
        raise InvalidInputError(f"the views of {clip.path} show a single moment")
    cameras = _cameras(config, clip, width, height)
    _write_cameras(work, cameras, (train, test), names)
    work.describe(frame_count=len(names), fps=round(clip.rate(excerpt), 6))
    facts = {"frames": len(names), "views": len(train), "test_views": len(test), "moments": moments}
    if surface is None:
        return facts
    overlap = _overlap(surface, cameras, dict(zip(train, at_rest, strict=False)))
    if overlap < SURE:
        work.warn(
            f"the films do not show the mesh where it is: outlines overlap by {100 * overlap:.0f} %; "
            "say where the cameras are (--radius, --fov, --azimuth --cameras), or how it stands (--up, --front)"
        )
    return {**facts, "silhouette_iou": overlap}


def _overlap(surface: Mesh, cameras: Cameras, alphas: Mapping[int, Array]) -> float:
    """Intersection over union of a surface's outlines and masks, by view, as its mean over views."""
    import numpy as np

    from a4d.render.mesh import render_mesh

    shares = []
    for view, alpha in alphas.items():
        seen = render_mesh(surface, cameras[view]).alpha[0, ..., 0].numpy() > HALF
        shown = alpha > HALF
        shares.append(float((seen & shown).sum() / max((seen | shown).sum(), 1)))
    return float(np.mean(shares))


def _chosen(there: int, ring: MeshViews) -> tuple[list[int], list[int]]:
    """The views to train on, evenly around the subject, and those held out, as evenly out of the rest."""
    wanted, held_out = ring.views or there, ring.test_views or 0
    if there % wanted:
        raise UsageError(
            f"{wanted} of {there} views are not evenly around the subject", "Choose a divisor with --views"
        )
    train = list(range(0, there, there // wanted))
    rest = [view for view in range(there) if view not in train]
    if held_out > len(rest):
        raise UsageError(f"{len(rest)} views are left over, not {held_out}", "Choose fewer with --test-views")
    return train, [rest[(2 * index + 1) * len(rest) // (2 * held_out)] for index in range(held_out)]


def _cameras(config: GivenViews, clip: MultiViewFolder, width: int, height: int) -> Cameras:
    """Of all views: the user's file, else the clip's own, else a ring."""
    import torch

    from a4d.geometry.cameras import orbit
    from a4d.io.multi_view_dataset import stored_cameras

    count = len(clip.views)
    if file := config.cameras or clip.camera_file:
        return stored_cameras(file, count, width, height)
    if config.elevations is not None and len(config.elevations) > 1:
        raise UsageError("films have one ring of cameras", "Give one elevation, or the cameras with --cameras")
    told = clip.angles() or (ELEVATION, 0.0)
    elevation = told[0] if config.elevations is None else config.elevations[0]
    azimuth = told[1] if config.azimuth is None else config.azimuth
    turns = azimuth + torch.arange(count) * (360 / count)
    return orbit(turns, torch.full((count,), elevation), config.radius, config.fov, width, height)


def _write_cameras(work: Transaction, cameras: Cameras, chosen: tuple[list[int], list[int]], names: list[str]) -> None:
    import numpy as np

    from a4d.io.capture import PosedCapture
    from a4d.io.transforms_json import write_transforms

    train, test = chosen
    moments = len(names) // (len(train) + len(test))
    view = np.repeat([*train, *test], moments)
    labels = [f"{kind}_{index:02d}" for kind, part in (("view", train), ("test", test)) for index in range(len(part))]
    root = work.output("transforms.json").parent
    capture = PosedCapture(
        images=tuple(root / "images" / name for name in names),
        world_from_camera=cameras.world_from_camera.double().numpy()[view],
        intrinsics=cameras.intrinsics.double().numpy()[view],
        sizes=np.array([[cameras.width, cameras.height]] * len(view), np.int64),
        splits=tuple("train" if index < len(train) * moments else "test" for index in range(len(view))),
        times=np.tile(np.linspace(0, 1, moments), len(labels)),
        views=tuple(label for label in labels for _ in range(moments)),
        up_axis="+y",
    )
    write_transforms(root / "transforms.json", capture)
