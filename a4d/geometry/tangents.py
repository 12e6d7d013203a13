"""Tangents of textured surfaces, in whose frame normal maps are written."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def corner_tangents(vertices: Tensor, faces: Tensor, uvs: Tensor, uv_faces: Tensor) -> Tensor:
    """The direction in which u grows, averaged where faces share a texture coordinate.

    Args:
        vertices: (V, 3) world, metres.
        faces: (F, 3).
        uvs: (U, 2) u right and v down.
        uv_faces: (F, 3) rows of uvs.

    Returns:
        (U, 4) unit tangents; w = ±1 such that `w * normal x tangent` points up the texture, toward smaller v. Zero
        with w = 1 where a face's texture coordinates span no area.
    """
    a, b, c = vertices[faces].unbind(1)
    u, v, w = uvs[uv_faces].to(vertices).unbind(1)
    (du1, dv1), (du2, dv2) = (v - u).unbind(-1), (w - u).unbind(-1)
    area = du1 * dv2 - du2 * dv1
    tangents = ((b - a) * dv2[:, None] - (c - a) * dv1[:, None]) * area.sign()[:, None]
    sums = vertices.new_zeros(len(uvs), 3).index_add(0, uv_faces.flatten(), tangents.repeat_interleave(3, 0))
    # A face whose corners run counter-clockwise on a picture with v down has negative area when it is not mirrored.
    turns = area.new_zeros(len(uvs)).index_add(0, uv_faces.flatten(), area.detach().repeat_interleave(3))
    return torch.cat([normalize(sums, dim=-1), torch.where(turns > 0, -1.0, 1.0).to(sums)[:, None]], dim=-1)
