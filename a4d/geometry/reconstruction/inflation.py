"""From one silhouette to a closed surface: the mask is blown up like a balloon between its outlines.

The squared half thickness h solves a Poisson equation on the mask, lap(h) = -4 with h = 0 on the outline, so that a
disc becomes a ball and every part is about as deep as it is wide. The surface is the zero set of h(x, y) - z^2, which
is smooth across the outline where the half thickness itself has an infinite slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label, map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from skimage.measure import marching_cubes
from skimage.morphology import skeletonize
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import transform_points

Array = NDArray[np.float64]

SMALLEST_SILHOUETTE = 16
"""Pixels with alpha above one half that are needed to make a shape."""

THIN = 0.72
"""Half the width, in grid cells, that a part keeps however thin it is: below 0.71 it could slip between the nodes."""


LONGEST_SIDE = 320
"""Grid nodes along the silhouette's longer side at most."""

DEPTH, LYING = 0.9, 0.34
"""Depth of a thing over the width of a disc of its outline's area, and the power of width over height by which one that
lies is deeper: the least loss over 29 meshes of animals, people and things, each from all sides (see tests/bench)."""

LIMBS = 0.75
"""Of the round balloon's depth that limbs keep: in a long strip it is 1.41 times as deep as the strip is wide."""

HOLE = 0.08
"""Share of all within a ring's outline that its holes are, at the least."""

ROUND, ROUNDEST = 0.08, 0.05
"""Share by which the area within an outline that is hardly, and surely, round differs from that of a disc as wide."""


@dataclass(frozen=True)
class InflationSettings:
    """How a silhouette is inflated.

    Args:
        resolution: grid nodes along the side of a square of the silhouette's area, so that slender shapes, which need
            it, get a finer grid.
        thickness: depth of a compact silhouette as a fraction of its longer side; 0 leaves every part as round as it
            is wide. None says it by the silhouette's area and extent.
        relief: how far a given depth map moves the front, from 0 (not at all) to 1 (as far as it says).
    """

    resolution: int = 96
    thickness: float | None = None
    relief: float = 1.0


@dataclass(frozen=True)
class _Grid:
    """Nodes at `origin + cell * index` pixels.

    Args:
        x: (W,) pixel coordinates of the columns.
        y: (H,) pixel coordinates of the rows.
        cell: spacing in pixels.
        level: (H, W) positive inside the silhouette, zero at its outline.
    """

    x: Array
    y: Array
    cell: float
    level: Array


def inflate(
    alpha: Tensor,  # (H, W) coverage in [0, 1]
    camera: Cameras,  # one view of the mask's size, with square pixels
    depth: Tensor | None = None,  # (H, W) relative, larger is nearer, any scale and offset
    settings: InflationSettings | None = None,
) -> Mesh:
    """Turn one silhouette into a closed surface that projects exactly onto it.

    The surface is mirror-symmetric in the plane through the world's origin that faces the camera, up to perspective:
    every point lies on the ray of its pixel. A depth map replaces the relief of the front.

    Args:
        alpha: the outline is where it crosses one half; soft edges place it between the pixels.
        camera: sees the origin in front of it.
        depth: what monocular depth networks predict (inverse depth); only its values inside the mask are read.
        settings: resolution and thickness.

    Returns:
        A mesh without colours, closed and wound outward, in world coordinates.

    Raises:
        InvalidInputError: the mask is empty or tiny, the depth map does not fit it, or the origin is behind the camera.
    """
    settings = settings or InflationSettings()
    coverage, nearness = _checked(alpha, camera, depth)
    distance = float(camera.camera_from_world[0, 2, 3])
    grid = _grid(coverage, settings.resolution)
    round_height = _squared_height(grid.level)
    height = round_height * _depth_factor(round_height, settings.thickness) ** 2
    # The front must stay well before the camera, whatever the mask.
    focal = float(camera.intrinsics[0, 0])
    height *= min(1.0, (0.5 * focal / grid.cell) ** 2 / height.max())

    middle = np.zeros_like(height)
    if nearness is not None and settings.relief > 0:
        height, middle = _with_relief(height, _sample(nearness, grid.x, grid.y), settings.relief)
    row, column, layer, faces = _extract(height, middle)
    depths = distance * (1 - layer * grid.cell / focal)
    pixels = np.stack([grid.x[0] + column * grid.cell, grid.y[0] + row * grid.cell], axis=-1)
    lens = camera.intrinsics[0].double().cpu().numpy()
    in_camera = np.concatenate([(pixels - lens[2:]) / lens[:2] * depths[:, None], depths[:, None]], axis=-1)
    world_from_camera = camera.world_from_camera[0].double().cpu()
    vertices = transform_points(world_from_camera, torch.from_numpy(in_camera)).float()
    return Mesh(vertices, torch.from_numpy(faces)).to(alpha.device)


def _checked(alpha: Tensor, camera: Cameras, depth: Tensor | None) -> tuple[Array, Array | None]:
    """The mask and the depth map as arrays; see `inflate` for what they must be."""
    size = (camera.height, camera.width)
    if alpha.shape != size or (depth is not None and depth.shape != size):
        given = [tuple(image.shape) for image in (alpha, depth) if image is not None]
        raise InvalidInputError(f"mask and depth of shapes {given} do not fit a camera of {size[1]}x{size[0]} pixels")
    if float(camera.camera_from_world[0, 2, 3]) <= 0:
        raise InvalidInputError("the origin lies behind the camera", "Point the camera at the subject")
    coverage = alpha.detach().double().cpu().numpy()
    count = int((coverage > 0.5).sum())
    if count < SMALLEST_SILHOUETTE:
        raise InvalidInputError(
            f"the silhouette has {count} pixels, a shape needs {SMALLEST_SILHOUETTE}",
            "Give an image whose subject is larger, or a better mask",
        )
    if depth is None:
        return coverage, None
    nearness = depth.detach().double().cpu().numpy()
    if not np.isfinite(nearness[coverage > 0.5]).all():
        raise InvalidInputError("the depth map is not finite inside the mask", "Leave it out, or repair it")
    return coverage, np.where(np.isfinite(nearness), nearness, 0.0)


def _sample(image: Array, x: Array, y: Array) -> Array:
    """Values at pixel coordinates, zero outside the image."""
    rows, columns = np.meshgrid(y - 0.5, x - 0.5, indexing="ij")
    return map_coordinates(image, [rows, columns], order=1, mode="constant")


def _grid(alpha: Array, resolution: int) -> _Grid:
    """The silhouette on a grid just fine enough, in which parts thinner than a cell are kept as wide as one."""
    inside = alpha > 0.5
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    sides = np.array([columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)
    cell = max(np.sqrt(inside.sum()) / resolution, sides.max() / LONGEST_SIDE, 0.5)
    counts = np.ceil(sides / cell).astype(int) + 6
    centre = np.array([columns[-1] + 1 + columns[0], rows[-1] + 1 + rows[0]]) / 2
    x, y = (centre[i] + cell * (np.arange(counts[i]) - (counts[i] - 1) / 2) for i in range(2))

    margin = int(4 * cell) + 4
    inside, x_padded, y_padded = np.pad(inside, margin), x + margin, y + margin
    level = _sample(gaussian_filter(np.pad(alpha, margin), 0.35 * max(cell, 1.4)), x_padded, y_padded) - 0.5
    spine = skeletonize(inside) & (distance_transform_edt(inside) - 0.5 < THIN * cell)
    if spine.any():
        distance = _sample(distance_transform_edt(~spine), x_padded, y_padded)
        level = np.maximum(level, np.clip(THIN - distance / cell, -0.5, 0.5))
    # A node exactly on the outline would make a triangle without area.
    return _Grid(x, y, cell, np.where(np.abs(level) < 1e-3, -1e-3, level))


def _squared_height(level: Array) -> Array:
    """Solve lap(h) = -4 inside the outline, in cells; outside, continue h with its slope so that it crosses zero there.

    The outline runs between the nodes: a grid edge that it cuts at some fraction has its stencil weight divided by that
    fraction (Gibou et al. 2002, section 2), which keeps the matrix symmetric and the result second-order accurate.

    Args:
        level: (H, W) zero at the outline, negative along the border of the grid, nowhere exactly zero.

    Returns:
        (H, W) in squared cells, positive exactly where `level` is.
    """
    inside = level > 0
    index = np.full(level.shape, -1)
    index[inside] = np.arange(inside.sum())
    own = index[inside]
    row, column = np.nonzero(inside)
    diagonal = np.zeros(len(own))
    pairs, cuts = [], []
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        at = (row + down, column + right)
        is_cut = index[at] < 0
        fraction = np.maximum(level[inside] / (level[inside] - np.minimum(level[at], 0)), 0.05)
        diagonal += np.where(is_cut, 1 / fraction, 1)
        pairs.append((own[~is_cut], index[at][~is_cut]))
        cuts.append((own[is_cut], at[0][is_cut], at[1][is_cut], fraction[is_cut]))
    first, second = (np.concatenate(part) for part in zip(*pairs, strict=True))
    values = np.concatenate([diagonal, np.full(len(first), -1.0)])
    places = (np.concatenate([own, first]), np.concatenate([own, second]))
    solution = spsolve(coo_array((values, places)).tocsc(), np.full(len(own), 4.0))

    node, cut_row, cut_column, fraction = (np.concatenate(part) for part in zip(*cuts, strict=True))
    sums, counts = np.zeros(level.shape), np.zeros(level.shape)
    np.add.at(sums, (cut_row, cut_column), -solution[node] * (1 - fraction) / fraction)
    np.add.at(counts, (cut_row, cut_column), 1)
    height = np.where(counts > 0, np.minimum(sums / np.maximum(counts, 1), -1e-3), -1.0)
    height[inside] = np.maximum(solution, 1e-3)
    return height


def _depth_factor(height: Array, thickness: float | None) -> Array:
    """How much deeper than round to make each part with the given squared half thickness, in cells.

    Parts that do not touch are judged one by one. Within a part the trunk is as deep as is said and the limbs hardly
    change: they stay about as deep as they are wide.
    """
    parts, count = label(height > 0, structure=np.ones((3, 3)))
    factor = np.ones(height.shape)
    for part in range(1, count + 1):
        inside = parts == part
        outline = _outline_of(height, inside)
        trunk, limbs = (_likely(outline), LIMBS) if thickness is None else (_given(outline, thickness), 1.0)
        factor[inside] = limbs + (trunk - limbs) * np.sqrt(height[inside]) / outline.widest
    return factor


@dataclass(frozen=True)
class _Outline:
    """The outline of one part, in cells.

    Args:
        width: of its trunk and limbs; whiskers and antennae do not count.
        height: likewise.
        radius: of a disc of its area.
        widest: half the depth of the round balloon in it.
        ring: how surely it is a ring seen along its axis, in [0, 1].
    """

    width: float
    height: float
    radius: float
    widest: float
    ring: float


def _outline_of(height: Array, inside: NDArray[np.bool_]) -> _Outline:
    widest = float(np.sqrt(height[inside].max()))
    rows, columns = (np.ptp(places) + 1 for places in np.nonzero(inside & (height > (0.06 * widest) ** 2)))
    return _Outline(float(columns), float(rows), float(np.sqrt(inside.sum() / np.pi)), widest, _ring_share(inside))


def _ring_share(inside: NDArray[np.bool_]) -> float:
    """How surely a part is a ring seen along its axis, in [0, 1]: round, with holes."""
    within = binary_fill_holes(inside).sum()
    side = max(np.ptp(places) + 1 for places in np.nonzero(inside))
    away = abs(within / (np.pi * side**2 / 4) - 1)
    is_round = np.clip((ROUND - away) / (ROUND - ROUNDEST), 0, 1)
    return float(is_round * np.clip((1 - inside.sum() / within) / HOLE, 0, 1))


def _likely(outline: _Outline) -> float:
    """How much deeper than round a trunk is, for all that its outline says.

    A thing is about as deep as a disc of its outline's area is wide. One that lies is deeper than one that stands: what
    is low has two long sides more often than what is tall. A ring that is seen as a circle is flat: all of it is limb.
    """
    lying = max(outline.width / outline.height, 1.0)
    trunk = DEPTH * outline.radius * lying**LYING / outline.widest
    return trunk + outline.ring * (LIMBS - trunk)


def _given(outline: _Outline, thickness: float) -> float:
    """How much deeper than round a trunk is whose depth is said as a fraction of its outline's longer side.

    A ring, a branch or a figure with its arms stretched out is not compact (its widest part is thin compared with a
    disc of the same area) and shows its depth by the width of its strands. In between, the two rules blend.
    """
    blend = np.clip((outline.widest / outline.radius - 0.5) / 0.15, 0, 1)
    asked = thickness * max(outline.width, outline.height) / (2 * outline.widest)
    return float(1 + blend * max(asked - 1, 0.0))


def _with_relief(height: Array, nearness: Array, amount: float) -> tuple[Array, Array]:
    """Squared half thickness and middle surface of a shape whose front follows a relative depth map.

    The map's unknown scale and offset are those that give it the median and the interquartile range of the inflated
    front. (A least-squares fit would flatten the relief wherever the two disagree.)

    Args:
        height: (H, W) squared half thickness, symmetric in the plane z = 0.
        nearness: (H, W) larger is nearer.
        amount: 0 to 1.

    Returns:
        (H, W) and (H, W): the front is at middle + sqrt(height), the back unchanged.
    """
    inside = height > 0
    half = np.sqrt(np.maximum(height, 0))
    core = height > 0.1 * height.max()
    low, median, high = np.percentile(nearness[core], (25, 50, 75))
    front_low, front_median, front_high = np.percentile(half[core], (25, 50, 75))
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return height, np.zeros_like(height)
    front = front_median + (nearness - median) * (front_high - front_low) / (high - low)
    # At the outline the map is least reliable and the front must meet the back.
    trust = amount * np.maximum(height, 0) / (np.maximum(height, 0) + 0.1 * height.max())
    shift = np.clip(trust * (front - half), -1.5 * half, 2.0 * half)
    return np.where(inside, (half + shift / 2) ** 2, height), shift / 2


def _extract(height: Array, middle: Array) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Row, column and layer (toward the viewer, 0 at the centre plane) of the vertices, and outward faces."""
    half = np.sqrt(np.maximum(height, 0))
    nearest, farthest = int(np.ceil((middle + half).max())) + 1, int(np.floor((middle - half).min())) - 1
    # One layer is the centre plane, where every node inside the outline is inside the shape: nothing is too thin.
    layers = np.arange(farthest, nearest + 1, dtype=np.float64)
    volume = height[..., None] - (layers - middle[..., None]) ** 2
    volume[np.abs(volume) < 1e-4] = -1e-4
    vertices, faces, _, _ = marching_cubes(volume.astype(np.float32), 0.0, gradient_direction="ascent")
    row, column, layer = vertices.astype(np.float64).T
    return row, column, layer + farthest, faces.astype(np.int64)
