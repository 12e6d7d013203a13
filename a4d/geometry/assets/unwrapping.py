"""Cutting a surface open and laying it flat, so that a picture can be put on it (with xatlas)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import xatlas
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.assembly import primitive_from_mesh
from a4d.geometry.assets.asset import Primitive
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import vertex_tangents

WORKING_SIZE = 1000.0
"""Units along the longest side of the box that surrounds a mesh while it is unwrapped."""


@dataclass(frozen=True)
class UnwrappedMesh:
    """A surface in flat charts that do not overlap; along the cuts a vertex of the mesh appears several times.

    Args:
        mesh: as it was, whole, on the CPU.
        sources: (U,) int64 the mesh's vertex that each vertex of the charts is.
        faces: (F, 3) int64 into the charts' vertices, in the order of the mesh's faces.
        uvs: (U, 2) float32 in [0, 1], u right and v down.
        normals: (U, 3) unit, those of the whole mesh: the cuts do not show.
    """

    mesh: Mesh
    sources: Tensor
    faces: Tensor
    uvs: Tensor
    normals: Tensor

    @property
    def vertices(self) -> Tensor:
        """(U, 3) metres."""
        return self.mesh.vertices[self.sources]

    def primitive(self, has_tangents: bool = False) -> Primitive:
        """The surface with texture coordinates and without vertex colours, for a material with a picture.

        Args:
            has_tangents: for a normal map.
        """
        flat = primitive_from_mesh(Mesh(self.vertices, self.faces), self.uvs)
        normals = self.normals.detach().float().cpu()
        tangents = vertex_tangents(flat.positions, flat.faces, normals, flat.uvs[0]) if has_tangents else None
        return replace(flat, normals=normals, tangents=tangents)

    def follow(
        self,
        trajectories: Tensor,  # (T, V, 3) of the whole mesh
    ) -> tuple[Tensor, Tensor]:
        """(T, U, 3) positions and (T, U, 3) unit normals of the charts' vertices when the mesh moves."""
        normals = torch.stack([Mesh(frame, self.mesh.faces).vertex_normals for frame in trajectories])
        return trajectories[:, self.sources], normals[:, self.sources]


def unwrap(
    mesh: Mesh,
    size: int = 1024,
    padding: int = 4,
    normals: Tensor | None = None,  # (V, 3) unit
) -> UnwrappedMesh:
    """Cut a mesh into charts of little distortion and pack them into the unit square.

    Args:
        mesh: at least one face of positive area.
        size: pixels of the picture that it is meant for, along either side.
        padding: pixels between charts, or a little less where the charts need a larger picture than hoped; they keep
            colours apart also in smaller mip levels.
        normals: of the mesh, such as those of a file; None takes the mean over the faces around each vertex.

    Raises:
        InvalidInputError: the mesh is empty or not finite, or none of its faces has an area.
    """
    mesh = mesh.with_vertices(mesh.vertices.detach().float()).to("cpu")
    vertices = mesh.vertices.numpy()
    if not len(mesh.faces) or not np.isfinite(vertices).all():
        raise InvalidInputError("a mesh that is empty or not finite has no texture coordinates")
    atlas = xatlas.Atlas()
    # Its tolerances are absolute: a subject of a metre would be cut to pieces at its small triangles.
    vertices = (vertices - vertices.mean(0)) * (WORKING_SIZE / max(float(np.ptp(vertices, axis=0).max()), 1e-30))
    atlas.add_mesh(vertices, np.ascontiguousarray(mesh.faces.numpy(), dtype=np.uint32))
    options = xatlas.PackOptions()
    options.resolution = size
    options.padding = padding
    options.bilinear = True
    atlas.generate(pack_options=options)
    sources, faces, uvs = atlas[0]
    if not np.isfinite(uvs).all():
        raise InvalidInputError("a mesh whose faces have no area has no texture coordinates")
    origins = torch.from_numpy(sources.astype(np.int64))
    return UnwrappedMesh(
        mesh,
        origins,
        torch.from_numpy(faces.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(uvs, dtype=np.float32)),
        (mesh.vertex_normals if normals is None else normals.cpu())[origins],
    )


def laid_out(
    mesh: Mesh,
    uvs: Tensor,  # (F, 3, 2) of the faces' corners in [0, 1], u right and v down
) -> UnwrappedMesh:
    """A mesh whose texture coordinates are known; corners at the same vertex and place in the texture are one."""
    vertices, places = mesh.faces.cpu().flatten(), uvs.detach().cpu().flatten(0, 1)
    charts, corner = torch.cat([vertices[:, None].double(), places.double()], dim=1).unique(dim=0, return_inverse=True)
    whole, sources = mesh.to("cpu"), charts[:, 0].long()
    return UnwrappedMesh(whole, sources, corner.view(-1, 3), charts[:, 1:].float(), whole.vertex_normals[sources])
