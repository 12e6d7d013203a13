"""Optical flow of a clip whose flow is known, and where it is believed."""

import cv2
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


@pytest.mark.parametrize("stride", STRIDES)
def test_what_is_believed_is_what_is_seen_in_both_frames(flows, stride: int) -> None:
    true_positives = believed = seen = 0
    for found in flows:
        if abs(found.step) == stride:
            true, shown = true_flow(found.start, found.start + found.step)
            is_right = shown & (np.linalg.norm(found.flow - true, axis=-1) < 1)
            true_positives += int((found.valid & is_right).sum())
            believed, seen = believed + int(found.valid.sum()), seen + int(shown.sum())
    least = 0.9 if stride == 8 else 0.98
    assert true_positives / believed > least, "right by a pixel wherever it is believed"
    assert true_positives / seen > least, "and believed nearly everywhere"


@pytest.mark.parametrize("stride", [4, 8])
def test_what_a_square_hides_that_passes_is_not_believed(stride: int) -> None:
    generator = np.random.default_rng(0)
    ground, square = (
        np.clip(0.5 + 1.2 * cv2.GaussianBlur(generator.normal(size=(96, 96, 3)), (0, 0), 1.5), 0, 1) for _ in range(2)
    )
    covered = np.zeros((9, 96, 96), np.bool_)
    film = []
    for moment, rows in enumerate(covered):
        rows[30:66, 10 + 3 * moment : 46 + 3 * moment] = True
        shown = np.where(rows[..., None], np.roll(square, (30, 10 + 3 * moment), (0, 1)), ground)
        film.append(np.dstack([shown, np.ones((96, 96))]).astype(np.float32))
    hidden_doubted = hidden = doubted = 0
    for found in film_flows(film, (stride,)):
        is_hidden = covered[found.start + found.step] & ~covered[found.start]
        hidden_doubted += int((is_hidden & ~found.valid).sum())
        hidden, doubted = hidden + int(is_hidden.sum()), doubted + int((~found.valid).sum())
    assert hidden_doubted / hidden > 0.9
    assert hidden_doubted / doubted > 0.5


@pytest.mark.parametrize("stride", STRIDES)
def test_flow_of_the_outlines_middle_would_not_pass(stride: int) -> None:
    errors = []
    for start in range(10 - stride):
        middles = [np.argwhere(picture(moment)[..., 3] > 0.5).mean(0)[::-1] for moment in (start, start + stride)]
        true, shown = true_flow(start, start + stride)
        errors.append(np.linalg.norm(middles[1] - middles[0] - true, axis=-1)[shown])
    assert np.median(np.concatenate(errors)) > 0.3


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
