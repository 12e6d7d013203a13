"""The visual hull: everything that projects into the masks of all views (Laurentini 1994), on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.reconstruction import hull_kernels

SAME_VIEW = 25.0
"""Degrees: frames that are seen from less than that apart count as one view."""


@dataclass(frozen=True)
class Occupancy:
    """A box of cubic voxels, full or empty.

    Args:
        values: (X, Y, Z) bool.
        low: (3,) world position of the box's lowest corner, metres.
        spacing: edge of a voxel, metres.
    """

    values: Tensor
    low: Tensor
    spacing: float

    @property
    def volume(self) -> float:
        """Cubic metres that are full."""
        return float(self.values.sum()) * self.spacing**3

    def largest_part(self) -> Occupancy:
        """The connected part that fills most, voxels that touch at a corner included.

        What few cameras have in their frames is not carved away, and lies beside a subject that all of them see.
        """
        parts, count = label(self.values.cpu().numpy(), np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        return replace(self, values=torch.from_numpy(parts == 1 + sizes[1:].argmax()).to(self.values.device))

    def signed_distance(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> Tensor:
        """(N,) distances to the border between full and empty, negative inside, interpolated between voxels.

        Beyond the box they grow by the distance to it.
        """
        volume = self._distances.to(points)[None, None]
        counts = points.new_tensor(self._distances.shape)
        low = self.low.to(points) - self.spacing
        nearest = points.clamp(low, low + counts * self.spacing)
        # Of the volume's axes, sampling takes the last one first.
        unit = ((nearest - low) / (counts * self.spacing) * 2 - 1).flip(-1)
        sampled = grid_sample(volume, unit[None, None, None], padding_mode="border", align_corners=False)
        return sampled[0, 0, 0, 0] + (points - nearest).norm(dim=-1)

    @cached_property
    def _distances(self) -> Tensor:
        """(X + 2, Y + 2, Z + 2) metres at the voxels' centres, those of a border of empty ones included."""
        solid = np.pad(self.values.cpu().numpy(), 1)
        distances = distance_transform_edt(~solid) - distance_transform_edt(solid)
        # Between the centres of a full and an empty voxel the distances go from -1 to 1 where they should by 1 in all.
        return torch.from_numpy(distances - 0.5 * np.sign(distances)).float() * self.spacing

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3) places spread evenly over all that is full, world, metres.

        Args:
            count: number of places.
            generator: source of randomness, on the CPU.
        """
        full = self.values.nonzero()
        chosen = full[torch.randint(len(full), (count,), generator=generator)]
        return self.low + (chosen + torch.rand(count, 3, generator=generator)) * self.spacing

    def surface(self) -> tuple[Tensor, Tensor]:
        """(P, 3) centres of the full voxels with an empty neighbour, and their (P, 3) unit outward normals."""
        full = torch.nn.functional.pad(self.values.float(), [2] * 6)
        smooth = torch.nn.functional.avg_pool3d(full[None, None], 3, stride=1)[0, 0]
        inner = full[1:-1, 1:-1, 1:-1]
        around = [inner.roll(step, axis) for axis in range(3) for step in (1, -1)]
        is_surface = (inner > 0) & (torch.stack(around).amin(0) == 0)
        slopes = [smooth.roll(1, axis) - smooth.roll(-1, axis) for axis in range(3)]
        normals = normalize(torch.stack(slopes, dim=-1)[is_surface], dim=-1)
        index = is_surface.nonzero() - 1
        return self.low + (index + 0.5) * self.spacing, normals


def view_weights(
    poses: NDArray[np.float64],  # (F, 3 or 4, 4) camera_from_world
) -> NDArray[np.float64]:
    """(F,) of frames, by which each view counts the same for however long the camera stays at it."""
    axes = poses[:, 2, :3]
    apart = np.degrees(np.arccos((axes @ axes.T).clip(-1, 1)))
    return np.asarray(1 / np.exp(-0.5 * (apart / SAME_VIEW) ** 2).sum(1))


def visual_hull(
    masks: Tensor | Sequence[Tensor],  # B of (H, W) coverage in [0, 1], of any sizes
    cameras: Cameras | Sequence[Cameras],  # B views, single ones where sizes differ
    bounds: Tensor,  # (2, 3) lowest and highest corner, world, metres
    resolution: int = 96,  # voxels along the longest side
    tolerated: float = 0.0,  # share of the views that may be wrong about a voxel
    framed: float = 0.0,  # share of the views that must have a voxel in their frame
) -> Occupancy:
    """Carve a box by masks.

    A voxel stays where all views that have it in their frame, but for the tolerated share of them, show foreground in
    one of the four pixels around its centre; it must be in the frame of at least one view. Where frames show all of
    a subject, what most of them do not reach is none of it, and nothing else carves it away. Many frames from one side
    outvote the few from another no more than one would.

    Raises:
        InvalidInputError: the numbers of masks and cameras, or their sizes, differ, or nothing is left.
    """
    if len(masks) != len(cameras):
        raise InvalidInputError(f"{len(masks)} masks do not fit {len(cameras)} cameras")
    views = [cameras[index] for index in range(len(cameras))]
    sizes = np.array([(view.height, view.width) for view in views], np.int64)
    foreground = np.zeros((len(views), *sizes.max(axis=0)), np.bool_)
    for index, (mask, view) in enumerate(zip(masks, views, strict=True)):
        if mask.shape != (view.height, view.width):
            raise InvalidInputError(
                f"a mask of shape {tuple(mask.shape)} does not fit a camera of {view.width}x{view.height} pixels"
            )
        foreground[index, : view.height, : view.width] = (mask > 0.5).cpu().numpy()
    low, high = bounds.double().cpu()
    spacing = float((high - low).max()) / resolution
    counts = ((high - low) / spacing - 1e-6).ceil().int().tolist()
    values = np.empty(counts, np.bool_)
    poses, lenses = (
        np.concatenate([part.double().cpu().numpy() for part in parts])
        for parts in zip(*[(view.camera_from_world, view.intrinsics) for view in views], strict=True)
    )
    weights = view_weights(poses)
    first = (low + spacing / 2).numpy()
    hull_kernels.carve(foreground, sizes, poses, lenses, first, spacing, tolerated, framed, weights, values)
    if not values.any():
        raise InvalidInputError("the masks have no common volume inside the bounds", "Check the cameras and masks")
    return Occupancy(torch.from_numpy(values), low.float(), spacing)


def surface_colours(
    points: Tensor,  # (P, 3) world, metres
    normals: Tensor,  # (P, 3) unit, outward
    images: Tensor | Sequence[Tensor],  # B of (H, W, 3) sRGB, of any sizes
    cameras: Cameras | Sequence[Cameras],  # B views, single ones where sizes differ
    spacing: float,  # metres between neighbouring points
) -> Tensor:
    """(P, 3) colours averaged over the views that see a point, else those of the nearest point that is seen, or grey.

    Each view's points are drawn as small discs into a z-buffer, which tells what hides what.
    """
    arrays = [np.ascontiguousarray(part.detach().cpu().numpy(), np.float64) for part in (points, normals)]
    total = np.zeros((len(points), 4))
    for index in range(len(cameras)):
        camera = cameras[index]
        pose = np.ascontiguousarray(camera.camera_from_world[0].double().cpu().numpy())
        lens = camera.intrinsics[0].double().cpu().numpy()
        picture = np.ascontiguousarray(images[index].detach().float().cpu().numpy())
        nearest = np.full(picture.shape[:2], np.inf)
        hull_kernels.splat_depth(arrays[0], pose, lens, spacing, nearest)
        hull_kernels.gather_colours(arrays[0], arrays[1], pose, lens, 2 * spacing, nearest, picture, total)
    is_seen = total[:, 3] > 0
    if not is_seen.any():
        return torch.full_like(points, 0.5)
    nearest_seen = cKDTree(arrays[0][is_seen]).query(arrays[0])[1]
    return torch.from_numpy((total[is_seen, :3] / total[is_seen, 3:])[nearest_seen]).to(points)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    cameras = turntable(1, 0.0, 3.0, 40.0, 16)
    hull = visual_hull(torch.ones(1, 16, 16), cameras, torch.tensor([[-0.5] * 3, [0.5] * 3]), 8)
    points, normals = hull.surface()
    surface_colours(points, normals, torch.ones(1, 16, 16, 3), cameras, hull.spacing)
