"""A person of whom everything is known: a body in clothes that are a function of the place at rest and the pose.

Cuffs, stripes and a face are colours of places on the body at rest, evaluated at every pixel. Where an elbow or a knee
bends, folds across the limb grow darker by a known function of its angle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from a4d.contents.motions import MotionSource, load_motion
from a4d.geometry.assets.placement import Orientation
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.tracked_body import TrackedBody, in_shape
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.open_body import open_body
from a4d.metrics import psnr
from a4d.render.mesh import rasterise
from a4d.scenes.scene import Scene
from a4d.views import Frames

MOTIONS = Path(__file__).resolve().parents[3] / "shared" / "data" / "motion_bvh"
FILES = {
    "jumping_jacks": MotionSource(MOTIONS / "animated_drawings" / "cmu1" / "jumping_jacks.bvh"),
    "dab": MotionSource(MOTIONS / "animated_drawings" / "fair1" / "dab.bvh", orientation=Orientation("+z", "+y")),
    "walk": MotionSource(MOTIONS / "pybvh" / "bvh_data" / "cmu_12_01_walk.bvh"),
}
FOLDS = {"lowerarm01": 0.14, "lowerleg01": 0.2}
"""Joints that fold the clothes around them, and metres to where the folds end."""

GUESSED = (
    "neck01", "head", "clavicle", "upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot",
)  # fmt: skip
"""The joints of which trackers are not sure."""

DARKEST = 0.8
"""Share of the colour that the deepest folds lose at a bend of 90 degrees."""

FOLDED = 0.1
"""Share of the colour that folds take from a pixel of which one says that it shows them."""

FINER = 2
"""Samples along a pixel's side."""

AWAY, LOWER = 3.6, 0.22
"""Metres from the camera to the world's origin, and by which the hips are below it, so that raised hands are seen."""


@dataclass(frozen=True)
class Person:
    """A dressed body in the poses of a clip.

    Args:
        animated: in its only shape.
    """

    animated: AnimatedBody

    def __len__(self) -> int:
        return len(self.animated)

    @property
    def body(self) -> Body:
        return self.animated.body

    @property
    def times(self) -> Tensor:
        return torch.linspace(0, 1, len(self), dtype=torch.float64)

    @property
    def tracked(self) -> TrackedBody:
        """What a perfect tracker would say."""
        return TrackedBody(self.animated, self.times, torch.ones(len(self)).bool(), "open", torch.zeros(0))

    @cached_property
    def vertices(self) -> Tensor:
        """(T, V, 3)."""
        return self.animated.posed().vertices

    @cached_property
    def bends(self) -> Tensor:
        """(T, K) radians by which the joints of `FOLDS` are turned, left and right."""
        rotations = self.animated.rotations[:, _folding(self.body)]
        trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
        return ((trace - 1) / 2).clamp(-1, 1).acos()

    def seen_by(self, camera: Cameras, moment: int, colours: str = "clothes") -> tuple[Tensor, Tensor]:
        """(H, W, 4) straight alpha as a single camera sees a moment, and (H, W) how much darker folds make a pixel."""
        fine = camera.resized(FINER * camera.width, FINER * camera.height)
        fragments = rasterise(Mesh(self.vertices[moment], self.body.faces), fine)
        seen = fragments.is_covered[0]
        places = fragments.interpolate(self.body.rest()[0], self.body.faces)[0][seen]
        darker = DARKEST * self.folds(places, self.bends[moment])[:, None]
        rgb = torch.full_like(places, 0.5) if colours == "flat" else dressed(places, self.body) * (1 - darker)
        image = torch.zeros(*seen.shape, 5)
        image[seen] = torch.cat([rgb, torch.ones(len(rgb), 1), darker], dim=1)
        image = image.unflatten(1, (-1, FINER)).unflatten(0, (-1, FINER)).mean((1, 3))
        alpha = image[..., 3:4]
        return torch.cat([image[..., :3] / alpha.clamp_min(1e-6), alpha], dim=-1).clamp(0, 1), image[..., 4]

    def near_folds(self, places: Tensor) -> Tensor:
        """(..., K) in [0, 1] how near places at rest are to the joints that fold."""
        joints = self.body.rest()[1][_folding(self.body)]
        reach = torch.tensor([metres for metres in FOLDS.values() for _ in "LR"])
        return (1 - (places[..., None, :] - joints).norm(dim=-1) / reach).clamp(min=0)

    def folds(self, places: Tensor, bends: Tensor) -> Tensor:
        """(...) in [0, 1] how deep folds are at places at rest: waves down the body, that grow as joints bend."""
        wave = 0.5 + 0.5 * torch.sin(2 * math.pi * places[..., 1] / 0.08)
        depth = (self.near_folds(places) * (2 * bends / math.pi).clamp(0, 1)).sum(-1)
        return (wave * depth).clamp(0, 1)


def _folding(body: Body) -> list[int]:
    return [body.names.index(f"{name}.{side}") for name in FOLDS for side in "LR"]


def dressed(places: Tensor, body: Body) -> Tensor:
    """(..., 3) sRGB of places on the body at rest: a striped shirt, dark trousers, shoes, skin and hair."""
    joints = dict(zip(body.names, body.rest()[1], strict=True))
    x, y, z = places.unbind(-1)
    waist, neck, ankle = (float(joints[name][1]) for name in ("spine05", "neck02", "foot.L"))
    eyes = float(joints["eye.L"][1])
    sleeve = (places - joints["wrist.L"] * torch.stack([x.sign(), *torch.ones(2, *x.shape)], dim=-1)).norm(dim=-1)
    stripe = (torch.sin(2 * math.pi * y / 0.12) > 0).to(x)
    shirt = torch.stack([0.75 - 0.5 * stripe, 0.3 + 0.3 * stripe, 0.25 + 0.45 * stripe], dim=-1)
    dots = (torch.sin(40 * x) * torch.sin(40 * z) > 0.3).to(x)
    trousers = torch.stack([0.15 + 0.1 * dots, 0.2 + 0.15 * dots, 0.35 + 0.25 * dots], dim=-1)
    skin, hair, shoe = (places.new_tensor(rgb) for rgb in ((0.85, 0.65, 0.52), (0.25, 0.15, 0.1), (0.5, 0.1, 0.1)))
    colour = torch.where((y < waist)[..., None], trousers, shirt)
    colour = torch.where((y < ankle)[..., None], shoe, colour)
    colour = torch.where(((y > neck) | (sleeve < 0.13))[..., None], skin, colour)
    is_hair = (y > eyes + 0.04) | ((y > eyes - 0.08) & (z < float(joints["head"][2])))
    return torch.where(is_hair[..., None], hair, colour)


def person(motion: Motion, moments: int, turns: float = 0.0, seconds: tuple[float, float] = (0.0, 1e9)) -> Person:
    """The open body in a motion, at evenly spaced moments.

    Args:
        motion: of any skeleton, +Y up.
        moments: T.
        turns: about the vertical axis, over the clip.
        seconds: of the motion that are taken.
    """
    body = in_shape(open_body())
    still = AnimatedBody(body, body.default_shape, torch.eye(3).expand(1, len(body.names), 3, 3), torch.zeros(1, 3), 1)
    first, last = (min(round(at / motion.seconds_per_frame), len(motion) - 1) for at in seconds)
    chosen = torch.linspace(first, last, moments).round().long()
    apart = motion.seconds_per_frame * (last - first) / max(moments - 1, 1)
    picked = replace(motion, parent_from_joint=motion.parent_from_joint[chosen], seconds_per_frame=apart)
    moved = still.with_motion(picked)
    # It stays in its place, however far the motion goes.
    translation = moved.translation * torch.tensor([0.0, 1.0, 0.0]) - torch.tensor([0.0, LOWER, 0.0])
    root = int((body.parents < 0).nonzero()[0, 0])
    angles = torch.zeros(moments, 3)
    angles[:, 1] = torch.linspace(0, 2 * math.pi * turns, moments + 1)[:-1]
    rotations = moved.rotations.clone()
    rotations[:, root] = rotation_from_axis_angle(angles) @ rotations[:, root]
    return Person(replace(moved, rotations=rotations, translation=translation))


def recorded(name: str, moments: int, turns: float = 0.0) -> Person:
    """The person in a motion of `FILES`."""
    seconds = (0.0, 4.0) if name == "jumping_jacks" else (0.0, 1e9)
    return person(load_motion(FILES[name]), moments, turns, seconds)


def camera_in_front(size: int) -> Cameras:
    """A single camera at the height of the hips, which sees all of the person."""
    return orbit(torch.zeros(1), torch.zeros(1), AWAY, 40.0, size, size)


def filmed(shown: Person, size: int, held_out: int = 8) -> Frames:
    """The frames of a film of the person, every so many of which are held out."""
    camera = camera_in_front(size)
    images = [shown.seen_by(camera, moment)[0] for moment in range(len(shown))]
    splits = ["test" if moment % held_out == held_out // 2 else "train" for moment in range(len(shown))]
    names = [f"{moment:05d}" for moment in range(len(shown))]
    return Frames(images, [camera] * len(shown), shown.times.float(), names, splits)


def noisy(tracked: TrackedBody, radians: float, metres: float, generator: torch.Generator) -> TrackedBody:
    """Poses as a tracker would guess them: limbs and head turned about every axis, the whole moved, at random."""
    animated, names = tracked.animated, tracked.animated.body.names
    turns = radians * torch.randn(*animated.rotations.shape[:2], 3, generator=generator)
    is_guessed = torch.tensor([name.split(".")[0] in GUESSED for name in names])
    rotations = rotation_from_axis_angle(turns * is_guessed[:, None]) @ animated.rotations
    moved = animated.translation + metres * torch.randn(len(tracked), 3, generator=generator)
    return replace(tracked, animated=replace(animated, rotations=rotations, translation=moved))


@dataclass(frozen=True)
class Likeness:
    """How like the truth renders are, in dB, mean over pictures.

    Args:
        white: over a white background, all pixels.
        foreground: where the person is.
        folds: where folds make the clothes darker, over the moments that show such places.
    """

    white: float
    foreground: float
    folds: float


@torch.no_grad()
def likeness(scene: Scene, truth: Person, size: int, moments: list[int], colours: str = "clothes") -> Likeness:
    """A scene in the poses of a person against the person; `flat` compares a grey body in its place."""
    camera, found = camera_in_front(size), []
    for moment in moments:
        image, darker = truth.seen_by(camera, moment)
        white = image[..., :3] * image[..., 3:] + 1 - image[..., 3:]
        if colours == "flat":
            grey = truth.seen_by(camera, moment, "flat")[0]
            shown = grey[..., :3] * grey[..., 3:] + 1 - grey[..., 3:]
        else:
            shown = scene.render(camera, truth.times[moment : moment + 1].float(), torch.ones(3)).rgb[0].clamp(0, 1)
        areas = (torch.ones_like(darker).bool(), image[..., 3] > 0.5, darker > FOLDED)
        found.append([float(psnr(shown[area], white[area])) if int(area.sum()) > 20 else math.nan for area in areas])
    return Likeness(*torch.tensor(found).nanmean(0).tolist())
