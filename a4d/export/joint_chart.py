"""A picture of where the joints of a surface are: from the front and from the left, with the joints' names beside."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import isotonic_regression
from torch import Tensor

from a4d.geometry.assets.skinned_surface import SkinnedSurface
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.deformation.joint_places import outline_order
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh

VIEWS = (("from +Z, the front", 0.0), ("from +X, the left", 90.0))
"""What the panels are called, and the azimuth in degrees that each is seen from."""

SIDE = 720
"""Pixels of a panel's side, at the least."""

FINE = 2
"""Times as large as the picture in which everything is drawn, whose edges are smooth then."""

FAR = 20.0
"""Times its radius from which a subject is seen: what is nearer hardly looks larger."""

FILLED = 0.86
"""Share of a panel that the subject fills."""

THROUGH = 0.5
"""Opacity of the surface, behind the bones in it."""

LETTERS, SPACING, MARGIN = 15, 22, 8
"""Pixels: height of the names, from one line to the next, and about them."""

UNMOVED = (180, 180, 180)
"""Colour of what no joint moves."""

GOLDEN = 0.618
"""Of the circle of hues, from one joint to the next: neighbours look different, however many there are."""


@dataclass(frozen=True)
class _Panel:
    """One view of the subject.

    Args:
        title: from where.
        picture: of the surface alone, over white.
        joints: (J, 2) pixels of it.
    """

    title: str
    picture: Image.Image
    joints: NDArray[np.float64]


@dataclass(frozen=True)
class _Style:
    """What all panels share.

    Args:
        names: of the J joints.
        parents: of the joints, -1 for a root.
        colours: of the joints.
        font: of the names.
        column: pixels that names take up on either side of a panel.
    """

    names: Sequence[str]
    parents: Sequence[int]
    colours: Sequence[tuple[int, int, int]]
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    column: int


def write_joint_chart(path: Path, surface: SkinnedSurface) -> None:
    """Two views of a surface at rest, each part in the colour of the joint that moves it most, and all names."""
    skeleton = surface.skeleton
    colours = _colours(outline_order(skeleton))
    font = ImageFont.load_default(LETTERS * FINE)
    column = 3 * MARGIN * FINE + math.ceil(max(font.getlength(name) for name in skeleton.names))
    style = _Style(skeleton.names, skeleton.parents.tolist(), colours, font, column)
    size = max(SIDE, SPACING * (math.ceil(len(skeleton) / 2) + 2)) * FINE
    sheet = Image.new("RGB", (len(VIEWS) * (size + 2 * column), size), "white")
    for index, (title, azimuth) in enumerate(VIEWS):
        panel = _panel(surface, colours, _camera(surface.mesh.vertices, azimuth, size), title)
        sheet.paste(_drawn(panel, style), (index * (size + 2 * column), 0))
    small = sheet.resize((sheet.width // FINE, sheet.height // FINE), Image.Resampling.LANCZOS)
    write_image(path, (np.asarray(small) / 255).astype(np.float32))


def _colours(order: Sequence[int]) -> list[tuple[int, int, int]]:
    """A colour for each joint, by its place in an order."""
    colours = [(0, 0, 0)] * len(order)
    for place, joint in enumerate(order):
        red, green, blue = colorsys.hls_to_rgb(GOLDEN * place % 1, (0.42, 0.3)[place % 2], 0.75)
        colours[joint] = (round(255 * red), round(255 * green), round(255 * blue))
    return colours


def _panel(surface: SkinnedSurface, colours: Sequence[tuple[int, int, int]], camera: Cameras, title: str) -> _Panel:
    parts = torch.tensor([*colours, UNMOVED]) / 255
    strongest = torch.where(surface.weights.sum(1) > 0, surface.weights.argmax(1), len(colours))
    render = render_mesh(replace(surface.mesh, colours=parts[strongest]), camera, supersampling=1, shaded=True)
    white = 1 - THROUGH * render.alpha
    pixels = (THROUGH * render.rgb + white)[0].clamp(0, 1).mul(255).round().byte().numpy()
    places = surface.skeleton.rest_world[:, :3, 3].to(camera.world_from_camera)
    return _Panel(title, Image.fromarray(pixels), camera.project(places)[0][0].double().numpy())


def _camera(
    vertices: Tensor,  # (V, 3)
    azimuth: float,
    size: int,
) -> Cameras:
    """One view in which a subject fills what it should, nearly without perspective."""
    middle = (vertices.amax(0) + vertices.amin(0)) / 2
    distance = FAR * float((vertices - middle).norm(dim=1).max())
    direction = torch.tensor([azimuth]), torch.zeros(1)
    camera = orbit(*direction, distance, 10.0, size, size, middle)
    reach = float((camera.project(vertices)[0][0] - size / 2).abs().max()) / (FILLED * size / 2)
    degrees = 2 * math.degrees(math.atan(math.tan(math.radians(5.0)) * reach))
    return orbit(*direction, distance, degrees, size, size, middle)


def _drawn(panel: _Panel, style: _Style) -> Image.Image:
    """A panel with its bones, and beside it the names of its joints, each on the side that is nearer."""
    size, column = panel.picture.width, style.column
    drawn = Image.new("RGB", (size + 2 * column, size), "white")
    drawn.paste(panel.picture, (column, 0))
    pen, joints = ImageDraw.Draw(drawn), panel.joints + np.array([column, 0])
    pen.text((drawn.width / 2, MARGIN * FINE), panel.title, "black", style.font, anchor="ma")
    for joint, parent in enumerate(style.parents):
        if parent >= 0:
            pen.line([*joints[parent], *joints[joint]], "black", 2 * FINE)
    from_left = np.argsort(joints[:, 0], kind="stable")
    for chosen, edge, anchor in (
        (from_left[: (len(joints) + 1) // 2], column - MARGIN * FINE, "rm"),
        (from_left[(len(joints) + 1) // 2 :], column + size + MARGIN * FINE, "lm"),
    ):
        heights = spread(joints[chosen, 1], SPACING * FINE, SPACING * FINE * 1.5, size - SPACING * FINE / 2)
        for joint, height in zip(chosen.tolist(), heights, strict=True):
            pen.line([*joints[joint], edge, height], style.colours[joint], FINE)
            pen.text((edge, height), f" {style.names[joint]} ", style.colours[joint], style.font, anchor=anchor)
    for joint, parent in enumerate(style.parents):
        radius = (4 if parent >= 0 else 7) * FINE
        pen.ellipse([*(joints[joint] - radius), *(joints[joint] + radius)], style.colours[joint], "black", FINE)
    return drawn


def spread(
    wanted: NDArray[np.float64],  # (N,)
    spacing: float,
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """(N,) places near wanted ones, in their order and no nearer to each other than a spacing, between two ends."""
    order = np.argsort(wanted, kind="stable")
    steps = spacing * np.arange(len(wanted))
    # Less the steps, places need only not fall: the nearest such ones are means of neighbours.
    placed = isotonic_regression(wanted[order] - steps).x.clip(low, high - steps[-1]) if len(wanted) else steps
    found = np.empty(len(wanted))
    found[order] = placed + steps
    return found
