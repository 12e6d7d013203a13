"""A body's shape and its poses over a whole film at once, by what the frames say and what is likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from a4d.estimation.bodies.active_body import SIDES, ActiveBody, ActiveJoints, find_active_joints
from a4d.estimation.bodies.landmarks import Landmarks, find_landmarks
from a4d.estimation.bodies.shapes import ShapePrior
from a4d.estimation.bodies.sightings import Sightings
from a4d.estimation.bodies.silhouettes import Silhouettes, silhouettes
from a4d.estimation.bodies.start import Start, camera_unit, find_start
from a4d.geometry.bodies.body import Body
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.transforms import rotation_from_axes, rotation_from_axis_angle


@dataclass(frozen=True)
class Phase:
    """Some steps of a fit.

    Args:
        steps: their number.
        turns: rate of the joints' turns, radians, and of the whole body's.
        places: rate of where it stands, metres.
        shape: rate of the shape's free numbers.
        space: weight of the keypoints in space.
        silhouette: weight of the silhouettes, which are drawn of some frames in turn.
    """

    steps: int
    turns: float
    places: float
    shape: float
    space: float
    silhouette: float = 0.0


PHASES = (
    Phase(120, 0.03, 0.02, 0.03, 20.0),
    Phase(100, 0.009, 0.006, 0.009, 3.0),
    Phase(60, 0.006, 0.005, 0.05, 3.0, 15.0),
    Phase(30, 0.002, 0.002, 0.01, 3.0, 15.0),
)

STEPS = sum(phase.steps for phase in PHASES)

DRAWN = 16
"""Frames whose silhouettes are compared in a step."""

SURE = 2.0
"""Percent of the body's height up to which a keypoint's error counts by its square, and beyond by itself."""

STIFFNESS = {
    ("spine", "shoulder"): 12.0,
    ("neck", "head"): 6.0,
    ("hand", "foot"): 5.0,
    ("thigh",): 1.2,
    ("shin", "forearm"): 0.6,
    ("upperarm",): 0.4,
}
"""How unlikely it is that a part turns far."""

POSE, HINGE, SHAPE = 0.6, 2.0, 0.03
"""Weights of how far joints turn, of knees that turn as no knee does, and of how unlikely a shape is."""

JERKY_POINTS, JERKY_TURNS = 20.0, 0.3
"""Weights of the squared second differences in time: of landmarks in metres, and of turns in radians."""


@dataclass(frozen=True)
class Fit:
    """What a fit found, of F frames.

    Args:
        shape: (S,).
        rotations: (F, J, 3, 3) of all joints, see `a4d.geometry.bodies.body.Body`.
        translation: (F, 3) metres.
        unit: metres of the unit in which the places of the cameras are.
    """

    shape: Tensor
    rotations: Tensor
    translation: Tensor
    unit: float


@dataclass(frozen=True)
class Pose:
    """A active joints and the whole in F frames.

    Args:
        shape: (S,).
        rotations: (F, A, 3, 3).
        places: (F, 3) of the joint that carries the body, metres.
        turns: (F, A - 1, 3) axes times angles of the other joints.
    """

    shape: Tensor
    rotations: Tensor
    places: Tensor
    turns: Tensor

    def points(self, body: ActiveBody, frames: Tensor | slice) -> Tensor:
        """(N, P, 3) the points of a body at some frames."""
        rotations, places = self.rotations[frames], self.places[frames]
        points, joints = body.rest(self.shape)
        transforms = body.transforms(rotations, joints, places - joints[0])
        return linear_blend_skinning(points, body.weights, transforms)


def fit_body(
    body: Body,
    prior: ShapePrior,
    sightings: Sightings,
    told: Callable[[int, float], None],
    phases: Sequence[Phase] = PHASES,
) -> Fit:
    """Fit a body to a film.

    Frames that show nothing of the body are where the others let them be; only what is near them means anything.

    Args:
        body: of any kind whose joints are named as usual.
        prior: of its shapes.
        sightings: metres, but for the places of cameras that move, whose unit is found.
        told: takes the number of steps that are done, and the loss.
        phases: one after the other.

    Raises:
        InvalidInputError: the body lacks limbs.
        QualityError: no frame shows a trunk.
    """
    active = find_active_joints(body)
    landmarks = find_landmarks(body, active, sightings.names)
    seen = sightings.of(landmarks.names).without_border()
    likely = prior.shape(torch.zeros_like(prior.centre))
    start = find_start(seen, landmarks, likely)
    unit = camera_unit(seen.cameras, start.places, seen.is_seen)
    seen, start = seen.in_unit(unit), start.in_unit(unit, seen.cameras)
    is_outlined = any(phase.silhouette for phase in phases)
    outlines = silhouettes(body, active, likely, seen) if is_outlined else None
    fitting = _Fitting(active, landmarks, prior, seen, start, outlines)
    done = 0
    for phase in phases:
        optimiser = fitting.optimiser(phase)
        for step in range(phase.steps):
            optimiser.zero_grad()
            loss = fitting.loss(phase, step)
            loss.backward()
            optimiser.step()
            done += 1
            told(done, float(loss.detach()))
    return fitting.result(unit)


class _Fitting:
    """The variables of a fit and the loss that they minimise.

    Args:
        active: joints that turn.
        landmarks: of the body.
        prior: of its shapes.
        seen: with the keypoints of the landmarks.
        start: where the body begins.
        outlines: of the same frames, where some phase asks for them.
    """

    def __init__(
        self,
        active: ActiveJoints,
        landmarks: Landmarks,
        prior: ShapePrior,
        seen: Sightings,
        start: Start,
        outlines: Silhouettes | None,
    ) -> None:
        self.active, self.landmarks, self.prior, self.seen, self.outlines = active, landmarks, prior, seen, outlines
        self.free = torch.zeros_like(prior.centre).requires_grad_()
        self.axes = start.rotations[..., :2].transpose(1, 2).flatten(1).clone().requires_grad_()
        self.places = start.places.clone().requires_grad_()
        self.turns = torch.zeros(len(seen), len(active) - 1, 3).requires_grad_()
        self.log_scale = torch.tensor(start.scale).log().requires_grad_()
        self.stiffness = _stiffness(active)
        self.knees = [active.parts.index((side, "shin")) - 1 for side in SIDES]
        self.space = seen.space_in_world()
        self.hips = landmarks.indices(("left_hip", "right_hip"))

    def optimiser(self, phase: Phase) -> torch.optim.Adam:
        """Of the rates of a phase."""
        rates = (
            (phase.turns, [self.axes, self.turns]),
            (phase.places, [self.places, self.log_scale]),
            (phase.shape, [self.free]),
        )
        return torch.optim.Adam([{"params": parameters, "lr": rate} for rate, parameters in rates])

    def pose(self) -> Pose:
        """The body as it stands now."""
        whole = rotation_from_axes(self.axes)[:, None]
        rotations = torch.cat([whole, rotation_from_axis_angle(self.turns)], dim=1)
        return Pose(self.prior.shape(self.free), rotations, self.places, self.turns)

    def loss(self, phase: Phase, step: int) -> Tensor:
        """What a step minimises."""
        pose = self.pose()
        points = pose.points(self.landmarks.body, slice(None))
        loss = self._reprojection(points) + phase.space * self._beside_space(points, pose.rotations[:, 0])
        loss = loss + self._unlikely(pose) + self._jerky(points, pose)
        if phase.silhouette and self.outlines is not None:
            loss = loss + phase.silhouette * self._beside_masks(pose, self.outlines, step)
        return loss

    def result(self, unit: float) -> Fit:
        """What was found."""
        with torch.no_grad():
            pose = self.pose()
            translation = pose.places - self.landmarks.body.rest(pose.shape)[1][0]
            return Fit(pose.shape, self.active.whole(pose.rotations), translation, unit)

    def _reprojection(self, points: Tensor) -> Tensor:
        """How far landmarks are from their keypoints in the pictures, in percent of the body's height."""
        projected, _ = self.seen.cameras.project(points)
        missed = (projected - self.seen.points).square().sum(-1).add(1e-9).sqrt() * (100.0 / self.seen.height)
        weights = self.seen.confidence.square() * self.landmarks.weights
        robust = huber_loss(missed, torch.zeros_like(missed), reduction="none", delta=SURE)
        return (robust * weights).sum() / weights.sum()

    def _beside_space(self, points: Tensor, whole: Tensor) -> Tensor:
        """Squared metres by which landmarks miss the keypoints in space."""
        if self.space is None:
            return points.new_zeros(())
        told = points + torch.einsum("fij,kj->fki", whole, self.landmarks.bias)
        told = told - told[:, self.hips].mean(1, keepdim=True)
        space = self.space - self.space[:, self.hips].mean(1, keepdim=True)
        missed = (told - space * self.log_scale.exp()).square().sum(-1)
        weights = self.seen.confidence.square()
        return (missed * weights).sum() / weights.sum()

    def _beside_masks(self, pose: Pose, outlines: Silhouettes, step: int) -> Tensor:
        """How much the body covers beside the masks of some frames, which take turns."""
        seen = self.seen.is_seen.nonzero()[:, 0]
        apart = -(-len(seen) // DRAWN)
        frames = seen[step % apart :: apart]
        return outlines.loss(pose.points(outlines.body, frames), frames)

    def _unlikely(self, pose: Pose) -> Tensor:
        """Joints that turn far, knees that turn as no knee does, shapes that few have."""
        turns = pose.turns[self.seen.is_seen]
        far = (turns.square().sum(-1) * self.stiffness).mean()
        knees = turns[:, self.knees]
        wrong = (knees[..., 1:].square().sum(-1) + knees[..., 0].clamp(max=0).square()).mean()
        return POSE * far + HINGE * wrong + SHAPE * self.free.square().sum()

    def _jerky(self, points: Tensor, pose: Pose) -> Tensor:
        """How the body changes its speed from moment to moment."""
        if len(points) < 3:
            return points.new_zeros(())
        jerks = [values[2:] - 2 * values[1:-1] + values[:-2] for values in (points, pose.turns)]
        weights = (JERKY_POINTS, JERKY_TURNS)
        return torch.stack([w * jerk.square().sum(-1).mean() for w, jerk in zip(weights, jerks, strict=True)]).sum()


def _stiffness(active: ActiveJoints) -> Tensor:
    """(A - 1,) of all joints but the first."""
    table = {part: value for parts, value in STIFFNESS.items() for part in parts}
    return torch.tensor([table[part] for _, part in active.parts[1:]])
