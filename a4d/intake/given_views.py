"""Films of one subject from several sides taken into a workspace: every frame cut out, every view with its camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.cameras import Cameras
from a4d.intake.given_cameras import ShownViews, given_cameras
from a4d.intake.mesh_views import PlacedMesh
from a4d.intake.settings import GivenViews, RingSettings
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.multi_view_folder import Excerpt, MultiViewFolder
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import write_image
from a4d.pixels import Array
from a4d.workspace.transaction import Transaction

SURE = 0.8
"""Overlap of outlines below which the user is told to look."""


def take_views(
    work: Transaction,
    config: GivenViews,
    clip: MultiViewFolder,
    excerpt: Excerpt,
    cut_out: Callable[[Path, Array], Array],
    mesh: PlacedMesh | None = None,
) -> dict[str, Any]:
    """Write the frames of all views, and their cameras and times.

    Args:
        work: takes images and cameras.
        config: how many views are taken, and where they are if no file says it.
        clip: the views.
        excerpt: of each view.
        cut_out: a frame's file and pixels to its (H, W, 4) sRGB with straight alpha.
        mesh: that the first moment should show; None checks nothing.

    Raises:
        InvalidInputError: the views differ in length or size, or cameras are damaged.
        UsageError: the views cannot be chosen as asked.
    """
    train, test = _chosen(clip, config)
    names, shown = _write_pictures(work, clip, (*train, *test), excerpt, cut_out)
    cameras = given_cameras(config, shown, mesh)
    _write_cameras(work, cameras, (train, test), names)
    work.describe(frame_count=len(names), fps=round(clip.rate(excerpt), 6))
    if clip.missing:
        missing = ", ".join(clip.missing)
        work.warn(f"{clip.path.name} has {len(clip.views)} views; missing of a ring of {clip.ring}: {missing}")
    moments = len(names) // len(shown.at_rest)
    facts = {"frames": len(names), "views": len(train), "test_views": len(test), "moments": moments}
    return facts if mesh is None else {**facts, "silhouette_iou": _overlap(work, shown, mesh, cameras)}


def _write_pictures(
    work: Transaction,
    clip: MultiViewFolder,
    views: Sequence[int],
    excerpt: Excerpt,
    cut_out: Callable[[Path, Array], Array],
) -> tuple[list[str], ShownViews]:
    """Write the frames of some views, one view after the other; their names, and what the views show at first.

    Raises:
        InvalidInputError: the views differ in length or size, or do not move.
    """
    folder, sizes, counts, names = work.replace("images"), set[tuple[int, int]](), set[int](), list[str]()
    at_rest: list[Array] = []
    for view in views:
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
    return names, ShownViews(clip, (width, height), dict(zip(views, at_rest, strict=True)))


def _overlap(work: Transaction, shown: ShownViews, mesh: PlacedMesh, cameras: Cameras) -> float:
    """How far the outlines of films and of the mesh that they should show agree; the user is told where they do not."""
    overlaps = shown.overlaps(mesh.surface, cameras)
    overlap, worst = sum(overlaps.values()) / len(overlaps), min(overlaps, key=overlaps.__getitem__)
    if overlap < SURE:
        work.warn(
            f"the outlines of {mesh.file.name} and of the films overlap by {100 * overlap:.0f} %, least in "
            f"{shown.clip.path.name}/{shown.clip.views[worst].name} ({100 * overlaps[worst]:.0f} %): say where the "
            "cameras are (--radius, --fov, --azimuth, --cameras, --cameras-frame) or how the mesh stands "
            "(--up, --front)"
        )
    return overlap


def _chosen(clip: MultiViewFolder, ring: RingSettings) -> tuple[list[int], list[int]]:
    """The views to train on, evenly around the subject, and those held out, as evenly out of the rest."""
    there, wanted, held_out = len(clip.views), ring.views or len(clip.views), ring.test_views or 0
    whole = there if wanted == there else clip.ring
    if whole % wanted:
        raise UsageError(
            f"{wanted} of {whole} views are not evenly around the subject", "Choose a divisor with --views"
        )
    places = list(clip.places) if whole == clip.ring else list(range(there))
    needed = list(range(0, whole, whole // wanted))
    if not set(needed) <= set(places):
        raise UsageError(
            f"{wanted} of {clip.ring} views are not evenly around the subject without {', '.join(clip.missing)}",
            "Choose another number with --views, or all that there are",
        )
    train = [places.index(place) for place in needed]
    rest = [view for view in range(there) if view not in train]
    if held_out > len(rest):
        raise UsageError(f"{len(rest)} views are left over, not {held_out}", "Choose fewer with --test-views")
    return train, [rest[(2 * index + 1) * len(rest) // (2 * held_out)] for index in range(held_out)]


def _write_cameras(work: Transaction, cameras: Cameras, chosen: tuple[list[int], list[int]], names: list[str]) -> None:
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
