import math

import pytest

from a4d.geometry.primitives import box, creature, icosphere, torus, tube_union


@pytest.mark.parametrize(
    ("mesh", "volume"),
    [
        (icosphere(0.5, 5), 4 / 3 * math.pi * 0.5**3),
        (torus(0.45, 0.18, 96), 2 * math.pi**2 * 0.45 * 0.18**2),
        (box((0.8, 0.6, 0.5)), 0.24),
        (tube_union([((0, -0.3, 0), (0, 0.3, 0), 0.1)]), math.pi * 0.01 * 0.6 + 4 / 3 * math.pi * 0.001),
    ],
    ids=["sphere", "torus", "box", "capsule"],
)
def test_shapes_are_closed_and_of_the_analytic_volume(mesh, volume):
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(volume, rel=0.01)
    assert mesh.colours.min() >= 0
    assert mesh.colours.max() <= 1


def test_the_creature_looks_toward_positive_z_and_is_one_piece_of_many_colours():
    mesh = creature(resolution=64)
    assert mesh.is_closed
    dark = mesh.colours.amax(1) < 0.25
    assert dark.any()
    assert (mesh.vertices[dark, 2] > 0.2).all()
    assert float(mesh.vertices[:, 1].max() - mesh.vertices[:, 1].min()) == pytest.approx(1.3, abs=0.05)
