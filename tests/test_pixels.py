"""Image arithmetic against closed forms."""

import numpy as np

from a4d.pixels import composite, extend_colours, nearest_fill, over, resample, shrink


def smooth_image(height: int, width: int) -> np.ndarray:
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    return np.stack([x, y, 0.5 + 0.3 * np.sin(4 * x + 3 * y)], axis=-1).astype(np.float32)


def test_resampling_keeps_positions_at_pixel_centres():
    np.testing.assert_allclose(resample(smooth_image(90, 120), (40, 30)), smooth_image(30, 40), atol=0.02)
    box = (30.25, 10.5, 90.75, 60.5)
    y, x = np.meshgrid(
        (10.5 + (np.arange(25) + 0.5) * 2) / 90, (30.25 + (np.arange(20) + 0.5) * 60.5 / 20) / 120, indexing="ij"
    )
    part = resample(smooth_image(90, 120), (20, 25), box)
    np.testing.assert_allclose(part[..., 0], x, atol=2e-3)
    np.testing.assert_allclose(part[..., 1], y, atol=2e-3)


def test_beyond_the_image_is_transparent_or_the_edge():
    opaque = np.ones((10, 10, 4), np.float32)
    wide = resample(opaque, (30, 10), (-10, 0, 20, 10))
    np.testing.assert_allclose(wide[5, :, 3], [0] * 10 + [1] * 10 + [0] * 10, atol=0.1)
    np.testing.assert_allclose(resample(opaque[..., :3], (30, 10), (-10, 0, 20, 10)), 1, atol=1e-6)


def test_hidden_colours_do_not_leak_when_resampled():
    image = np.zeros((64, 64, 4), np.float32)
    image[..., 1] = 1
    image[:, :29] = 1, 0, 0, 1
    for size in ((17, 17), (150, 150)):
        small = resample(image, size)
        np.testing.assert_allclose(
            small[small[..., 3] > 0.01][:, :3].T,
            np.array([[1], [0], [0]]) + 0 * small[small[..., 3] > 0.01][:, 0],
            atol=1e-3,
        )
    assert abs(resample(image, (16, 16))[..., 3].mean() - 29 / 64) < 1e-3


def test_shrinking_keeps_the_aspect_and_never_enlarges():
    assert shrink(np.zeros((100, 301, 3), np.float32), 30).shape == (10, 30, 3)
    assert shrink(np.zeros((1000, 1, 3), np.float32), 10).shape == (10, 1, 3)
    image = np.zeros((5, 5, 3), np.float32)
    assert shrink(image, 5) is image


def test_nearest_fill_is_nearest():
    known = np.zeros((20, 30), bool)
    known[5, 5] = known[15, 25] = True
    values = np.zeros((20, 30, 1), np.float32)
    values[5, 5], values[15, 25] = 1, 2
    y, x = np.mgrid[:20, :30]
    first = np.hypot(y - 5, x - 5) < np.hypot(y - 15, x - 25) - 1
    second = np.hypot(y - 5, x - 5) > np.hypot(y - 15, x - 25) + 1
    filled = nearest_fill(values, known)[..., 0]
    assert (filled[first] == 1).all()
    assert (filled[second] == 2).all()


def test_colours_are_extended_from_the_opaque_part_only():
    image = np.zeros((32, 32, 4), np.float32)
    image[..., :3] = 0, 1, 0  # the background that must not smear
    image[10:20, 10:20] = 1, 0, 0, 1
    image[10:20, 20] = 0.5, 0.5, 0, 0.5
    extended = extend_colours(image)
    np.testing.assert_array_equal(extended[..., 3], image[..., 3])
    np.testing.assert_array_equal(extended[image[..., 3] > 0], image[image[..., 3] > 0])
    np.testing.assert_array_equal(extended[image[..., 3] == 0][:, :3], np.tile([1, 0, 0], (32 * 32 - 110, 1)))
    blank = np.zeros((4, 4, 4), np.float32)
    assert extend_colours(blank) is blank


def test_over_is_associative_and_agrees_with_compositing():
    random = np.random.default_rng(0)
    a, b, c = random.random((3, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(over(over(a, b), c), over(a, over(b, c)), atol=1e-5)
    np.testing.assert_allclose(over(a, c[..., :3]), composite(a, c[..., :3]), atol=1e-6)
    np.testing.assert_allclose(
        composite(over(a, b), (0.2, 0.3, 0.4)), composite(a, composite(b, (0.2, 0.3, 0.4))), atol=1e-5
    )
