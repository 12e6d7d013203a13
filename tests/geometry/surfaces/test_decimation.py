import sys

import pytest
import torch

from a4d.errors import BackendUnavailableError
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.surfaces.decimation import decimated
from a4d.metrics import surface_distances

BALL = icosphere(0.5, 5)


def test_fewer_faces_keep_the_shape_and_its_colours():
    pytest.importorskip("fast_simplification")
    fine = Mesh(BALL.vertices, BALL.faces, (BALL.vertices + 0.5).clamp(0, 1))
    coarse = decimated(fine, 2000)
    assert 1500 < len(coarse.faces) <= 2000 < len(fine.faces)
    assert coarse.is_closed
    assert coarse.volume == pytest.approx(fine.volume, rel=0.01)
    assert surface_distances(coarse, fine, 0.01).chamfer < 0.004
    assert float((coarse.colours - coarse.vertices - 0.5).abs().max()) < 0.03
    assert decimated(coarse, 2000) is coarse


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    with pytest.raises(BackendUnavailableError) as caught:
        decimated(BALL, 100)
    assert "pip install fast-simplification" in caught.value.remedy
    assert torch.equal(decimated(BALL, len(BALL.faces)).faces, BALL.faces)
