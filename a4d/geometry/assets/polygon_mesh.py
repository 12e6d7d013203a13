"""Meshes of polygons whose attributes have indices of their own, as text formats hold them, made into primitives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.geometry.assets.asset import MorphTargets, Primitive
from a4d.geometry.mesh import smooth_normals
from a4d.geometry.surfaces.polygons import triangulate


@dataclass(frozen=True)
class CornerAttribute:
    """What the corners of polygons have besides a place.

    Args:
        values: (A, K).
        index: (C,) int64 row of the values that each corner has, -1 where it has none.
    """

    values: NDArray[np.float64]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class PolygonMesh:
    """P polygons with C corners in all, one polygon after the other.

    Args:
        positions: (V, 3).
        corners: (C,) int64 index of each corner's position.
        counts: (P,) int64 corners of each polygon, counter-clockwise from outside.
        materials: (P,) int64 of each polygon.
        normals: of three columns, or None where the file gives none.
        uvs: of two columns, u right and v down, or None.
        colours: of four columns, sRGB and straight alpha in [0, 1], or None.
    """

    positions: NDArray[np.float64]
    corners: NDArray[np.int64]
    counts: NDArray[np.int64]
    materials: NDArray[np.int64]
    normals: CornerAttribute | None = None
    uvs: CornerAttribute | None = None
    colours: CornerAttribute | None = None

    def primitives(self) -> list[Primitive]:
        """Triangles, one primitive for each material that is used.

        Corners with the same attributes share a vertex. Those without a normal get the smooth one of their place, those
        without texture coordinates (0, 0), those without a colour opaque white.
        """
        # In the precision that primitives have, so that what it cannot hold is found there.
        positions = self.positions.astype(np.float32)
        triangles = triangulate(positions[self.corners].astype(np.float64), self.counts)
        materials = self.materials[triangles.polygons]
        smooth = None
        if self.normals is None or (self.normals.index < 0).any():
            faces = self.corners[triangles.corners]
            sound = faces[np.isfinite(positions[faces]).all(axis=(1, 2))]
            smooth = smooth_normals(torch.from_numpy(positions), torch.from_numpy(sound)).numpy()
        used = np.unique(materials).tolist()
        chosen = [triangles.corners if len(used) == 1 else triangles.corners[materials == index] for index in used]
        return [
            self._primitive(positions, smooth, corners.reshape(-1), index)
            for index, corners in zip(used, chosen, strict=True)
        ]

    def _primitive(
        self,
        positions: NDArray[np.float32],
        smooth: NDArray[np.float32] | None,  # (V, 3)
        corners: NDArray[np.int64],  # (3F,) of triangles
        material: int,
    ) -> Primitive:
        attributes = [attribute for attribute in (self.normals, self.uvs, self.colours) if attribute is not None]
        vertices = self.corners[corners]
        first, faces = _shared_vertices([vertices, *(attribute.index[corners] for attribute in attributes)])
        shown, places = corners[first], vertices[first]
        normals = _rows(self.normals, shown, 0.0)
        if smooth is not None:
            is_missing = np.full(len(shown), True) if self.normals is None else self.normals.index[shown] < 0
            normals = np.where(is_missing[:, None], smooth[places], 0.0 if normals is None else normals)
        uvs, colours = _rows(self.uvs, shown, 0.0), _rows(self.colours, shown, 1.0)
        return Primitive(
            torch.from_numpy(positions[places]),
            torch.from_numpy(faces.reshape(-1, 3)),
            material,
            _tensor(normals),
            None,
            torch.zeros(0, len(places), 2) if uvs is None else torch.from_numpy(uvs.astype(np.float32))[None],
            _tensor(colours),
            None,
            MorphTargets(None, None, None),
        )


def _tensor(rows: NDArray | None) -> torch.Tensor | None:
    return None if rows is None else torch.from_numpy(rows.astype(np.float32))


def _rows(attribute: CornerAttribute | None, corners: NDArray[np.int64], missing: float) -> NDArray[np.float64] | None:
    """The values of some corners."""
    if attribute is None:
        return None
    index = attribute.index[corners]
    if not len(attribute.values):
        return np.full((len(corners), attribute.values.shape[1]), missing)
    return np.where(index[:, None] < 0, missing, attribute.values[index])


def _shared_vertices(
    keys: Sequence[NDArray[np.int64]],  # of (C,) from -1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One vertex for all corners that agree in every key: a corner of each, and (C,) the vertex of each corner."""
    used = np.zeros(int(keys[0].max(initial=-1)) + 1, np.bool_)
    used[keys[0]] = True
    vertex = (np.cumsum(used) - 1)[keys[0]]
    for key in keys[1:]:
        last = np.empty(int(vertex.max(initial=-1)) + 1, np.int64)
        last[vertex] = key
        # Mostly an attribute is one of the vertex, and nothing has to be sorted.
        if not np.array_equal(last[vertex], key):
            _, vertex = np.unique(vertex * (int(key.max()) + 2) + key + 1, return_inverse=True)
    first = np.empty(int(vertex.max(initial=-1)) + 1, np.int64)
    first[vertex[::-1]] = np.arange(len(vertex))[::-1]
    return first, vertex
