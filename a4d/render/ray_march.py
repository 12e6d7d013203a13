"""Walks rays through an occupancy grid at constant steps: on the CPU by a kernel, elsewhere in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.render.kernels import ray_march as kernels
from a4d.render.occupancy import Space


@dataclass(frozen=True)
class Lattice:
    """Steps along R rays: step k lies `near + (k - shift + 0.5) * step` from the origin, cut off at near and far.

    Args:
        origins: (R, 3) world, metres.
        directions: (R, 3) of unit length.
        near: (R,) metres.
        far: (R,) metres.
        shift: (R,) in [0, 1).
        times: (R,) in [0, 1].
    """

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    shift: Tensor
    times: Tensor

    def table(self) -> Tensor:
        """(R, 10) all six side by side in double precision, in which every device finds the same cells."""
        numbers = torch.stack([self.near, self.far, self.shift, self.times], dim=-1)
        return torch.cat([self.origins, self.directions, numbers], dim=-1).detach().double()


def march(lattice: Lattice, step: float, occupancy: Space | None) -> tuple[Tensor, Tensor]:
    """The steps whose middle lies in an occupied cell.

    Args:
        lattice: R rays.
        step: metres.
        occupancy: None keeps every step.

    Returns:
        (M,) int64 rays, ascending; (M,) int64 numbers of the steps, ascending within a ray.
    """
    if lattice.near.device.type == "cpu":
        return _march_by_kernel(lattice, step, occupancy)
    return march_in_torch(lattice, step, occupancy)


def march_in_torch(lattice: Lattice, step: float, occupancy: Space | None) -> tuple[Tensor, Tensor]:
    """`march` on any device, through a table of all steps of all rays."""
    table = lattice.table()
    origins, directions, (near, far, shift, times) = table[:, :3], table[:, 3:6], table[:, 6:].unbind(-1)
    length = (far - near).clamp_min(0)
    counts = torch.where(length > 0, torch.ceil(length / step + shift), 0)
    index = torch.arange(int(counts.max()) if len(counts) else 0, device=near.device)
    low = near[:, None] + (index - shift[:, None]) * step
    middle = (torch.maximum(low, near[:, None]) + torch.minimum(low + step, far[:, None])) / 2
    keep = index < counts[:, None]
    if occupancy is not None:
        bins, resolution = occupancy.occupied.shape[:2]
        points = origins[:, None] + middle[..., None] * directions[:, None]
        cells = ((points / occupancy.bound + 1) * (resolution / 2)).long().clamp(0, resolution - 1)
        time_bin = (times * bins).long().clamp(0, bins - 1)[:, None]
        keep = keep & occupancy.occupied[time_bin, cells[..., 0], cells[..., 1], cells[..., 2]]
    ray, kept = keep.nonzero(as_tuple=True)
    return ray, kept


def _march_by_kernel(lattice: Lattice, step: float, occupancy: Space | None) -> tuple[Tensor, Tensor]:
    rays = lattice.table().numpy()
    occupied = torch.ones(1, 1, 1, 1, dtype=torch.bool) if occupancy is None else occupancy.occupied
    bound = 1.0 if occupancy is None else occupancy.bound
    counts = torch.zeros(len(rays), dtype=torch.int64)
    kernels.count_steps(rays, step, occupied.numpy(), bound, counts.numpy())
    ends = counts.cumsum(0)
    kept = torch.empty(int(ends[-1]) if len(ends) else 0, dtype=torch.int64)
    kernels.write_steps(rays, step, occupied.numpy(), bound, (ends - counts).numpy(), kept.numpy())
    return torch.repeat_interleave(torch.arange(len(counts)), counts), kept
