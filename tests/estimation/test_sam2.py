"""SAM 2: it is pointed at what stands out, follows it both ways, and remembers no more than it looks back at."""

import numpy as np
import pytest
import torch
from tiny_sam2 import SIDE, save_tiny, tiny_network

from a4d.errors import BackendUnavailableError
from a4d.estimation.sam2 import Sam2, load_sam2
from a4d.priors.catalogue import find
from a4d.priors.weights_folder import WeightsFolder


@pytest.fixture(scope="module")
def follower() -> Sam2:
    return Sam2(tiny_network())


def disc(x: float, y: float, radius: float = 9, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns - x, rows - y) < radius


def film(count: int) -> list[np.ndarray]:
    frames = []
    for index in range(count):
        rgb = np.full((48, 64, 3), (0.2, 0.5, 0.3), np.float32)
        rgb[disc(20 + 2 * index, 24)] = 0.9, 0.2, 0.1
        frames.append(rgb)
    return frames


def test_the_released_network_is_as_large_as_the_catalogue_says():
    from transformers import Sam2VideoConfig, Sam2VideoModel

    eyes = {"model_type": "sam2_hiera_det_model", "blocks_per_stage": [1, 2, 11, 2]}
    vision = {"model_type": "sam2_vision_model", "backbone_config": {**eyes, "global_attention_blocks": [7, 10, 13]}}
    with torch.device("meta"):
        network = Sam2VideoModel(Sam2VideoConfig(vision_config=vision))
    stored = 4 * sum(each.numel() for each in network.state_dict().values())
    assert 0 < find("sam2").bytes - stored < 200_000


def test_where_it_is_pointed_at_reaches_the_network(follower, monkeypatch):
    pointed = []
    network = follower._model
    forward = network._single_frame_forward
    monkeypatch.setattr(network, "_single_frame_forward", lambda **given: pointed.append(given) or forward(**given))
    for x in (16, 40):
        next(follower.sweep(film(1), disc(x, 24), [0]))
    for given, x in zip(pointed, (16, 40), strict=True):
        assert given["input_labels"].tolist() == [[[2, 3, 1]]]
        corners = np.array([[x - 8, 16], [x + 8, 32], [x, 24]])
        expected = (corners + 0.5) * np.array([SIDE / 64, SIDE / 48]) - 0.5
        np.testing.assert_allclose(given["input_points"][0, 0], expected, atol=0.01)


def test_another_point_is_another_outline(follower):
    one, other = (next(follower.sweep(film(1), disc(x, 24), [0]))[1] for x in (16, 40))
    assert one.shape == (SIDE // 4, SIDE // 4)
    assert (one - other).abs().max() > 1e-3


def test_a_film_is_followed_both_ways_from_its_clearest_frame(follower, monkeypatch):
    asked = []
    monkeypatch.setattr("a4d.estimation.sam2.clearest_cut", lambda film: (2, disc(24, 24)))
    sweep = follower.sweep
    monkeypatch.setattr(
        follower, "sweep", lambda film, mask, order: asked.append(list(order)) or sweep(film, mask, order)
    )
    found = follower.follow(film(5))
    assert asked == [[2, 3, 4], [2, 1, 0]]
    assert [each.subject.shape for each in found] == [(48, 64)] * 5


def test_what_it_remembers_is_what_it_saw_before(follower):
    """The frame at hand is judged by those before it, and a step back by those behind it."""
    frames = film(4)
    changed = [frames[0], 1 - frames[1], *frames[2:]]

    def last(film, order):
        return list(follower.sweep(film, disc(20 + 2 * order[0], 24), order))[-1][1]

    assert (last(frames, [0, 1, 2]) - last(changed, [0, 1, 2])).abs().max() > 1e-4
    assert torch.equal(last(frames, [3, 2]), last(changed, [3, 2]))


def test_a_long_film_needs_no_more_memory_than_a_short_one(follower, monkeypatch):
    sessions = []
    begin = follower._session
    monkeypatch.setattr(follower, "_session", lambda: sessions.append(begin()) or sessions[-1])
    held = []
    for _ in follower.sweep(film(12), disc(20, 24), range(12)):
        (outputs,) = sessions[-1].output_dict_per_obj.values()
        kept = [each for stored in outputs.values() for output in stored.values() for each in output.values()]
        held.append(sum(each.numel() for each in kept if isinstance(each, torch.Tensor)))
        assert not sessions[-1].processed_frames
    assert held[4] > held[0]
    assert len(set(held[5:])) == 1


def test_forgetting_changes_nothing(follower, monkeypatch):
    lean = [scores for _, scores, _ in follower.sweep(film(9), disc(20, 24), range(9))]
    monkeypatch.setattr(follower, "_forget", lambda session, index: None)
    for scores, (_, whole, _) in zip(lean, follower.sweep(film(9), disc(20, 24), range(9)), strict=True):
        assert torch.equal(scores, whole)


def test_one_picture_is_a_film_of_one_frame(follower):
    alpha = follower(torch.from_numpy(film(1)[0]))
    assert alpha.shape == (48, 64)
    assert 0 <= float(alpha.min()) < float(alpha.max()) <= 1


def test_a_folder_in_transformers_layout_is_loaded_and_another_refused(tmp_path):
    found = load_sam2(WeightsFolder(save_tiny(tmp_path)))
    one, other = (next(each.sweep(film(1), disc(20, 24), [0]))[1] for each in (found, Sam2(tiny_network())))
    torch.testing.assert_close(one, other)
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(BackendUnavailableError, match="another architecture"):
        load_sam2(WeightsFolder(tmp_path))
