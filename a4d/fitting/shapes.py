"""Shapes of a picture's subject, of a file or of a model, brought to where the picture shows it and painted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.fitting.picture_alignment import align_to_picture
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh, first_in_place
from a4d.geometry.reconstruction.colouring import colour_from_view, colour_over
from a4d.geometry.transforms import transform_points
from a4d.io.assets.asset_reader import read_asset
from a4d.render.mesh import render_mesh
from a4d.render.surface_colours import surface_colours

FINENESS = 1 / 200
"""Length of the edges between points that carry a colour, over the box's diagonal."""

MOST_FACES = 300_000
"""To which a mesh is refined so that its vertices carry the colours of its pictures."""

PLAIN = 0.02
"""Largest deviation of the colours of a mesh that counts as unpainted."""


@dataclass(frozen=True)
class PlacedShape:
    """A shape in the world of a picture.

    Args:
        mesh: with colours.
        iou: overlap of its outline and the picture's, in [0, 1].
    """

    mesh: Mesh
    iou: float


def placed_in_picture(
    mesh: Mesh,
    rgba: Tensor,  # (H, W, 4) straight sRGB and alpha in [0, 1]
    camera: Cameras,  # one view of the picture's size
    is_oriented: bool,
) -> PlacedShape:
    """A shape where a picture shows it, with the picture's colours where that shows it and its own elsewhere.

    Args:
        mesh: in any axes, or see `is_oriented`; without colours it is painted from the picture alone.
        rgba: the picture.
        camera: sees the origin in front of it.
        is_oriented: whether +Y is up and +Z the side that the picture shows.
    """
    aligned = align_to_picture(mesh, rgba, camera, is_oriented)
    moved = mesh.with_vertices(transform_points(aligned.world_from_shape, mesh.vertices))
    depth = render_mesh(moved, camera).depth[0, ..., 0]
    paint = colour_from_view if moved.colours is None else colour_over
    return PlacedShape(paint(moved, rgba, camera, depth), aligned.iou)


def read_shape(path: Path) -> Mesh:
    """The surface of any mesh at rest, as fine as its colours need it; without colours where all are alike.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it cannot be read, or is flat along every axis.
    """
    asset = read_asset(path)
    posed = deform(asset)
    used = posed.vertices[posed.faces.unique()]
    diagonal = float((used.amax(0) - used.amin(0)).norm())
    if not diagonal > 0:
        raise InvalidInputError(f"{path} has no extent")
    corners = posed.vertices[posed.faces]
    longest = float((corners - corners.roll(1, dims=1)).norm(dim=-1).amax(1).quantile(0.9))
    pieces = max(min(round(longest / (FINENESS * diagonal)), int((MOST_FACES / len(corners)) ** 0.5)), 1)
    weights = _weights(pieces)
    face = torch.arange(len(corners)).repeat_interleave(len(weights))
    spacing = torch.full((len(face),), longest / pieces)
    colours = surface_colours(posed, asset.materials, face, weights.repeat(len(corners), 1) / pieces, spacing)
    mesh = _subdivided(posed, pieces, colours)
    assert mesh.colours is not None
    return replace(mesh, colours=None) if float(mesh.colours.std(dim=0).max()) < PLAIN else mesh


def _weights(pieces: int) -> Tensor:
    """(K, 3) int64 barycentric weights of the points that cut a face's edges into so many pieces, times these."""
    rows = [(i, j) for i in range(pieces + 1) for j in range(pieces + 1 - i)]
    return torch.tensor([[pieces - i - j, i, j] for i, j in rows])


def _subdivided(
    posed: PosedMesh,
    pieces: int,
    colours: Tensor,  # (F K, 3) of the points of each face
) -> Mesh:
    """Every face cut into pieces², welded across seams; without faces that have no area."""
    weights = _weights(pieces)
    ids = first_in_place(posed.vertices)[posed.faces]
    # Faces that meet name the points of their common edge by the same corners and weights.
    names = torch.where(weights > 0, ids[:, None] * (pieces + 1) + weights, -1).sort(dim=-1).values
    names, place = names.flatten(0, 1).unique(dim=0, return_inverse=True)
    count = place.bincount()[:, None]
    points = torch.einsum("kc,fcx->fkx", weights / pieces, posed.vertices[ids]).flatten(0, 1)
    vertices, means = (
        values.new_zeros(len(names), 3).index_add(0, place, values) / count for values in (points, colours)
    )
    offsets = torch.arange(len(ids))[:, None, None] * len(weights)
    faces = place[(_cells(pieces) + offsets).flatten(0, 1)]
    return Mesh(vertices, faces[(faces != faces.roll(1, dims=1)).all(1)], means)


def _cells(pieces: int) -> Tensor:
    """(pieces², 3) the rows of `_weights` at the corners of the triangles between them."""
    first = [i * (pieces + 1) - i * (i - 1) // 2 for i in range(pieces + 1)]
    cells = []
    for i in range(pieces):
        for j in range(pieces - i):
            corner, beside, beyond = first[i] + j, first[i + 1] + j, first[i] + j + 1
            cells.append((corner, beside, beyond))
            if j < pieces - i - 1:
                cells.append((beside, beside + 1, beyond))
    return torch.tensor(cells)
