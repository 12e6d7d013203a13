"""A scene is as large at every size of images as it was fitted."""

import math

import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.geometry.primitives import icosphere
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.render.footprint import drawing, pixel_sizes, render_fitted
from a4d.render.gaussians import render_gaussians
from a4d.scenes.gaussians.scene import GaussianScene, GaussianSceneConfig

FITTED = 128


def camera(size: int, distance: float = 3.0):
    return orbit(torch.zeros(1), torch.zeros(1), distance, 40.0, size, size)


def ball() -> Gaussians:
    """Flat discs on a ball, as a fit with pixels of `FITTED` leaves them."""
    mesh = icosphere(0.6)
    normals = torch.nn.functional.normalize(mesh.vertices, dim=-1)
    side = torch.linalg.cross(normals, torch.tensor([0.3, 0.5, 0.8]).expand_as(normals), dim=-1)
    side = torch.nn.functional.normalize(side, dim=-1)
    frames = torch.stack([side, torch.linalg.cross(normals, side, dim=-1), normals], dim=-1)
    spacing = math.sqrt(4 * math.pi * 0.6**2 / len(normals))
    scales = torch.tensor([0.6 * spacing, 0.6 * spacing, 1e-3]).log().expand(len(normals), 3)
    colours = sh_from_colours(0.5 + 0.4 * torch.sin(5 * mesh.vertices))[:, None]
    return Gaussians(
        mesh.vertices, quaternion_from_rotation(frames), scales, torch.full((len(normals),), 4.0), colours
    )  # fmt: skip


def area(render) -> float:
    """Share of the image that is covered."""
    return float(render.alpha.mean())


@pytest.mark.parametrize("size", [16, 32, 64, 96, 256])
def test_a_scene_covers_as_much_at_every_size(size: int) -> None:
    gaussians, footprint = ball(), float(pixel_sizes(camera(FITTED)))
    fitted = area(render_gaussians(gaussians, camera(FITTED)))
    assert area(render_fitted(gaussians, camera(size), footprint=footprint)) == pytest.approx(fitted, rel=0.01)
    if size <= 64:
        assert area(render_gaussians(gaussians, camera(size))) > 1.03 * fitted


def test_wide_pixels_are_means_of_the_fit_s() -> None:
    gaussians, footprint = ball(), float(pixel_sizes(camera(FITTED)))
    fine = render_gaussians(gaussians, camera(FITTED))
    coarse = render_fitted(gaussians, camera(FITTED // 4), footprint=footprint)
    expected = fine.rgb[0].unflatten(1, (-1, 4)).unflatten(0, (-1, 4)).mean(dim=(1, 3))
    torch.testing.assert_close(coarse.rgb[0], expected, atol=1e-5, rtol=0)
    middle = coarse.depth[0, FITTED // 8, FITTED // 8]
    assert float(middle) == pytest.approx(float(fine.depth[0, FITTED // 2, FITTED // 2]), abs=0.02)


def test_the_fit_s_own_pixels_and_unknown_ones_are_drawn_as_ever() -> None:
    gaussians, seen = ball(), camera(FITTED)
    plain = render_gaussians(gaussians, seen).rgb
    assert torch.equal(render_fitted(gaussians, seen, footprint=float(pixel_sizes(seen)) * 1.001).rgb, plain)
    assert torch.equal(render_fitted(gaussians, seen).rgb, plain)


def test_distance_counts_like_size() -> None:
    """Twice as far away, a pixel is twice as wide; within the unit ball it is as wide as at its surface."""
    near, far = camera(64), camera(128, 6.0)
    assert float(pixel_sizes(near)) == pytest.approx(float(pixel_sizes(far)))
    inside = [float(pixel_sizes(camera(64, distance))) for distance in (0.2, 1.0)]
    assert inside[0] == pytest.approx(inside[1])
    assert drawing(camera(64, 12.0), float(pixel_sizes(near))).finer == 4


@pytest.mark.parametrize("dilation", [0.01, 2.0])
def test_backends_agree_on_any_dilation(dilation: float) -> None:
    gaussians, seen = ball()[::7], camera(24)
    results = []
    for backend, kind in (("reference", torch.float64), ("numba", torch.float32)):
        leaves = Gaussians(*(value.to(kind).requires_grad_() for value in vars(gaussians).values()))
        dilations = torch.full((1,), dilation, dtype=torch.float64)
        render = render_gaussians(leaves, seen, backend=backend, dilations=dilations)
        weights = torch.linspace(-1, 1, render.rgb.numel(), dtype=torch.float64).view_as(render.rgb)
        (render.rgb.double() * weights).sum().backward()
        results.append([render.rgb.detach().double(), leaves.means.grad.double(), leaves.log_scales.grad.double()])
    for expected, found in zip(*results, strict=True):
        assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_a_scene_learns_and_keeps_its_pixels(tmp_path) -> None:
    scene = GaussianScene(GaussianSceneConfig(), ball())
    coarse, fine = (float(pixel_sizes(camera(size))) for size in (FITTED, 2 * FITTED))
    scene.see_pixels(coarse)
    scene.save(tmp_path)
    assert GaussianScene.load(tmp_path).footprint == pytest.approx(coarse)
    before = scene.render(camera(FITTED)).alpha.detach()
    scene.see_pixels(2 * coarse)
    assert scene.footprint == pytest.approx(coarse)
    scene.see_pixels(fine)
    assert scene.footprint == pytest.approx(fine)
    # What finer pixels dilate less, the Gaussians are wider themselves.
    after = scene.render(camera(FITTED)).alpha.detach()
    assert float(after.mean()) == pytest.approx(float(before.mean()), rel=0.01)
    thinner = render_fitted(ball(), camera(FITTED), footprint=fine).alpha
    assert float(thinner.mean()) < 0.995 * float(before.mean())
