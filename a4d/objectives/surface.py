"""Objectives that keep an optimised surface, and what it is made of, smooth and free of hidden parts."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import ConfigError
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.rows import rows
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface
from a4d.geometry.surfaces.isosurface.signs import sign_change_loss
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import Extracting, Shaded


class SurfaceObjective(Objective):
    """Base of the objectives that read the surface itself rather than its renders."""

    applies_to = Extracting

    def scene(self, step: Step) -> Extracting:
        """The scene, whose surface is that of this step's renders.

        Raises:
            ConfigError: it is of a kind that extracts no surface.
        """
        self.require(step.scene)
        assert isinstance(step.scene, Extracting)
        return step.scene

    def surface(self, step: Step) -> ExtractedSurface:
        """The surface of this step."""
        return self.scene(step).extracted()


class SignChange(SurfaceObjective):
    """Asks both ends of each crossed grid edge to take the other's sign, which removes what no view sees.

    Munkberg et al. 2022 (nvdiffrec), section 3; distances count in cells of the grid.
    """

    kind: Literal["sign-change"] = "sign-change"

    def __call__(self, step: Step) -> Tensor:
        """Mean over the crossed edges."""
        surface, scene = self.surface(step), self.scene(step)
        return sign_change_loss(surface.sdf / scene.cell_size(), surface.edges)


class NormalSmoothness(SurfaceObjective):
    """1 - cos of the angle between neighbouring faces, weighted by the length of their edge."""

    kind: Literal["normal-smoothness"] = "normal-smoothness"

    def __call__(self, step: Step) -> Tensor:
        """Mean over the edges."""
        mesh = self.surface(step).mesh
        edges, faces = neighbouring_faces(mesh)
        first, second = rows(normalize(mesh.face_normals, dim=-1), faces).unbind(1)
        a, b = mesh.vertices.detach()[edges].unbind(1)
        lengths = (a - b).norm(dim=-1)
        return ((1 - (first * second).sum(-1)) * lengths).sum() / lengths.sum()


class LaplacianSmoothness(SurfaceObjective):
    """Squared distance from each vertex to the mean of its neighbours, in cells of the grid (nvdiffrec)."""

    kind: Literal["laplacian-smoothness"] = "laplacian-smoothness"

    def __call__(self, step: Step) -> Tensor:
        """Mean over the vertices."""
        mesh = self.surface(step).mesh
        corners = rows(mesh.vertices, mesh.faces)
        others = corners.sum(1, keepdim=True) - corners
        sums = torch.zeros_like(mesh.vertices).index_add(0, mesh.faces.flatten(), others.flatten(0, 1))
        uses = torch.bincount(mesh.faces.flatten(), minlength=len(mesh.vertices)).clamp(min=1)
        offsets = sums / (2 * uses[:, None]) - mesh.vertices
        return offsets.square().sum(-1).mean() / self.scene(step).cell_size() ** 2


class MaterialSmoothness(Objective):
    """Mean absolute change of the material from random points of the surface to others near them (nvdiffrec)."""

    applies_to = Shaded
    kind: Literal["material-smoothness"] = "material-smoothness"
    points: int = Field(default=4096, ge=1, le=1_000_000, description="drawn anew each step")
    distance: float = Field(default=0.01, gt=0, description="metres; standard deviation of the step along each axis")
    channels: Literal["albedo", "roughness-metallic", "bump", "all"] = "all"

    def __call__(self, step: Step) -> Tensor:
        """Mean over points and channels."""
        scene, draws = step.scene, generator(step.seed, self.label, step.index)
        assert isinstance(scene, Shaded)
        mesh = scene.surface_mesh()
        places = sample_surface(mesh.with_vertices(mesh.vertices.detach()), self.points, draws)[0]
        offsets = torch.randn(self.points, 3, generator=draws).to(places) * self.distance
        channels = {"albedo": slice(0, 3), "roughness-metallic": slice(3, 5), "bump": slice(5, 8), "all": slice(None)}
        here, there = scene.material_channels(torch.cat([places, places + offsets])).chunk(2)
        return (here - there).abs()[:, channels[self.channels]].mean()


class DualDeviation(SurfaceObjective):
    """How unequal the distances from a dual vertex to its crossings are (FlexiCubes, L_dev)."""

    kind: Literal["dual-deviation"] = "dual-deviation"

    def __call__(self, step: Step) -> Tensor:
        """Mean over the dual vertices, in cells of the grid.

        Raises:
            ConfigError: the surface is extracted by marching tetrahedra.
        """
        deviation = self.surface(step).deviation
        if deviation is None:
            raise ConfigError(f"{self.label} needs scene.surface.extraction: flexicubes")
        return deviation / self.scene(step).cell_size()


def neighbouring_faces(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """The edges that two faces share.

    Returns:
        (E, 2) int64 vertices of each; (E, 2) int64 faces at it.
    """
    starts, ends = mesh.faces.flatten(), mesh.faces.roll(-1, dims=1).flatten()
    keys = torch.minimum(starts, ends) * len(mesh.vertices) + torch.maximum(starts, ends)
    ordered, order = keys.sort()
    is_pair = ordered[1:] == ordered[:-1]
    pairs = torch.stack([order[:-1][is_pair], order[1:][is_pair]], dim=1)
    return torch.stack([starts, ends], dim=1)[pairs[:, 0]], pairs // 3
