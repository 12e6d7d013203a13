import contextlib
import importlib
import math
import sys
import types

import pytest
import torch

from a4d.errors import BackendUnavailableError, UsageError
from a4d.render import encoding_reference
from a4d.render.encoding import (
    GridConfig,
    GridEncoding,
    encoding_backends,
    progressive_level_weights,
)
from a4d.render.grid_layout import grid_layout

GRIDS = {
    "hash-2d": GridConfig(dimensions=2, levels=6, table=2**8, finest_resolution=200),
    "hash-3d": GridConfig(dimensions=3, levels=6, table=2**10, finest_resolution=256),
    "hash-3d-fine": GridConfig(dimensions=3, levels=16, table=2**12, finest_resolution=2048),
    "hash-3d-smooth": GridConfig(levels=4, table=2**10, finest_resolution=64, interpolation="smoothstep"),
    "hash-4d": GridConfig(dimensions=4, levels=5, features=4, table=2**12, base_resolution=4, finest_resolution=64),
    "tiled-3d": GridConfig(kind="tiled-grid", levels=8, table=2**10, finest_resolution=256),
    "tiled-4d": GridConfig(kind="tiled-grid", dimensions=4, levels=4, table=2**9, base_resolution=3, per_level_scale=2),
}


def grids(config: GridConfig) -> dict[str, GridEncoding]:
    """The same grid with random features under the two backends that are always there."""
    reference = GridEncoding(config, "reference")
    reference.initialise(torch.Generator().manual_seed(0), bound=1.0)
    kernels = GridEncoding(config, "numba")
    kernels.load_state_dict(reference.state_dict())
    return {"reference": reference, "numba": kernels}


def random_positions(config: GridConfig, count: int = 999) -> torch.Tensor:
    return torch.rand(count, config.dimensions, generator=torch.Generator().manual_seed(1))


# Values and gradients


@pytest.mark.parametrize("name", GRIDS)
def test_backends_agree_on_values_and_gradients(name) -> None:
    config = GRIDS[name]
    positions = random_positions(config)
    positions[0], positions[1] = 0, 1
    weights = progressive_level_weights(config.levels, config.levels - 0.5)
    results = {}
    for backend, grid in grids(config).items():
        inputs = positions.clone().requires_grad_()
        encoded = grid(inputs, weights)
        encoded.backward(torch.randn(encoded.shape, generator=torch.Generator().manual_seed(2)))
        results[backend] = (encoded.detach(), grid.table.grad, inputs.grad)
    for ours, reference in zip(results["numba"], results["reference"], strict=True):
        assert float((ours - reference).abs().max()) < 1e-5 * max(1.0, float(reference.abs().max()))
        assert float(reference.abs().max()) > 0.1


def test_the_reference_keeps_nothing_of_a_point_but_its_place() -> None:
    config = GRIDS["tiled-3d"]
    grid, kept = grids(config)["reference"], {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    positions = random_positions(config)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoded = grid(positions)
    assert encoded.requires_grad
    assert sum(kept.values()) == grid.table.nbytes + positions.nbytes


@pytest.mark.parametrize("name", ["hash-2d", "hash-3d-smooth", "hash-4d", "tiled-3d", "tiled-4d"])
def test_reference_gradients_in_double_precision(name) -> None:
    config = GRIDS[name]
    grid = GridEncoding(config, "reference").double()
    grid.initialise(torch.Generator().manual_seed(0), bound=1.0)
    positions = random_positions(config, 3).double().requires_grad_()
    weights = progressive_level_weights(config.levels, 2.5)

    def encode(positions: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(grid, {"table": table}, (positions, weights))

    assert torch.autograd.gradcheck(encode, (positions, grid.table), fast_mode=True)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_table_gradient_is_the_transpose_of_the_encoding(backend) -> None:
    config = GRIDS["hash-3d"]
    grid = grids(config)[backend]
    encoded = grid(random_positions(config))
    cotangent = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(3))
    encoded.backward(cotangent)
    # The encoding is linear in the table, so <encode(table), y> = <table, gradient>.
    inner = float((encoded.detach().double() * cotangent).sum())
    assert inner == pytest.approx(float((grid.table.detach().double() * grid.table.grad).sum()), abs=1e-3)


@pytest.mark.parametrize("interpolation", ["linear", "smoothstep"])
def test_position_gradient_matches_finite_differences(interpolation) -> None:
    config = GridConfig(levels=3, table=2**10, finest_resolution=64, interpolation=interpolation)
    grid = grids(config)["numba"]
    step = 1e-4
    cell = torch.rand(500, 3, generator=torch.Generator().manual_seed(4))
    scales = torch.tensor(grid.layout.levels["scale"])
    inside = [((cell * scale + 0.5) % 1 - 0.5).abs() < 0.5 - 2 * step * float(scale) for scale in scales]
    positions = cell[torch.stack(inside).all(dim=0).all(dim=1)].requires_grad_()
    assert len(positions) > 300
    grid(positions).sum().backward()
    with torch.no_grad():
        for axis in range(3):
            offset = step * torch.eye(3)[axis]
            difference = (grid(positions + offset).double() - grid(positions - offset).double()).sum(dim=1) / (2 * step)
            assert torch.allclose(positions.grad[:, axis].double(), difference, atol=0.2)
    assert float(positions.grad.abs().mean()) > 10


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_a_dense_level_reproduces_a_linear_function_and_its_slope(backend, dimensions) -> None:
    config = GridConfig(dimensions=dimensions, levels=1, table=2**16, base_resolution=9)
    grid = GridEncoding(config, backend)
    slope = torch.tensor([1.0, -2.0, 0.5, 3.0][:dimensions])
    axis = (torch.arange(9) - 0.5) / 8  # where the vertices lie: half a cell before the edge of the unit cube
    vertices = torch.stack(torch.meshgrid(*[axis] * dimensions, indexing="ij"), dim=-1)
    with torch.no_grad():
        values = (vertices * slope).sum(dim=-1)
        # The first axis runs fastest.
        rows = values.permute(*reversed(range(dimensions))).reshape(-1, 1)
        grid.table[: 2 * 9**dimensions] = torch.cat([rows, -3 * rows], dim=1).flatten()
    positions = random_positions(config) * (7.5 / 8 - 1e-3)  # the last half cell wraps
    positions.requires_grad_()
    first, second = grid(positions).unbind(1)
    (2 * first + second).sum().backward()
    assert torch.allclose(first, positions @ slope, atol=1e-6)
    assert torch.allclose(second, -3 * (positions @ slope), atol=3e-6)
    assert torch.allclose(positions.grad, -slope.expand_as(positions), atol=1e-5)


# Bounds


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("name", GRIDS)
def test_positions_outside_are_clamped_and_get_no_gradient(backend, name) -> None:
    config = GRIDS[name]
    grid = grids(config)[backend]
    inside = torch.zeros(2, config.dimensions)
    inside[1] = 1
    outside = torch.tensor([[-3.0], [1.5]]).repeat(1, config.dimensions).requires_grad_()
    encoded = grid(outside)
    assert torch.equal(encoded, grid(inside))
    encoded.sum().backward()
    assert torch.equal(outside.grad, torch.zeros_like(outside))


@pytest.mark.parametrize("name", GRIDS)
def test_a_position_that_is_no_number_gives_no_number_and_harms_no_other(name) -> None:
    config = GRIDS[name]
    grid = grids(config)["numba"]
    positions = random_positions(config, 8)
    expected = grid(positions)
    positions[3] = math.nan
    encoded = grid(positions)
    assert bool(encoded[3].isnan().all())
    others = [index for index in range(8) if index != 3]
    assert torch.equal(encoded[others], expected[others])


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_no_points_give_no_features(backend) -> None:
    grid = GridEncoding(GRIDS["hash-3d"], backend)
    positions = torch.zeros(0, 3, requires_grad=True)
    encoded = grid(positions)
    encoded.sum().backward()
    assert encoded.shape == (0, 12)
    assert torch.equal(grid.table.grad, torch.zeros_like(grid.table))


# Level weights


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_masked_level_is_exactly_zero_even_where_its_features_are_not_finite(backend) -> None:
    config = GRIDS["hash-3d"]
    grid = grids(config)[backend]
    offsets = [offset * config.features for offset in grid.layout.offsets]
    positions = random_positions(config).requires_grad_()
    full = grid(positions).detach()
    with torch.no_grad():
        grid.table[offsets[2] : offsets[3]] = math.inf
    encoded = grid(positions, (1, 0.5, 0, 0, 1, 0))
    encoded.sum().backward()
    factors = torch.tensor([1, 0.5, 0, 0, 1, 0]).repeat_interleave(2)
    assert torch.allclose(encoded.detach(), full * factors, atol=1e-6)
    assert not encoded[:, 4:8].any()
    assert not grid.table.grad[offsets[2] : offsets[4]].any()
    assert bool(grid.table.grad[offsets[4] : offsets[5]].any())
    assert bool(positions.grad.isfinite().all())


def test_weights_of_the_wrong_number_or_range_are_refused() -> None:
    grid = GridEncoding(GRIDS["hash-3d"])
    for weights in [(1.0,) * 5, (2.0,) * 6, (math.nan,) * 6]:
        with pytest.raises(ValueError, match="6 numbers"):
            grid(torch.rand(1, 3), weights)


# Backends


def test_every_backend_says_whether_it_is_available() -> None:
    reasons = encoding_backends()
    assert set(reasons) == {"reference", "numba", "tinycudann"}
    assert reasons["reference"] is reasons["numba"] is None


def test_the_automatic_backend_follows_the_parameters() -> None:
    config = GRIDS["hash-3d"]
    grid = GridEncoding(config)
    positions = random_positions(config)
    assert "Grid" in grid(positions).grad_fn.name()  # the custom function of the kernels
    assert grid.double()(positions).dtype == torch.float64


def test_a_backend_that_cannot_encode_this_is_refused_with_a_remedy() -> None:
    config = GRIDS["hash-3d"]
    positions = random_positions(config)
    with pytest.raises(BackendUnavailableError, match=r"float32 on cpu, not torch.float64.*'auto'"):
        GridEncoding(config, "numba").double()(positions)
    with pytest.raises(BackendUnavailableError, match=r"tinycudann.*'auto'"):
        GridEncoding(config, "tinycudann")(positions)
    with pytest.raises(UsageError, match="Valid are: auto, reference, numba, tinycudann"):
        GridEncoding(config, "cuda")(positions)


def test_tinycudann_is_given_our_parameters_and_returns_their_gradient(monkeypatch) -> None:
    config = GRIDS["hash-3d"]
    asked = {}

    class Encoding(torch.nn.Module):
        """Stands in for the extension: its own parameters, of the same number, must not be used."""

        def __init__(self, n_input_dims, encoding_config, dtype) -> None:
            super().__init__()
            asked.update(encoding_config, n_input_dims=n_input_dims, dtype=dtype)
            self.params = torch.nn.Parameter(torch.full((grid_layout(config).parameters,), math.nan))

        def forward(self, positions):
            return encoding_reference.encode_grid(positions, self.params, grid_layout(config), (1.0,) * config.levels)

    monkeypatch.setitem(sys.modules, "tinycudann", types.SimpleNamespace(Encoding=Encoding))
    monkeypatch.setattr(torch.cuda, "device", lambda index: contextlib.nullcontext())
    name = "a4d.render.encoding_tinycudann"
    sys.modules.pop(name, None)
    encode = importlib.import_module(name).encode_grid
    sys.modules.pop(name)
    reference = grids(config)["reference"]
    positions, weights = random_positions(config), progressive_level_weights(config.levels, 3.5)
    expected = reference(positions, weights)
    expected.square().sum().backward()
    table = reference.table.detach().clone().requires_grad_()
    encoded = encode(positions, table, reference.layout, weights)
    encoded.square().sum().backward()
    assert torch.allclose(encoded, expected)
    assert torch.allclose(table.grad, reference.table.grad)
    assert asked["log2_hashmap_size"] == 10
    assert asked["interpolation"] == "Linear"
    assert asked["per_level_scale"] == pytest.approx(2 ** (4 / 5))
    with pytest.raises(BackendUnavailableError, match="parameters where this grid has"):
        encode(positions, table, grid_layout(GRIDS["hash-3d-fine"]), weights)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["reference", "tinycudann"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_card_agrees_with_the_cpu(card, within, name, backend) -> None:
    config = GRIDS[name]
    if reason := encoding_backends()[backend]:
        pytest.skip(reason)
    if backend == "tinycudann" and config.kind != "hash-grid":
        pytest.skip(f"tinycudann has no {config.kind} of this layout")
    reference = grids(config)["reference"]
    there = GridEncoding(config, backend)
    there.load_state_dict(reference.state_dict())
    there = there.to(card)
    positions = random_positions(config)
    cotangent = torch.randn(len(positions), reference.output_features, generator=torch.Generator().manual_seed(2))
    inputs = [positions.clone().requires_grad_(), positions.clone().to(card).requires_grad_()]
    expected, encoded = reference(inputs[0]), there(inputs[1])
    expected.backward(cotangent)
    encoded.backward(cotangent.to(card))
    # tiny-cuda-nn finds fractions in single precision: 1e-4 of a cell at the finest resolution.
    within("values", (encoded.cpu() - expected).abs().max(), 1e-3)
    within("gradient by the table", (there.table.grad.cpu() - reference.table.grad).abs().max(), 1e-2)
    slope = inputs[0].grad.norm()
    within("gradient by positions", (inputs[1].grad.cpu() - inputs[0].grad).norm() / slope, 1e-2)
