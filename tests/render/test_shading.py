"""Shading against closed forms, quadrature and finite differences."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.render import cubemap
from a4d.render.environment import ROUGHNESS, EnvironmentLight, specular_factors, studio
from a4d.render.mesh_gradients import view_mesh
from a4d.render.shaded_mesh import render_material
from a4d.render.shading import SurfaceMaterial, decode_srgb, encode_srgb, facing, perturbed, shade

SOURCE = 32


def directions(count, seed=0):
    return normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)


def light_of(function):
    """The environment whose radiance is a function of (P, 3) directions."""
    texels, _ = cubemap.texel_directions(SOURCE)
    return EnvironmentLight.of(function(texels).view(-1, 1).expand(-1, 3).reshape(6, SOURCE, SOURCE, 3))


@pytest.fixture(scope="module")
def white_light():
    return light_of(lambda d: torch.ones(len(d)))


def upper_half(count=200):
    normals, toward = directions(count), directions(count, 1)
    return normals, facing(toward, normals)


@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("roughness", [0.05, 0.3, 0.6, 1.0])
def test_a_white_surface_vanishes_in_a_white_furnace(white_light, roughness, metallic):
    normals, toward = upper_half()
    count = len(normals)
    material = SurfaceMaterial(torch.ones(count, 3), torch.full((count,), metallic), torch.full((count,), roughness))
    radiance = shade(material, normals, toward, white_light)
    torch.testing.assert_close(radiance, torch.ones(count, 3), rtol=0, atol=1e-3)


def reflectance_by_quadrature(cosine, roughness, count=1500):
    """A and B summed over the hemisphere of light directions, GGX with height-correlated Smith masking."""
    z = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    angle = (torch.arange(count, dtype=torch.float64) + 0.5) / count * math.pi
    z, angle = torch.meshgrid(z, angle, indexing="ij")
    viewer = torch.tensor([math.sqrt(1 - cosine**2), 0.0, cosine], dtype=torch.float64)
    lit = torch.stack([(1 - z**2).sqrt() * angle.cos(), (1 - z**2).sqrt() * angle.sin(), z], dim=-1)
    half = normalize(lit + viewer, dim=-1)
    squared = roughness**4
    density = squared / (math.pi * (half[..., 2] ** 2 * (squared - 1) + 1) ** 2)
    root_lit = cosine * (squared + (1 - squared) * z**2).sqrt()
    root_seen = z * math.sqrt(squared + (1 - squared) * cosine**2)
    brdf_cosine = density * 0.5 / (root_lit + root_seen) * z
    fresnel = (1 - half @ viewer) ** 5
    measure = 2 * math.pi / count**2
    return float((brdf_cosine * (1 - fresnel)).sum() * measure), float((brdf_cosine * fresnel).sum() * measure)


@pytest.mark.parametrize("roughness", [0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("cosine", [0.1, 0.35, 0.7, 1.0])
def test_the_generated_table_is_the_integral(cosine, roughness):
    expected = reflectance_by_quadrature(cosine, roughness)
    found = specular_factors(torch.tensor([cosine]), torch.tensor([roughness]))
    assert [float(part) for part in found] == pytest.approx(expected, abs=4e-3)


def test_a_mirror_reflects_everything():
    cosine = torch.linspace(0.05, 1, 20)
    scale, offset = specular_factors(cosine, torch.zeros(20))
    torch.testing.assert_close(scale + offset, torch.ones(20), rtol=0, atol=2e-3)
    # The table's cells are straight where Schlick's curve bends most.
    torch.testing.assert_close(offset, (1 - cosine) ** 5, rtol=0, atol=2e-3)


def test_the_irradiance_of_a_cosine_light_is_the_closed_form():
    pole = normalize(torch.tensor([0.3, 0.8, -0.5]), dim=0)
    light = light_of(lambda d: (d @ pole).clamp(min=0))
    normals = directions(500)
    angle = (normals @ pole).clamp(-1, 1).acos()
    expected = 2 / (3 * math.pi) * (angle.sin() + (math.pi - angle) * angle.cos())
    torch.testing.assert_close(light.diffuse(normals)[:, 0], expected, rtol=0, atol=5e-3)


def test_a_smooth_environment_is_averaged_over_the_lobe():
    """A light linear in direction keeps its shape: each lobe scales it by the mean cosine to its axis."""
    light = light_of(lambda d: 1 + d[:, 1])
    mirrored = directions(300)
    for roughness in ROUGHNESS:
        radiance = light.specular(mirrored, torch.full((300,), roughness))[:, 0]
        squared = max(roughness, 1e-3) ** 4
        first = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
        level = 2 * (1 - first) / (1 + (squared - 1) * first) - 1
        level = level[level > 0]
        mean = float((level**2).sum() / level.sum())
        torch.testing.assert_close(radiance, 1 + mean * mirrored[:, 1], rtol=0, atol=0.02)


def test_cube_maps_have_no_seams_and_panoramas_keep_their_directions():
    texels, solid = cubemap.texel_directions(16)
    assert float(solid.sum()) == pytest.approx(4 * math.pi, rel=1e-5)
    found = cubemap.sample(texels.view(6, 16, 16, 3), directions(4000))
    torch.testing.assert_close(found, directions(4000), rtol=0, atol=0.012)
    height, width = 128, 256
    polar = (torch.arange(height) + 0.5) / height * math.pi
    azimuth = ((torch.arange(width) + 0.5) / width - 0.5) * 2 * math.pi
    polar, azimuth = torch.meshgrid(polar, azimuth, indexing="ij")
    panorama = torch.stack([polar.sin() * azimuth.sin(), polar.cos(), -polar.sin() * azimuth.cos()], dim=-1)
    cube = cubemap.cube_from_panorama(panorama, 32).view(-1, 3)
    torch.testing.assert_close(cube, cubemap.texel_directions(32)[0], rtol=0, atol=0.02)


def test_a_flat_normal_map_changes_nothing_and_a_tilted_one_tilts():
    normals, _ = upper_half()
    tangents = torch.cat([directions(len(normals), 2), torch.ones(len(normals), 1)], dim=-1)
    flat = torch.tensor([0.5, 0.5, 1.0]).expand(len(normals), 3)
    torch.testing.assert_close(perturbed(normals, tangents, flat), normals, rtol=0, atol=1e-6)
    none = torch.zeros_like(tangents)
    torch.testing.assert_close(perturbed(normals, none, flat), normals, rtol=0, atol=1e-6)
    up, right = torch.tensor([[0.0, 0, 1]]), torch.tensor([[1.0, 0, 0, 1]])
    half = math.sqrt(0.5)
    bent = perturbed(up, right, torch.tensor([[0.5, 0.5 + half / 2, 0.5 + half / 2]]))
    torch.testing.assert_close(bent, torch.tensor([[0.0, half, half]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("leaf", ["base_colour", "metallic", "roughness", "light", "normals"])
def test_gradients_are_finite_differences(leaf):
    generator = torch.Generator().manual_seed(3)
    normals, toward = upper_half(30)
    values = {
        "base_colour": 0.1 + 0.8 * torch.rand(30, 3, generator=generator),
        "metallic": 0.1 + 0.8 * torch.rand(30, generator=generator),
        # Within one cell of the table and between two levels: its corners have no derivative.
        "roughness": torch.full((30,), 33.4 / 63),
        "light": 0.5 + torch.rand(6, SOURCE, SOURCE, 3, generator=generator),
        "normals": normals,
    }

    def total(name, change):
        inputs = {key: value + (change if key == name else 0) for key, value in values.items()}
        light = EnvironmentLight.of(inputs["light"])
        material = SurfaceMaterial(inputs["base_colour"], inputs["metallic"], inputs["roughness"])
        return shade(material, inputs["normals"], toward, light).double().mean()

    size = 1e-4 if leaf == "normals" else 2e-3
    way = torch.randn(values[leaf].shape, generator=generator) * size
    change = torch.zeros_like(values[leaf], requires_grad=True)
    total(leaf, change).backward()
    analytic = float((change.grad * way).sum())
    assert analytic == pytest.approx(float(total(leaf, way) - total(leaf, -way)) / 2, rel=0.05, abs=1e-8)


def test_srgb_is_its_own_inverse():
    linear = torch.linspace(0, 1, 101)
    torch.testing.assert_close(decode_srgb(encode_srgb(linear)), linear, rtol=0, atol=1e-6)
    assert float(encode_srgb(torch.tensor(0.2140))) == pytest.approx(0.5, abs=1e-4)


def constant(colour, metallic=0.0, roughness=0.4):
    def material(points):
        count = len(points.positions)
        return SurfaceMaterial(
            torch.tensor(colour).expand(count, 3), torch.full((count,), metallic), torch.full((count,), roughness)
        )

    return material


@pytest.mark.parametrize("mode", ["shaded", "albedo", "normal", "textureless"])
def test_both_sides_of_a_surface_look_alike(mode):
    mesh = icosphere(0.6, 2)
    camera = orbit(torch.tensor([30.0]), torch.tensor([20.0]), 2.5, 35.0, 48, 48)
    flipped = Mesh(mesh.vertices, mesh.faces.flip(1))
    images = [
        render_material(view_mesh(m.vertices, m.faces, camera), m, constant([0.8, 0.4, 0.2]), studio(), mode)
        for m in (mesh, flipped)
    ]
    torch.testing.assert_close(images[0].rgb, images[1].rgb, rtol=0, atol=1e-5)
    inside = images[0].alpha[..., 0] == 1
    if mode == "albedo":
        expected = encode_srgb(torch.tensor([0.8, 0.4, 0.2]))
        torch.testing.assert_close(images[0].rgb[inside], expected.expand(int(inside.sum()), 3), rtol=0, atol=1e-5)


def test_a_white_ball_in_a_white_furnace_is_a_white_disc(white_light):
    mesh = icosphere(0.6, 3)
    camera = orbit(torch.tensor([0.0]), torch.tensor([0.0]), 2.5, 35.0, 48, 48)
    view = view_mesh(mesh.vertices, mesh.faces, camera)
    render = render_material(view, mesh, constant([1.0, 1.0, 1.0], 1.0, 0.5), white_light)
    torch.testing.assert_close(render.rgb, render.alpha.expand_as(render.rgb), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [8, 32])
def test_the_kernel_finds_the_texels_that_torch_finds(size):
    around = torch.cat([directions(5000), torch.tensor([[1.0, 1, 1], [-1, 1, -1], [0, 0, 1], [0.999, 1, 0]])])
    rows, shares = cubemap.taps(around, size)
    expected_rows, expected_shares = cubemap.taps(around.clone().requires_grad_(), size)
    same = (rows == expected_rows).all(1)
    assert same.float().mean() > 0.999
    torch.testing.assert_close(shares[same], expected_shares.detach()[same], rtol=0, atol=1e-5)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(around)))
