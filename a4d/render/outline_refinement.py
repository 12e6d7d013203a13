"""A surface moved to where outlines are, each place by those outlines that graze it.

Depth of Gaussians is that of their centres, which lie inside of what they cover: a surface fused from it is too small,
by more on a broad side than on an edge. Outlines are what Gaussians were fitted to, and from all sides they graze every
place that no hollow hides, so that a fit tells by itself how much is missing there. No gradient is needed: at an
outline a surface moves along its normal as far as the outline is to move in its image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import diags_array
from scipy.sparse.linalg import cg
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.outlines import outline_distance
from a4d.geometry.surfaces.smoothing import adjacency, taubin
from a4d.render.mesh import rasterise

ROUNDS = 4
"""In which the surface moves; each leaves about a third of what is left."""

GRAZING = 0.35
"""Cosine between normal and line of sight from which a place is at no outline."""

NEAR = 1.5
"""Pixels from the surface's own outline at which a vertex counts by 1/e of one that is upon it."""

FARTHEST = 4.0
"""Pixels by which a vertex moves in a round at most: an outline farther away is that of another part."""

STIFFNESS = 2.0
"""Weight of how much farther than a neighbour a vertex moves, against that of a view."""

UNSEEN = 0.02
"""Weight of moving as all others do on average, against that of a view."""

SMOOTHING = 3
"""Rounds of Taubin smoothing in the end."""


@torch.no_grad()
def brought_to_outlines(
    mesh: Mesh,
    outlines: Sequence[Tensor],  # B of (H, W) coverage in [0, 1]
    cameras: Cameras,
) -> Mesh:
    """The same faces, moved along their normals until the surface's outlines are those that are given.

    Args:
        mesh: closed, on the CPU, within a few pixels of what is wanted.
        outlines: from all sides.
        cameras: B, of the outlines.
    """
    wanted = [outline_distance(each.float().cpu().numpy()) for each in outlines]
    for _ in range(ROUNDS):
        mesh = mesh.with_vertices(mesh.vertices + _missing(mesh, wanted, cameras)[:, None] * mesh.vertex_normals)
    return taubin(mesh, SMOOTHING)


def _missing(mesh: Mesh, wanted: Sequence[NDArray[np.float32]], cameras: Cameras) -> Tensor:
    """(V,) metres by which vertices are to move along their normals, smooth over the surface."""
    normals, (pixels, depths) = mesh.vertex_normals, cameras.project(mesh.vertices)
    asked, trust = torch.zeros(len(mesh.vertices)), torch.zeros(len(mesh.vertices))
    for index, target in enumerate(wanted):
        maps = torch.from_numpy(np.stack([outline_distance(_coverage(mesh, cameras[index])), target]))
        own, other = _at(maps, pixels[index])
        cosine = (normals * normalize(mesh.vertices - cameras.positions[index], dim=-1)).sum(-1).abs()
        weight = (1 - cosine / GRAZING).clamp(min=0) * (-(own / NEAR).square()).exp()
        move = (other - own).clamp(-FARTHEST, FARTHEST) * depths[index] / cameras.intrinsics[index, 0]
        asked, trust = asked + weight * move, trust + weight
    return _spread(mesh, asked.double().numpy(), trust.double().numpy())


def _coverage(mesh: Mesh, camera: Cameras) -> NDArray[np.float32]:
    """(H, W) share of each pixel in which a single camera sees the surface, of four places in it."""
    fine = camera.resized(2 * camera.width, 2 * camera.height)
    return avg_pool2d(rasterise(mesh, fine).is_covered.float(), 2)[0].numpy()


def _at(
    maps: Tensor,  # (K, H, W)
    pixels: Tensor,  # (V, 2) columns and rows
) -> Tensor:
    """(K, V) values of maps at places between pixels."""
    places = 2 * pixels / torch.tensor([maps.shape[2], maps.shape[1]]) - 1
    return grid_sample(maps[None], places[None, None], padding_mode="border", align_corners=False)[0, :, 0]


def _spread(mesh: Mesh, asked: NDArray[np.float64], trust: NDArray[np.float64]) -> Tensor:
    """(V,) what is asked of some vertices, of which others take their part from their neighbours.

    Args:
        mesh: closed, of V vertices.
        asked: (V,) sums of moves over views, each times its weight.
        trust: (V,) sums of the weights.
    """
    beside = adjacency(mesh)
    mean = asked.sum() / max(trust.sum(), 1e-12)
    own = trust + UNSEEN + STIFFNESS * beside.sum(axis=1)
    # Iterations take a tenth of the time of a factorisation, and no memory to speak of.
    moves, _ = cg(diags_array(own) - STIFFNESS * beside, asked + UNSEEN * mean, rtol=1e-6, M=diags_array(1 / own))
    return torch.from_numpy(moves.astype(np.float32))
