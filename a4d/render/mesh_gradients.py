"""Differentiable views of a mesh: interpolation over what is seen, and outlines that pass gradients to the shape.

Inside a surface an image depends on the vertices through the perspective-correct barycentric weights. At outlines it
depends on which surface a pixel shows, which has no derivative; there, pixels are blended by where the outline runs
between their centres, after Laine et al. 2020 (Modular Primitives for High-Performance Differentiable Rendering,
section 3.4), but following the edges of the outline instead of searching the triangles seen beside it: on meshes
finer than the pixels the latter finds next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import transform_points
from a4d.render.backends import availability, choose
from a4d.render.kernels import mesh_interpolation, silhouette_edges
from a4d.render.mesh import UNPAINTED, Fragments
from a4d.render.render import Render, per_view, split_signals

VISIBILITY = {
    "numba": "a4d.render.mesh:rasterise_in_camera",
    "nvdiffrast": "a4d.render.mesh_nvdiffrast:rasterise_in_camera",
    "torch": "a4d.render.mesh_torch:rasterise_in_camera",
}
"""Who finds the visible faces; all else is the same. Numba takes a copy on the CPU, torch stays where the mesh is."""

REMEDIES = {"nvdiffrast": "Install nvdiffrast on a machine with CUDA (non-commercial licence), or use 'numba'"}


@dataclass(frozen=True)
class MeshView:
    """What B cameras see of a mesh, ready to be interpolated and blended with gradients.

    Args:
        in_camera: (B, V, 3) float64 vertices in camera axes, metres; carries the gradient.
        faces: (F, 3) int64. Faces that share an edge must share its vertices: a seam counts as an open boundary.
        cameras: B views.
        fragments: the visible faces, without gradient.
        near: metres, where the surface was cut.
    """

    in_camera: Tensor
    faces: Tensor
    cameras: Cameras
    fragments: Fragments
    near: float

    def interpolate(self, attributes: Tensor, attribute_faces: Tensor | None = None) -> Tensor:
        """Attributes at the pixel centres, differentiable by the attributes and by the vertices.

        Args:
            attributes: (A, C), or (B, A, C) where they differ from view to view; float32 or float64.
            attribute_faces: (F, 3) rows of the attributes at the corners of each face; the vertices' if absent.

        Returns:
            (B, H, W, C), 0 where nothing is seen. An attribute that is 1 everywhere gives the coverage.
        """
        indices = self.faces if attribute_faces is None else attribute_faces
        values = attributes.expand(len(self.cameras), *attributes.shape[-2:])
        if values.device.type == "cpu":
            lens = self.cameras.intrinsics.double()
            result: Tensor = _Interpolation.apply(
                self.in_camera, values, self.faces, indices, self.fragments.face, lens
            )
            return result
        return interpolate_reference(self, values, indices)

    def antialias(self, image: Tensor) -> Tensor:
        """Blend the pixels on both sides of every visible outline, differentiable by the image and by the vertices.

        Args:
            image: (B, H, W, C) premultiplied by coverage; coverage may be one of its channels.

        Returns:
            (B, H, W, C). The sum over the pixels follows the area of each surface that is seen.
        """
        inside, outside, first, second = self._crossings.unbind(1)
        position = self._crossing_positions(inside, outside, first, second)
        result: Tensor = _Blend.apply(image, position.to(image), inside, outside)
        return result

    @cached_property
    def _crossings(self) -> Tensor:
        """(K, 4) int64 pixel inside and outside, into (B, H, W); vertices of the edge, into (B, V)."""
        faces = np.ascontiguousarray(self.faces.cpu().numpy())
        batch, vertex_count, _ = self.in_camera.shape
        edges, start, third = silhouette_edges.edge_table(faces, vertex_count)
        pixel_count = self.cameras.width * self.cameras.height
        found = []
        for index in range(batch):
            vertices, depth = self.in_camera[index].detach().cpu().numpy(), self.fragments.depth[index].cpu().numpy()
            lens = self.cameras.intrinsics[index].double().cpu().numpy()
            crossings = silhouette_edges.crossings(vertices, edges, start, third, lens, self.near, depth)
            found.append(crossings + index * np.array([pixel_count, pixel_count, vertex_count, vertex_count]))
        return torch.from_numpy(np.concatenate(found)).to(self.in_camera.device)

    def _crossing_positions(self, inside: Tensor, outside: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """(K,) float64 where each edge crosses on the way from the inner pixel's centre (0) to the outer one's (1).

        An edge and the camera span a plane, a x b the normal: a pixel's ray lies in it where their product is zero.
        """
        width, pixel_count = self.cameras.width, self.cameras.width * self.cameras.height
        vertices = self.in_camera.flatten(0, 1)
        normal = torch.linalg.cross(vertices.index_select(0, first), vertices.index_select(0, second), dim=-1)
        lens = self.cameras.intrinsics.to(normal)[inside // pixel_count]
        pixel = inside % pixel_count
        centre = torch.stack([pixel % width, pixel // width], dim=-1).to(normal) + 0.5
        ray = (centre - lens[:, 2:]) / lens[:, :2]
        is_row = (outside - inside).abs() == 1
        x, y = normal[:, 0] * lens[:, 1], normal[:, 1] * lens[:, 0]
        level = normal[:, 2] + (normal[:, :2] * ray).sum(-1)
        focal = lens[:, 0] * lens[:, 1]
        offset = -level * focal / torch.where(is_row, x, y)
        return offset * (outside - inside).sign()


def view_mesh(vertices: Tensor, faces: Tensor, cameras: Cameras, near: float = 0.01, backend: str = "auto") -> MeshView:
    """See a mesh, differentiably by its vertices.

    Args:
        vertices: (V, 3) or (B, V, 3) world, metres.
        faces: (F, 3) int64; see `MeshView` on seams.
        cameras: B views on the same device; differentiable too.
        near: metres; surfaces nearer than this depth are cut away.
        backend: one of `VISIBILITY`, or "auto": numba on the CPU; on CUDA nvdiffrast where it is installed, else torch.

    Raises:
        UsageError: there is no backend of that name.
        BackendUnavailableError: it cannot be used here.
    """
    if backend == "auto":
        backend = "numba"
        if vertices.device.type != "cpu":
            backend = "torch" if availability(VISIBILITY)["nvdiffrast"] else "nvdiffrast"
    rasterise = choose(VISIBILITY, backend, REMEDIES)
    points = vertices.double().expand(len(cameras), *vertices.shape[-2:])
    in_camera = transform_points(cameras.camera_from_world.double(), points)
    return MeshView(in_camera, faces, cameras, rasterise(in_camera, faces, cameras, near), near)


def render_surface(
    mesh: Mesh,
    cameras: Cameras,
    background: Tensor | None = None,  # (3,) or (B, 3) sRGB; None is black
    signals: Mapping[str, Tensor] | None = None,  # each (V, C) or (B, V, C)
) -> Render:
    """Images of a mesh with gradients by its vertices and colours; outlines are smooth, the inside is sampled once.

    Args:
        mesh: vertex colours are shown as they are; a mesh without is grey.
        cameras: B views.
        background: what shows where coverage is not full.
        signals: what else to show of the vertices, as channels of these names, beside `normal`; C is any number. They
            are interpolated and blended along outlines as colours are, and have the same gradients.
    """
    view = view_mesh(mesh.vertices, mesh.faces, cameras)
    colours = torch.full_like(mesh.vertices, UNPAINTED) if mesh.colours is None else mesh.colours
    shared = torch.cat([colours, mesh.vertex_normals, torch.ones_like(mesh.vertices[:, :1])], dim=-1).float()
    depth = view.in_camera[..., 2:].to(shared)
    shown = per_view(signals or {}, len(cameras), shared)
    values = torch.cat([shared.expand(len(cameras), -1, -1), depth, *shown.values()], dim=-1)
    rgb, normals, alpha, depth, rest = view.antialias(view.interpolate(values)).split(
        [3, 3, 1, 1, values.shape[-1] - 8], dim=-1
    )
    channels = {"normal": normals, **split_signals(rest, shown)}
    return Render(rgb, alpha, depth / alpha.clamp(min=1e-6), channels).over(background)


def barycentric_weights(view: MeshView) -> Tensor:
    """Perspective-correct weights of the visible faces' corners, differentiable by the vertices.

    Returns:
        (P, 3) float64 at the P covered pixels, in the order of `view.fragments.is_covered`.
    """
    areas, _ = corner_areas(view)
    return areas / areas.sum(-1, keepdim=True)


def corner_areas(view: MeshView) -> tuple[Tensor, Tensor]:
    """Unnormalised barycentric weights of the visible faces, linear over the image plane.

    Returns:
        (P, 3) float64 at the P covered pixels, and (P, 3, 2) their change per unit of the ray's x and y at unit depth.
    """
    batch, row, column = view.fragments.is_covered.nonzero(as_tuple=True)
    corners = view.in_camera[batch[:, None], view.faces[view.fragments.face[batch, row, column]]]
    lens = view.cameras.intrinsics.to(corners)[batch]
    ray = (torch.stack([column, row], dim=-1).to(corners) + 0.5 - lens[:, 2:]) / lens[:, :2]
    a, b, c = (corners[..., :2] - ray[:, None] * corners[..., 2:]).unbind(1)
    areas = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], dim=-1)
    slopes = torch.linalg.cross(corners.roll(-1, 1), corners.roll(-2, 1), dim=-1)[..., :2]
    return areas, slopes


def interpolate_reference(view: MeshView, attributes: Tensor, attribute_faces: Tensor) -> Tensor:
    """`MeshView.interpolate` in plain torch, on any device.

    Args:
        view: B views.
        attributes: (B, A, C).
        attribute_faces: (F, 3).

    Returns:
        (B, H, W, C).
    """
    seen = view.fragments.is_covered
    batch = seen.nonzero()[:, :1]
    corners = attributes[batch, attribute_faces[view.fragments.face[seen]]]
    image = attributes.new_zeros(*seen.shape, attributes.shape[-1])
    return image.index_put((seen,), torch.einsum("pi,pic->pc", barycentric_weights(view).to(corners), corners))


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


class _Interpolation(torch.autograd.Function):
    """The kernels of `mesh_interpolation`, view by view."""

    @staticmethod
    def forward(
        ctx: Any,
        in_camera: Tensor,  # (B, V, 3) float64
        attributes: Tensor,  # (B, A, C)
        faces: Tensor,  # (F, 3)
        attribute_faces: Tensor,  # (F, 3)
        face: Tensor,  # (B, H, W)
        lens: Tensor,  # (B, 4) float64
    ) -> Tensor:
        """(B, H, W, C) attributes where faces are seen, zero elsewhere."""
        ctx.save_for_backward(in_camera, attributes, faces, attribute_faces, face, lens)
        image = np.empty((*face.shape, attributes.shape[-1]), attributes.detach().numpy().dtype)
        for index, view in enumerate(_views(in_camera, attributes, faces, attribute_faces, face, lens)):
            mesh_interpolation.interpolate(*view, image[index])
        return torch.from_numpy(image)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Gradients by vertices in the camera and by attributes."""
        gradient = np.ascontiguousarray(gradients[0].numpy())
        parts = [
            mesh_interpolation.interpolate_backward(*view, gradient[index])
            for index, view in enumerate(_views(*ctx.saved_tensors))
        ]
        to_vertices, to_attributes = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
        return to_vertices, to_attributes, None, None, None, None


class _Blend(torch.autograd.Function):
    """At each crossing, the pixel that the outline cuts takes a part of its neighbour's colour; on any device.

    Written out because a chain of indexed reads would fill an image with zeros for the gradient of each.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, position: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
        """The image (B, H, W, C) with its outlines blended."""
        pixels = image.flatten(0, 2)
        step = pixels[inside] - pixels[outside]
        changed = torch.where(position > 0.5, outside, inside)
        ctx.save_for_backward(step, position, inside, outside, changed)
        return pixels.index_add(0, changed, (position - 0.5)[:, None] * step).view_as(image)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Gradients by the image and by the positions of the crossings."""
        step, position, inside, outside, changed = ctx.saved_tensors
        at_changed = gradients[0].flatten(0, 2)[changed]
        to_step = (position - 0.5)[:, None] * at_changed
        to_pixels = gradients[0].flatten(0, 2).index_add(0, inside, to_step).index_add_(0, outside, -to_step)
        return to_pixels.view_as(gradients[0]), (at_changed * step).sum(-1), None, None


def _views(
    in_camera: Tensor, attributes: Tensor, faces: Tensor, attribute_faces: Tensor, face: Tensor, lens: Tensor
) -> list[tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]]:
    """The kernels' common arguments, one tuple for each of B views."""
    corners, rows = (np.ascontiguousarray(part.numpy()) for part in (faces, attribute_faces))
    points, values = in_camera.detach(), attributes.detach()
    return [
        (points[i].numpy(), corners, lens[i].numpy(), face[i].numpy(), values[i].contiguous().numpy(), rows)
        for i in range(len(face))
    ]
