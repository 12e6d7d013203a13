"""Surfaces of fields that are asked only near them: the same bits as when they are asked everywhere."""

import pytest
import torch

from a4d.errors import SurfaceVanishedError
from a4d.geometry.surfaces.isosurface.coarse_to_fine import find_surface


def bumpy_ball(points):
    waves = torch.sin(14 * points[:, 0]) * torch.sin(17 * points[:, 1]) * torch.sin(13 * points[:, 2])
    return 0.55 + 0.08 * waves - points.norm(dim=-1)


def rod(points):
    """Thinner than a cell of the coarsest grid at its end."""
    radius = 0.08 - 0.06 * points[:, 0].abs()
    return torch.minimum(radius - points[:, 1:].norm(dim=-1), 0.7 - points[:, 0].abs())


@pytest.mark.parametrize("level", [bumpy_ball, rod])
def test_the_surface_is_that_of_a_grid_asked_everywhere(level):
    found, dense = find_surface(level, 0.87, 128, 32), find_surface(level, 0.87, 128, 128)
    assert dense.queries == 129**3
    assert found.queries < dense.queries / 10
    assert torch.equal(found.mesh.vertices, dense.mesh.vertices)
    assert torch.equal(found.mesh.faces, dense.mesh.faces)
    assert found.mesh.is_closed
    assert found.mesh.volume > 0


def test_what_leaves_the_cube_is_closed_at_its_sides():
    mesh = find_surface(lambda points: torch.ones(len(points)), 0.5, 32, 16).mesh
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(1.0, rel=0.2)


def test_a_field_without_a_surface_says_so():
    with pytest.raises(SurfaceVanishedError, match="nowhere"):
        find_surface(lambda points: -torch.ones(len(points)), 0.5, 16, 16)
