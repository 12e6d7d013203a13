"""Textures, tangents and materials from files, on a plane whose coordinates are known."""

import math

import pytest
import torch

from a4d.geometry.assets.material import Material, TextureMap
from a4d.geometry.cameras import Cameras, look_at
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import corner_tangents
from a4d.render.environment import studio
from a4d.render.mesh_gradients import view_mesh
from a4d.render.shaded_mesh import TextureCoordinates, render_material
from a4d.render.shading import decode_srgb
from a4d.render.texture import MipMap, mip_level
from a4d.render.textured_material import TexturedMaterial

SQUARE = Mesh(torch.tensor([[-1.0, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]), torch.tensor([[0, 3, 2], [0, 2, 1]]))
"""Facing +Z, with its picture's upper left corner at its own."""
COORDINATES = TextureCoordinates(torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]), SQUARE.faces)


def facing_camera(size, distance=2.0):
    """Sees exactly the square."""
    focal = size / 2 * distance
    intrinsics = torch.tensor([[focal, focal, size / 2, size / 2]])
    return Cameras(look_at(torch.tensor([[0.0, 0.0, distance]])), intrinsics, size, size)


def picture(height=16, width=16, seed=0):
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def test_levels_keep_the_mean_and_sampling_at_texel_centres_returns_them():
    image = picture(16, 8)
    mip_map = MipMap.of(image)
    assert mip_map.sizes == ((16, 8), (8, 4), (4, 2), (2, 1), (1, 1))
    torch.testing.assert_close(mip_map.texels[-1], image.mean((0, 1)))
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(8), indexing="ij")
    uv = torch.stack([(columns + 0.5) / 8, (rows + 0.5) / 16], dim=-1).view(-1, 2)
    torch.testing.assert_close(mip_map.sample(uv, torch.zeros(128)), image.view(-1, 3))
    half = mip_map.sample(uv, torch.full((128,), 3.5))
    assert half.shape == (128, 3)
    torch.testing.assert_close(mip_map.sample(uv, torch.full((128,), 9.0)), image.mean((0, 1)).expand(128, 3))


@pytest.mark.parametrize("wrap", ["repeat", "mirror", "clamp"])
def test_coordinates_beyond_the_picture(wrap):
    ramp = torch.tensor([0.0, 1.0, 2.0, 3.0])[None, :, None].expand(4, 4, 1)
    found = MipMap.of(ramp).sample(torch.tensor([[-0.1875, 0.5], [1.5625, 0.5]]), torch.zeros(2), (wrap, wrap))
    assert float(found[0, 0]) == pytest.approx({"repeat": 2.75, "mirror": 0.25, "clamp": 0.0}[wrap])
    assert float(found[1, 0]) == pytest.approx({"repeat": 1.75, "mirror": 1.25, "clamp": 3.0}[wrap])


def test_texture_gradients_are_finite_differences():
    image = picture(4, 4).double().requires_grad_()
    uv = torch.tensor([[0.31, 0.77], [0.92, 0.05]], dtype=torch.float64, requires_grad=True)
    level = torch.tensor([0.4, 1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda i, x, k: MipMap.of(i).sample(x, k), (image, uv, level))


@pytest.mark.parametrize(("size", "level"), [(64, 0.0), (32, 1.0), (16, 2.0)])
def test_the_mip_level_fits_the_footprint(size, level):
    view = view_mesh(SQUARE.vertices, SQUARE.faces, facing_camera(size))
    found = mip_level(view, COORDINATES.uvs, COORDINATES.faces, (64, 64))
    torch.testing.assert_close(found, torch.full((size * size,), level), rtol=0, atol=1e-4)


def test_a_tilted_surface_takes_the_longer_side_of_its_footprint():
    tilt = math.radians(60)
    vertices = SQUARE.vertices[:, :1] * torch.tensor([1.0, 0, 0]) + SQUARE.vertices[:, 1:2] * torch.tensor(
        [0.0, math.cos(tilt), math.sin(tilt)]
    )
    far = facing_camera(256, 200.0)
    found = mip_level(view_mesh(vertices, SQUARE.faces, far), COORDINATES.uvs, COORDINATES.faces, (256, 256))
    assert found.mean().item() == pytest.approx(1.0, abs=0.01)


def test_a_picture_is_shown_as_it_is():
    image = picture(24, 24)
    material = Material(base_colour_map=TextureMap(image, 0, ("clamp", "clamp"), True, torch.eye(2, 3)))
    view = view_mesh(SQUARE.vertices, SQUARE.faces, facing_camera(24))
    render = render_material(view, SQUARE, TexturedMaterial(material), studio(), "albedo", COORDINATES)
    torch.testing.assert_close(render.rgb[0], image, rtol=0, atol=2e-4)


def test_factors_and_maps_are_multiplied():
    def flat(*values):
        image = torch.tensor(values).expand(4, 4, 3)
        return TextureMap(image, 0, ("repeat", "repeat"), False, torch.eye(2, 3))

    material = Material(
        base_colour=(0.5, 1.0, 1.0, 1.0), base_colour_map=flat(0.8, 0.5, 0.2), metallic=0.5, roughness=0.4,
        metallic_roughness_map=flat(0.0, 0.5, 0.6), normal_map=flat(0.75, 0.5, 1.0), normal_scale=0.5,
        occlusion_map=flat(0.2, 0.0, 0.0), occlusion_strength=0.5, emission=(2.0, 0.0, 0.0),
        emission_map=flat(1.0, 1.0, 1.0),
    )  # fmt: skip
    found = []

    def keep(points):
        found.append(TexturedMaterial(material)(points))
        return found[0]

    view = view_mesh(SQUARE.vertices, SQUARE.faces, facing_camera(4))
    render_material(view, SQUARE, keep, studio(), "normal", COORDINATES)
    surface = found[0]
    expected = decode_srgb(torch.tensor([0.8, 0.5, 0.2])) * torch.tensor([0.5, 1.0, 1.0])
    torch.testing.assert_close(surface.base_colour[0], expected)
    rest = [surface.roughness, surface.metallic, surface.occlusion, surface.emission[:, 0], surface.normal[:, 0]]
    assert [part[0].item() for part in rest] == pytest.approx([0.2, 0.3, 0.6, 2.0, 0.625])


@pytest.mark.parametrize("mirrored", [False, True])
def test_normal_maps_tilt_along_the_picture(mirrored):
    """Red points right along the picture, green up it, also where the picture is mirrored on the surface."""
    uvs = COORDINATES.uvs * torch.tensor([-1.0 if mirrored else 1.0, 1.0])
    coordinates = TextureCoordinates(uvs, SQUARE.faces)
    tangents = corner_tangents(SQUARE.vertices, SQUARE.faces, uvs, SQUARE.faces)
    side = -1.0 if mirrored else 1.0
    torch.testing.assert_close(tangents, torch.tensor([side, 0.0, 0.0, side]).expand(4, 4))
    image = (torch.tensor([0.6, 0.48, 0.64]) / 2 + 0.5).expand(4, 4, 3)
    material = Material(normal_map=TextureMap(image, 0, ("repeat", "repeat"), True, torch.eye(2, 3)))
    view = view_mesh(SQUARE.vertices, SQUARE.faces, facing_camera(8))
    normal = render_material(
        view, SQUARE, TexturedMaterial(material), studio(), "normal", coordinates, wants=("normal",)
    ).normal
    torch.testing.assert_close(normal[0, 4, 4], torch.tensor([0.6 * side, 0.48, 0.64]), rtol=0, atol=1e-4)


def test_a_flat_normal_map_leaves_the_picture_unchanged():
    image = torch.tensor([0.5, 0.5, 1.0]).expand(4, 4, 3)
    with_map = Material(normal_map=TextureMap(image, 0, ("repeat", "repeat"), True, torch.eye(2, 3)))
    view = view_mesh(SQUARE.vertices, SQUARE.faces, facing_camera(16))
    images = [
        render_material(view, SQUARE, TexturedMaterial(m), studio(), "shaded", COORDINATES).rgb
        for m in (with_map, Material())
    ]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-6)
