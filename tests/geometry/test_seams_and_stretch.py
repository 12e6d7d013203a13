"""Meshes that are cut open, and meshes that are pulled apart."""

import pytest
import torch

from a4d.geometry.mesh import Mesh, is_closed_across_seams, stretched_share
from a4d.geometry.primitives import icosphere


def test_a_mesh_that_is_cut_open_along_its_edges_is_closed_across_these_seams():
    whole = icosphere(1.0, 1)
    corners = whole.vertices[whole.faces].flatten(0, 1)
    cut = Mesh(corners, torch.arange(len(corners)).view(-1, 3))
    assert whole.is_closed
    assert not cut.is_closed
    assert is_closed_across_seams(cut)
    assert not is_closed_across_seams(Mesh(cut.vertices, cut.faces[1:]))


def test_a_closed_mesh_that_touches_itself_along_an_edge_is_closed():
    first = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    second = first * torch.tensor([1.0, -1, -1])
    outward = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    both = Mesh(torch.cat([first, second]), torch.cat([outward, outward + 4]))
    assert both.is_closed
    assert is_closed_across_seams(both)
    assert not is_closed_across_seams(Mesh(both.vertices, torch.cat([outward, outward[:, [0, 2, 1]][:2] + 4])))


def test_stretched_edges_count_by_their_length():
    strip = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))
    moved = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 1, 0]])
    assert stretched_share(strip, strip.vertices, 1.01) == 0
    assert stretched_share(strip, 1.9 * strip.vertices, 2) == 0
    assert stretched_share(strip, moved, 2) == pytest.approx((1 + 2**0.5) / (2 + 2**0.5))
