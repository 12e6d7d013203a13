"""First guesses of a shape: a maker for every kind that can be asked for, and bodies of the size that is said."""

from typing import get_args

import pytest

from a4d.fitting import seeds
from a4d.fitting.seed_settings import PrimitiveConfig, SeedConfig


def test_every_kind_that_can_be_asked_for_is_made():
    assert set(get_args(SeedConfig.model_fields["kind"].annotation)) == seeds.KINDS.keys()


def test_an_ellipsoid_is_as_long_as_its_axes_say():
    mesh = seeds.primitive_seed(PrimitiveConfig(kind="ellipsoid", radius=0.5, axes=(1, 2, 0.5))).mesh
    assert mesh.vertices.abs().amax(0).tolist() == pytest.approx([0.5, 1.0, 0.25], rel=0.02)


def test_a_ball_has_a_radius_and_no_surface():
    seed = seeds.primitive_seed(PrimitiveConfig(radius=0.3))
    assert (seed.radius, seed.mesh) == (0.3, None)
