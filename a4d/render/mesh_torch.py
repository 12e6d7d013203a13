"""Visibility of triangles in plain torch, for accelerators: all pixels that a triangle may cover, sorted by depth."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.rows import rows
from a4d.render.mesh import Fragments

PAIRS = 2**23
"""Triangles times pixels that are tested at once, about."""


@torch.no_grad()
def rasterise_in_camera(vertices: Tensor, faces: Tensor, cameras: Cameras, near: float) -> Fragments:
    """Find the nearest face at each pixel centre; of equally near ones the first.

    The tests are those of `kernels.mesh_raster`: edge functions of the pixel's ray, and the near plane per pixel.

    Args:
        vertices: (B, V, 3) in the axes of each camera, metres, on any device.
        faces: (F, 3).
        cameras: B views; of these only the intrinsics and the image size matter.
        near: metres.
    """
    seen = [_single(rows(vertices[i].double(), faces), cameras[i], near) for i in range(len(cameras))]
    face, barycentric, depth = (torch.stack(part) for part in zip(*seen, strict=True))
    return Fragments(face, barycentric, depth)


def _single(corners: Tensor, camera: Cameras, near: float) -> tuple[Tensor, Tensor, Tensor]:
    """(H, W) face, (H, W, 3) barycentric weights and (H, W) depth of triangles (F, 3, 3) in one view."""
    size, device = (camera.height, camera.width), corners.device
    count = camera.height * camera.width
    nearness = corners.new_zeros(count)
    face = torch.full((count,), len(corners), device=device)
    barycentric = corners.new_zeros(count, 3)
    for pixels, triangles in _candidates(corners, camera, near):
        weights, inverse = _weights(corners[triangles], pixels, camera)
        hit = ((weights >= 0).all(-1) & (inverse > 0) & (inverse * near <= 1)).nonzero()[:, 0]
        pixel, triangle, weights, inverse = pixels[hit], triangles[hit], weights[hit], inverse[hit]
        former = nearness.clone()
        nearness.scatter_reduce_(0, pixel, inverse, "amax")
        # What earlier triangles showed stays where nothing is nearer.
        face = torch.where(nearness > former, len(corners), face)
        best = ((inverse == nearness[pixel]) & (inverse > former[pixel])).nonzero()[:, 0]
        face.scatter_reduce_(0, pixel[best], triangle[best], "amin")
        shown = best[face[pixel[best]] == triangle[best]]
        barycentric[pixel[shown]] = weights[shown]
    is_seen = face < len(corners)
    depth = torch.where(is_seen, 1 / nearness.where(is_seen, torch.ones_like(nearness)), 0.0)
    return face.where(is_seen, -1).view(size), barycentric.float().view(*size, 3), depth.float().view(size)


def _candidates(corners: Tensor, camera: Cameras, near: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels (N,) and triangles (N,), a part of them at a time: all pixels in the box around each triangle."""
    lens, limit = camera.intrinsics[0].to(corners), corners.new_tensor([camera.width - 1, camera.height - 1])
    front = corners[..., 2] >= near
    screen = corners[..., :2] / corners[..., 2:].clamp(min=near) * lens[:2] + lens[2:] - 0.5
    low, high = screen.amin(1).ceil().clamp(min=0), screen.amax(1).floor()
    # The image of a triangle that reaches through the near plane has no box: it may be anywhere.
    is_cut = (front.any(1) & ~front.all(1))[:, None]
    low, high = torch.where(is_cut, 0.0, low), torch.minimum(torch.where(is_cut, limit, high), limit)
    spans = (high - low + 1).clamp(min=0).where(front.any(1)[:, None], torch.zeros_like(low)).long()
    counts = spans.prod(1)
    kept = (counts > 0).nonzero()[:, 0]
    ends = counts[kept].cumsum(0)
    chunk = ends // PAIRS
    for part in kept.split(torch.unique_consecutive(chunk, return_counts=True)[1].tolist()):
        triangle = part.repeat_interleave(counts[part])
        starts = (counts[part].cumsum(0) - counts[part]).repeat_interleave(counts[part])
        place = torch.arange(len(triangle), device=corners.device) - starts
        width = spans[triangle, 0]
        column, row = low[triangle, 0].long() + place % width, low[triangle, 1].long() + place // width
        yield row * camera.width + column, triangle


def _weights(corners: Tensor, pixel: Tensor, camera: Cameras) -> tuple[Tensor, Tensor]:
    """(N, 3) barycentric weights of pixels in triangles (N, 3, 3), and (N,) inverse depths, 0 for one seen edge-on."""
    lens = camera.intrinsics[0].to(corners)
    centre = torch.stack([pixel % camera.width, pixel // camera.width], dim=-1).to(corners) + 0.5
    ray = torch.cat([(centre - lens[2:]) / lens[:2], torch.ones_like(centre[:, :1])], dim=-1)
    normals = torch.linalg.cross(corners.roll(-1, 1), corners.roll(-2, 1), dim=-1)
    determinant = (corners[:, 0] * normals[:, 0]).sum(-1)
    edges = torch.einsum("nij,nj->ni", normals, ray) * determinant.sign()[:, None]
    total = edges.sum(-1)
    is_flat = (determinant == 0) | (total == 0)
    inverse = torch.where(is_flat, 0.0, total / determinant.abs().where(~is_flat, torch.ones_like(total)))
    return edges / total.where(~is_flat, torch.ones_like(total))[:, None], inverse
