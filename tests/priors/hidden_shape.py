"""A hidden mesh behind the protocol of models that make shapes of pictures, and how near to it a fit has come."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, paint
from a4d.geometry.surfaces.signed_distance import distance_to_mesh, nearest_faces
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.pictures.images import write_image
from a4d.metrics import foreground, psnr
from a4d.priors.triposr.field import FRONT_IS_X_AND_UP_IS_Z
from a4d.render.mesh import render_mesh
from a4d.scenes.scene import Scene

RADIUS, FOV = 2.8, 40.0
"""Of the camera that a single picture is taken to come from."""

MARGIN = 0.1
"""Free part of a picture's frame on each side."""

STEEPNESS = 40.0
"""By how much the logarithm of the density falls per unit of distance."""


def subject() -> Mesh:
    """A painted animal."""
    return clustered(paint(creature()), 90)


def clustered(mesh: Mesh, cells: int) -> Mesh:
    """A mesh with one vertex for all that lie in a cell, of so many along its longest side."""
    cell = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) / cells
    _, place = (mesh.vertices / cell).round().long().unique(dim=0, return_inverse=True)
    count = place.bincount()[:, None]
    vertices, colours = (
        values.new_zeros(len(count), 3).index_add(0, place, values) / count for values in (mesh.vertices, mesh.colours)
    )
    faces = place[mesh.faces]
    return Mesh(vertices, faces[(faces != faces.roll(1, dims=1)).all(1)], colours)


def about_up(degrees: float) -> torch.Tensor:
    """(3, 3)."""
    return rotation_from_axis_angle(torch.tensor([0.0, math.radians(degrees), 0.0]))


def photographed(mesh: Mesh, azimuth: float, size: int, path: Path) -> None:
    """Write a picture with alpha of a mesh seen from an azimuth."""
    camera = orbit(torch.zeros(1), torch.zeros(1), RADIUS, FOV, size, size)
    write_image(path, seen(in_front(mesh, azimuth), camera)[0].numpy())


def seen(mesh: Mesh, cameras: Cameras) -> torch.Tensor:
    """(B, H, W, 4) straight pictures of a mesh."""
    render = render_mesh(mesh, cameras)
    return torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)


class HiddenShape:
    """A field of the protocol: density by a mesh's distances, colour of its nearest point, in axes like TripoSR's.

    Args:
        mesh: +Y up, its photographed side to +Z.
    """

    radius, threshold = 0.87, 25.0
    world_from_field = torch.tensor(FRONT_IS_X_AND_UP_IS_Z)

    def __init__(self, mesh: Mesh) -> None:
        scale = 0.7 / float(mesh.vertices.abs().max())
        self.mesh = mesh.with_vertices(scale * mesh.vertices @ self.world_from_field)

    def density(self, points: torch.Tensor) -> torch.Tensor:
        distances = distance_to_mesh(points, self.mesh)
        return self.threshold * (-STEEPNESS * distances.clamp(-0.5, 0.5)).exp()

    def colours(self, points: torch.Tensor) -> torch.Tensor:
        _, face = nearest_faces(points, self.mesh)
        return self.mesh.colours[self.mesh.faces[face]].mean(1)


class HiddenModel:
    """A model of the protocol that knows what is hidden and from where it was photographed."""

    def __init__(self, mesh: Mesh, azimuth: float) -> None:
        self.mesh, self.azimuth = mesh, azimuth

    def shape(self, picture: torch.Tensor) -> HiddenShape:
        assert picture.shape[2] == 4
        return HiddenShape(in_front(self.mesh, self.azimuth))


def in_front(mesh: Mesh, azimuth: float) -> Mesh:
    """A mesh turned so that the side seen from an azimuth looks to +Z, and which fills the frame of a picture.

    The middle of its depth is that of the world. Were its picture framed anew, no similarity would lead from the mesh
    to what the new picture shows.
    """
    vertices = mesh.vertices @ about_up(-azimuth).T
    camera = orbit(torch.zeros(1), torch.zeros(1), RADIUS, FOV, 1, 1)
    for _ in range(10):
        vertices = vertices - (vertices.amin(0) + vertices.amax(0)) / 2 * torch.tensor([0.0, 0.0, 1.0])
        pixels = camera.project(vertices)[0][0]
        low, high = pixels.amin(0), pixels.amax(0)
        aside = (0.5 - (low + high) / 2) * RADIUS / camera.intrinsics[0, 0]
        vertices = vertices + torch.stack([aside[0], -aside[1], aside.new_zeros(())])
        vertices = vertices * (1 - 2 * MARGIN) / (high - low).max()
    return mesh.with_vertices(vertices)


def side_views(scene: Scene, mesh: Mesh, size: int) -> float:
    """Mean foreground PSNR, dB, of a scene from six sides that no picture shows, against a mesh in its place."""
    cameras = orbit(torch.tensor([60.0, 100, 140, 180, 220, 300]), torch.full((6,), 10.0), RADIUS, FOV, size, size)
    truth = seen(mesh, cameras)
    scores = []
    for index in range(len(cameras)):
        with torch.no_grad():
            render = scene.render(cameras[index])
        rgb, alpha = truth[index].split([3, 1], dim=-1)
        mask = foreground(render.alpha[0, ..., 0], alpha[..., 0])
        scores.append(psnr(render.rgb[0].clamp(0, 1), rgb * alpha, mask))
    return float(np.mean(scores))
