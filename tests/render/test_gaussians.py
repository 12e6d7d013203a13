"""What Gaussian splatting shows: shapes, depth and normals, harmonics, signals, and numbers that are no numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussian_clouds import NAMES, cloud, front_camera, off_centre_cameras, one
from scipy.special import sph_harm_y

from a4d.geometry.cameras import Cameras, look_at, turntable
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.render import gaussians_reference
from a4d.render.gaussians import facing_normals, render_gaussians


def test_reference_gradients_are_those_of_finite_differences():
    gaussians = cloud(3, 3, opacity=1.0, seed=3).to(torch.float64)
    cameras = off_centre_cameras(1, 8, 7)
    probe = torch.zeros(1, 3, 2, dtype=torch.float64)

    def images(*values):
        render = render_gaussians(
            Gaussians(*values[:5]), cameras, torch.tensor([0.2, 0.5, 0.9]), backend="reference", wants=("normal",),
            screen_probe=values[5],
        )  # fmt: skip
        return render.rgb, render.alpha, render.depth, render.normal

    values = [getattr(gaussians, name).requires_grad_() for name in NAMES] + [probe.requires_grad_()]
    assert torch.autograd.gradcheck(images, values, eps=1e-7, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_single_gaussian_is_a_gaussian(backend):
    gaussians, camera = one(scale=0.1, opacity=0.9), front_camera()
    render = render_gaussians(gaussians, camera, torch.ones(3), backend=backend)
    pixels = torch.arange(32) + 0.5 - 16
    squared = pixels[None, :] ** 2 + pixels[:, None] ** 2
    variance = (40 * 0.1 / 2) ** 2 + 0.3
    alpha = 0.9 * torch.exp(-0.5 * squared / variance)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0)
    assert torch.allclose(render.alpha[0, ..., 0], alpha, atol=1e-5)
    expected = alpha[..., None] * torch.tensor([1.0, 0.5, 0.25]) + 1 - alpha[..., None]
    assert torch.allclose(render.rgb[0], expected, atol=1e-5)
    assert torch.allclose(render.depth[0, ..., 0], torch.where(alpha > 0, 2.0, 0.0), atol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_depth_and_normals_of_a_plane(backend):
    """Flat Gaussians tile the plane y = 0.3 z + 0.1, seen from the front and above."""
    steps = torch.linspace(-1.5, 1.5, 61)
    x, z = (part.flatten() for part in torch.meshgrid(steps, steps, indexing="ij"))
    normal = torch.nn.functional.normalize(torch.tensor([0.0, 1.0, -0.3]), dim=0)
    right = torch.tensor([1.0, 0.0, 0.0])
    rotation = torch.stack([right, torch.linalg.cross(normal, right), normal], dim=1)
    count = len(x)
    gaussians = Gaussians(
        torch.stack([x, 0.3 * z + 0.1, z], dim=-1),
        quaternion_from_rotation(rotation).expand(count, 4),
        torch.tensor([0.04, 0.04, 1e-4]).log().expand(count, 3),
        torch.full((count,), 3.0),
        torch.zeros(count, 1, 3),
    )
    camera = Cameras(look_at(torch.tensor([[0.3, 2.0, -0.2]])), torch.tensor([[60.0, 60, 20, 20]]), 40, 40)
    render = render_gaussians(gaussians, camera, backend=backend, wants=("normal",))
    origins, directions = camera.rays()
    above = origins[..., 1] - 0.3 * origins[..., 2] - 0.1
    depth = -above / (directions[..., 1] - 0.3 * directions[..., 2])
    inner = (slice(None), slice(8, 32), slice(8, 32))
    assert render.alpha[inner].min() > 0.99
    assert (render.depth[inner][..., 0] - depth[inner]).abs().max() < 0.02
    assert (render.normal[inner] / render.alpha[inner] - normal).abs().max() < 1e-4


def test_normals_face_every_camera():
    gaussians, cameras = cloud(50), turntable(4, 20.0, 3.0, 40.0, 16)
    normals = facing_normals(gaussians, cameras)
    towards = cameras.positions[:, None] - gaussians.means
    assert ((normals * towards).sum(-1) > 0).all()
    assert torch.allclose(normals.norm(dim=-1), torch.ones(4, 50), atol=1e-5)


def test_harmonics_are_the_real_orthonormal_ones():
    """Against scipy's complex harmonics, whose Condon-Shortley phase the 3DGS signs keep."""
    directions = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    x, y, z = directions.unbind(-1)
    polar, azimuth = torch.arccos(z).numpy(), torch.atan2(y, x).numpy()
    basis = gaussians_reference.sh_basis(directions, 3)
    index = 0
    for degree in range(4):
        for order in range(-degree, degree + 1):
            harmonic = sph_harm_y(degree, abs(order), polar, azimuth)
            expected = harmonic.real if order == 0 else math.sqrt(2) * (harmonic.imag if order < 0 else harmonic.real)
            np.testing.assert_allclose(basis[:, index].numpy(), expected, atol=1e-12)
            index += 1


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_limit_on_the_degree_of_harmonics(backend):
    gaussians, cameras = cloud(40, 3), off_centre_cameras(1, 24, 24)
    for degree, count in ((0, 1), (1, 4), (2, 9)):
        limited = render_gaussians(gaussians, cameras, backend=backend, sh_degree=degree)
        cut = render_gaussians(replace(gaussians, sh=gaussians.sh[:, :count]), cameras, backend=backend)
        assert torch.equal(limited.rgb, cut.rgb)
    assert not torch.equal(cut.rgb, render_gaussians(gaussians, cameras, backend=backend, sh_degree=7).rgb)


def test_screen_probe_receives_the_effect_of_moving_the_projected_mean():
    """Moving a camera's principal point moves every projected mean."""
    gaussians, camera = cloud(30), off_centre_cameras(1, 40, 40)
    weights = torch.randn(1, 40, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(shift, probe=None, backend="reference", dtype=torch.float64):
        intrinsics = camera.intrinsics.double() + torch.tensor([[0.0, 0.0, shift, 0.0]])
        shifted = Cameras(camera.world_from_camera.double(), intrinsics, 40, 40)
        render = render_gaussians(gaussians.to(dtype), shifted, backend=backend, screen_probe=probe)
        return (render.rgb.double() * weights).sum()

    probe = torch.zeros(1, 30, 2, requires_grad=True)
    loss(0.0, probe, "numba", torch.float32).backward()
    difference = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert probe.grad[..., 0].sum().item() == pytest.approx(difference.item(), rel=1e-3)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_nothing_to_see(backend):
    background = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    cameras = Cameras(
        look_at(torch.tensor([[0.0, 0.0, 2.0]])).expand(2, 4, 4), torch.tensor([[40.0, 40, 10, 9]] * 2), 20, 18
    )
    none = cloud(10)[:0]
    behind = replace(cloud(10), means=torch.tensor([[0.0, 0.0, 2.1]]).expand(10, 3))
    clear = replace(cloud(10), opacity_logits=torch.full((10,), -6.0))
    for gaussians in (none, behind, clear):
        leaves = Gaussians(*(getattr(gaussians, name).clone().requires_grad_() for name in NAMES))
        render = render_gaussians(leaves, cameras, background, backend=backend, wants=("normal",))
        assert torch.equal(render.rgb, background[:, None, None].expand(2, 18, 20, 3))
        assert render.visible.shape == (2, len(gaussians))
        assert not render.visible.any()
        assert sum(getattr(render, name).detach().abs().sum() for name in ("alpha", "depth", "normal")) == 0
        (render.rgb.sum() + render.depth.sum() + render.normal.sum()).backward()
        assert all(not getattr(leaves, name).grad.any() for name in NAMES if getattr(leaves, name).grad is not None)


def test_batch_is_its_views():
    gaussians, cameras = cloud(200, 1), off_centre_cameras(3, 40, 24)
    background = torch.rand(3, 3)
    batch = render_gaussians(gaussians, cameras, background)
    for view in range(3):
        single = render_gaussians(gaussians, cameras[view], background[view])
        assert torch.equal(batch.rgb[view], single.rgb[0])
        assert torch.equal(batch.visible[view], single.visible[0])


def test_equal_depths_keep_their_order():
    red, green = one(colour=(1.0, 0.0, 0.0)), one(colour=(0.0, 1.0, 0.0))
    both = Gaussians(*(torch.cat([getattr(red, name), getattr(green, name)]) for name in NAMES))
    for backend in ("reference", "numba"):
        pixel = render_gaussians(both, front_camera(), backend=backend).rgb[0, 16, 16]
        assert pixel[0] > 5 * pixel[1]


def poison(gaussians, generator):
    """Put an extreme number into one of the parameters of about half of the Gaussians."""
    extremes = torch.tensor(
        [0.0, -0.0, 1e-30, 1e-6, 30.0, -30.0, 1e6, -1e6, 3e38, -3e38, math.inf, -math.inf, math.nan]
    )
    spoilt = {}
    for name in NAMES:
        values = getattr(gaussians, name).clone().flatten()
        hit = torch.rand(len(values), generator=generator) < 0.06
        values[hit] = extremes[torch.randint(len(extremes), (int(hit.sum()),), generator=generator)]
        spoilt[name] = values.view_as(getattr(gaussians, name))
    return Gaussians(**spoilt)


@pytest.mark.parametrize("seed", range(6))
def test_extreme_numbers_neither_crash_nor_spread(seed):
    gaussians = poison(cloud(200, 1, seed=seed), torch.Generator().manual_seed(seed))
    gaussians = replace(gaussians, sh=gaussians.sh.nan_to_num(posinf=math.nan).clamp(-1e3, 1e3))
    cameras = off_centre_cameras(2, 40, 33)
    for backend in ("reference", "numba"):
        leaves = Gaussians(*(getattr(gaussians, name).clone().requires_grad_() for name in NAMES))
        render = render_gaussians(leaves, cameras, backend=backend, wants=("normal",))
        for image in (render.rgb, render.alpha, render.depth, render.normal):
            assert image.isfinite().all()
        render.rgb.mean().backward()
        finite = torch.cat([getattr(gaussians, name).reshape(200, -1) for name in NAMES], dim=1).isfinite().all(dim=1)
        assert finite.any()
        assert all(getattr(leaves, name).grad[finite].isfinite().all() for name in NAMES)


def test_gaussians_that_are_skipped_change_nothing():
    gaussians, cameras = cloud(100, 1), off_centre_cameras(1, 40, 33)
    expected = render_gaussians(gaussians, cameras)
    bad = cloud(5, 1, seed=9)
    bad = replace(
        bad,
        means=bad.means.index_fill(0, torch.tensor([0]), math.nan),
        quaternions=bad.quaternions.index_fill(0, torch.tensor([1]), 0.0),
        log_scales=bad.log_scales.index_fill(0, torch.tensor([2]), math.inf),
        opacity_logits=bad.opacity_logits.index_fill(0, torch.tensor([3]), math.nan),
        sh=bad.sh.index_fill(0, torch.tensor([4]), math.nan),
    )
    joined = Gaussians(*(torch.cat([getattr(bad, name), getattr(gaussians, name)]) for name in NAMES))
    for backend in ("reference", "numba"):
        render = render_gaussians(joined, cameras, backend=backend)
        assert not render.visible[:, :5].any()
        assert torch.allclose(render.rgb, expected.rgb, atol=1e-5)


def test_descent_on_an_image_recovers_a_gaussian():
    camera = front_camera()
    target = render_gaussians(one((0.1, -0.05, 0.0), 0.15, 0.8, (0.9, 0.2, 0.4)), camera).rgb
    start = one((0.0, 0.0, 0.0), 0.1, 0.5, (0.5, 0.5, 0.5))
    leaves = Gaussians(*(getattr(start, name).clone().requires_grad_() for name in NAMES))
    optimiser = torch.optim.Adam([getattr(leaves, name) for name in NAMES], lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        loss = (render_gaussians(leaves, camera).rgb - target).square().mean()
        loss.backward()
        optimiser.step()
    assert loss < 1e-4
    assert torch.allclose(leaves.means[0, :2].detach(), torch.tensor([0.1, -0.05]), atol=0.02)


def test_images_of_the_forward_pass_are_guarded():
    leaves = replace(one(), means=torch.zeros(1, 3, requires_grad=True))
    render = render_gaussians(leaves, front_camera())
    with torch.no_grad():
        render.rgb.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        render.rgb.sum().backward()


def test_real_capture(real_data):
    """Three views of a garden from 139 thousand points: finite, mostly covered, and in the points' own colours."""
    path = real_data / "multiview_garden" / "test_garden.npz"
    if not path.is_file():
        pytest.skip("the capture is not there")
    with np.load(path, allow_pickle=False) as arrays:
        points, colours = torch.from_numpy(arrays["means3d"]), torch.from_numpy(arrays["colors"]) / 255
        views, matrices = torch.from_numpy(arrays["viewmats"]), torch.from_numpy(arrays["Ks"])
        width, height = int(arrays["width"]) // 4, int(arrays["height"]) // 4
    intrinsics = torch.stack([matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, 0, 2], matrices[:, 1, 2]], dim=-1) / 4
    cameras = Cameras(torch.linalg.inv(views).float(), intrinsics.float(), width, height)
    count = len(points)
    gaussians = Gaussians(
        points.float(),
        torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        torch.full((count, 3), math.log(0.01)),
        torch.full((count,), 2.0),
        sh_from_colours(colours.float())[:, None],
    )
    render = render_gaussians(gaussians, cameras)
    assert render.rgb.isfinite().all()
    assert (render.visible.float().mean(1) > 0.2).all()
    assert (render.alpha.mean((1, 2, 3)) > 0.3).all()
    assert render.rgb.max() <= colours.max() + 1e-4


def test_gradients_of_signals_are_those_of_finite_differences():
    gaussians, cameras = cloud(3, 0, opacity=1.0, seed=3).to(torch.float64), off_centre_cameras(1, 8, 7)

    def image(signals, means):
        shown = replace(gaussians, means=means)
        return render_gaussians(shown, cameras, backend="reference", signals={"features": signals}).channels["features"]

    draws = torch.Generator().manual_seed(0)
    signals = torch.randn(3, 5, generator=draws, dtype=torch.float64, requires_grad=True)
    means = gaussians.means.clone().requires_grad_()
    assert torch.autograd.gradcheck(image, (signals, means), eps=1e-7, atol=1e-5, fast_mode=True)
