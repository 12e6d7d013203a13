"""First guesses of a shape: a maker for every kind that can be asked for, and bodies of the size that is said."""

from typing import get_args

import pytest
import torch

from a4d.errors import MissingInputError
from a4d.fitting import seeds
from a4d.fitting.seed_settings import SeedConfig, ShapeConfig
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box
from a4d.io.assets.ply import write_ply_mesh


def test_every_kind_that_can_be_asked_for_is_made():
    assert set(get_args(SeedConfig.model_fields["kind"].annotation)) == seeds.KINDS.keys()


def test_an_ellipsoid_is_as_long_as_its_axes_say():
    mesh = seeds.shape_seed(ShapeConfig(kind="ellipsoid", radius=0.5, axes=(1, 2, 0.5))).mesh
    assert mesh.vertices.abs().amax(0).tolist() == pytest.approx([0.5, 1.0, 0.25], rel=0.02)


def test_a_cylinder_stands_upright_and_is_closed():
    mesh = seeds.shape_seed(ShapeConfig(kind="cylinder", radius=0.75, axes=(1, 0.8, 1))).mesh
    assert mesh.vertices.abs().amax(0).tolist() == pytest.approx([0.75, 0.6, 0.75], rel=0.01)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(torch.pi * 0.75**2 * 1.2, rel=0.01)


def test_a_coarse_mesh_is_turned_centred_and_scaled(tmp_path):
    lying = box((0.4, 2.0, 0.2)).vertices[:, [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0])
    path = tmp_path / "coarse.ply"
    write_ply_mesh(path, Mesh(30 * lying + 7, box().faces))
    config = ShapeConfig(kind="mesh", file=path, radius=0.9, up="+z", front="-y")
    mesh = seeds.shape_seed(config).mesh
    assert config.files == [path]
    extents = torch.tensor([0.4, 2.0, 0.2])
    torch.testing.assert_close(mesh.vertices.amax(0), 0.9 * extents / extents.norm(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mesh.vertices.amin(0), -0.9 * extents / extents.norm(), rtol=1e-4, atol=1e-4)
    assert mesh.volume > 0
    with pytest.raises(MissingInputError, match=r"nowhere.obj does not exist"):
        _ = ShapeConfig(kind="mesh", file=tmp_path / "nowhere.obj").files
    with pytest.raises(ValueError, match="belongs to the kind `mesh`"):
        ShapeConfig(kind="ellipsoid", file=path)


def test_a_ball_has_a_radius_and_no_surface():
    seed = seeds.shape_seed(ShapeConfig(radius=0.3))
    assert (seed.radius, seed.mesh) == (0.3, None)
