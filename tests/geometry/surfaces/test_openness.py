"""Openness: what lies inside of something is reached by no ray."""

import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.surfaces.openness import openness


def test_a_ball_is_open_and_a_ball_in_it_is_not():
    outer, inner = icosphere(1.0, 2), icosphere(0.4, 2)
    both = Mesh(
        torch.cat([outer.vertices, inner.vertices]), torch.cat([outer.faces, inner.faces + len(outer.vertices)])
    )
    found = openness(both)
    count = len(outer.faces)
    assert (found[:count] == 1).all()
    assert (found[count:] == 0).all()


def test_the_bottom_of_a_well_sees_a_part_of_the_sky():
    # A square floor of side 1 between walls of height 1.
    floor = [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]
    rim = [[x, 1, z] for x, _, z in floor]
    faces = [[0, 2, 1], [0, 3, 2]]
    for a in range(4):
        b = (a + 1) % 4
        faces += [[a, b, b + 4], [a, b + 4, a + 4]]
    mesh = Mesh(torch.tensor(floor + rim).float(), torch.tensor(faces))
    share = float(openness(mesh)[:2].mean())
    # From the middle of the floor the opening is 4 asin(1/5) of the 2 pi steradians above, or .13; from elsewhere less.
    assert share == pytest.approx(0.13, abs=0.05)
