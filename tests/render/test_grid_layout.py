import numpy as np
import pytest
import torch

from a4d.config import parse
from a4d.errors import ConfigError
from a4d.render.encoding import GridConfig, GridEncoding
from a4d.render.grid_layout import grid_layout


def test_offsets_are_those_of_tiny_cuda_nn_where_every_resolution_is_a_power_of_two() -> None:
    layout = grid_layout(GridConfig(levels=5, table=2**16, base_resolution=16, per_level_scale=2))
    assert layout.levels["scale"].tolist() == [15, 31, 63, 127, 255]
    assert layout.levels["resolution"].tolist() == [16, 32, 64, 128, 256]
    assert layout.offsets == [0, 16**3, 16**3 + 32**3, 102400, 167936, 233472]
    assert layout.levels["hashed"].tolist() == [0, 0, 1, 1, 1]


def test_dense_levels_are_padded_to_a_multiple_of_eight_entries() -> None:
    config = GridConfig(dimensions=2, levels=3, features=4, table=512, base_resolution=10, per_level_scale=1.55)
    layout = grid_layout(config)
    assert layout.levels["resolution"].tolist() == [10, 16, 25]  # ceil(9) + 1, ceil(14.5) + 1, ceil(23.025) + 1
    assert layout.offsets == [0, 104, 104 + 256, 360 + 512]
    assert GridEncoding(config).state_dict()["table"].shape == (872 * 4,)


@pytest.mark.parametrize(("per_level_scale", "parameters"), [(1.38191, 12196240), (1.51572, 13074912)])
def test_the_number_of_parameters_is_the_one_instant_ngp_prints_for_its_own_scenes(per_level_scale, parameters) -> None:
    assert grid_layout(GridConfig(table=2**19, per_level_scale=per_level_scale)).parameters == parameters


def test_a_tiled_grid_ignores_the_axes_behind_the_one_whose_stride_exceeds_the_table() -> None:
    levels = grid_layout(GridConfig(kind="tiled-grid", table=2**16, finest_resolution=2048)).levels
    assert (levels["multipliers"][:, 2] == 0).tolist() == [False] * 9 + [True] * 7  # 256^2 is the table
    assert not levels["hashed"].any()
    positions = torch.rand(50, 3)
    moved = torch.stack([positions[:, 0], positions[:, 1], torch.rand(50)], dim=1)
    grid = GridEncoding(GridConfig(kind="tiled-grid", table=2**16, finest_resolution=2048))
    before, after = grid(positions).view(50, 16, 2), grid(moved).view(50, 16, 2)
    assert torch.allclose(before[:, 9:], after[:, 9:], atol=1e-10)
    assert not torch.allclose(before[:, :9], after[:, :9], atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_colliding_vertices_share_the_entry_the_hash_says(backend) -> None:
    config = GridConfig(levels=1, features=1, table=2**6, base_resolution=101)  # cells of 0.01, all hashed
    grid = GridEncoding(config, backend)
    vertices = torch.randint(1, 100, (40, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        grid.table.copy_(torch.arange(64.0))
    found = grid((vertices - 0.5) / 100.0)[:, 0]
    expected = [(x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)) % 64 for x, y, z in vertices.tolist()]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float32), atol=2e-3)


@pytest.mark.parametrize("table", [2**3, 2**5, 2**12, 2**15, 2**20])
def test_no_level_exceeds_its_table_and_hashed_levels_fill_it(table) -> None:
    levels = grid_layout(
        GridConfig(dimensions=4, levels=8, table=table, base_resolution=2, finest_resolution=64)
    ).levels
    assert int(levels["size"].max()) <= table
    assert (levels["size"][levels["hashed"] == 1] == table).all()
    assert (np.diff(levels["offset"].astype(np.int64)) == levels["size"][:-1]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"table": 1000}, "table: .*power of two"),
        ({"dimensions": 5}, "dimensions"),
        ({"features": 3}, "features"),
        ({"base_resolution": 64, "finest_resolution": 32}, "below base_resolution"),
        ({"per_level_scale": 2, "levels": 20}, "vertices per axis"),
        ({"level": 3}, "Did you mean 'levels'"),
    ],
)
def test_impossible_grids_are_refused_by_name(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(GridConfig, values)
