"""Tangent space: the frame at each vertex in which normal maps hold their directions (glTF 2.0, section 3.9.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.rows import rows


def vertex_tangents(
    vertices: Tensor,  # (V, 3)
    faces: Tensor,  # (F, 3) int64
    normals: Tensor,  # (V, 3) unit
    uvs: Tensor,  # (V, 2) u right, v down
) -> Tensor:
    """Directions along which u grows, each perpendicular to its normal, weighted by angle as in MikkTSpace.

    Returns:
        (V, 4) unit tangents and the sign w by which the bitangent, along which v falls, is w (normal x tangent).
    """
    corners, places = vertices[faces], uvs[faces]
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u_1, v_1), (u_2, v_2) = ((places[:, n] - places[:, 0]).unbind(1) for n in (1, 2))
    orientation = torch.sign(u_1 * v_2 - u_2 * v_1)[:, None]
    along_u = (edge_1 * v_2[:, None] - edge_2 * v_1[:, None]) * orientation
    against_v = (edge_1 * u_2[:, None] - edge_2 * u_1[:, None]) * orientation
    tangents, bitangents = torch.zeros_like(vertices), torch.zeros_like(vertices)
    for n in range(3):
        corner, before, after = corners[:, n], corners[:, n - 1], corners[:, (n + 1) % 3]
        cosine = (normalize(before - corner, dim=1) * normalize(after - corner, dim=1)).sum(1, keepdim=True)
        angle = cosine.clamp(-1, 1).arccos()
        normal = normals[faces[:, n]]
        tangents.index_add_(0, faces[:, n], angle * _in_plane(along_u, normal))
        bitangents.index_add_(0, faces[:, n], angle * _in_plane(against_v, normal))
    tangents = _in_plane(tangents, normals)
    is_missing = tangents.norm(dim=1) < 0.5
    tangents[is_missing] = _perpendicular(normals[is_missing])
    turned = torch.linalg.cross(normals, tangents, dim=1)
    sign = torch.where((turned * bitangents).sum(1, keepdim=True) < 0, -1.0, 1.0)
    return torch.cat([tangents, sign.to(tangents)], dim=1)


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
    a, b, c = rows(vertices, faces).unbind(1)
    u, v, w = uvs[uv_faces].to(vertices).unbind(1)
    (du1, dv1), (du2, dv2) = (v - u).unbind(-1), (w - u).unbind(-1)
    area = du1 * dv2 - du2 * dv1
    tangents = ((b - a) * dv2[:, None] - (c - a) * dv1[:, None]) * area.sign()[:, None]
    sums = vertices.new_zeros(len(uvs), 3).index_add(0, uv_faces.flatten(), tangents.repeat_interleave(3, 0))
    # A face whose corners run counter-clockwise on a picture with v down has negative area when it is not mirrored.
    turns = area.new_zeros(len(uvs)).index_add(0, uv_faces.flatten(), area.detach().repeat_interleave(3))
    return torch.cat([normalize(sums, dim=-1), torch.where(turns > 0, -1.0, 1.0).to(sums)[:, None]], dim=-1)


def encode_normals(
    directions: Tensor,  # (..., 3) unit, tangent space
) -> Tensor:
    """Directions as the colours of a normal map, (..., 3) from [-1, 1] to [0, 1]; not sRGB."""
    return directions * 0.5 + 0.5


def tangent_space_normals(
    directions: Tensor,  # (N, 3) unit, in the frame of the mesh
    normals: Tensor,  # (N, 3) interpolated, any length
    tangents: Tensor,  # (N, 4) interpolated, and the sign of the bitangent
) -> Tensor:
    """Directions in the frames that a renderer interpolates between the vertices.

    Returns:
        (N, 3) unit: along the tangent, the bitangent and the normal.
    """
    # Like renderers and MikkTSpace, the frame is not made orthogonal again between the vertices.
    bitangents = torch.linalg.cross(normals, tangents[:, :3], dim=1) * tangents[:, 3:].sign()
    frame = torch.stack([tangents[:, :3], bitangents, normals], dim=2)
    return normalize(torch.linalg.solve(frame, directions[..., None]).squeeze(-1), dim=1)


def _in_plane(vectors: Tensor, normals: Tensor) -> Tensor:
    return normalize(vectors - (vectors * normals).sum(1, keepdim=True) * normals, dim=1)


def _perpendicular(normals: Tensor) -> Tensor:
    """Some unit direction across each normal."""
    axis = torch.nn.functional.one_hot(normals.abs().argmin(1), 3).to(normals)
    return normalize(torch.linalg.cross(normals, axis, dim=1), dim=1)
