"""Where a fit begins: how the body as a whole is turned and where it stands, its limbs as at rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import QualityError
from a4d.estimation.bodies.landmarks import Landmarks
from a4d.estimation.bodies.sightings import Sightings
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.retargeting import rotations_of
from a4d.geometry.transforms import quaternion_from_rotation, rotation_from_quaternion, slerp

TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")

EXPLAINED = 0.5
"""Part of how the body moves before the cameras that their own motion has to explain to be believed."""

RIDGE = 1e-6
"""Of the largest entry, added to normal equations that too few points could leave open."""


@dataclass(frozen=True)
class Start:
    """The body in F frames before its limbs are looked at.

    Args:
        rotations: (F, 3, 3) of the whole.
        places: (F, 3) of the joint that carries it, metres.
        scale: metres of the body per metre of keypoints in space.
    """

    rotations: Tensor
    places: Tensor
    scale: float

    def in_unit(self, metres: float, cameras: Cameras) -> Start:
        """The same before cameras whose places were multiplied."""
        return replace(self, places=self.places + (metres - 1) * cameras.positions)


def find_start(sightings: Sightings, landmarks: Landmarks, shape: Tensor) -> Start:
    """Turn the trunk to that of the keypoints in space, or as the picture's widths suggest, and place it in its rays.

    Args:
        sightings: with the keypoints of the landmarks.
        landmarks: of the body.
        shape: (S,) likely.

    Raises:
        QualityError: no frame shows shoulders and hips.
    """
    trunk = landmarks.indices(TRUNK)
    points, joints = landmarks.body.rest(shape)
    points = points - joints[0]
    usable = sightings.is_seen & (sightings.confidence[:, trunk] > 0).all(1)
    if not usable.any():
        raise QualityError(
            "no frame shows both shoulders and both hips", "Film the whole body, or give keypoints: --keypoints"
        )
    space = sightings.space_in_world()
    if space is None:
        rotations, scale = _turned_by_widths(sightings, landmarks, points), 1.0
        bodies = torch.einsum("fij,kj->fki", rotations, points)
    else:
        unbiased = points[trunk] + landmarks.bias[trunk]
        rotations = _procrustes(unbiased - unbiased.mean(0), space[:, trunk])
        scale = _scale(points[trunk], space[usable][:, trunk])
        centre = points[landmarks.indices(("left_hip", "right_hip"))].mean(0)
        bodies = space * scale + (rotations @ centre)[:, None]
    places = _placed(sightings, bodies)
    filling = fill_between(usable)
    return Start(filling.rotations(rotations[usable]), filling.places(places[usable]), scale)


def camera_unit(
    cameras: Cameras,
    places: Tensor,  # (F, 3) of the body, as far before each camera as its size says
    is_seen: Tensor,  # (F,)
) -> float:
    """Metres of the unit in which the cameras' places are: with these the body moves least.

    It is 1 where cameras stand still, or where their motion explains too little of the body's.
    """
    positions = cameras.positions[is_seen]
    before = places[is_seen] - positions
    moved, apart = positions - positions.mean(0), before - before.mean(0)
    shared, own, other = -(moved * apart).sum(), moved.square().sum(), apart.square().sum()
    if float(shared) <= 0 or float(shared.square()) < EXPLAINED * float(own * other):
        return 1.0
    return float(shared / own)


@dataclass(frozen=True)
class Filling:
    """All of F frames out of M that are known: steady between two, still before the first and after the last.

    Args:
        before: (F,) int64 which of the M is the last before each frame, or at it.
        after: (F,) int64 which is the first after it, or at it.
        share: (F,) how far each is on the way.
    """

    before: Tensor
    after: Tensor
    share: Tensor

    def places(
        self,
        values: Tensor,  # (M, ...)
    ) -> Tensor:
        """(F, ...) in straight lines."""
        share = self.share.reshape(-1, *(1,) * (values.ndim - 1))
        return torch.lerp(values[self.before], values[self.after], share.expand_as(values[self.before]))

    def rotations(
        self,
        values: Tensor,  # (M, ..., 3, 3)
    ) -> Tensor:
        """(F, ..., 3, 3) the shortest ways around."""
        quaternions = quaternion_from_rotation(values)
        share = self.share.reshape(-1, *(1,) * (quaternions.ndim - 2)).expand(-1, *quaternions.shape[1:-1])
        return rotation_from_quaternion(slerp(quaternions[self.before], quaternions[self.after], share))


def fill_between(is_known: Tensor) -> Filling:
    """All frames out of those of which something is known.

    Args:
        is_known: (F,) bool, at least one of them true.
    """
    known, frames = is_known.nonzero()[:, 0], torch.arange(len(is_known))
    after = torch.searchsorted(known, frames).clamp(max=len(known) - 1)
    before = (torch.searchsorted(known, frames, right=True) - 1).clamp(min=0)
    gap = (known[after] - known[before]).clamp(min=1)
    return Filling(before, after, ((frames - known[before]) / gap).clamp(0.0, 1.0))


def _procrustes(
    points: Tensor,  # (N, 3) centred
    seen: Tensor,  # (F, N, 3)
) -> Tensor:
    """(F, 3, 3) rotations that bring points nearest to what is seen of them."""
    return rotations_of((seen - seen.mean(1, keepdim=True)).transpose(1, 2) @ points)


def _scale(
    points: Tensor,  # (N, 3)
    space: Tensor,  # (F, N, 3)
) -> float:
    """How much larger the body is than keypoints in space, by the spread of their trunks."""

    def spread(values: Tensor) -> Tensor:
        return (values - values.mean(-2, keepdim=True)).square().sum((-2, -1)).sqrt()

    return float((spread(points) / spread(space).clamp(min=1e-6)).median())


def _turned_by_widths(sightings: Sightings, landmarks: Landmarks, points: Tensor) -> Tensor:
    """(F, 3, 3) how the body is turned by what its trunk looks like: as wide as seen, its spine as slanted as seen.

    Whether it turns to one side or the other is told by where the nose is beside the shoulders.
    """
    names = landmarks.names
    left, right, left_hip, right_hip = (sightings.points[:, names.index(name)] for name in TRUNK)
    rest = {name: points[names.index(name)] for name in TRUNK}
    up = normalize((left + right - left_hip - right_hip) / 2, dim=-1)
    across = torch.stack([-up[:, 1], up[:, 0]], dim=-1)
    spine = ((left + right - left_hip - right_hip) / 2).norm(dim=-1).clamp(min=1.0)
    trunk = (rest["left_shoulder"] + rest["right_shoulder"] - rest["left_hip"] - rest["right_hip"]) / 2
    wide = (rest["left_shoulder"] - rest["right_shoulder"]).norm() / trunk.norm()
    facing = (((left - right) * across).sum(-1) / spine / wide).clamp(-1.0, 1.0)
    aside = torch.ones_like(facing)
    if "nose" in names:
        nose = sightings.points[:, names.index("nose")] - (left + right) / 2
        aside = torch.where((nose * across).sum(-1) < 0, -1.0, 1.0)
    sine = aside * (1 - facing.square()).sqrt()
    still = torch.zeros_like(facing)
    turned = torch.stack([facing, still, sine, still, still + 1, still, -sine, still, facing], -1).reshape(-1, 3, 3)
    upright = torch.stack([across[:, 0], -across[:, 1], still, up[:, 0], -up[:, 1], still, still, still, still + 1], -1)
    camera_from_picture = sightings.cameras.world_from_camera[:, :3, :3] * torch.tensor([1.0, -1.0, -1.0])
    return camera_from_picture @ upright.reshape(-1, 3, 3).transpose(1, 2) @ turned


def _placed(
    sightings: Sightings,
    bodies: Tensor,  # (F, K, 3) from the place to each landmark, world axes
) -> Tensor:
    """(F, 3) where the carrying joint is, world: with which the landmarks are nearest to their rays."""
    cameras = sightings.cameras
    turn = cameras.camera_from_world[:, :3, :3]
    seen = torch.einsum("fij,fkj->fki", turn, bodies)
    rays = (sightings.points - cameras.intrinsics[:, None, 2:]) / cameras.intrinsics[:, None, :2]
    still, one = torch.zeros_like(rays[..., 0]), torch.ones_like(rays[..., 0])
    rows = torch.stack([torch.stack([one, still, -rays[..., 0]], -1), torch.stack([still, one, -rays[..., 1]], -1)], 2)
    weights = sightings.confidence[:, :, None]
    wanted = -(rows * seen[:, :, None]).sum(-1)
    normal = torch.einsum("fkri,fkrj->fij", rows * weights[..., None], rows)
    ridge = RIDGE * normal.amax((1, 2), keepdim=True).clamp(min=1.0) * torch.eye(3)
    solved = torch.linalg.solve(normal + ridge, torch.einsum("fkri,fkr->fi", rows * weights[..., None], wanted))
    return cameras.positions + torch.einsum("fji,fj->fi", turn, solved)
