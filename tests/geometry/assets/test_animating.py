from dataclasses import replace

import pytest
import torch

from a4d.geometry.assets.animating import AnimationOptions, animated_asset, primitives_by_material
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.primitives import icosphere, torus
from a4d.geometry.surfaces.tangents import vertex_tangents

FRAMES = 13


def two_parts() -> tuple:
    """A ring and a ball of different materials in one asset, and what its merged vertices do: the ball orbits."""
    parts = [
        replace(primitive_from_mesh(mesh), material=number)
        for number, mesh in enumerate((torus(sections=12), icosphere(0.2, 1)))
    ]
    asset = static_asset("pair", parts, (Material("gold", metallic=1.0), Material("clay")))
    posed = deform(asset)
    angle = torch.linspace(0, 2, FRAMES)
    offset = torch.stack([angle.cos(), 0 * angle, angle.sin()], dim=1)
    is_ball = posed.materials[0] != posed.materials
    moves = torch.zeros(len(posed.vertices), dtype=torch.bool)
    moves[posed.faces[is_ball].unique()] = True
    return asset, posed, posed.vertices + offset[:, None] * moves[:, None]


@pytest.mark.parametrize("kind", ["morph", "bones"])
def test_parts_of_several_materials_follow_their_trajectories(kind):
    asset, posed, trajectories = two_parts()
    primitives, sources = primitives_by_material(posed)
    options = AnimationOptions(kind, tolerance=1e-3, bones=2)
    moving = animated_asset("pair", primitives, trajectories[:, sources], 0.1, options, asset.materials)
    assert [material.name for material in moving.materials] == ["gold", "clay"]
    for frame in (0, 5, 12):
        again = deform(moving, moving.clips[0], 0.1 * frame)
        torch.testing.assert_close(again.vertices, trajectories[frame, sources], rtol=0, atol=2.5e-3)
        assert torch.equal(again.materials.unique(return_counts=True)[1], posed.materials.unique(return_counts=True)[1])
    assert (len(moving.skins) == 1) == (kind == "bones")


def test_normals_and_tangents_of_a_cut_surface_move_along():
    mesh = torus(sections=12)
    angle = torch.tensor(0.7)
    turn = torch.tensor([[1, 0, 0], [0, angle.cos(), -angle.sin()], [0, angle.sin(), angle.cos()]])
    opened = unwrap(mesh, 64)
    positions, normals = opened.follow(torch.stack([mesh.vertices, mesh.vertices @ turn.T]))
    moving = animated_asset("ring", opened.primitive(has_tangents=True), positions, 1.0, normals=normals)
    posed = deform(moving, moving.clips[0], 1.0)
    torch.testing.assert_close(posed.normals, opened.normals @ turn.T, rtol=0, atol=1e-5)
    expected = vertex_tangents(positions[1], opened.faces, normals[1], opened.uvs)
    torch.testing.assert_close(posed.tangents, expected, rtol=0, atol=1e-5)


def test_a_surface_that_stays_is_still():
    mesh = icosphere(0.5, 1)
    for kind in ("morph", "bones"):
        asset = animated_asset("ball", primitive_from_mesh(mesh), mesh.vertices[None], 0.1, AnimationOptions(kind))
        assert asset.clips == ()
        torch.testing.assert_close(deform(asset).vertices, mesh.vertices)
