"""A bag of bones: anisotropic Gaussians at rest, and the weights by which they hold the points around them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from a4d.geometry.transforms import invert_rigid, rigid_from_parts, rotation_from_quaternion
from a4d.scenes.articulated.config import SkinningNetworkConfig
from a4d.scenes.perceptron import Perceptron
from a4d.scenes.protocols import BoneRig

ROUNDS = 20
"""Of k-means, after which bones hardly move."""

THINNEST = 1e-3
"""Metres of a bone's radius at the least, where its points lie in one place."""


class Bones(nn.Module):
    """B bones at rest, of which each holds what is near it.

    A point's weights are the softmax of -(d² + g relu(n)): d is its distance from a bone in radii of that bone, n a
    network that reads its places in the frames of all bones and the time (BANMo, equations 3 and 4).

    Args:
        centres: (B, 3) world, metres.
        radii: (B,) metres, the same along all axes at first.
        skinning: of the network; None leaves it out.
    """

    rates: Tensor

    def __init__(self, centres: Tensor, radii: Tensor, skinning: SkinningNetworkConfig | None) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres.detach().float().clone())
        self.quaternions = nn.Parameter(centres.new_tensor([1.0, 0.0, 0.0, 0.0]).repeat(len(centres), 1))
        self.log_radii = nn.Parameter(radii.detach().float().log()[:, None].repeat(1, 3))
        self.skinning = skinning
        if skinning is not None:
            self.register_buffer("rates", math.pi * torch.arange(1, skinning.harmonics + 1), persistent=False)
            self.network = Perceptron(3 * len(centres) + 2 * skinning.harmonics, skinning, len(centres))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the network's weights, generator on the CPU."""
        if self.skinning is not None:
            self.network.initialise(generator)

    def __len__(self) -> int:
        return len(self.centres)

    def network_parameters(self) -> list[nn.Parameter]:
        """Those of the network; none without it."""
        return list(self.network.parameters()) if self.skinning is not None else []

    def rig(self) -> BoneRig:
        """The bones at rest, part of the autograd graph."""
        return BoneRig(rigid_from_parts(rotation_from_quaternion(self.quaternions), self.centres), self.log_radii.exp())

    def skinning_weights(
        self,
        points: Tensor,  # (..., N, 3) world, metres
        world_from_bone: Tensor | None = None,  # (..., B, 4, 4) where the bones are; None: at rest
        times: Tensor | None = None,  # (...) in [0, 1]; None: the mean over the clip
    ) -> Tensor:
        """(..., N, B) of every bone, each row sums to 1.

        Points at rest are asked for with the bones at rest and no time, posed points with the posed bones and their
        time; the two agree only as far as an objective makes them.
        """
        posed = self.rig().world_from_bone if world_from_bone is None else world_from_bone
        places = _in_bones(points, posed)
        costs = (places / self.log_radii.exp()).square().sum(-1)
        if self.skinning is not None:
            costs = costs + self._additions(places, times)
        return torch.softmax(-costs, dim=-1)

    def corrections(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N, B) squared radii that the network adds at rest; zero without it."""
        if self.skinning is None:
            return points.new_zeros(len(points), len(self))
        return self._additions(_in_bones(points, self.rig().world_from_bone), None)

    def _additions(
        self,
        places: Tensor,  # (..., N, B, 3) metres, in the frames of the bones
        times: Tensor | None,  # (...)
    ) -> Tensor:
        """(..., N, B) squared radii."""
        assert self.skinning is not None
        read = places.flatten(-2)
        if times is None:
            # Waves are zero on average.
            read = pad(read, (0, 2 * self.skinning.harmonics))
        else:
            phases = times.to(read)[..., None, None] * self.rates
            waves = torch.cat([phases.sin(), phases.cos()], dim=-1)
            read = torch.cat([read, waves.expand(*read.shape[:-1], -1)], dim=-1)
        return self.skinning.gain * self.network(read).relu()


def _in_bones(
    points: Tensor,  # (..., N, 3) world
    world_from_bone: Tensor,  # (..., B, 4, 4)
) -> Tensor:
    """(..., N, B, 3) in the frames of the bones."""
    bone_from_world = invert_rigid(world_from_bone)
    # One product of matrices for all bones: (N, 3) by (3, 3 B).
    turned = points @ bone_from_world[..., :3, :3].flatten(-3, -2).transpose(-1, -2)
    return turned.unflatten(-1, (-1, 3)) + bone_from_world[..., None, :, :3, 3]


def spread_bones(
    points: Tensor,  # (P, 3) world, metres
    count: int,
) -> tuple[Tensor, Tensor]:
    """Centres of bones among points, and the root mean square of the distances of each one's points.

    The first centres are as far from each other as can be; they become those of the clusters of k-means.

    Returns:
        (B, 3) and (B,), metres; B is `count`, or the number of different points where these are fewer.
    """
    places = points.detach().double().cpu()
    centres = places[farthest_points(places, count)]
    for _ in range(ROUNDS):
        owner = torch.cdist(places, centres).argmin(dim=1)
        held = owner.bincount(minlength=len(centres)).clamp_min(1)
        centres = torch.zeros_like(centres).index_add(0, owner, places) / held[:, None]
    distances = torch.cdist(places, centres)
    owner, held = distances.argmin(dim=1), distances.argmin(dim=1).bincount(minlength=len(centres)).clamp_min(1)
    squares = torch.zeros(len(centres), dtype=places.dtype).index_add(0, owner, distances.amin(dim=1).square())
    return centres.to(points), (squares / held).sqrt().clamp_min(THINNEST).to(points)


def farthest_points(
    points: Tensor,  # (P, 3)
    count: int,
) -> Tensor:
    """(C,) int64 indices of points of which each is as far as can be from those before it; the first is outermost.

    Returns:
        `count` of them, or one of each place where these are fewer.
    """
    chosen = [int((points - points.mean(dim=0)).norm(dim=1).argmax())]
    nearest = (points - points[chosen[0]]).square().sum(-1)
    while len(chosen) < count and float(nearest.max()) > 0:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(-1))
    return torch.tensor(chosen)
