"""Optical flow of a clip whose flow is known, and where it is believed."""

import numpy as np
import pytest
from analytic_clips import SIZE, picture, true_flow

from a4d.estimation.flow import film_flows, followed, is_consistent

STRIDES = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def flows():
    film = [picture(moment) for moment in range(10)]
    return list(film_flows(film, STRIDES))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("direction", [1, -1])
def test_flow_of_a_bending_bar_is_true_where_it_is_seen(flows, stride: int, direction: int) -> None:
    errors, shares = [], []
    for found in flows:
        if found.step == direction * stride:
            true, shown = true_flow(found.start, found.start + found.step)
            errors.append(np.linalg.norm(found.flow - true, axis=-1)[shown])
            shares.append((found.valid & shown).sum() / shown.sum())
    assert len(errors) == 10 - stride
    assert np.median(np.concatenate(errors)) < 0.3
    assert np.linalg.norm(true[shown], axis=-1).max() > 2 * stride, "a still bar would pass"
    assert min(shares) > 0.9


def test_what_is_hidden_or_leaves_the_picture_is_not_believed() -> None:
    shift = np.zeros((SIZE, SIZE, 2), np.float32)
    shift[..., 0] = 30
    solid = np.ones((SIZE, SIZE), np.float32)
    valid = is_consistent(shift, -shift, solid, solid)
    assert valid[:, : SIZE - 31].all()
    assert not valid[:, SIZE - 30 :].any()
    back = -shift
    back[:, 60:] += 9
    assert not is_consistent(shift, back, solid, solid)[:, 30 : SIZE - 31].any()
    hidden = solid.copy()
    hidden[40:] = 0
    assert not is_consistent(shift, -shift, solid, hidden)[40:].any()
    assert not is_consistent(shift, -shift, hidden, solid)[40:].any()


def test_values_are_followed_between_pixels() -> None:
    ramp = np.arange(SIZE, dtype=np.float32)[None, :, None].repeat(SIZE, 0)
    shift = np.full((SIZE, SIZE, 2), [2.25, 0], np.float32)
    assert followed(ramp, shift)[:, : SIZE - 3, 0] == pytest.approx(ramp[:, : SIZE - 3, 0] + 2.25, abs=0.01)
