"""Shapes of files and of models: brought to where a picture shows them, painted, and as fine as their colours."""

import math

import numpy as np
import pytest
import torch
import trimesh
from hidden_shape import FOV, RADIUS, HiddenModel, about_up, in_front, seen, subject
from PIL import Image

from a4d.fitting.picture_alignment import align_to_picture
from a4d.fitting.shapes import placed_in_picture, read_shape
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, torus
from a4d.geometry.transforms import rotation_from_axis_angle, transform_points
from a4d.priors.image_to_shape import surface_of

CAMERA = orbit(torch.zeros(1), torch.zeros(1), RADIUS, FOV, 128, 128)


@pytest.mark.parametrize(
    "is_oriented",
    [pytest.param(True, id="front known"), pytest.param(False, id="turned anyhow", marks=pytest.mark.slow)],
)
def test_a_shape_is_brought_to_where_the_picture_shows_it(is_oriented):
    truth = in_front(subject(), 40.0)
    turn = torch.eye(3) if is_oriented else rotation_from_axis_angle(torch.tensor([0.9, -1.1, 0.6]))
    given = truth.with_vertices(3.0 * truth.vertices @ turn.T + 1.0)
    aligned = align_to_picture(given, seen(truth, CAMERA)[0], CAMERA, is_oriented)
    apart = (transform_points(aligned.world_from_shape, given.vertices) - truth.vertices).norm(dim=-1)
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    assert aligned.iou > 0.98
    assert float(apart.mean()) < 0.01 * diagonal
    assert float(torch.linalg.det(aligned.world_from_shape[:3, :3])) == pytest.approx(1 / 27, rel=0.03)


def test_sides_keep_the_colours_of_the_shape_and_the_front_takes_the_pictures():
    truth = in_front(subject(), 40.0)
    green = Mesh(truth.vertices, truth.faces, torch.tensor([0.1, 0.9, 0.1]).expand(len(truth.vertices), 3))
    # A painted shape of one colour would not be told from an unpainted one in a file, and is kept here.
    placed = placed_in_picture(green, seen(truth, CAMERA)[0], CAMERA, is_oriented=True)
    normals = placed.mesh.vertex_normals
    behind, before = normals[:, 2] < -0.2, normals[:, 2] > 0.9
    assert torch.equal(placed.mesh.colours[behind], green.colours[behind])
    assert float((placed.mesh.colours[before] - truth.colours[before]).abs().mean()) < 0.05


def test_a_field_comes_with_its_colours_and_axes():
    truth = in_front(subject(), 115.0)
    found = surface_of(HiddenModel(subject(), 115.0).shape(torch.zeros(4, 4, 4)), resolution=32)
    scale = float(truth.vertices.abs().max()) / 0.7
    size = found.vertices.amax(0) - found.vertices.amin(0)
    assert (scale * size).tolist() == pytest.approx(
        (truth.vertices.amax(0) - truth.vertices.amin(0)).tolist(), rel=0.02
    )
    assert found.is_closed
    assert found.volume * scale**3 == pytest.approx(truth.volume, rel=0.05)
    top = found.vertices[:, 1].argmax()
    nearest = (truth.vertices - scale * found.vertices[top]).norm(dim=-1).argmin()
    assert float((found.colours[top] - truth.colours[nearest]).abs().max()) < 0.1


def test_a_mesh_with_a_texture_is_as_fine_as_its_colours(tmp_path):
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32] = 255
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(halves))
    mesh.visual = trimesh.visual.TextureVisuals([[0, 0], [1, 0], [1, 1], [0, 1]], material=material)
    mesh.export(tmp_path / "sign.glb")
    shape = read_shape(tmp_path / "sign.glb")
    edges = shape.vertices[shape.faces[:, 0]] - shape.vertices[shape.faces[:, 1]]
    assert float(edges.norm(dim=-1).max()) < 0.012 * math.sqrt(2)
    across = shape.vertices[:, 0]
    left, right = (across > 0.02) & (across < 0.48), (across > 0.52) & (across < 0.98)
    assert float(shape.colours[left].min()) > 0.99
    assert float(shape.colours[right].max()) < 0.01
    assert float(shape.face_normals.sum(0)[2]) == pytest.approx(2.0, rel=1e-5)


def test_a_mesh_of_one_colour_counts_as_unpainted(tmp_path):
    ring = torus()
    trimesh.Trimesh(ring.vertices, ring.faces).export(tmp_path / "ring.stl")
    shape = read_shape(tmp_path / "ring.stl")
    assert shape.colours is None
    assert shape.is_closed
    assert shape.volume == pytest.approx(ring.volume, rel=1e-3)


def test_another_thing_is_told_by_its_outline():
    aligned = align_to_picture(Mesh(torus().vertices, torus().faces), seen(box(), CAMERA)[0], CAMERA, is_oriented=True)
    assert aligned.iou < 0.85


def test_a_turn_about_up_brings_a_side_to_the_front():
    assert (torch.tensor([1.0, 0, 0]) @ about_up(-90.0).T).tolist() == pytest.approx([0, 0, 1], abs=1e-6)
