"""A surface that is to go to where outlines are."""

import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.render.mesh import render_mesh
from a4d.render.outline_refinement import brought_to_outlines
from a4d.scenes.extraction import cameras_around

WANTED = torch.tensor([0.5, 0.3, 0.4])


def ellipsoid(radii: torch.Tensor) -> Mesh:
    ball = icosphere(1.0, 4)
    return ball.with_vertices(ball.vertices * radii)


def off(mesh: Mesh) -> float:
    """How far vertices are from the ellipsoid that is wanted, to the first order, on average."""
    level = (mesh.vertices / WANTED).norm(dim=1)
    steepness = (mesh.vertices / WANTED.square()).norm(dim=1) / level
    return float(((level - 1) / steepness).abs().mean())


@pytest.mark.parametrize("missing", [(0.02, 0.02, 0.02), (0.04, 0.0, -0.03)], ids=["everywhere", "by place"])
def test_a_surface_goes_to_its_outlines_place_by_place(missing: tuple[float, float, float]) -> None:
    cameras = cameras_around(0.55, size=128)
    outlines = list(render_mesh(ellipsoid(WANTED), cameras, supersampling=4).alpha[..., 0])
    start = ellipsoid(WANTED - torch.tensor(missing))
    found = brought_to_outlines(start, outlines, cameras)
    pixel = 2 * 0.55 / 128
    assert off(found) < 0.12 * pixel
    assert off(found) < 0.1 * off(start)
    assert torch.equal(found.faces, start.faces)
    assert bool(((found.face_normals * start.face_normals).sum(1) > 0).all())


def test_what_no_outline_grazes_goes_along_with_its_neighbours() -> None:
    """A dent whose rim hides it is as deep as before."""
    ball = icosphere(0.4, 4)
    rim = ball.vertices[:, 2].sub(0.36).clamp(min=0) / 0.04
    dented = ball.with_vertices(ball.vertices - torch.tensor([0.0, 0.0, 0.1]) * rim[:, None].square())
    cameras = cameras_around(0.45, size=128)
    outlines = list(render_mesh(ball.with_vertices(1.05 * dented.vertices), cameras, supersampling=4).alpha[..., 0])
    found = brought_to_outlines(dented, outlines, cameras)
    bottom = int(rim.argmax())
    depth = (dented.vertices[:, 2].amax() - dented.vertices[bottom, 2]).item()
    assert (found.vertices[:, 2].amax() - found.vertices[bottom, 2]).item() == pytest.approx(depth, rel=0.15)
    outer = rim == 0
    assert float(found.vertices[outer].norm(dim=1).mean()) == pytest.approx(0.42, rel=0.004)
