"""The backends of Gaussian splatting against each other: images, gradients, bits, and the code of the kernels."""

import math
import platform
import re

import numpy as np
import pytest
import torch
from gaussian_clouds import NAMES, cloud, front_camera, images_and_gradients, off_centre_cameras, one
from numba import get_num_threads, njit, set_num_threads
from numba import types as nb_types

from a4d.errors import BackendUnavailableError, ExitCode, UsageError
from a4d.geometry.gaussians import Gaussians
from a4d.render import backends, gaussians_numba, gaussians_reference
from a4d.render.gaussians import BACKENDS, render_gaussians
from a4d.render.kernels import gaussian_splats, gaussian_tiles
from a4d.render.kernels.gaussian_projection_backward import project_backward
from a4d.render.kernels.gaussian_rasterisation import blend
from a4d.render.kernels.gaussian_rasterisation_backward import blend_backward, rasterise_backward


@pytest.mark.parametrize(
    ("count", "degree", "width", "height", "opacity", "normals"),
    [
        (300, 0, 64, 48, 0.0, False),
        (600, 3, 90, 77, 2.5, True),  # neither side a multiple of a tile, most pixels end early
        (300, 1, 50, 33, 8.0, False),  # alpha clamped almost everywhere
        (300, 2, 17, 16, -3.0, True),  # few Gaussians above the least alpha
    ],
)
def test_numba_agrees_with_the_reference_in_double_precision(count, degree, width, height, opacity, normals):
    gaussians = cloud(count, degree, opacity)
    cameras = off_centre_cameras(2, width, height)
    background = torch.rand(2, 3, generator=torch.Generator().manual_seed(2))
    truth = images_and_gradients("reference", gaussians, cameras, background, torch.float64, normals)
    fast = images_and_gradients("numba", gaussians, cameras, background, torch.float32, normals)
    for name, image in truth[0].items():
        # In single precision a Gaussian may fall on the other side of a cut-off, in very few pixels.
        differs = (fast[0][name] - image).abs() > 1e-5 * max(1.0, float(image.detach().abs().max()))
        assert differs.any(dim=-1).float().mean() < 2e-4, name
    for name, gradient in truth[1].items():
        assert gradient.norm() > 0
        assert (fast[1][name] - gradient).norm() < 1e-4 * gradient.norm(), name
    assert torch.equal(fast[2], truth[2])


@pytest.mark.parametrize("output", ["rgb", "alpha", "depth", "normal"])
def test_each_output_alone_has_the_reference_gradient(output):
    gaussians, cameras = cloud(60, 1), off_centre_cameras(1, 40, 30)
    found = []
    for backend, dtype in (("reference", torch.float64), ("numba", torch.float32)):
        leaves = Gaussians(*(getattr(gaussians, name).to(dtype).clone().requires_grad_() for name in NAMES))
        image = getattr(render_gaussians(leaves, cameras, backend=backend, wants=("normal",)), output)
        image.square().sum().backward()
        tensors = [getattr(leaves, name) for name in NAMES]
        gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()


def test_bits_do_not_depend_on_the_run_or_the_number_of_threads():
    gaussians, cameras = cloud(3000, 1, 1.0), off_centre_cameras(2, 100, 70)
    threads = get_num_threads()
    found = []
    try:
        for count in (threads, threads, 1):
            set_num_threads(count)
            images, gradients, _ = images_and_gradients("numba", gaussians, cameras, torch.ones(3), torch.float32, True)
            found.append([*images.values(), *gradients.values()])
    finally:
        set_num_threads(threads)
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))


def test_backends_are_named_and_refused_with_a_remedy(monkeypatch):
    with pytest.raises(UsageError, match=r"unknown backend 'opengl'.*gsplat"):
        render_gaussians(one(), front_camera(), backend="opengl")
    reasons = backends.availability(BACKENDS)
    assert reasons["reference"] is None
    assert reasons["numba"] is None
    if reasons["gsplat"] is not None:
        with pytest.raises(BackendUnavailableError, match=r"gsplat.*pip install") as caught:
            render_gaussians(one(), front_camera(), backend="gsplat")
        assert caught.value.exit_code == ExitCode.UNAVAILABLE
    with pytest.raises(BackendUnavailableError, match="needs Gaussians on cpu, not on meta"):
        render_gaussians(one().to("meta"), front_camera(), backend="numba")
    table = {"broken": "a4d.render.absent:render"}
    assert "absent" in backends.availability(table)["broken"]


def test_kernels_follow_the_constants_of_the_specification():
    assert gaussian_splats.NEAR_DEPTH == gaussians_reference.NEAR_DEPTH
    assert gaussian_splats.FRUSTUM_MARGIN == gaussians_reference.FRUSTUM_MARGIN
    assert gaussian_splats.REACH_MAX == gaussians_reference.REACH_MAX
    assert pytest.approx(math.log2(gaussians_reference.ALPHA_MIN)) == gaussian_splats.LOG2_ALPHA_MIN
    assert pytest.approx(math.log2(gaussians_reference.ALPHA_MIN)) == gaussian_tiles.LOG2_ALPHA_MIN
    assert np.float32(gaussians_reference.ALPHA_MAX) == gaussian_tiles.ALPHA_MAX
    assert np.float32(gaussians_reference.TRANSMITTANCE_MIN) == gaussian_tiles.TRANSMITTANCE_MIN
    assert gaussian_tiles.TILE == gaussian_splats.TILE_SIZE


def test_warm_up_compiles_every_kernel():
    gaussians_numba.warm_up()
    for kernel in (project_backward, rasterise_backward):
        compiled = len(kernel.signatures)
        images_and_gradients("numba", cloud(10, 3), off_centre_cameras(1, 20, 20), torch.ones(3), torch.float32, True)
        assert len(kernel.signatures) == compiled


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.parametrize("loop", [blend, blend_backward])
def test_inner_loops_are_vector_code(loop):
    kernel = njit(fastmath=loop.targetoptions["fastmath"], error_model="numpy")(loop.py_func)
    splat = nb_types.UniTuple(nb_types.float32, 14)
    row = nb_types.float32[::1]
    kernel.compile((row, splat) if loop is blend else (row, splat, row))
    listing = "".join(kernel.inspect_asm().values())
    vector, scalar = (
        len(re.findall(rf"\bv?(?:mul|add|sub|fn?m(?:add|sub)\d*){suffix}\b", listing)) for suffix in ("ps", "ss")
    )
    # The loop stands there once more, scalar, for what is left over; how far it is unrolled is the machine's to say.
    lanes = 8 if "ymm" in listing else 4
    assert lanes * vector > 2 * scalar


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["reference", "gsplat"])
def test_a_card_agrees_with_numba(card, within, backend):
    if reason := backends.availability(BACKENDS)[backend]:
        pytest.skip(reason)
    gaussians, cameras = cloud(1000 if card == "cuda" else 50, 3, 1.0), off_centre_cameras(2, 45, 38)
    background = torch.tensor([0.2, 0.5, 0.9])
    expected = images_and_gradients("numba", gaussians, cameras, background, torch.float32, True)
    images, gradients, visible = images_and_gradients(
        backend, gaussians.to(card), cameras, background, torch.float32, True
    )
    for name, image in expected[0].items():
        within(name, (images[name].cpu() - image).abs().mean(), 1e-5)
    for name, gradient in expected[1].items():
        within(f"gradient by {name}", (gradients[name].cpu() - gradient).norm() / gradient.norm(), 1e-3)
    within("visible in one alone", (visible.cpu() != expected[2]).float().mean(), 0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["reference", "gsplat"])
def test_signals_and_dilations_on_a_card_are_those_of_numba(card, within, backend):
    if reason := backends.availability(BACKENDS)[backend]:
        pytest.skip(reason)
    gaussians, cameras = cloud(50, 1, 1.0), off_centre_cameras(3, 20, 16)
    features = torch.randn(50, 5, generator=torch.Generator().manual_seed(4))
    found = []
    for name, place in (("numba", "cpu"), (backend, card)):
        signals = features.clone().to(place).requires_grad_()
        dilations = torch.tensor([0.3, 1.0, 0.3], dtype=torch.float64)
        render = render_gaussians(
            gaussians.to(place), cameras, backend=name, signals={"features": signals}, dilations=dilations
        )
        render.channels["features"].square().sum().backward()
        found.append((render.rgb.cpu(), render.channels["features"].cpu(), signals.grad.cpu()))
    for name, expected, mine in zip(("rgb", "signals", "gradient by signals"), *found, strict=True):
        within(name, (mine - expected).norm() / expected.norm(), 1e-3)


@pytest.mark.parametrize("channels", [1, 7])
def test_signals_are_blended_in_the_pass_of_the_colours_and_pass_gradients(channels):
    gaussians, cameras = cloud(200, 1, 1.0), off_centre_cameras(2, 40, 30)
    draws = torch.Generator().manual_seed(4)
    shared, own = torch.randn(200, channels, generator=draws), torch.randn(2, 200, 2, generator=draws)
    found = []
    for backend, dtype in (("reference", torch.float64), ("numba", torch.float32)):
        leaves = Gaussians(*(getattr(gaussians, name).to(dtype).clone().requires_grad_() for name in NAMES))
        signals = {
            name: values.to(dtype).clone().requires_grad_() for name, values in (("features", shared), ("flow", own))
        }
        render = render_gaussians(leaves, cameras, backend=backend, wants=("normal",), signals=signals)
        images = [render.rgb, render.depth, render.channels["features"], render.channels["flow"], render.normal]
        sum(image.square().sum() for image in images).backward()
        gradients = [getattr(leaves, name).grad for name in NAMES] + [each.grad for each in signals.values()]
        found.append((images, gradients))
    assert found[1][0][2].shape == (2, 30, 40, channels)
    for truth, fast in zip(found[0][0], found[1][0], strict=True):
        assert ((fast - truth).abs() > 1e-4).any(dim=-1).float().mean() < 2e-3
    for truth, fast in zip(found[0][1], found[1][1], strict=True):
        assert (fast - truth).norm() < 1e-4 * truth.norm()
    plain = render_gaussians(gaussians, cameras)
    assert (plain.rgb - found[1][0][0]).abs().max() < 1e-5
    assert plain.channels == {}
