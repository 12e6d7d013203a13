"""Cube maps: six square faces around the origin, in the order +x, -x, +y, -y, +z, -z.

A texel is found by its direction, also beyond the edge of a face, so that sampling knows no seams.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.render.kernels import cube_taps

RIGHT = torch.tensor([[0.0, 0, -1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]])
DOWN = torch.tensor([[0.0, -1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, -1, 0]])
OUTWARD = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
"""Axes of the faces' pictures, as seen from the origin."""


def face_coordinates(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where directions meet the cube.

    Args:
        directions: (P, 3) of any length but zero.

    Returns:
        (P,) int64 face; (P, 2) right and down in [-1, 1].
    """
    magnitude = directions.detach().abs()
    axis = magnitude.argmax(-1)
    face = axis * 2 + (directions.detach().gather(-1, axis[:, None])[:, 0] < 0)
    right, down, outward = (table.to(directions)[face] for table in (RIGHT, DOWN, OUTWARD))
    depth = (directions * outward).sum(-1)
    return face, torch.stack([(directions * right).sum(-1), (directions * down).sum(-1)], dim=-1) / depth[:, None]


def directions_of(face: Tensor, coordinates: Tensor) -> Tensor:
    """(P, 3) directions, not normalised, of faces (P,) and coordinates (P, 2) that may lie beyond [-1, 1]."""
    right, down, outward = (table.to(coordinates)[face] for table in (RIGHT, DOWN, OUTWARD))
    return outward + coordinates[:, :1] * right + coordinates[:, 1:] * down


@functools.lru_cache(maxsize=16)
def texel_directions(size: int) -> tuple[Tensor, Tensor]:
    """(6 size², 3) unit directions of all texels and (6 size²,) the solid angles they cover, on the CPU."""
    along = (torch.arange(size) + 0.5) / size * 2 - 1
    down, right = torch.meshgrid(along, along, indexing="ij")
    coordinates = torch.stack([right, down], dim=-1).view(-1, 2).repeat(6, 1)
    face = torch.arange(6).repeat_interleave(size * size)
    edges = torch.linspace(-1, 1, size + 1, dtype=torch.float64)
    y, x = torch.meshgrid(edges, edges, indexing="ij")
    corner = torch.atan2(x * y, (x * x + y * y + 1).sqrt())
    solid = corner[1:, 1:] - corner[:-1, 1:] - corner[1:, :-1] + corner[:-1, :-1]
    return normalize(directions_of(face, coordinates), dim=-1), solid.flatten().repeat(6).float()


def taps(directions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The four texels around each direction and their bilinear shares.

    Args:
        directions: (P, 3); the shares are differentiable by them.
        size: texels along a face's edge.

    Returns:
        (P, 4) int64 into (6 size²); (P, 4).
    """
    if directions.device.type == "cpu" and not (directions.requires_grad and torch.is_grad_enabled()):
        return _taps_by_kernel(directions, size)
    face, coordinates = face_coordinates(directions)
    position = (coordinates + 1) * (size / 2) - 0.5
    low = position.detach().floor()
    fraction = position - low
    rows, shares = [], []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        centre = (low + low.new_tensor([dx, dy]) + 0.5) * (2 / size) - 1
        # Beyond the edge the neighbouring face's texel is nearest; within, this finds the texel itself.
        there, inside = face_coordinates(directions_of(face, centre))
        texel = ((inside + 1) * (size / 2)).long().clamp(0, size - 1)
        rows.append((there * size + texel[:, 1]) * size + texel[:, 0])
        x, y = fraction.unbind(-1)
        shares.append((x if dx else 1 - x) * (y if dy else 1 - y))
    return torch.stack(rows, dim=-1), torch.stack(shares, dim=-1)


def _taps_by_kernel(directions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """`taps` on the CPU, where no gradient is asked for."""
    given = np.ascontiguousarray(directions.detach().double().numpy())
    rows, shares = np.empty((len(given), 4), np.int64), np.empty((len(given), 4), np.float32)
    cube_taps.taps(given, size, rows, shares)
    return torch.from_numpy(rows), torch.from_numpy(shares).to(directions.dtype)


def sample(cube: Tensor, directions: Tensor) -> Tensor:
    """Bilinear samples of a cube map, differentiable by both.

    Args:
        cube: (6, S, S, C).
        directions: (P, 3) of any length but zero.

    Returns:
        (P, C).
    """
    rows, shares = taps(directions, cube.shape[1])
    texels = cube.flatten(0, 2).index_select(0, rows.flatten()).view(*rows.shape, -1)
    return (texels * shares[..., None]).sum(1)


def cube_from_panorama(panorama: Tensor, size: int) -> Tensor:
    """Resample a picture of all directions.

    Args:
        panorama: (H, 2H, C), up at its top; its middle column is the direction -z, +x lies to the right of it.
        size: texels along a face's edge; the panorama is averaged first where it is finer.

    Returns:
        (6, size, size, C).
    """
    picture = panorama.permute(2, 0, 1)[None]
    shrink = max(1, panorama.shape[0] // (2 * size))
    picture = torch.nn.functional.avg_pool2d(picture, shrink)
    directions = texel_directions(size)[0].to(panorama)
    x, y, z = directions.unbind(-1)
    # One column from each side closes the seam behind the viewer.
    columns = picture.shape[3]
    picture = torch.cat([picture[..., -1:], picture, picture[..., :1]], dim=-1)
    u = torch.atan2(x, -z) / math.pi * columns / (columns + 2)
    v = y.clamp(-1, 1).acos() * (2 / math.pi) - 1
    sampled = grid_sample(
        picture, torch.stack([u, v], dim=-1)[None, None], "bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T.reshape(6, size, size, -1)
