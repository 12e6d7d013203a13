"""Texels of a body's texture as points of its surface: where they are at rest, and where the joints take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn.functional import normalize

from a4d.geometry.assets.unwrapping import laid_out, unwrap
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.exterior import exterior_faces
from a4d.geometry.deformation.skinning import apply_per_vertex, blend_bones
from a4d.geometry.mesh import Mesh
from a4d.render.baking import texel_centres

NEIGHBOURS = 6

PROBED = 512
"""Texels along a side at which texture coordinates are looked at."""

OVERLAPPING = 0.1
"""Share of the area of all faces in the texture that may be missing from what they cover together."""


@dataclass(frozen=True)
class Texels:
    """N texels of a square texture, and what of the surface lies at their centres.

    Args:
        size: texels along a side.
        places: (N,) int64, row by row.
        faces: (N,) int64.
        barycentric: (N, 3) float32 weights of the face's corners.
    """

    size: int
    places: Tensor
    faces: Tensor
    barycentric: Tensor

    @property
    def coordinates(self) -> Tensor:
        """(N, 2) float32 texture coordinates in [0, 1], u right and v down."""
        columns, rows = self.places % self.size, self.places // self.size
        return (torch.stack([columns, rows], dim=-1) + 0.5) / self.size

    def on_grid(
        self,
        values: Tensor,  # (N, C)
    ) -> Tensor:
        """(C, size, size) values where there is a texel, and 0 elsewhere."""
        grid = values.new_zeros(self.size**2, values.shape[1]).index_copy(0, self.places.to(values.device), values)
        return grid.T.view(-1, self.size, self.size)


def all_texels(body: Body, size: int) -> Texels:
    """The texels of a body.

    Args:
        body: with texture coordinates in which no two faces overlap, see `with_own_texture`.
        size: texels along a side of the texture.
    """
    assert body.uvs is not None
    places, points = texel_centres(laid_out(Mesh(body.rest()[0], body.faces), body.uvs), size)
    return Texels(size, places, points.faces, points.barycentric)


def visible_texels(body: Body, size: int) -> Texels:
    """Those on faces that can be seen from outside; see `all_texels`."""
    texels = all_texels(body, size)
    is_kept = exterior_faces(body)[texels.faces]
    return Texels(size, texels.places[is_kept], texels.faces[is_kept], texels.barycentric[is_kept])


def with_own_texture(body: Body) -> Body:
    """A body every point of whose surface has a place of its own in its texture; an atlas is made where it has none.

    Raises:
        InvalidInputError: the body has no face of positive area.
    """
    mesh = Mesh(body.rest()[0].detach(), body.faces)
    if body.uvs is not None and _is_injective(mesh, body.uvs):
        return body
    atlas = unwrap(mesh)
    return replace(body, uvs=atlas.uvs[atlas.faces])


def _is_injective(mesh: Mesh, uvs: Tensor) -> bool:
    """Whether texture coordinates (F, 3, 2) give every face room that no other takes."""
    if bool(((uvs < 0) | (uvs > 1)).any()):
        return False
    first, second = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    areas = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs() / 2
    covered = len(texel_centres(laid_out(mesh, uvs), PROBED)[0]) / PROBED**2
    has_room = (areas > 0) | (mesh.face_normals.norm(dim=-1) == 0)
    return bool(has_room.all()) and covered > (1 - OVERLAPPING) * float(areas.sum()) > 0


class SurfacePoints(nn.Module):
    """N texels as points that are bound to a body by the barycentric mean of their corners' weights.

    Args:
        body: in its only shape, with texture coordinates.
        texels: of its texture.
    """

    positions: Tensor
    normals: Tensor
    weights: Tensor
    spacing: Tensor

    def __init__(self, body: Body, texels: Texels) -> None:
        super().__init__()
        self.texels = texels
        for name, value in {
            "positions": self._interpolated(body.rest()[0], body),
            "normals": normalize(self._interpolated(self._mesh(body).vertex_normals, body), dim=-1),
            "weights": self._interpolated(body.weights, body),
            "spacing": self._spacing(body),
        }.items():
            self.register_buffer(name, value.float(), persistent=False)

    def __len__(self) -> int:
        return len(self.positions)

    @staticmethod
    def _mesh(body: Body) -> Mesh:
        return Mesh(body.rest()[0], body.faces)

    def _interpolated(self, values: Tensor, body: Body) -> Tensor:
        """(N, C) of values (V, C) at the body's vertices."""
        corners = values.detach()[body.faces[self.texels.faces]]
        return (corners * self.texels.barycentric[..., None]).sum(1)

    def _spacing(self, body: Body) -> Tensor:
        """(N,) metres between neighbouring texels, the root of the mean square over all directions in the texture."""
        assert body.uvs is not None
        faces = self.texels.faces
        corners, flat = body.rest()[0].detach()[body.faces[faces]].double(), body.uvs[faces].double()
        sides, flat_sides = (each[:, 1:] - each[:, :1] for each in (corners, flat))
        along = torch.linalg.pinv(flat_sides) @ sides
        return along.flatten(1).norm(dim=1) / 2**0.5 / self.texels.size

    def posed_from_rest(
        self,
        transforms: Tensor,  # (J, 4, 4) posed_from_rest of each joint
    ) -> Tensor:
        """(N, 4, 4) linear blend skinning of each point, differentiable in the transforms."""
        return blend_bones(self.weights, transforms)

    def posed(
        self,
        transforms: Tensor,  # (J, 4, 4) posed_from_rest of each joint
    ) -> Tensor:
        """(N, 3) metres, where the joints take the surface."""
        return apply_per_vertex(self.posed_from_rest(transforms), self.positions)

    @cached_property
    def neighbours(self) -> Tensor:
        """(N, 6) int64 the points that are nearest to each at rest, also across the cuts of the texture."""
        # Each is nearest to itself.
        return self.nearest_to(self.positions, count=NEIGHBOURS + 1)[:, 1:]

    def nearest_to(
        self,
        places: Tensor,  # (M, 3) at rest, metres
        among: Tensor | None = None,  # (K,) int64 the points that are asked for; None is all
        count: int = 1,
    ) -> Tensor:
        """(M, count) int64 the points that are nearest to places; as many as there are."""
        candidates = torch.arange(len(self)) if among is None else among.cpu()
        tree = cKDTree(self.positions.cpu()[candidates].numpy())
        found = tree.query(places.cpu().numpy(), k=min(count, len(candidates)))[1]
        return candidates[torch.from_numpy(found).view(len(places), -1)].to(self.positions.device)

    def stored(self) -> dict[str, Tensor]:
        """What `restored` reads."""
        texels = self.texels
        return {"places": texels.places, "faces": texels.faces, "barycentric": texels.barycentric}

    @classmethod
    def restored(cls, body: Body, size: int, tensors: Mapping[str, Tensor]) -> SurfacePoints:
        """The points that `stored` told of."""
        return cls(body, Texels(size, *(tensors[name].cpu() for name in ("places", "faces", "barycentric"))))
