"""A surface that is nearly right, brought to images of the right one."""

import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import torus
from a4d.render.mesh import render_mesh
from a4d.render.mesh_refinement import WantedView, refined
from a4d.scenes.extraction import cameras_around

RING = torus(sections=48)
PAINT = 0.5 + 0.3 * torch.sin(5 * RING.vertices)


@pytest.fixture(scope="module")
def views():
    cameras = cameras_around(float(RING.vertices.norm(dim=1).max()), 96, per_ring=6)
    seen = render_mesh(Mesh(RING.vertices, RING.faces, PAINT), cameras)
    images = torch.cat([seen.rgb, seen.alpha], dim=-1)
    return [WantedView(images[index], cameras[index]) for index in range(len(cameras))]


def off(mesh):
    """Mean distance of vertices from the ring along its normals, metres."""
    return float(((mesh.vertices - RING.vertices) * RING.vertex_normals).sum(1).abs().mean())


def test_a_surface_that_is_too_thin_and_grey_comes_to_look_like_the_images(views):
    thin = Mesh(RING.vertices - 0.03 * RING.vertex_normals, RING.faces, torch.full_like(PAINT, 0.5))
    found = refined(thin, views)
    assert torch.equal(found.faces, RING.faces)
    assert off(found) < 0.4 * off(thin)
    assert float((found.colours - PAINT).abs().mean()) < 0.3 * float((thin.colours - PAINT).abs().mean())


def test_a_surface_that_is_right_stays(views):
    assert off(refined(Mesh(RING.vertices, RING.faces, PAINT), views)) < 0.003


def test_twice_the_same_surface(views):
    thin = Mesh(RING.vertices - 0.03 * RING.vertex_normals, RING.faces, PAINT)
    one, other = refined(thin, views[:4]), refined(thin, views[:4])
    assert torch.equal(one.vertices, other.vertices)
