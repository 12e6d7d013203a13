import dataclasses
from functools import cache

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import concatenate, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere, torus
from a4d.geometry.reconstruction.depth_views import DepthView
from a4d.geometry.reconstruction.fusion import FusionSettings, fuse
from a4d.metrics import psnr, surface_distances
from a4d.render.mesh import render_mesh

CAMERAS = concatenate([turntable(7, elevation, 2.4, 35.0, 128) for elevation in (-35.0, 5.0, 40.0)])
SETTINGS = FusionSettings(resolution=64)


@cache
def views_of(mesh: Mesh) -> list[DepthView]:
    render = render_mesh(mesh, CAMERAS)
    return [
        DepthView(render.depth[i, ..., 0], render.alpha[i, ..., 0], render.rgb[i], CAMERAS[i])
        for i in range(len(CAMERAS))
    ]


def bounds_of(mesh: Mesh) -> torch.Tensor:
    return torch.stack([mesh.vertices.amin(0) - 0.05, mesh.vertices.amax(0) + 0.05])


def voxel(mesh: Mesh) -> float:
    low, high = bounds_of(mesh)
    return float((high - low).max()) / SETTINGS.resolution


BALL, RING = icosphere(0.5, 5), torus()


@pytest.mark.parametrize("truth", [BALL, RING, box()], ids=["sphere", "torus", "box"])
def test_rendered_shapes_are_recovered(truth):
    mesh = fuse(views_of(truth), bounds_of(truth), SETTINGS)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(truth.volume, rel=0.03)
    distances = surface_distances(mesh, truth, threshold=voxel(truth))
    assert distances.f_score > 0.99
    assert distances.chamfer < 0.6 * voxel(truth)
    assert psnr(render_mesh(mesh, CAMERAS[3]).rgb, render_mesh(truth, CAMERAS[3]).rgb) > 27


def test_an_open_shell_becomes_a_solid():
    """Half a ball without a floor, seen from above alone."""
    ball = BALL
    shell = Mesh(ball.vertices, ball.faces[(ball.vertices[ball.faces][..., 1] > 0).all(1)], ball.colours)
    above = [view for view in views_of(shell) if view.camera.positions[0, 1] > 0.3]
    mesh = fuse(above, torch.tensor([[-0.6, 0.0, -0.6], [0.6, 0.6, 0.6]]), SETTINGS)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(ball.volume / 2, rel=0.06)


def test_a_plate_thinner_than_the_truncation_keeps_its_thickness():
    plate = box((0.8, 0.6, 0.06))
    mesh = fuse(views_of(plate), bounds_of(plate), SETTINGS)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(plate.volume, rel=0.2)


def beside(mesh: Mesh, other: Mesh, shift: tuple[float, float, float]) -> Mesh:
    """Two meshes in one, the second one elsewhere."""
    return Mesh(
        torch.cat([mesh.vertices, other.vertices + torch.tensor(shift)]),
        torch.cat([mesh.faces, other.faces + len(mesh.vertices)]),
    )


def test_specks_are_dropped():
    both = beside(icosphere(0.4, 4), icosphere(0.03, 3), (0.5, 0.5, 0.5))
    mesh = fuse(views_of(both), bounds_of(both), SETTINGS)
    assert float(mesh.vertices.norm(dim=-1).max()) < 0.45
    kept = fuse(views_of(both), bounds_of(both), dataclasses.replace(SETTINGS, smallest_part=0.0, smoothing=0))
    assert float(kept.vertices.norm(dim=-1).max()) > 0.8


def test_blended_depths_at_edges_do_no_harm():
    """A renderer that blends foreground and background depths at a silhouette in front of another surface."""
    truth = RING
    views = [
        dataclasses.replace(view, depth=torch.nn.functional.avg_pool2d(view.depth[None], 3, 1, 1)[0] * (view.alpha > 0))
        for view in views_of(truth)
    ]
    mesh = fuse(views, bounds_of(truth), SETTINGS)
    assert surface_distances(mesh, truth, threshold=1.5 * voxel(truth)).f_score > 0.97


def test_nothing_to_fuse_is_refused():
    with pytest.raises(InvalidInputError, match="no views"):
        fuse([], torch.tensor([[-1.0] * 3, [1.0] * 3]))
    empty = [dataclasses.replace(view, alpha=view.alpha * 0) for view in views_of(BALL)]
    with pytest.raises(InvalidInputError, match="nothing inside"):
        fuse(empty, torch.tensor([[-0.5] * 3, [0.5] * 3]), SETTINGS)
