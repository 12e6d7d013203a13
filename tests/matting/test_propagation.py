"""A subject followed through films whose masks are known: over a moving ground, out of the picture and back."""

import cv2
import numpy as np
import pytest

from a4d.estimation.flow import Carrier
from a4d.matting.colour_mixture import ColourModel, learn_colours
from a4d.matting.following import FollowedMask, Follower
from a4d.matting.looks import Look, _without_shadows
from a4d.matting.masks import touches_border
from a4d.matting.propagation import _contradicted, follow_subject

HEIGHT, WIDTH, COUNT = 96, 128, 12


def ground(shift: int) -> np.ndarray:
    """A pattern of blues and greens, which moves under the camera."""
    noise = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH + 2 * COUNT, 3))
    pattern = np.clip(0.4 + 1.4 * cv2.GaussianBlur(noise, (0, 0), 2) * [0.2, 0.7, 1], 0, 1)
    return pattern[:, shift : shift + WIDTH]


def masked(moment: int, step: float = 2.0) -> np.ndarray:
    """(H, W) bool: a body and a limb that swings, which goes to the right."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    middle = np.array([35 + step * moment, 50])
    cv2.ellipse(mask, np.rint(middle).astype(int).tolist(), (20, 12), 0, 0, 360, 1, -1)
    swing = 0.5 * np.sin(moment / 2)
    end = middle + 30 * np.array([np.sin(swing), np.cos(swing)])
    cv2.line(mask, np.rint(middle).astype(int).tolist(), np.rint(end).astype(int).tolist(), 1, 7)
    return mask.astype(bool)


def frame(moment: int, step: float = 2.0) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    skin = np.stack([0.85 + 0.1 * np.sin((x - step * moment) / 3), 0.45 + 0.1 * np.sin(y / 2), 0.2 + 0 * x], axis=-1)
    return np.where(masked(moment, step)[..., None], skin, ground(moment)).astype(np.float32)


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / max((found | true).sum(), 1))


def test_a_subject_keeps_its_outline_over_a_moving_ground() -> None:
    film = [frame(moment) for moment in range(COUNT)]
    followed = follow_subject(film, Carrier(film))
    shares = [overlap(each.subject, masked(moment)) for moment, each in enumerate(followed)]
    assert min(shares) > 0.9
    assert all(each.is_sure for each in followed)


def test_a_subject_that_leaves_and_returns_is_nowhere_meanwhile() -> None:
    moments = [6, 7, 8, 9, 10, 11, 12, 13, 14, 13, 12, 11, 10, 9]
    film = [frame(moment, step=9.0) for moment in moments]
    followed = follow_subject(film, Carrier(film))
    for moment, each in zip(moments, followed, strict=True):
        true = masked(moment, step=9.0)
        if true.any():
            assert overlap(each.subject, true) > 0.9 or not each.is_sure
            assert true.sum() < 500 or each.is_sure
        else:
            assert not each.subject.any()
    assert touches_border(followed[4].subject)
    assert not touches_border(followed[0].subject)


def test_a_mask_that_is_told_stays_and_leads_the_others() -> None:
    film = [frame(moment) for moment in range(4)]
    told = masked(0) & (np.arange(HEIGHT) < 70)[:, None]
    followed = follow_subject(film, Carrier(film), {0: told})
    assert np.array_equal(followed[0].subject, told)
    assert overlap(followed[3].subject, masked(3)) > 0.8


def test_a_film_of_which_nothing_stands_out_is_in_doubt() -> None:
    film = [np.random.default_rng(moment).random((HEIGHT, WIDTH, 3)).astype(np.float32) for moment in range(4)]
    assert not any(each.is_sure for each in follow_subject(film, Carrier(film)))


def pooled(film: list[np.ndarray], mask: np.ndarray) -> ColourModel:
    pixels = np.concatenate([np.rint(255 * each).astype(np.uint8) for each in film])
    inside = np.tile(mask, (len(film), 1))
    return learn_colours(pixels[inside], pixels[~inside])


def test_a_shadow_that_a_look_took_for_a_part_is_none_and_dark_spots_are() -> None:
    picture, y, x = frame(0), *np.mgrid[:HEIGHT, :WIDTH]
    body, shadow = masked(0), (y > 62) & (y < 74) & (x > 10) & (x < 70)
    spots = np.hypot(x - 35, y - 50) < 5
    picture[shadow & ~body], picture[spots] = (0.12, 0.1, 0.08), (0.1, 0.1, 0.6)
    taken = body | (shadow & (y < 66) & (x > 24) & (x < 56))
    model = pooled([picture], taken)
    cleaned = _without_shadows(model, [picture], {0: Look(taken, 1.0)})
    dark, blue = (np.array([[colour]], np.uint8) for colour in ((31, 26, 20), (26, 26, 153)))
    assert model.preference(dark) > 0 > cleaned.preference(dark)
    assert cleaned.preference(blue) > 0
    assert cleaned.subject.weights.sum() == pytest.approx(1)


def test_masks_that_meet_share_the_frames_between_them_or_are_in_doubt() -> None:
    film = [frame(moment) for moment in range(COUNT)]
    follower = Follower(film, Carrier(film), pooled(film[:1], masked(0)))
    found = {0: FollowedMask(masked(0), is_sure=True), COUNT - 1: FollowedMask(masked(COUNT - 1), is_sure=True)}
    between = follower.joined(found, 0, COUNT - 1)
    assert sorted(between) == list(range(1, COUNT - 1))
    assert all(each.is_sure and overlap(each.subject, masked(moment)) > 0.9 for moment, each in between.items())
    lacking = FollowedMask(masked(3) & (np.arange(WIDTH) < 40), is_sure=True)
    torn = follower.joined({0: found[0], 3: lacking}, 0, 3)
    assert sorted(torn) == [1, 2]
    assert not any(each.is_sure for each in torn.values())


def test_frames_near_a_look_that_shows_something_else_are_contradicted() -> None:
    found = {moment: FollowedMask(masked(moment), is_sure=True) for moment in range(COUNT)}
    half = masked(8) & (np.arange(WIDTH) < 50)
    assert _contradicted(found, {2: Look(masked(2), 0.9), 8: Look(half, 0.3)}) == list(range(6, COUNT))
    assert _contradicted(found, {2: Look(masked(2), 0.9), 8: Look(half, 0.1)}) == []
    assert _contradicted(found, {}) == []


def test_colours_are_told_apart_and_change_slowly() -> None:
    generator = np.random.default_rng(0)
    red, blue = (
        np.clip(generator.normal(middle, 8, (500, 3)), 0, 255).astype(np.uint8)
        for middle in ((200, 40, 40), (40, 40, 200))
    )
    model = learn_colours(red, blue)
    assert model.preference(red[None]).min() > 0 > model.preference(blue[None]).max()
    darker = np.clip(red.astype(int) - 60, 0, 255).astype(np.uint8)
    relearnt = model.subject.relearnt(darker)
    assert (relearnt.weights @ relearnt.means) == pytest.approx(darker.mean(0), abs=0.5)
    blended = model.subject.blended(relearnt, 0.25)
    assert blended.means == pytest.approx(0.75 * model.subject.means + 0.25 * relearnt.means)
