"""A shape of unknown axes, size and place brought to where a picture shows it, by its outline and its colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, normalize

from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.transforms import (
    quaternion_from_rotation,
    rigid_from_parts,
    rotation_from_axis_angle,
    rotation_from_quaternion,
    transform_points,
)
from a4d.metrics import mask_iou
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.render.mesh_gradients import render_surface

POINTS = 1500
"""On the surface, of which every rotation that is tried makes a coarse picture."""

CELLS = 28
"""Of such a picture along the longer side of its subject."""

TURNS = 2000
"""Rotations without any regard to axes, about 18 degrees apart."""

AZIMUTHS, ELEVATIONS = range(0, 360, 15), (-15, 0, 15, 30)
"""Degrees from which a shape is looked at that stands on any of its six sides."""

STANDING = 0.02
"""Advantage of a shape that stands upright where the picture does not tell."""

TILTS = (-30, -15, 0, 15, 30, 45)
"""Degrees by which the side that a shape is said to show may face down; a model of shapes guesses the elevation."""

COLOUR = 0.5
"""Weight of the mean difference of colours beside the overlap of outlines."""

APART = 20.0
"""Degrees at least between rotations that are refined."""

ROUNDS = ((5, 48, 16, 3e-2), (2, 96, 20, 1e-2))
"""Best candidates that take part, pixels along the picture's side, steps and rate, of a coarse form of the shape."""

LAST_ROUND = (192, 24, 3e-3)
"""Pixels, steps and rate of the best candidate."""

COARSE, FINE = 24, 56
"""Cells along the longer side of a shape within which vertices become one, in the first rounds and in the last."""


@dataclass(frozen=True)
class Aligned:
    """A shape in its place.

    Args:
        world_from_shape: (4, 4) similarity.
        iou: overlap of its outline and the picture's, in [0, 1].
    """

    world_from_shape: Tensor
    iou: float


def align_to_picture(
    mesh: Mesh,
    rgba: Tensor,  # (H, W, 4) straight sRGB and alpha in [0, 1]
    camera: Cameras,  # one view of the picture's size
    is_oriented: bool,
) -> Aligned:
    """The similarity by which a shape, seen by the camera, looks like a picture.

    Rotations are tried on coarse pictures of points on the surface, each moved and scaled so that its box is the
    picture's. The best are refined by gradients of outline and colours. One picture does not tell how far away a
    shape is and how large: the middle between its nearest and its farthest point is at the depth of the world's origin.

    Args:
        mesh: in any axes; its colours count where it has some.
        rgba: the picture.
        camera: sees the origin in front of it.
        is_oriented: whether +Y is up and +Z the side that the picture shows, but for how far it is tilted.
    """
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    centre = (low + high) / 2
    reach = float((mesh.vertices - centre).norm(dim=-1).max())
    unit = mesh.with_vertices((mesh.vertices - centre) / reach)
    coarse, fine = _coarsened(unit, COARSE), _coarsened(unit, FINE)
    rotations, advantage = _facing(camera) if is_oriented else _all_rotations(camera)
    scores = _coarse_scores(coarse, rgba, camera, rotations) + advantage
    poses = [_boxed(coarse, rgba, camera, rotations[index]) for index in _best(rotations, scores)]
    for count, size, steps, rate in ROUNDS:
        found = [_refined(coarse, rgba, camera, pose, size, steps, rate) for pose in poses[:count]]
        poses = [pose for pose, _ in sorted(found, key=lambda each: each[1])]
    middle, pose = _centred(fine, camera, poses[0])
    fine = fine.with_vertices(fine.vertices - middle)
    matrix = _matrix(_refined(fine, rgba, camera, pose, *LAST_ROUND)[0], camera)
    world_from_shape = matrix @ rigid_from_parts(torch.eye(3) / reach, -centre / reach - middle)
    shown = render_mesh(mesh.with_vertices(transform_points(world_from_shape, mesh.vertices)), camera)
    return Aligned(world_from_shape, mask_iou(shown.alpha[0, ..., 0], rgba[..., 3]))


def _coarsened(mesh: Mesh, cells: int) -> Mesh:
    """The mesh whose vertices are the means of those in a cell."""
    low = mesh.vertices.amin(0)
    cell = (mesh.vertices.amax(0) - low).max() / cells
    _, place = ((mesh.vertices - low) / cell).long().unique(dim=0, return_inverse=True)
    count = place.bincount()[:, None]

    def means(values: Tensor) -> Tensor:
        return values.new_zeros(len(count), 3).index_add(0, place, values) / count

    faces = place[mesh.faces]
    is_triangle = (faces != faces.roll(1, dims=1)).all(1)
    colours = None if mesh.colours is None else means(mesh.colours)
    return Mesh(means(mesh.vertices), faces[is_triangle], colours)


@dataclass(frozen=True)
class _Pose:
    """How a unit shape stands before a camera.

    Args:
        quaternion: (4,) world_from_shape, wxyz.
        log_scale: () of metres.
        shift: (2,) metres along the image's x and y.
    """

    quaternion: Tensor
    log_scale: Tensor
    shift: Tensor


def _matrix(pose: _Pose, camera: Cameras) -> Tensor:
    """(4, 4) world_from_shape."""
    sideways = camera.world_from_camera[0, :3, :2]
    return rigid_from_parts(rotation_from_quaternion(pose.quaternion) * pose.log_scale.exp(), sideways @ pose.shift)


def _facing(camera: Cameras) -> tuple[Tensor, Tensor]:
    """(R, 3, 3) rotations that turn +Z to where the camera stands, tilted, and (R,) zeros."""
    position = camera.positions[0]
    turn = rotation_from_axis_angle(torch.tensor([0.0, float(torch.atan2(position[0], position[2])), 0.0]))
    right = camera.world_from_camera[0, :3, 0]
    tilts = torch.stack([right * math.radians(tilt) for tilt in TILTS])
    return rotation_from_axis_angle(tilts) @ turn, torch.zeros(len(TILTS))


def _all_rotations(camera: Cameras) -> tuple[Tensor, Tensor]:
    """(R, 3, 3) rotations, and (R,) how much those are preferred after which the shape stands on one of its sides."""
    standing = torch.stack(list(_standing(camera)))
    draws = torch.randn(TURNS, 4, generator=generator(0, "turns"))
    anyhow = rotation_from_quaternion(normalize(draws, dim=-1))
    return torch.cat([standing, anyhow]), torch.cat([torch.full((len(standing),), STANDING), torch.zeros(TURNS)])


def _standing(camera: Cameras) -> Iterator[Tensor]:
    """(3, 3) rotations that turn one of a shape's six axes up and the whole about it, seen from some elevations."""
    right = camera.world_from_camera[0, :3, 0]
    for axis, sign, azimuth, elevation in product(range(3), (1.0, -1.0), AZIMUTHS, ELEVATIONS):
        up, front = sign * torch.eye(3)[axis], torch.eye(3)[(axis + 1) % 3]
        upright = torch.stack([torch.linalg.cross(up, front, dim=-1), up, front])
        turned = rotation_from_axis_angle(torch.tensor([0.0, math.radians(azimuth), 0.0]))
        yield rotation_from_axis_angle(right * math.radians(elevation)) @ turned @ upright


def _coarse_scores(unit: Mesh, rgba: Tensor, camera: Cameras, rotations: Tensor) -> Tensor:
    """(R,) how like the picture a shape is under each rotation, 1 at best."""
    points, face, weights = sample_surface(unit, POINTS, generator(0, "outline"))
    colours = None
    if unit.colours is not None:
        colours = (unit.colours[unit.faces[face]] * weights[..., None]).sum(1)
    mask, shown = _coarse_picture(rgba)
    distance = float(camera.camera_from_world[0, 2, 3])
    scale = _size_at_origin(rgba, camera) / 2
    camera_from_shape = camera.camera_from_world[0, :3, :3] @ rotations
    scores = []
    for part in camera_from_shape.split(100):
        in_camera = scale * points @ part.transpose(1, 2)
        depth = in_camera[..., 2] + distance
        coverage, seen = _splatted(in_camera[..., :2] / depth[..., None], depth, colours)
        union = (coverage | mask).flatten(1).sum(1).clamp_min(1)
        both = (coverage & mask).flatten(1)
        score = both.sum(1) / union
        if seen is not None:
            difference = (seen - shown).abs().mean(-1).flatten(1)
            score = score - COLOUR * (difference * both).sum(1) / both.sum(1).clamp_min(1)
        scores.append(score)
    return torch.cat(scores)


def _box(rgba: Tensor) -> Tensor:
    """(4,) left, top, right and bottom of the picture's subject, pixels."""
    rows, columns = (rgba[..., 3] > 0.5).nonzero(as_tuple=True)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


def _size_at_origin(rgba: Tensor, camera: Cameras) -> float:
    """The subject's longer side, metres, if it were as far as the world's origin."""
    box = _box(rgba)
    focal, distance = float(camera.intrinsics[0, 0]), float(camera.camera_from_world[0, 2, 3])
    return float((box[2:] - box[:2]).max()) * distance / focal


def _coarse_picture(rgba: Tensor) -> tuple[Tensor, Tensor]:
    """(CELLS, CELLS) bool and (CELLS, CELLS, 3) the picture's subject in the middle of a square of its longer side."""
    box = _box(rgba)
    middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
    axis = ((torch.arange(CELLS) + 0.5) / CELLS - 0.5) * side
    y, x = torch.meshgrid(middle[1] + axis, middle[0] + axis, indexing="ij")
    size = torch.tensor([rgba.shape[1], rgba.shape[0]])
    places = (torch.stack([x, y], dim=-1) / size * 2 - 1)[None]
    sampled = grid_sample(rgba.permute(2, 0, 1)[None], places, align_corners=False)[0].permute(1, 2, 0)
    return sampled[..., 3] > 0.5, sampled[..., :3]


def _splatted(places: Tensor, depth: Tensor, colours: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """What points look like in the middle of squares of their longer sides.

    Args:
        places: (R, N, 2) in image planes.
        depth: (R, N).
        colours: (N, 3), or None.

    Returns:
        (R, CELLS, CELLS) bool whether a cell holds a point; (R, CELLS, CELLS, 3) the mean of those in front.
    """
    low, high = places.amin(1, keepdim=True), places.amax(1, keepdim=True)
    side = (high - low).amax(-1, keepdim=True)
    cells = (((places - (low + high) / 2) / side + 0.5) * CELLS).long().clamp(0, CELLS - 1)
    index = cells[..., 1] * CELLS + cells[..., 0]
    count = len(places)
    nearest = depth.new_full((count, CELLS**2), torch.inf).scatter_reduce(1, index, depth, "amin")
    coverage = nearest.isfinite().view(count, CELLS, CELLS)
    if colours is None:
        return coverage, None
    # A cell on a slope spans a range of depths.
    in_front = (depth < nearest.gather(1, index) + 0.05 * side[..., 0]).float()[..., None]
    values = torch.cat([colours.expand(count, -1, -1) * in_front, in_front], dim=-1)
    sums = values.new_zeros(count, CELLS**2, 4).scatter_add(1, index[..., None].expand(-1, -1, 4), values)
    return coverage, (sums[..., :3] / sums[..., 3:].clamp_min(1)).view(count, CELLS, CELLS, 3)


def _best(rotations: Tensor, scores: Tensor) -> list[int]:
    """The rotations of the highest scores that are some way apart."""
    chosen: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        traces = [float((rotations[index] * rotations[other]).sum()) for other in chosen]
        if all(math.acos(min(max((trace - 1) / 2, -1.0), 1.0)) > math.radians(APART) for trace in traces):
            chosen.append(index)
        if len(chosen) == ROUNDS[0][0]:
            break
    return chosen


def _boxed(unit: Mesh, rgba: Tensor, camera: Cameras, rotation: Tensor) -> _Pose:
    """The pose of a rotation in which the shape's box in the image is about the picture's."""
    box, points = _box(rgba), unit.vertices @ rotation.T
    log_scale, shift = torch.tensor(math.log(_size_at_origin(rgba, camera) / 2)), torch.zeros(2)
    metres = float(camera.camera_from_world[0, 2, 3]) / float(camera.intrinsics[0, 0])
    for _ in range(3):
        pose = _Pose(quaternion_from_rotation(rotation), log_scale, shift)
        moved = _matrix(pose, camera)
        pixels, _ = camera.project(points * log_scale.exp() + moved[:3, 3])
        low, high = pixels[0].amin(0), pixels[0].amax(0)
        log_scale = log_scale + ((box[2:] - box[:2]).max() / (high - low).max()).log()
        shift = shift + metres * ((box[:2] + box[2:]) / 2 - (low + high) / 2)
    return _Pose(quaternion_from_rotation(rotation), log_scale, shift)


def _centred(unit: Mesh, camera: Cameras, pose: _Pose) -> tuple[Tensor, _Pose]:
    """(3,) the point of a shape that belongs at the depth of the origin, and the pose that shows it there as large."""
    forward = rotation_from_quaternion(pose.quaternion).T @ camera.world_from_camera[0, :3, 2]
    along = unit.vertices @ forward
    middle = (along.amin() + along.amax()) / 2
    nearer = camera.camera_from_world[0, 2, 3] / (camera.camera_from_world[0, 2, 3] + pose.log_scale.exp() * middle)
    return middle * forward, _Pose(pose.quaternion, pose.log_scale + nearer.log(), pose.shift * nearer)


def _seen(rgba: Tensor, camera: Cameras, size: int) -> tuple[Tensor, Cameras]:
    """(h, w, 4) the picture over black with its alpha, no larger than a size, and the camera that sees it so."""
    scale = min(size / max(rgba.shape[:2]), 1.0)
    height, width = (max(round(scale * side), 1) for side in rgba.shape[:2])
    over_black = torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], dim=-1).permute(2, 0, 1)[None]
    small = interpolate(over_black, (height, width), mode="area")[0].permute(1, 2, 0)
    return small, camera.resized(width, height)


def _difference(unit: Mesh, picture: Tensor, camera: Cameras, pose: _Pose) -> Tensor:
    """() mean squared difference of outlines, and of colours where the shape has some."""
    moved = unit.with_vertices(transform_points(_matrix(pose, camera), unit.vertices))
    render = render_surface(moved, camera)
    outlines = (render.alpha[0, ..., 0] - picture[..., 3]).square().mean()
    if unit.colours is None:
        return outlines
    return outlines + COLOUR * (render.rgb[0] - picture[..., :3]).square().sum(-1).mean()


def _refined(
    unit: Mesh, rgba: Tensor, camera: Cameras, pose: _Pose, size: int, steps: int, rate: float
) -> tuple[_Pose, float]:
    """A pose after some steps of Adam, the best that was met, and its difference."""
    picture, small = _seen(rgba, camera, size)
    learnt = _Pose(*(part.clone().requires_grad_() for part in (pose.quaternion, pose.log_scale, pose.shift)))
    parts = [learnt.quaternion, learnt.log_scale, learnt.shift]
    optimiser = torch.optim.Adam(parts, lr=rate)
    best, least = pose, math.inf
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps) + 0.05 * rate
        difference = _difference(unit, picture, small, learnt)
        if float(difference.detach()) < least:
            best, least = _Pose(*(part.detach().clone() for part in parts)), float(difference.detach())
        optimiser.zero_grad()
        difference.backward()
        optimiser.step()
    return best, least
