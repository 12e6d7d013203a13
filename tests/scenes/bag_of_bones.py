"""A scene of loose bones, made of a surface whose motion is known: what a fit to a film of it would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.deformation.arap import best_rotations
from a4d.geometry.deformation.skinning import dual_quaternion_skinning
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import rigid_from_parts
from a4d.scenes.protocols import BoneRig


@dataclass(frozen=True)
class BagOfBones:
    """Clusters of the surface's points, each with its best rigid motion, and soft borders between them.

    Args:
        rest: (B, 4, 4) world_from_bone.
        radii: (B, 3) metres.
        transforms: (T, B, 4, 4) posed_from_rest at evenly spaced times.
    """

    rest: Tensor
    radii: Tensor
    transforms: Tensor

    def bones(self) -> BoneRig:
        return BoneRig(self.rest, self.radii)

    def root_transforms(self, times: Sequence[float]) -> Tensor:
        return torch.eye(4, dtype=self.rest.dtype).expand(len(times), 4, 4)

    def bone_transforms(self, times: Sequence[float]) -> Tensor:
        last = len(self.transforms) - 1
        return self.transforms[[round(time * last) for time in times]]

    def skinning_weights(self, points: Tensor) -> Tensor:
        local = torch.einsum("bji,nbj->nbi", self.rest[:, :3, :3], points[:, None] - self.rest[:, :3, 3])
        return (-(local / self.radii).square().sum(-1)).softmax(dim=1)

    def warped(self, points: Tensor, times: Sequence[float]) -> Tensor:
        return dual_quaternion_skinning(points, self.skinning_weights(points), self.bone_transforms(times))


def bag_of(mesh: Mesh, paths: Tensor, count: int, softness: float = 1.0) -> BagOfBones:
    """Bones by farthest points and k-means over the vertices' paths; the bones' order says nothing of their places.

    Args:
        mesh: at rest.
        paths: (T, V, 3) of its vertices.
        count: bones.
        softness: of the borders between them.
    """
    rest = mesh.vertices.double()
    long = torch.cat([rest[None], paths.double()]).transpose(0, 1).flatten(1) / len(paths) ** 0.5
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(torch.cdist(long, long[chosen]).amin(1).argmax()))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    centres = long[chosen][order]
    for _ in range(10):
        nearest = torch.cdist(long, centres).argmin(1)
        centres = torch.stack([long[nearest == bone].mean(0) for bone in range(count)])
    centres = torch.stack([rest[nearest == bone].mean(0) for bone in range(count)])
    places, radii, motions = [], [], []
    for bone in range(count):
        members = nearest == bone
        centred = rest[members] - centres[bone]
        values, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
        axes = axes * torch.where(torch.linalg.det(axes) < 0, -1.0, 1.0)
        places.append(rigid_from_parts(axes, centres[bone]))
        radii.append(
            softness * values.clamp_min(1e-6 * float(values.max())).sqrt().clamp_min(0.3 * float(values.max()) ** 0.5)
        )
        posed = paths[:, members].double()
        middle = posed.mean(1)
        turns = best_rotations(centred[None], (posed - middle[:, None])[:, None])[:, 0]
        motions.append(rigid_from_parts(turns, middle - turns @ centres[bone]))
    return BagOfBones(torch.stack(places), torch.stack(radii), torch.stack(motions, dim=1))
