"""A render against the whole picture that its subject was cut out of."""

import numpy as np
import pytest

from a4d.evaluation.picture import figures_of_picture
from a4d.framing import crop_around, cut

SIDE = 96


def picture(second: bool) -> np.ndarray:
    """A striped square on grey, and perhaps another beside it."""
    image = np.full((SIDE, 2 * SIDE, 3), 0.5, np.float32)
    stripes = np.where(np.arange(32)[:, None, None] // 4 % 2, 0.9, 0.1).astype(np.float32)
    image[30:62, 20:52] = stripes
    if second:
        image[30:62, 130:162] = stripes
    return image


def scored(image: np.ndarray) -> dict[str, float]:
    alpha = np.zeros((SIDE, 2 * SIDE, 1), np.float32)
    alpha[30:62, 20:52] = 1
    crop = crop_around(alpha[..., 0], 128)
    return figures_of_picture(cut(np.concatenate([image, alpha], axis=-1), crop), crop, image)


def test_what_the_matte_holds_whole_is_all_there_is() -> None:
    figures = scored(picture(second=False))
    assert figures["contrast_left_out"] == 0
    assert figures["picture_psnr"] > 25


def test_half_of_the_subjects_left_out_is_half_of_the_contrast() -> None:
    figures = scored(picture(second=True))
    assert figures["contrast_left_out"] == pytest.approx(0.5, abs=0.02)
    assert figures["picture_psnr"] < 22


def test_what_is_transparent_is_no_part_of_a_picture() -> None:
    image = picture(second=True)
    alpha = np.zeros((SIDE, 2 * SIDE, 1), np.float32)
    alpha[:, :SIDE] = 1
    assert scored(np.concatenate([image, alpha], axis=-1))["contrast_left_out"] < 0.7
