"""Surfaces that touch themselves are taken apart, and others stay as they are."""

import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.surfaces.manifold import taken_apart

TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def touching() -> Mesh:
    """Two tetrahedra that share the edge of their first two corners."""
    base = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    second = torch.tensor([[0.0, -1, 0], [0, 0, -1]])
    own = torch.tensor([0, 1, 4, 5])
    vertices = torch.cat([base, second])
    return Mesh(vertices, torch.cat([TETRAHEDRON, own[TETRAHEDRON]]), vertices.clone())


def test_parts_that_share_an_edge_get_one_each() -> None:
    mesh = touching()
    assert not mesh.is_closed
    apart = taken_apart(mesh)
    assert apart.is_closed
    assert len(apart.vertices) == 8
    assert torch.equal(apart.vertices[apart.faces], mesh.vertices[mesh.faces])
    assert torch.equal(apart.colours, apart.vertices)
    assert apart.volume == pytest.approx(mesh.volume)


def test_faces_back_to_back_go_away() -> None:
    ball = icosphere(0.5, 2)
    flap = torch.tensor([[0, 1, 2], [1, 0, 2]])
    beside = torch.cat([ball.vertices, torch.eye(3)])
    apart = taken_apart(Mesh(beside, torch.cat([ball.faces, flap + len(ball.vertices)])))
    assert apart.is_closed
    assert torch.equal(apart.faces, ball.faces)
    assert torch.equal(apart.vertices, ball.vertices), "and their vertices with them"


def test_what_is_open_stays_in_one_piece() -> None:
    ball = icosphere(0.5, 2)
    hole = Mesh(ball.vertices, ball.faces[1:])
    apart = taken_apart(hole)
    assert torch.equal(apart.faces, hole.faces)
    assert torch.equal(apart.vertices, hole.vertices)
