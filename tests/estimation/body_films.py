"""Films of the open body whose truth is known: what it does, from where it is seen, and what a network says of it."""

import math
from dataclasses import dataclass

import torch

from a4d.estimation.bodies.active_body import ActiveJoints, find_active_joints
from a4d.estimation.bodies.landmarks import find_landmarks
from a4d.estimation.bodies.sightings import Sightings
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle
from a4d.io.bodies.open_body import open_body
from a4d.io.keypoints import BLAZEPOSE
from a4d.render.mesh import rasterise

WIDTH, HEIGHT = 192, 256
SHAPE = (0.5, 2 / 3, 0.6, 0.4, 0.6, 0.45)
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0]))

SWINGS = {
    ("left", "upperarm"): (0.0, 0.0, 1.2), ("right", "upperarm"): (0.0, 0.0, -1.2),
    ("left", "thigh"): (-0.3, 0.0, 0.25), ("right", "thigh"): (-0.3, 0.0, -0.25),
    ("left", "shin"): (0.7, 0.0, 0.0), ("right", "shin"): (0.7, 0.0, 0.0),
    ("left", "forearm"): (-0.7, 0.0, 0.0), ("right", "forearm"): (-0.7, 0.0, 0.0),
    ("", "head"): (0.2, 0.0, 0.0),
}  # fmt: skip
"""Axes times angles of parts at the height of a jump."""


@dataclass(frozen=True)
class BodyFilm:
    """A body that jumps, and what is seen of it; the world is that of the truth, +Y up.

    Args:
        truth: F poses.
        active: joints of the body.
        cameras: F, all in one place.
        sightings: of cameras of which nothing is known but their lens.
    """

    truth: AnimatedBody
    active: ActiveJoints
    cameras: Cameras
    sightings: Sightings

    @property
    def seen_from_world(self) -> torch.Tensor:
        """(3, 3) turns the world into that of the sightings."""
        return FACING @ self.cameras.camera_from_world[0, :3, :3]

    def turned_joints(self, rotations: torch.Tensor) -> float:
        """The mean angle in degrees by which the joints that move differ from the truth's."""
        moved = self.active.joints[[self.active.parts.index(part) for part in SWINGS]]
        apart = rotations[:, moved].mT @ self.truth.rotations[:, moved]
        return float(((apart.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos().rad2deg().mean())


def body_film(
    frames: int = 16,
    turn: float = 360.0,  # degrees about the upward axis over the film
    pitch: float = 10.0,  # degrees by which the camera looks down
    noise: float = 0.0,  # metres, of keypoints in the picture and in space
    names: tuple[str, ...] = BLAZEPOSE,
    masked: bool = True,
    body: Body | None = None,  # in its default shape; None is the open body in SHAPE
) -> BodyFilm:
    """Two jumps with the arms raised."""
    shape = torch.tensor(SHAPE) if body is None else body.default_shape
    body = open_body() if body is None else body
    active = find_active_joints(body)
    phase = torch.linspace(0, 4 * math.pi, frames)
    high = (1 - phase.cos()) / 2
    turns = torch.zeros(frames, len(active), 3)
    for part, swing in SWINGS.items():
        turns[:, active.parts.index(part)] = high[:, None] * torch.tensor(swing)
    turns[:, 0, 1] = torch.linspace(0, math.radians(turn), frames)
    translation = torch.stack([0.05 * phase.sin(), 0.1 * high, torch.zeros(frames)], -1)
    truth = AnimatedBody(body, shape, active.whole(rotation_from_axis_angle(turns)), translation, 1 / 15)
    cameras = _cameras(frames, pitch)
    return BodyFilm(truth, active, cameras, _sightings(truth, active, cameras, noise, names, masked))


def _cameras(frames: int, pitch: float) -> Cameras:
    focal = 0.866 * HEIGHT
    turn = rotation_from_axis_angle(torch.tensor([-math.radians(pitch), 0.0, 0.0])) @ FACING
    place = torch.tensor([0.0, 0.1, 0.0]) - 2.1 * turn[:, 2]
    lens = torch.tensor([focal, focal, WIDTH / 2, HEIGHT / 2])
    return Cameras(rigid_from_parts(turn, place).expand(frames, 4, 4), lens.expand(frames, 4), WIDTH, HEIGHT)


def _sightings(
    truth: AnimatedBody, active: ActiveJoints, cameras: Cameras, noise: float, names: tuple[str, ...], masked: bool
) -> Sightings:
    landmarks = find_landmarks(truth.body, active, names)
    turned, count = truth.rotations[:, active.joints], len(truth)
    points = landmarks.body.posed(turned, truth.shape, truth.translation).vertices
    told = points + torch.einsum("fij,kj->fki", turned[:, 0], landmarks.bias)
    told = told - told[:, landmarks.indices(("left_hip", "right_hip"))].mean(1, keepdim=True)
    generator = torch.Generator().manual_seed(0)
    pixels = noise * 0.866 * HEIGHT / 2.1
    seen = cameras.project(points)[0] + pixels * torch.randn(points[..., :2].shape, generator=generator)
    space = told @ cameras.world_from_camera[0, :3, :3] + noise * torch.randn(points.shape, generator=generator)
    masks = torch.zeros(count, HEIGHT, WIDTH)
    if masked:
        surface = truth.posed().vertices
        masks = torch.stack(
            [rasterise(Mesh(surface[i], truth.body.faces), cameras[i]).is_covered[0] for i in range(count)]
        ).float()
    return Sightings(
        cameras=Cameras(
            rigid_from_parts(FACING, torch.zeros(3)).expand(count, 4, 4), cameras.intrinsics, WIDTH, HEIGHT
        ),
        names=landmarks.names,
        points=seen,
        confidence=torch.full(seen.shape[:2], 0.95),
        space=space if names == BLAZEPOSE else None,
        masks=masks,
        filmed=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]),
    )


def joints_apart(film: BodyFilm, shape: torch.Tensor, rotations: torch.Tensor) -> float:
    """Millimetres between the limbs' joints and the truth's, both from the hips, in the sightings' axes."""
    active = film.active
    limbs = active.joints[[place for place, (side, _) in enumerate(active.parts) if side]]

    def around(joints: torch.Tensor) -> torch.Tensor:
        return joints[:, limbs] - joints[:, active.joints[:1]]

    true = around(film.truth.posed().joints) @ film.seen_from_world.mT
    found = around(film.truth.body.posed(rotations, shape).joints)
    return float(1000 * (found - true).norm(dim=-1).mean())
