import math

import numba
import pytest
import torch

from a4d.errors import BackendUnavailableError, UsageError
from a4d.render.encoding import SPACE_PLANES, TIME_PLANES, HexplaneConfig, HexplaneEncoding

CONFIG = HexplaneConfig(features=4, resolutions=((5, 6, 7, 8), (9, 12, 10, 2)))
PLANES = SPACE_PLANES + TIME_PLANES


def hexplanes(config: HexplaneConfig = CONFIG) -> dict[str, HexplaneEncoding]:
    """The same planes with random values under both backends."""
    reference = HexplaneEncoding(config, "reference")
    generator = torch.Generator().manual_seed(0)
    reference.initialise(generator)
    with torch.no_grad():
        reference.time.uniform_(0.5, 1.5, generator=generator)
    kernels = HexplaneEncoding(config, "numba")
    kernels.load_state_dict(reference.state_dict())
    return {"reference": reference, "numba": kernels}


def points(count: int = 777) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, generator=generator), torch.rand(count, generator=generator)


@pytest.mark.parametrize("shared_time", [True, False])
@pytest.mark.parametrize("features", [4, 16])
def test_backends_agree_on_values_and_gradients(shared_time, features) -> None:
    config = CONFIG.model_copy(update={"features": features})
    positions, times = points()
    times = torch.tensor(0.37) if shared_time else times
    results = {}
    for backend, encoding in hexplanes(config).items():
        inputs = (positions.clone().requires_grad_(), times.clone().requires_grad_())
        encoded = encoding(*inputs)
        encoded.backward(torch.randn(encoded.shape, generator=torch.Generator().manual_seed(2)))
        results[backend] = (encoded.detach(), encoding.space.grad, encoding.time.grad, *(i.grad for i in inputs))
    for ours, reference in zip(results["numba"], results["reference"], strict=True):
        assert float((ours - reference).abs().max()) < 1e-5 * max(1.0, float(reference.abs().max()))
        assert float(reference.abs().max()) > 0.01


@pytest.mark.parametrize("shared_time", [True, False])
def test_reference_gradients_in_double_precision(shared_time) -> None:
    encoding = hexplanes(HexplaneConfig(features=2, resolutions=((3, 4, 5, 3),)))["reference"].double()
    positions, times = points(4)
    times = torch.tensor(0.7) if shared_time else times

    def encode(positions, times, space, time):
        return torch.func.functional_call(encoding, {"space": space, "time": time}, (positions, times))

    inputs = (positions.double().requires_grad_(), times.double().requires_grad_(), encoding.space, encoding.time)
    assert torch.autograd.gradcheck(encode, inputs)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_gradients_match_finite_differences(backend) -> None:
    encoding = hexplanes()[backend]
    positions, times = (0.13 + 0.01 * torch.rand(20, 3), 0.3 + 0.01 * torch.rand(20))  # away from the vertices
    positions.requires_grad_(), times.requires_grad_()
    encoding(positions, times).sum().backward()
    step = 1e-2 / 4
    with torch.no_grad():
        for axis in range(4):
            offset = step * torch.eye(4)[axis]
            after = encoding(positions + offset[:3], times + offset[3]).sum(dim=1)
            before = encoding(positions - offset[:3], times - offset[3]).sum(dim=1)
            gradient = positions.grad[:, axis] if axis < 3 else times.grad
            assert torch.allclose(gradient, (after - before) / (2 * step), atol=2e-3)
    assert float(times.grad.abs().max()) > 0.01


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_one_time_for_all_points_is_the_same_as_a_time_for_each(backend) -> None:
    encoding = hexplanes()[backend]
    positions, _ = points()
    for time in (0.0, 0.37, 1.0):
        shared = encoding(positions, torch.tensor(time))
        apart = encoding(positions, torch.full((len(positions),), time))
        assert torch.allclose(shared, apart, atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_at_a_vertex_the_features_are_the_product_of_the_planes(backend) -> None:
    encoding = hexplanes()[backend]
    indices = {"x": 3, "y": 5, "z": 2, "t": 6}
    resolution = dict(zip("xyzt", CONFIG.resolutions[0], strict=True))
    x, y, z, t = (indices[axis] / (resolution[axis] - 1) for axis in "xyzt")
    encoded = encoding(torch.tensor([[x, y, z]]), torch.tensor([t]))[0, : CONFIG.features]
    expected = torch.ones(CONFIG.features)
    for name in PLANES:
        expected = expected * encoding.plane(0, name)[indices[name[1]], indices[name[0]]]
    assert torch.allclose(encoded, expected, atol=1e-5)


def test_the_planes_are_disjoint_views_of_all_parameters() -> None:
    encoding = HexplaneEncoding(CONFIG)
    with torch.no_grad():
        encoding.space.zero_()
        encoding.time.zero_()
        for level, resolution in enumerate(CONFIG.resolutions):
            for name in PLANES:
                plane = encoding.plane(level, name)
                columns, rows = (resolution["xyzt".index(axis)] for axis in name)
                assert plane.shape == (rows, columns, 4)
                plane.add_(1)
    assert torch.equal(encoding.space, torch.ones_like(encoding.space))
    assert torch.equal(encoding.time, torch.ones_like(encoding.time))
    assert encoding.state_dict()["space"].shape == ((5 * 6 + 5 * 7 + 6 * 7 + 9 * 12 + 9 * 10 + 12 * 10) * 4,)
    assert encoding.state_dict()["time"].shape == (((5 + 6 + 7) * 8 + (9 + 12 + 10) * 2) * 4,)


def test_it_starts_constant_in_time() -> None:
    encoding = HexplaneEncoding(CONFIG)
    positions, times = points()
    assert torch.allclose(encoding(positions, times), encoding(positions, torch.tensor(0.0)), atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_coordinates_outside_are_clamped_and_get_no_gradient(backend) -> None:
    encoding = hexplanes()[backend]
    positions = torch.tensor([[-1.0, 2.0, 1.5]], requires_grad=True)
    for times, clamped in ((torch.tensor([1.5]), torch.tensor([1.0])), (torch.tensor(-2.0), torch.tensor(0.0))):
        times.requires_grad_()
        encoded = encoding(positions, times)
        assert torch.equal(encoded, encoding(torch.tensor([[0.0, 1.0, 1.0]]), clamped))
        encoded.sum().backward()
        assert not times.grad.any()
    assert not positions.grad.any()


def test_a_position_that_is_no_number_gives_no_number_and_harms_no_other() -> None:
    encoding = hexplanes()["numba"]
    positions, times = points(8)
    expected = encoding(positions, times)
    positions[3, 1] = times[5] = math.nan
    encoded = encoding(positions, times)
    assert bool(encoded[[3, 5]].isnan().all())
    assert torch.equal(encoded[[0, 1, 2, 4, 6, 7]], expected[[0, 1, 2, 4, 6, 7]])
    assert bool(encoding(positions, torch.tensor(math.nan)).isnan().all())


def test_the_kernels_give_the_same_bits_whatever_the_number_of_threads() -> None:
    positions, times = points(5000)
    most = numba.get_num_threads()
    results = []
    for threads in (1, most, most):
        numba.set_num_threads(threads)
        encoding = hexplanes()["numba"]
        inputs = positions.clone().requires_grad_()
        encoded = encoding(inputs, times)
        encoded.square().sum().backward()
        results.append((encoded.detach(), encoding.space.grad, encoding.time.grad, inputs.grad))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert torch.equal(first, second)


def test_shapes_and_types_that_do_not_fit_are_refused() -> None:
    encoding = HexplaneEncoding(CONFIG, "numba")
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        encoding(torch.rand(5, 4), torch.tensor(0.5))
    with pytest.raises(ValueError, match="times"):
        encoding(torch.rand(5, 3), torch.rand(4))
    with pytest.raises(BackendUnavailableError, match="float32 on cpu"):
        encoding.double()(torch.rand(5, 3), torch.tensor(0.5))
    with pytest.raises(UsageError, match="unknown backend"):
        HexplaneEncoding(CONFIG, "tinycudann")(torch.rand(5, 3), torch.tensor(0.5))


def test_it_learns_a_motion() -> None:
    torch.manual_seed(0)
    encoding = HexplaneEncoding(HexplaneConfig(features=16, resolutions=((12, 12, 12, 12),)))
    read_out = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    groups = [{"params": encoding.parameters(), "lr": 2e-2}, {"params": read_out.parameters(), "lr": 3e-3}]
    optimiser = torch.optim.Adam(groups, eps=1e-15)

    def wanted(positions: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        angle = 2 * time * (positions[:, :1] - 0.5)  # a twist about x
        y, z = positions[:, 1:2] - 0.5, positions[:, 2:] - 0.5
        return torch.cat([0 * y, y * angle.cos() - z * angle.sin() - y, y * angle.sin() + z * angle.cos() - z], dim=1)

    def error(count: int) -> torch.Tensor:
        positions, time = torch.rand(count, 3), torch.rand(())
        return (read_out(encoding(positions, time)) - wanted(positions, time)).square().mean()

    for _ in range(400):
        loss = error(1000)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        held_out = torch.stack([error(1000) for _ in range(10)]).mean().sqrt()
        size = torch.stack([wanted(torch.rand(1000, 3), torch.tensor(t)).square().mean() for t in (0.3, 1.0)]).mean()
    assert float(held_out) < 0.15 * float(size.sqrt())
