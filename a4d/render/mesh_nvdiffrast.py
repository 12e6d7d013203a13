"""Visibility by nvdiffrast on CUDA, where the user has installed it; its licence is for non-commercial use."""

from __future__ import annotations

import functools

import nvdiffrast.torch as nvdiffrast
import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.render.mesh import Fragments


@functools.lru_cache(maxsize=4)
def _context(device: torch.device) -> nvdiffrast.RasterizeCudaContext:
    return nvdiffrast.RasterizeCudaContext(device=device)


def rasterise_in_camera(vertices: Tensor, faces: Tensor, cameras: Cameras, near: float) -> Fragments:
    """Find the nearest face at each pixel centre.

    Args:
        vertices: (B, V, 3) in the axes of each camera, metres, on CUDA.
        faces: (F, 3).
        cameras: B views.
        near: metres.
    """
    points = vertices.detach().float()
    x, y, z = points.unbind(-1)
    fx, fy, cx, cy = cameras.intrinsics.to(points)[..., None].unbind(1)
    width, height = cameras.width, cameras.height
    # Its first row is at clip y = -1, ours on top where y in the image is smallest: the axes agree as they are.
    clip = [(fx * x + cx * z) * (2 / width) - z, (fy * y + cy * z) * (2 / height) - z, z - 2 * near, z]
    raster, _ = nvdiffrast.rasterize(
        _context(points.device), torch.stack(clip, dim=-1), faces.int(), (height, width), grad_db=False
    )
    face = raster[..., 3].long() - 1
    seen = face >= 0
    weights = torch.stack([raster[..., 0], raster[..., 1], 1 - raster[..., 0] - raster[..., 1]], dim=-1)
    batch = torch.arange(len(points), device=points.device)[:, None, None].expand_as(face)
    depth = (z[batch[..., None], faces[face.clamp(min=0)]] * weights).sum(-1)
    return Fragments(face, weights * seen[..., None], depth * seen)
