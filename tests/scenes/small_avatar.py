"""A figure of a few boxes that bends its arms, in front of a camera: what an avatar is fitted to in seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.rigged_character import RiggedCharacter
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.tracked_body import write_tracked_body
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh
from a4d.scenes.avatar.surface import with_own_texture
from a4d.views import Frames
from a4d.workspace.workspace import Metadata, Workspace

JOINTS = {
    "Hips": (-1, (0.0, 0.0, 0.0)),
    "Spine": (0, (0.0, 0.15, 0.0)),
    "Head": (1, (0.0, 0.5, 0.0)),
    "LeftArm": (1, (0.2, 0.4, 0.0)),
    "LeftForeArm": (3, (0.45, 0.4, 0.0)),
    "RightArm": (1, (-0.2, 0.4, 0.0)),
    "RightForeArm": (5, (-0.45, 0.4, 0.0)),
    "LeftUpLeg": (0, (0.1, -0.05, 0.0)),
    "RightUpLeg": (0, (-0.1, -0.05, 0.0)),
}
"""Parent and place at rest, metres."""

BOXES = {
    "Spine": ((0.0, 0.2, 0.0), (0.18, 0.26, 0.1)),
    "Head": ((0.0, 0.62, 0.0), (0.1, 0.13, 0.1)),
    "LeftArm": ((0.325, 0.4, 0.0), (0.125, 0.06, 0.06)),
    "LeftForeArm": ((0.575, 0.4, 0.0), (0.125, 0.05, 0.05)),
    "RightArm": ((-0.325, 0.4, 0.0), (0.125, 0.06, 0.06)),
    "RightForeArm": ((-0.575, 0.4, 0.0), (0.125, 0.05, 0.05)),
    "LeftUpLeg": ((0.1, -0.4, 0.0), (0.07, 0.34, 0.07)),
    "RightUpLeg": ((-0.1, -0.4, 0.0), (0.07, 0.34, 0.07)),
}
"""Middle and half sides of what a joint carries, metres."""


def figure() -> Body:
    """A rigid box per joint, with an atlas."""
    names, parts, weights, start = list(JOINTS), [], [], 0
    faces = []
    for name, (middle, half) in BOXES.items():
        part = box(tuple(2 * side for side in half))
        parts.append(part.vertices.float() + torch.tensor(middle))
        faces.append(part.faces + start)
        start += len(part.vertices)
        rows = torch.zeros(len(part.vertices), len(names))
        rows[:, names.index(name)] = 1
        weights.append(rows)
    return with_own_texture(
        RiggedCharacter(
            tuple(names),
            torch.tensor([parent for parent, _ in JOINTS.values()]),
            torch.cat(faces),
            torch.cat(weights),
            None,
            torch.cat(parts),
            torch.tensor([place for _, place in JOINTS.values()]),
        )
    )


def tracked(moments: int, body: Body | None = None, turns: float = 0.0) -> TrackedBody:
    """The figure, which waves its arms and turns about itself."""
    body = figure() if body is None else body
    angles = torch.zeros(moments, len(body.names), 3)
    phase = torch.linspace(0, math.pi, moments)
    for name, sign in (("LeftArm", 1.0), ("RightArm", -1.0), ("LeftForeArm", 1.0), ("RightForeArm", -1.0)):
        angles[:, body.names.index(name), 2] = sign * 0.8 * phase.sin()
    angles[:, 0, 1] = torch.linspace(0, 2 * math.pi * turns, moments + 1)[:-1]
    animated = AnimatedBody(
        body, body.default_shape, rotation_from_axis_angle(angles), torch.zeros(moments, 3), 1 / max(moments - 1, 1)
    )
    times = torch.linspace(0, 1, moments, dtype=torch.float64)
    return TrackedBody(animated, times, torch.ones(moments).bool(), "rig", torch.zeros(0))


def colours(body: Body) -> Tensor:
    """(V, 3) sRGB of the place at rest."""
    return 0.5 + 0.45 * torch.sin(5 * body.rest()[0] + torch.tensor([0.0, 2.0, 4.0]))


def filmed(shown: TrackedBody, size: int, held_out: int = 4) -> Frames:
    """What a camera in front sees of it."""
    body, camera = shown.animated.body, orbit(torch.zeros(1), torch.zeros(1), 2.4, 40.0, size, size)
    images = []
    for vertices in shown.animated.posed().vertices:
        render = render_mesh(Mesh(vertices, body.faces, colours(body)), camera)
        images.append(torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0].clamp(0, 1))
    count = len(shown)
    splits = ["test" if moment % held_out == held_out - 1 else "train" for moment in range(count)]
    return Frames(images, [camera] * count, shown.times.float(), [f"{at:05d}" for at in range(count)], splits)


def write_workspace(path: Path, frames: Frames, body: TrackedBody) -> Path:
    """A workspace of the film, as `preprocess` and `estimate-pose` leave it."""
    workspace = Workspace.create(path, Metadata(name=path.stem, fps=4.0, frame_count=len(frames)))
    files = tuple(path / "images" / f"{name}.png" for name in frames.names)
    for file, rgba in zip(files, frames.rgba, strict=True):
        write_image(file, rgba.numpy())
    assert frames.times is not None
    capture = PosedCapture(
        files,
        np.stack([camera.world_from_camera[0].double().numpy() for camera in frames.cameras]),
        np.stack([camera.intrinsics[0].double().numpy() for camera in frames.cameras]),
        np.array([(camera.width, camera.height) for camera in frames.cameras]),
        splits=tuple(frames.splits),
        times=frames.times.double().numpy(),
    )
    write_transforms(path / "transforms.json", capture)
    write_tracked_body(path / "body.npz", body)
    return workspace.path


def wobbled(shown: TrackedBody, joint: str, axis: int, radians: float) -> TrackedBody:
    """The same with a joint turned further at one moment, and as far back at the next."""
    angles = torch.zeros(len(shown), 3)
    angles[:, axis] = radians * torch.tensor([1.0, -1.0]).repeat(len(shown))[: len(shown)]
    rotations = shown.animated.rotations.clone()
    place = shown.animated.body.names.index(joint)
    rotations[:, place] = rotation_from_axis_angle(angles) @ rotations[:, place]
    return replace(shown, animated=replace(shown.animated, rotations=rotations))
