"""Textures out of whatever gives a surface its colours: functions of the surface, evaluated texel by texel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material, TextureMap, Wrap
from a4d.geometry.assets.unwrapping import UnwrappedMesh, unwrap
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import encode_normals, tangent_space_normals, vertex_tangents
from a4d.render.kernels.mesh_raster import rasterise

BATCH = 2**18
"""Samples that a function is given at a time."""


OUTSIDE = 1e-4
"""How far texture coordinates may leave the picture: files round them."""

MOST_TILES = 4
"""How often a picture may repeat along either side under texture coordinates that leave it."""

UNCHARTED = 0.01
"""Share of a surface whose texture coordinates may span no area."""

DOUBLE = 0.03
"""Share of the charts that may lie over others, which counting pixels cannot tell from none."""


@dataclass(frozen=True)
class SurfacePoints:
    """Places on an unwrapped surface, one for each sample of a texture.

    Args:
        unwrapped: the surface.
        faces: (N,) int64 the face of each.
        barycentric: (N, 3) float32 weights of its corners.
    """

    unwrapped: UnwrappedMesh
    faces: Tensor
    barycentric: Tensor

    def interpolate(
        self,
        values: Tensor,  # (V, C) at the vertices of the whole mesh
    ) -> Tensor:
        """(N, C) values at the points."""
        return self._blend(values, self.unwrapped.mesh.faces)

    def interpolate_over_charts(
        self,
        values: Tensor,  # (U, C) at the vertices of the charts
    ) -> Tensor:
        """(N, C) values at the points."""
        return self._blend(values, self.unwrapped.faces)

    def _blend(self, values: Tensor, faces: Tensor) -> Tensor:
        return (values[faces[self.faces]] * self.barycentric[..., None]).sum(1)

    @property
    def positions(self) -> Tensor:
        """(N, 3) metres."""
        return self.interpolate(self.unwrapped.mesh.vertices)

    @property
    def normals(self) -> Tensor:
        """(N, 3) unit, as renderers interpolate them."""
        return normalize(self.interpolate_over_charts(self.unwrapped.normals), dim=1)


SurfaceFunction = Callable[[SurfacePoints], Tensor]
"""(N, C) values at points of a surface: of a field there, of a picture that sees them, of the vertices around them."""


def bake_texture(
    unwrapped: UnwrappedMesh,
    function: SurfaceFunction,
    size: int = 1024,
    samples: int = 2,
) -> Tensor:
    """Evaluate a function of the surface over a texture.

    A texel is the mean of its samples on the surface, also where a chart's border crosses it. Texels beside the charts
    continue the nearest one, so that neither interpolation nor smaller mip levels show a seam.

    Args:
        unwrapped: the surface.
        function: evaluated in batches of bounded size.
        size: pixels of the texture along either side.
        samples: along either side of a texel.

    Returns:
        (size, size, C) float32.

    Raises:
        InvalidInputError: no sample meets the surface: the texture is too small, or all faces are degenerate.
    """
    places, points = texel_centres(unwrapped, size * samples)
    if not len(places):
        raise InvalidInputError(f"no texel of a {size}x{size} texture meets the surface", "Use a larger texture")
    values = torch.cat(
        [
            function(SurfacePoints(unwrapped, points.faces[batch], points.barycentric[batch])).detach().float().cpu()
            for batch in torch.arange(len(places)).split(BATCH)
        ]
    )
    texels = (places // (size * samples) // samples) * size + places % (size * samples) // samples
    counts = torch.zeros(size * size).index_add_(0, texels, torch.ones(len(texels)))
    sums = torch.zeros(size * size, values.shape[1]).index_add_(0, texels, values)
    image = (sums / counts.clamp_min(1)[:, None]).reshape(size, size, -1)
    is_empty = (counts == 0).reshape(size, size).numpy()
    row, column = distance_transform_edt(is_empty, return_distances=False, return_indices=True)
    return image[torch.from_numpy(row).long(), torch.from_numpy(column).long()]


def charts_are_sound(unwrapped: UnwrappedMesh, size: int = 512) -> bool:
    """Whether a picture can say something else of each place: charts do not lie over each other where it repeats.

    Args:
        unwrapped: with texture coordinates of any origin.
        size: pixels along either side by which it is judged; charts may share the pixels at their borders.
    """
    uvs = unwrapped.uvs.double()
    first_tile, last_tile = _outermost_tiles(unwrapped)
    if int((last_tile - first_tile).amax()) >= MOST_TILES:
        return False
    (a, b, c) = uvs[unwrapped.faces].unbind(1)
    first, second = b - a, c - a
    flat = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs() / 2
    area = unwrapped.mesh.face_normals.norm(dim=1)
    if float(area[flat == 0].sum()) > UNCHARTED * float(area.sum()):
        return False
    covered = len(texel_centres(unwrapped, size)[0].unique()) / size**2
    return float(flat.sum()) <= covered * (1 + DOUBLE)


def leave_picture(unwrapped: UnwrappedMesh) -> bool:
    """Whether charts lie beside the picture, which then has to repeat."""
    return any(bool(tile.any()) for tile in _outermost_tiles(unwrapped))


def texel_centres(unwrapped: UnwrappedMesh, size: int) -> tuple[Tensor, SurfacePoints]:
    """The texels of a square texture whose centres lie on a face, (N,) int64 row by row, and what lies there.

    Where charts leave the picture it repeats: each of its repetitions follows the one before.
    """
    first, last = _outermost_tiles(unwrapped)
    columns, rows = (range(int(low), int(high) + 1) for low, high in zip(first, last, strict=True))
    found = [_tile_centres(unwrapped, size, torch.tensor(tile)) for tile in product(columns, rows)]
    places, faces, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return places, SurfacePoints(unwrapped, faces, weights)


def _outermost_tiles(unwrapped: UnwrappedMesh) -> tuple[Tensor, Tensor]:
    """(2,) whole coordinates along u and v of the first and of the last repetition of the picture; 0 is itself."""
    uvs = unwrapped.uvs.double()
    first = (uvs + OUTSIDE).floor().amin(0)
    return first, torch.maximum((uvs - OUTSIDE).ceil().amax(0) - 1, first)


def _tile_centres(unwrapped: UnwrappedMesh, size: int, tile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) int64 texels of one repetition of the picture, (N,) faces at their centres, (N, 3) barycentric weights."""
    flat = (unwrapped.uvs.double() - tile) * size
    vertices = torch.cat([flat, torch.ones(len(flat), 1, dtype=torch.float64)], dim=1).numpy()
    face, barycentric = np.empty((size, size), np.int32), np.empty((size, size, 3), np.float32)
    # A camera at distance one with unit focal length: texture coordinates are pixels.
    lens = np.array([1.0, 1.0, 0.0, 0.0])
    nothing, depth = np.zeros((size, size)), np.empty((size, size))
    rasterise(vertices, unwrapped.faces.numpy(), lens, 0.5, nothing, face, barycentric, depth)
    places = np.flatnonzero(face >= 0)
    faces = torch.from_numpy(face.reshape(-1)[places]).long()
    return torch.from_numpy(places), faces, torch.from_numpy(barycentric.reshape(-1, 3)[places])


def bake_normal_map(
    unwrapped: UnwrappedMesh,
    directions: SurfaceFunction,  # (N, 3) normals of the detailed surface, in the frame of the mesh
    size: int = 1024,
    samples: int = 2,
) -> Tensor:
    """A tangent-space normal map for the primitive with tangents of the same unwrapped mesh.

    Returns:
        (size, size, 3) float32 in [0, 1]: x right, y up, z out of the surface; not sRGB.
    """
    vertices, normals = unwrapped.vertices, unwrapped.normals
    tangents = vertex_tangents(vertices, unwrapped.faces, normals, unwrapped.uvs)

    def function(points: SurfacePoints) -> Tensor:
        frame = points.interpolate_over_charts(tangents)
        normal = points.interpolate_over_charts(normals)
        return tangent_space_normals(normalize(directions(points), dim=1), normal, frame)

    # The mean of several directions is shorter than any of them.
    return encode_normals(normalize(bake_texture(unwrapped, function, size, samples), dim=-1))


def texture_map(
    image: Tensor,  # (H, W, 3) or (H, W, 4) as stored
    *,
    repeats: bool = False,
) -> TextureMap:
    """A picture over the first texture coordinates, clamped at its border unless it repeats, and interpolated."""
    wrap: Wrap = "repeat" if repeats else "clamp"
    return TextureMap(image.clamp(0, 1), 0, (wrap, wrap), True, torch.eye(2, 3))


def bake_vertex_colours(name: str, mesh: Mesh, size: int = 1024) -> Asset:
    """A mesh with vertex colours as one with a texture.

    Args:
        name: of the node.
        mesh: with colours.
        size: pixels of the texture along either side.

    Raises:
        InvalidInputError: the mesh is empty, not finite, or has no colours.
    """
    if mesh.colours is None:
        raise InvalidInputError("a mesh without colours gives no texture")
    unwrapped = unwrap(mesh, size)
    colours = mesh.colours.detach().cpu()
    image = bake_texture(unwrapped, lambda points: points.interpolate(colours), size)
    material = Material(name, base_colour_map=texture_map(image), metallic=0.0, roughness=0.9)
    return static_asset(name, unwrapped.primitive(), material)
