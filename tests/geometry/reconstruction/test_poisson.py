import sys
from functools import cache

import pytest
import torch

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.geometry.cameras import concatenate, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere, torus
from a4d.geometry.reconstruction.depth_views import DepthView
from a4d.geometry.reconstruction.poisson import poisson
from a4d.metrics import surface_distances
from a4d.render.mesh import render_mesh

CAMERAS = concatenate([turntable(6, elevation, 2.4, 35.0, 96) for elevation in (-50.0, 0.0, 50.0)])
BALL, RING = icosphere(0.5, 4), torus()


@cache
def views_of(mesh: Mesh) -> list[DepthView]:
    render = render_mesh(mesh, CAMERAS)
    return [
        DepthView(render.depth[i, ..., 0], render.alpha[i, ..., 0], render.rgb[i], CAMERAS[i])
        for i in range(len(CAMERAS))
    ]


def bounds_of(mesh: Mesh) -> torch.Tensor:
    return torch.stack([mesh.vertices.amin(0) - 0.05, mesh.vertices.amax(0) + 0.05])


@pytest.mark.parametrize("truth", [BALL, RING], ids=["sphere", "torus"])
def test_rendered_shapes_are_recovered(truth):
    pytest.importorskip("open3d")
    mesh = poisson(views_of(truth), bounds_of(truth), 64)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(truth.volume, rel=0.03)
    assert surface_distances(mesh, truth, 0.02).chamfer < 0.01
    again = poisson(views_of(truth), bounds_of(truth), 64)
    assert torch.equal(mesh.vertices, again.vertices)
    assert torch.equal(mesh.colours, again.colours)


def test_views_of_nothing_have_no_surface():
    pytest.importorskip("open3d")
    nothing = [DepthView(0 * view.depth, 0 * view.alpha, 0 * view.rgb, view.camera) for view in views_of(BALL)[:1]]
    with pytest.raises(InvalidInputError, match="no surface"):
        poisson(nothing, bounds_of(BALL), 32)


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(BackendUnavailableError) as caught:
        poisson([], bounds_of(BALL), 32)
    assert "pip install a4d[open3d]" in caught.value.remedy
