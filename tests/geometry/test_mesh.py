"""Meshes: what is closed."""

import torch

from a4d.geometry.mesh import Mesh, is_closed_across_seams
from a4d.geometry.primitives import icosphere


def test_a_mesh_that_is_cut_open_along_its_edges_is_closed_across_these_seams():
    whole = icosphere(1.0, 1)
    corners = whole.vertices[whole.faces].flatten(0, 1)
    cut = Mesh(corners, torch.arange(len(corners)).view(-1, 3))
    assert whole.is_closed
    assert not cut.is_closed
    assert is_closed_across_seams(cut)
    assert not is_closed_across_seams(Mesh(cut.vertices, cut.faces[1:]))
