"""A body for skeletons that have none: one capsule along each bone, moved by it rigidly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from a4d.geometry.assets.assembly import skinned_asset
from a4d.geometry.assets.asset import Asset, MorphTargets, Primitive
from a4d.geometry.assets.material import Material
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton

SLENDERNESS = 0.12
"""Radius of a capsule over its length."""

BONE = Material(name="bones", metallic=0.0, roughness=0.7)


def capsule_asset(name: str, motion: Motion) -> Asset:
    """A skeleton with a visible body and its motion as the clip `motion`.

    Args:
        name: of the mesh.
        motion: of a skeleton in any unit.
    """
    skeleton = motion.skeleton
    return skinned_asset(name, _body(skeleton), {"motion": motion}, BONE)


def _body(skeleton: Skeleton) -> Primitive:
    """Capsules from each joint to its children, coloured around the wheel in the order of the joints."""
    import trimesh

    places = skeleton.rest_world[:, :3, 3].double()
    parents = skeleton.parents.tolist()
    lengths = [float((places[joint] - places[parent]).norm()) for joint, parent in enumerate(parents) if parent >= 0]
    longest = max(lengths, default=0.0) or 1.0
    vertices, faces, joints, count = list[Tensor](), list[Tensor](), list[Tensor](), 0
    for joint, parent in enumerate(parents):
        if parent >= 0 and float((places[joint] - places[parent]).norm()) > 1e-3 * longest:
            moved_by, start, end = parent, places[parent], places[joint]
        elif parent < 0 and joint not in parents:
            moved_by, start, end = joint, places[joint], places[joint]
        else:
            continue
        length = float((end - start).norm())
        radius = SLENDERNESS * min(max(length, 0.2 * longest), 0.5 * longest)
        shape = trimesh.creation.capsule(height=length, radius=radius, count=(12, 12))
        points = torch.from_numpy(np.array(shape.vertices, np.float64))
        vertices.append((points - points.new_tensor([0, 0, shape.bounds.mean(axis=0)[2]])) @ _toward(end - start).T
                        + (start + end) / 2)  # fmt: skip
        faces.append(torch.from_numpy(np.array(shape.faces, np.int64)) + count)
        joints.append(torch.full((len(points),), moved_by))
        count += len(points)
    owners = torch.cat(joints)
    colours = _wheel(owners.double() / len(skeleton))
    influences = Influences(owners[:, None], torch.ones(count, 1))
    return Primitive(
        torch.cat(vertices).float(), torch.cat(faces), 0, None, None, torch.zeros(0, count, 2), colours, influences,
        MorphTargets(None, None, None),
    )  # fmt: skip


def _toward(axis: Tensor) -> Tensor:
    """(3, 3) a rotation that turns +z along an axis of any length."""
    length = axis.norm()
    z = axis / length if length > 0 else axis.new_tensor([0.0, 0.0, 1.0])
    helper = torch.eye(3, dtype=axis.dtype)[z.abs().argmin()]
    x = torch.linalg.cross(helper, z)
    x = x / x.norm()
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def _wheel(turn: Tensor) -> Tensor:
    """(V, 4) opaque colours of medium saturation around the hue circle, for turns (V,) in [0, 1]."""
    phase = turn[:, None] + torch.tensor([0.0, 1 / 3, 2 / 3], dtype=turn.dtype)
    return torch.cat([0.6 + 0.3 * torch.cos(2 * torch.pi * phase), torch.ones(len(turn), 1)], dim=1).float()
