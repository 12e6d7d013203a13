"""Pictures of assets against analytic shapes and rays cast one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material, TextureMap
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, icosphere
from a4d.render.asset import AssetRenderer, Picture, is_colourless

PLAIN = Material(metallic=0.0)
SQUARE = Mesh(
    torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]])
)  # fmt: skip
CORNERS = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])


def front(size: int = 64, azimuth: float = 0.0, elevation: float = 0.0) -> Cameras:
    return orbit(torch.tensor([azimuth]), torch.tensor([elevation]), 3.0, 40.0, size, size)


def rendered(asset: Asset, camera: Cameras, **options) -> Picture:
    return AssetRenderer(asset, **options).render(deform(asset), camera)


def square(material: Material, z: float = 0.0) -> Asset:
    mesh = Mesh(SQUARE.vertices + torch.tensor([0.0, 0.0, z]), SQUARE.faces)
    return static_asset("square", primitive_from_mesh(mesh, CORNERS), material)


def picture_map(image: torch.Tensor, is_smooth: bool = False) -> TextureMap:
    return TextureMap(image, 0, ("clamp", "clamp"), is_smooth, torch.eye(2, 3))


def cast(mesh: Mesh, camera: Cameras) -> np.ndarray:
    """(H, W) depth by testing every ray against every triangle (Möller and Trumbore 1997); 0 where none is hit."""
    origins, directions = (part[0].double().reshape(-1, 3).numpy() for part in camera.rays())
    depth = np.full(len(origins), np.inf)
    for a, b, c in mesh.vertices.double().numpy()[mesh.faces.numpy()]:
        p = np.cross(directions, c - a)
        determinant = p @ (b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (p * (origins - a)).sum(1) / determinant
            q = np.cross(origins - a, b - a)
            v = (q * directions).sum(1) / determinant
            t = q @ (c - a) / determinant
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        depth = np.where(hit & (t < depth), t, depth)
    return np.where(np.isfinite(depth), depth, 0).reshape(camera.height, camera.width)


def test_mask_and_depth_are_those_of_rays() -> None:
    mesh, camera = creature(resolution=24), front(48, 35.0, 20.0)
    picture, expected = rendered(static_asset("x", primitive_from_mesh(mesh)), camera), cast(mesh, camera)
    seen = picture.depth.numpy() > 0
    assert (seen == (expected > 0)).mean() > 0.998
    both = seen & (expected > 0)
    assert np.abs(picture.depth.numpy() - expected)[both].max() < 1e-4
    alpha = picture.rgba[..., 3].numpy()
    assert (alpha[1:-1, 1:-1][both[1:-1, 1:-1] & (alpha[1:-1, 1:-1] == 1)] == 1).all()
    assert ((alpha > 0.5) == (expected > 0)).mean() > 0.99


def test_a_sphere_has_the_depth_and_the_area_of_a_sphere() -> None:
    camera = front(128)
    picture = rendered(static_asset("ball", primitive_from_mesh(icosphere(0.9, 5))), camera)
    origins, directions = (part[0].double() for part in camera.rays())
    a, b = (directions**2).sum(-1), (origins * directions).sum(-1)
    root = b**2 - a * ((origins**2).sum(-1) - 0.81)
    depth = torch.where(root > 0, (-b - root.clamp(min=0).sqrt()) / a, 0.0)
    inner = root > 0.05
    assert (picture.depth.double() - depth)[inner].abs().max() < 2e-3
    assert float(picture.rgba[..., 3].sum()) == pytest.approx(float((root > 0).sum()), rel=0.005)


def test_a_texture_lies_where_its_coordinates_say_and_is_filtered_where_it_is_small() -> None:
    quarters = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]])
    look = rendered(square(replace(PLAIN, base_colour_map=picture_map(quarters))), front()).rgba
    for row, column, colour in ((16, 16, 0), (16, 48, 1), (48, 16, 2), (48, 48, 3)):
        assert look[row, column, :3].tolist() == pytest.approx(quarters.view(4, 3)[colour].tolist(), abs=1e-3)
    fine = (torch.arange(256)[:, None] + torch.arange(256)) % 2 * torch.ones(3, 1, 1)
    material = replace(PLAIN, base_colour_map=picture_map(fine.permute(1, 2, 0).float(), is_smooth=True))
    grey = rendered(square(material), front(32)).rgba[8:24, 8:24, :3]
    assert grey.std() < 0.02, "a checkerboard finer than the pixels is an even grey"
    assert float(grey.mean()) == pytest.approx(0.735, abs=0.01), "the mean of black and white light, encoded"


def test_vertex_colours_tint_the_base_colour_in_linear_light() -> None:
    mesh = Mesh(SQUARE.vertices, SQUARE.faces, torch.full((4, 3), 0.735357))
    asset = static_asset("x", primitive_from_mesh(mesh), replace(PLAIN, base_colour=(1.0, 0.5, 0.0, 1.0)))
    colour = rendered(asset, front()).rgba[32, 32, :3]
    assert colour.tolist() == pytest.approx([0.7354, 0.5371, 0.0], abs=2e-3)


@pytest.mark.parametrize(("mode", "alpha", "expected"), [("blend", 0.25, 0.25), ("mask", 0.25, 0.0), ("mask", 0.75, 1)])
def test_alpha_hides_what_is_behind_by_the_material_s_mode(mode: str, alpha: float, expected: float) -> None:
    glass = replace(PLAIN, base_colour=(1.0, 0.0, 0.0, alpha), alpha_mode=mode)
    alone = rendered(square(glass), front())
    assert float(alone.rgba[32, 32, 3]) == pytest.approx(expected, abs=1e-5)
    assert (float(alone.depth[32, 32]) > 0) == (expected >= 0.5)
    behind, before = square(PLAIN).meshes[0].primitives[0], square(PLAIN, 0.5).meshes[0].primitives[0]
    both = static_asset("both", [replace(before, material=1), behind], [PLAIN, glass])
    picture = rendered(both, front())
    assert float(picture.rgba[32, 32, 3]) == pytest.approx(1)
    assert picture.rgba[32, 32, :3].tolist() == pytest.approx([1, 1 - expected, 1 - expected], abs=1e-4)
    assert float(picture.depth[32, 32]) == pytest.approx(2.5 if expected >= 0.5 else 3.0, abs=1e-4)


def test_light_shows_the_relief_of_a_normal_map_and_leaves_the_rest() -> None:
    flat = torch.tensor([0.5, 0.5, 1.0]).expand(4, 4, 3)
    left = torch.nn.functional.normalize(torch.tensor([-1.0, 0, 1]), dim=0) / 2 + 0.5

    def lit(image: torch.Tensor, **options) -> torch.Tensor:
        return rendered(square(replace(PLAIN, normal_map=picture_map(image))), front(), **options).rgba[32, 32, :3]

    plain = rendered(square(PLAIN), front(), lighting="shaded").rgba[32, 32, :3]
    assert torch.allclose(lit(flat, lighting="shaded"), plain, atol=1e-3)
    assert (lit(left.expand(4, 4, 3), lighting="shaded") - plain).abs().max() > 0.02
    assert torch.allclose(lit(left.expand(4, 4, 3)), torch.ones(3))


def test_what_has_no_colours_is_known() -> None:
    assert is_colourless(static_asset("x", primitive_from_mesh(SQUARE)))
    assert not is_colourless(square(replace(PLAIN, base_colour_map=picture_map(torch.ones(2, 2, 3)))))
    assert not is_colourless(static_asset("x", primitive_from_mesh(icosphere(1.0, 1))))


def behind_glass(**glass) -> Asset:
    """A red square behind a wider pane of glass."""
    small = Mesh(SQUARE.vertices * 0.5, SQUARE.faces)
    pane = Mesh(SQUARE.vertices * 0.8 + torch.tensor([0.0, 0.0, 0.5]), SQUARE.faces)
    parts = (
        replace(primitive_from_mesh(small), material=0),
        replace(primitive_from_mesh(pane, CORNERS), material=1),
    )
    red = Material(base_colour=(1.0, 0.0, 0.0, 1.0), metallic=0.0)
    return static_asset("glass", parts, (red, Material(**{"metallic": 0.0, **glass})))


@pytest.mark.parametrize(
    ("glass", "middle", "side"),
    [
        ({"transmission": 1.0}, (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ({"transmission": 0.5}, (1.0, 0.5, 0.5), (1.0, 1.0, 1.0)),
        ({"transmission": 1.0, "metallic": 1.0}, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        ({"transmission": 1.0, "base_colour": (0.0, 1.0, 1.0, 1.0)}, (0.0, 0.0, 0.0), (0.0, 1.0, 1.0)),
        ({"transmission": 1.0, "base_colour": (0.2140411, 1.0, 1.0, 1.0)}, (0.5, 0.0, 0.0), (0.5, 1.0, 1.0)),
    ],
)
def test_glass_shows_what_is_behind_it_and_hides_the_background(glass: dict, middle: tuple, side: tuple) -> None:
    picture = rendered(behind_glass(**glass), front(65))
    np.testing.assert_allclose(picture.rgba[32, 32], (*middle, 1.0), atol=1e-3)
    np.testing.assert_allclose(picture.rgba[32, 55], (*side, 1.0), atol=1e-3)
    assert float(picture.rgba[2, 2, 3]) == 0.0
    is_clear = glass["transmission"] > 0.5 and not glass.get("metallic")
    assert float(picture.depth[32, 32]) == pytest.approx(3.0 if is_clear else 2.5, abs=1e-3)
    assert float(picture.depth[32, 55]) == pytest.approx(2.5, abs=1e-3)


def test_glass_is_clear_where_its_picture_says_so() -> None:
    image = torch.tensor([[[1.0, 0, 0], [0.0, 1, 1]]])
    picture = rendered(behind_glass(transmission=1.0, transmission_map=picture_map(image)), front(65))
    np.testing.assert_allclose(picture.rgba[32, 27], (1.0, 0.0, 0.0, 1.0), atol=1e-3)
    np.testing.assert_allclose(picture.rgba[32, 37], (1.0, 1.0, 1.0, 1.0), atol=1e-3)


def test_glass_that_covers_only_half_lets_the_background_through() -> None:
    glass = {"transmission": 1.0, "base_colour": (1.0, 1.0, 1.0, 0.5), "alpha_mode": "blend"}
    picture = rendered(behind_glass(**glass), front(65))
    np.testing.assert_allclose(picture.rgba[32, 32], (1.0, 0.0, 0.0, 1.0), atol=1e-3)
    np.testing.assert_allclose(picture.rgba[32, 55], (1.0, 1.0, 1.0, 0.5), atol=1e-3)
