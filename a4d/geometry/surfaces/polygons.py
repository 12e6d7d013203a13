"""Polygons of any number of corners cut into triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-12
"""Share of a polygon's area at or below which a triangle of its corners counts as a line."""


@dataclass(frozen=True)
class Triangulation:
    """Triangles in the order of the polygons that they come from, wound as these are.

    Args:
        corners: (F, 3) int64 positions in the list of all polygons' corners.
        polygons: (F,) int64 the polygon of each.
    """

    corners: NDArray[np.int64]
    polygons: NDArray[np.int64]


def triangulate(
    points: NDArray[np.float64],  # (C, 3) of the corners of all polygons, one polygon after the other
    counts: NDArray[np.int64],  # (P,) corners of each, summing to C
) -> Triangulation:
    """Cut polygons into triangles that cover each of them once.

    A polygon is seen along its Newell normal. A fan around its first corner is taken where that covers it, which is so
    for every convex one; other quads are cut along their other diagonal, and what is left ear by ear. Polygons of
    fewer than three corners give nothing; what crosses itself is cut as well as may be.
    """
    first = np.cumsum(counts) - counts
    is_triangle = counts == 3
    pieces = [(first[is_triangle, None] + np.arange(3), np.flatnonzero(is_triangle))]
    larger = np.flatnonzero(counts > 3)
    if len(larger):
        pieces += _larger(points, first[larger], counts[larger], larger)
    corners, polygons = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    order = np.argsort(polygons, kind="stable")
    return Triangulation(corners[order], polygons[order])


Piece = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Corners (F, 3) of triangles, and (F,) the polygon of each."""


def _larger(
    points: NDArray[np.float64], first: NDArray[np.int64], counts: NDArray[np.int64], polygons: NDArray[np.int64]
) -> list[Piece]:
    """The triangles of polygons of four corners and more."""
    fans, polygon = _fans(first, counts)
    crosses = _crosses(points, fans)
    # Newell's: twice the area, along the normal of the plane that fits best.
    normals: NDArray[np.float64] = np.stack(
        [np.bincount(polygon, crosses[:, axis], len(counts)) for axis in range(3)], axis=1
    )
    sizes = np.linalg.norm(normals, axis=1)
    is_covered = _is_covered(crosses, polygon, normals)
    # What has no area to speak of has no side to be seen from either.
    is_covered |= sizes <= FLAT * _extents(points, first, counts) ** 2
    is_taken = is_covered[polygon]
    pieces = [(fans[is_taken], polygons[polygon[is_taken]])]
    quads = np.flatnonzero(~is_covered & (counts == 4))
    halves = (first[quads, None, None] + np.array([[1, 2, 3], [1, 3, 0]])).reshape(-1, 3)
    half = np.repeat(np.arange(len(quads)), 2)
    is_cut = _is_covered(_crosses(points, halves), half, normals[quads])
    is_taken = is_cut[half]
    pieces.append((halves[is_taken], polygons[quads[half[is_taken]]]))
    is_covered[quads[is_cut]] = True
    rest = np.flatnonzero(~is_covered)
    if len(rest):
        pieces.append(_ears(points, first[rest], counts[rest], polygons[rest], normals[rest] / sizes[rest, None]))
    return pieces


def _corners(first: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all corners of some polygons, and the polygon of each among them."""
    polygon = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(polygon)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first[polygon] + within, polygon


def _fans(first: NDArray[np.int64], counts: NDArray[np.int64]) -> Piece:
    """The triangles around the first corner of each polygon."""
    seconds, polygon = _corners(first + 1, counts - 2)
    return np.stack([first[polygon], seconds, seconds + 1], axis=1), polygon


def _extents(points: NDArray[np.float64], first: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,) the largest distance from the first corner, along one of the axes."""
    corners, polygon = _corners(first, counts)
    away = np.abs(points[corners] - points[first[polygon]]).max(axis=1)
    return np.maximum.reduceat(away, np.cumsum(counts) - counts)


def _crosses(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """(F, 3) normals, twice as long as each triangle's area."""
    origins = points[triangles[:, 0]]
    a, b = ((points[triangles[:, corner]] - origins).T for corner in (1, 2))
    # NumPy's own cross product takes several times as long on rows.
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=1)


def _is_covered(
    crosses: NDArray[np.float64],  # (F, 3) of triangles
    polygon: NDArray[np.int64],  # (F,) of each
    normals: NDArray[np.float64],  # (P, 3) their sums
) -> NDArray[np.bool_]:
    """(P,) whether all triangles of a polygon face where it faces, so that they do not overlap."""
    facing = np.einsum("ij,ij->i", crosses, normals[polygon])
    limits = FLAT * np.einsum("ij,ij->i", normals, normals)
    return np.bincount(polygon, facing <= limits[polygon], len(normals)) == 0


def _ears(
    points: NDArray[np.float64],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    polygons: NDArray[np.int64],
    normals: NDArray[np.float64],  # (P, 3) unit
) -> Piece:
    from a4d.geometry.surfaces.polygon_kernels import cut_ears

    corners, polygon = _corners(first, counts)
    # The axis that the normal leans to least is far from parallel to it.
    right = np.cross(np.eye(3)[np.abs(normals).argmin(axis=1)], normals)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(normals, right)
    offsets = points[corners] - points[first[polygon]]
    flat = np.stack([np.einsum("ij,ij->i", offsets, axes[polygon]) for axes in (right, up)], axis=1)
    areas = np.bincount(polygon, _shoelace(flat, counts), len(counts))
    triangles = np.empty((len(corners), 3), np.int64)
    filled = cut_ears(np.ascontiguousarray(flat), counts, FLAT * areas, triangles)
    return corners[triangles[:filled]], polygons[polygon[triangles[:filled, 0]]]


def _shoelace(flat: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(C,) what each edge adds to twice the area of its polygon."""
    following = np.arange(1, len(flat) + 1)
    last = np.cumsum(counts) - 1
    following[last] -= counts
    return flat[:, 0] * flat[following, 1] - flat[following, 0] * flat[:, 1]
