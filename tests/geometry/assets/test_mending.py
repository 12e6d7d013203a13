"""Surfaces with values that are no numbers, or normals without a direction."""

import math
from dataclasses import replace

import pytest
import torch

from a4d.geometry.assets.assembly import primitive_from_mesh
from a4d.geometry.assets.mending import Damage, mended, own_normals
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere


def sphere():
    return primitive_from_mesh(icosphere(1.0, 2))


@pytest.mark.parametrize("bad", [0.0, 1e-30, math.nan, math.inf])
def test_a_normal_without_a_direction_is_that_of_its_faces(bad):
    whole = sphere()
    damaged = replace(whole, normals=torch.where(torch.arange(len(whole.normals))[:, None] < 5, bad, whole.normals))
    found, damage = mended(damaged)
    assert damage == Damage(normals=5)
    assert (found.normals * whole.positions).sum(1).min() > 0.99
    assert torch.equal(found.faces, whole.faces)


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e18])
def test_normals_of_shapes_of_any_size(size):
    whole = icosphere(1.0, 2)
    found = own_normals(whole.vertices * size, whole.faces)
    assert (found * whole.vertices).sum(1).min() > 0.99


def test_two_sheets_back_to_back_have_the_normal_of_one():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    found = own_normals(corners, torch.tensor([[0, 1, 2], [0, 2, 1]]))
    assert found[:3, 2].abs().tolist() == [1, 1, 1]
    assert found[3].tolist() == [0, 1, 0], "a vertex of no face"


def test_faces_at_no_finite_place_go_and_the_others_stay():
    cube = box((1.0, 1.0, 1.0))
    whole = primitive_from_mesh(cube, uvs=cube.vertices[:, :2])
    positions = whole.positions.clone()
    positions[7, 1] = math.nan
    uvs, colours = whole.uvs.clone(), torch.ones(len(positions), 4)
    uvs[0, 3], colours[4, 2] = math.inf, math.nan
    found, damage = mended(replace(whole, positions=positions, uvs=uvs, colours=colours))
    touching = int((whole.faces == 7).any(1).sum())
    assert damage == Damage(faces=touching, uvs=1, colours=1)
    assert len(found.faces) == len(whole.faces) - touching
    assert not (found.faces == 7).any()
    for values in (found.positions, found.normals, found.uvs, found.colours):
        assert values.isfinite().all()
    assert Mesh(found.positions, found.faces).face_normals.norm(dim=1).min() > 0
