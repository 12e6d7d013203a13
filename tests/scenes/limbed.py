"""A body with four legs of two parts, a neck and a tail, whose joints are known."""

import math
from functools import cache

import torch

from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import tube_union
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle

# Joint, parent, place at rest, end, and about which axis and by what phase it swings.
JOINTS = (
    ("body", None, (0.0, 0.0, -0.35), (0.0, 0.0, 0.35), 0, 0.0),
    ("neck", "body", (0.0, 0.05, 0.35), (0.0, 0.45, 0.55), 0, 0.3),
    ("tail", "body", (0.0, 0.0, -0.35), (0.0, 0.15, -0.8), 1, 0.6),
    *(
        joint
        for name, x, z, phase in (
            ("fl", 0.16, 0.3, 0.0), ("fr", -0.16, 0.3, 0.5), ("bl", 0.16, -0.3, 0.25), ("br", -0.16, -0.3, 0.75)
        )
        for joint in (
            (f"thigh_{name}", "body", (x, -0.05, z), (x, -0.35, z), 0, phase),
            (f"shin_{name}", f"thigh_{name}", (x, -0.35, z), (x, -0.65, z), 0, phase + 0.2),
        )
    ),
)  # fmt: skip
PARENTS = [[name for name, *_ in JOINTS].index(above) if above else -1 for _, above, *_ in JOINTS]
FRAMES = 13


@cache
def limbed(turns: float = 0.5) -> tuple[Mesh, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The body at rest, (T, V, 3) its paths, (V, J) its weights and (T, J, 4, 4) posed_from_rest of its joints.

    Args:
        turns: radians by which each joint swings to either side.
    """
    places = torch.tensor([place for _, _, place, *_ in JOINTS], dtype=torch.float64)
    ends = torch.tensor([end for _, _, _, end, *_ in JOINTS], dtype=torch.float64)
    radii = [0.14 if name == "body" else 0.07 for name, *_ in JOINTS]
    segments = [(place, end, radius) for (_, _, place, end, *_), radius in zip(JOINTS, radii, strict=True)]
    mesh = tube_union(segments, resolution=40)
    parents = torch.tensor(PARENTS)
    offsets = places - torch.where(parents[:, None] < 0, 0.0, places[parents.clamp(min=0)])
    axes = torch.eye(3, dtype=torch.float64).expand(len(JOINTS), 3, 3)
    skeleton = Skeleton(tuple(name for name, *_ in JOINTS), parents, rigid_from_parts(axes, offsets))
    angles = torch.zeros(FRAMES, len(JOINTS), 3, dtype=torch.float64)
    for joint, (name, *_, axis, phase) in enumerate(JOINTS):
        swing = 2 * math.pi * (torch.linspace(0, 1, FRAMES, dtype=torch.float64) + phase)
        angles[:, joint, axis] = (0.1 if name == "body" else 1.0) * turns * swing.sin()
    posed = skeleton.world_from_joint(skeleton.rest @ rigid_from_parts(rotation_from_axis_angle(angles), 0 * angles))
    transforms = posed @ torch.linalg.inv(skeleton.rest_world)
    weights = _weights(mesh.vertices.double(), places, ends, torch.tensor(radii).double())
    return mesh, linear_blend_skinning(mesh.vertices.double(), weights, transforms), weights, transforms


def _weights(points: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    along = ends - starts
    share = ((points[:, None] - starts) * along).sum(-1) / along.square().sum(-1)
    nearest = starts + share.clamp(0, 1)[..., None] * along
    return (-(((points[:, None] - nearest).norm(dim=-1) - radii) / 0.02)).softmax(dim=1)
