"""The canonical frame: where things land in it, and that the way back is the inverse."""

import numpy as np
import pytest

from a4d.config import parse, plain
from a4d.errors import InvalidInputError
from a4d.framing import Crop, crop_around, cut, place_back


def blob(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A soft-edged disc with smoothly varying colours over a transparent ground."""
    y, x = np.mgrid[:height, :width] + 0.5
    distance = np.hypot(x - centre[0], y - centre[1])
    alpha = np.clip(radius + 0.5 - distance, 0, 1)
    colours = [0.5 + 0.4 * np.sin(x / 17), 0.5 + 0.4 * np.cos(y / 13), 0 * x + 0.3]
    return np.stack([*colours, alpha], axis=-1).astype(np.float32)


def centroid(alpha: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]] + 0.5
    return np.array([(x * alpha).sum(), (y * alpha).sum()]) / alpha.sum()


@pytest.mark.parametrize(("centre", "radius"), [((80, 60), 40), ((30, 100), 60), ((150, 20), 9)])
def test_subject_is_centred_and_fills_the_frame_up_to_its_margin(centre, radius):
    image = blob(120, 160, centre, radius)
    crop = crop_around(image[..., 3], size=128, margin=0.125)
    frame = cut(image, crop)
    assert frame.shape == (128, 128, 4)
    columns, rows = np.flatnonzero((frame[..., 3] > 0.5).any(0)), np.flatnonzero((frame[..., 3] > 0.5).any(1))
    widths = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    assert max(widths) == pytest.approx(96, abs=3)
    for extent in (columns, rows):
        assert (extent[0] + extent[-1] + 1) / 2 == pytest.approx(64, abs=1.5)


def test_points_and_pixels_agree_below_a_pixel():
    image = blob(200, 240, (91.3, 117.8), 33)
    crop = crop_around(image[..., 3], size=512)
    frame = cut(image, crop)
    np.testing.assert_allclose(centroid(frame[..., 3]), crop.frame_from_source(np.array([91.3, 117.8])), atol=0.1)


@pytest.mark.parametrize("render_size", [256, 400])
def test_a_frame_placed_back_lies_where_it_came_from(render_size):
    image = blob(200, 240, (91.3, 117.8), 63)
    crop = crop_around(image[..., 3], size=render_size)
    frame = cut(image, crop)
    assert crop.side == pytest.approx(126 / 0.8, abs=3)
    restored = place_back(frame, crop, np.zeros_like(image))
    assert np.abs(restored[..., 3] - image[..., 3]).max() < 0.25
    np.testing.assert_allclose(centroid(restored[..., 3]), [91.3, 117.8], atol=0.02)
    inside = image[..., 3] == 1
    assert np.abs(restored - image)[inside][:, :3].mean() < 4e-3
    photo = np.full((200, 240, 3), 0.25, np.float32)
    placed = place_back(frame, crop, photo)
    np.testing.assert_array_equal(placed[:40], photo[:40])
    assert np.abs(placed - image[..., :3])[inside].mean() < 4e-3


def test_opaque_renders_cover_their_square():
    crop = Crop(source_width=40, source_height=30, left=10, top=5, side=20, size=64)
    placed = place_back(np.ones((32, 32, 3), np.float32), crop, np.zeros((30, 40, 3), np.float32))
    expected = np.zeros((30, 40))
    expected[5:25, 10:30] = 1
    np.testing.assert_allclose(placed[..., 0], expected, atol=0.15)
    assert placed.mean() == pytest.approx(expected.mean(), rel=0.01)


def test_haze_does_not_move_the_frame():
    image = blob(100, 100, (50, 50), 20)
    hazy = np.maximum(image[..., 3], 0.03)
    assert crop_around(hazy) == crop_around(image[..., 3])


def test_crops_are_plain_data():
    crop = crop_around(blob(50, 60, (30, 25), 11)[..., 3], size=96)
    assert parse(Crop, plain(crop)) == crop


def test_nothing_to_frame():
    with pytest.raises(InvalidInputError, match="transparent"):
        crop_around(np.zeros((8, 8), np.float32))


def test_colours_reach_beyond_the_outline():
    image = blob(64, 64, (32, 32), 12)
    image[..., :3] = np.where(image[..., 3:] > 0, [0.8, 0.1, 0.1], [0, 1, 0])
    frame = cut(image, crop_around(image[..., 3], size=100))
    np.testing.assert_allclose(frame[..., :3], np.broadcast_to([0.8, 0.1, 0.1], (100, 100, 3)), atol=0.01)
