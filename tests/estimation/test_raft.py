"""RAFT: its layers against torchvision's and plain ones, in pixels of pictures of any size."""

import numpy as np
import pytest
import torch
from a4d.stages.preprocess import Preprocess
from a4d.stages.preprocess import memory as preprocess_memory
from tiny_raft import TINY, save_tiny, steady_network

from a4d.errors import BackendUnavailableError
from a4d.estimation.flow import film_flows
from a4d.estimation.raft.config import CELL, SMALL, RaftConfig, correlation_bytes
from a4d.estimation.raft.estimator import UPDATES, RaftFlow, load_raft
from a4d.estimation.raft.network import Raft, correlation_pyramid, finer, looked_up
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder


@pytest.mark.parametrize(("config", "parameters"), [(RaftConfig(), 5_257_536), (SMALL, 990_162)])
def test_the_network_is_as_large_as_the_released_one(config: RaftConfig, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(each.numel() for each in Raft(config).parameters()) == parameters


@pytest.mark.parametrize(("config", "name"), [(RaftConfig(), "raft_large"), (SMALL, "raft_small")])
def test_it_says_what_torchvisions_says(config: RaftConfig, name: str) -> None:
    try:
        from torchvision.models import optical_flow
    except (ImportError, OSError, RuntimeError) as error:  # a build for another torch lacks its operators
        pytest.skip(f"torchvision does not load: {error}")
    theirs, mine = getattr(optical_flow, name)().eval(), Raft(config).eval()
    mine.load_state_dict(theirs.state_dict())
    first, second = torch.rand(2, 1, 3, 128, 136, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = theirs(first, second, num_flow_updates=3)[-1]
        torch.testing.assert_close(mine(first, second, torch.zeros(1, 2, 16, 17), 3), expected, atol=1e-3, rtol=1e-3)


def test_correlations_are_looked_up_where_the_flow_leads() -> None:
    generator = torch.Generator().manual_seed(0)
    here, there = torch.randn(2, 1, 5, 8, 8, generator=generator)
    pyramid = correlation_pyramid(here, there, levels=2)
    places = torch.zeros(1, 2, 8, 8)
    places[0, :, 3, 4] = torch.tensor([5.0, 2.0])
    found = looked_up(pyramid, places, radius=1)[0, :, 3, 4].view(2, 3, 3)
    for column in range(3):
        for row in range(3):
            product = here[0, :, 3, 4] @ there[0, :, 1 + row, 4 + column] / 5**0.5
            assert float(found[0, column, row]) == pytest.approx(float(product), abs=1e-5)
    pooled = torch.nn.functional.avg_pool2d(there, 2)
    between = 0.5 * (pooled[0, :, 1, 2] + pooled[0, :, 1, 3])
    assert float(found[1, 1, 1]) == pytest.approx(float(here[0, :, 3, 4] @ between / 5**0.5), abs=1e-5)


def test_a_fine_pixel_takes_the_flow_of_the_feature_that_its_share_names() -> None:
    flow = torch.arange(24.0).view(1, 2, 3, 4)
    shares = torch.full((1, 9, CELL, CELL, 3, 4), -1e4)
    shares[:, 4] = 0
    shares[:, 4, 2, 7], shares[:, 5, 2, 7] = -1e4, 0  # the neighbour to the right, for one pixel of each cell
    fine = finer(flow, shares.flatten(1, 3)) / CELL
    assert fine.shape == (1, 2, 24, 32)
    assert torch.equal(fine[..., 8, 8], flow[..., 1, 1])
    assert torch.equal(fine[..., 8 + 2, 8 + 7], flow[..., 1, 2])


@pytest.mark.parametrize("shape", [(30, 45), (64, 72)])
def test_flow_is_in_pixels_at_any_size(shape: tuple[int, int]) -> None:
    flow = RaftFlow(steady_network(TINY, (0.25, -0.125)))(*np.random.default_rng(0).random((2, *shape, 3), np.float32))
    assert flow.shape == (*shape, 2)
    np.testing.assert_allclose(flow, np.broadcast_to((2 * UPDATES, -UPDATES), flow.shape), rtol=1e-5)


def test_what_the_network_is_shown_is_padded_to_whole_cells_and_cropped_back() -> None:
    shown = []

    class Known(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config, self.place = RaftConfig(), torch.nn.Parameter(torch.zeros(1))

        def forward(self, first, second, guess, updates):
            shown.append((first, guess))
            rows, columns = torch.meshgrid(*(torch.arange(side) for side in first.shape[2:]), indexing="ij")
            return torch.stack([columns, rows])[None].float()

    picture = np.random.default_rng(0).random((130, 50, 3), np.float32)
    flow = RaftFlow(Known())(picture, picture)
    rows, columns = np.indices((130, 50))
    assert np.array_equal(flow, np.stack([columns, rows], -1))
    first, guess = shown[0]
    assert first.shape == (1, 3, 136, 128)
    assert guess.shape == (1, 2, 17, 16)
    np.testing.assert_allclose(first[0, :, :130, :50].permute(1, 2, 0), 2 * picture - 1, atol=1e-6)


def test_it_starts_from_a_guess_in_pixels() -> None:
    guess = np.tile(np.float32([12, -4]), (64, 64, 1))
    flow = RaftFlow(steady_network(TINY, (0, 0)))(*np.zeros((2, 64, 64, 3), np.float32), guess)
    np.testing.assert_allclose(flow, guess, atol=1e-4)


def test_long_ways_are_guessed_from_their_steps_and_doubted_where_they_do_not_return() -> None:
    film = [np.ones((32, 40, 4), np.float32)] * 4
    there = RaftFlow(steady_network(TINY, (0.125 / UPDATES, 0)))
    flows = list(film_flows(film, (1, 2), there))
    assert len(flows) == 10
    steps = {found.step: float(found.flow[16, 4, 0]) for found in flows}
    assert steps == pytest.approx({1: 1, -1: 1, 2: 3, -2: 3}, rel=1e-3), "its correction beyond two steps of one pixel"
    assert not any(found.valid.any() for found in flows), "what always drifts to the right never returns"
    still = film_flows(film, (1,), RaftFlow(steady_network(TINY, (0, 0))))
    assert all(found.valid.all() for found in still)


def test_it_computes_in_single_precision_wherever_it_lies(tmp_path) -> None:
    folder = WeightsFolder(save_tiny(tmp_path, Raft(TINY)), Placement(dtype=torch.float16))
    assert {each.dtype for each in load_raft(folder).network.state_dict().values()} <= {torch.float32, torch.int64}


def test_all_pairs_take_what_is_asked_for_them() -> None:
    (finest, *_) = correlation_pyramid(*torch.zeros(2, 1, 4, 16, 16), levels=2)
    assert correlation_bytes(16 * CELL) == finest.numel() * finest.element_size()
    small, large = (
        sum(demand.bytes for demand in preprocess_memory(Preprocess(flow=flow, size=2048))) for flow in ("dis", "raft")
    )
    assert large - small == correlation_bytes(2048) > 17 * 10**9


def test_the_tensors_tell_the_small_network_from_the_large(tmp_path) -> None:
    torch.save(Raft(SMALL).state_dict(), tmp_path / "model.pth")
    assert load_raft(WeightsFolder(tmp_path)).network.config == SMALL
    with pytest.raises(BackendUnavailableError, match="another architecture"):
        load_raft(WeightsFolder(save_tiny(tmp_path / "tiny", Raft(TINY.model_copy(update={"head": 9})), TINY)))
