import numpy as np
import pytest
from test_captures import orbit_capture

from a4d.errors import InvalidInputError
from a4d.io.captures.capture import Lens
from a4d.io.captures.undistortion import undistortion, without_distortion

INTRINSICS = np.array([90.0, 95.0, 52.0, 39.0])
SIZE = (100, 80)


def seen_through(lens: Lens, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (centres at halves) at which a lens shows the direction (x, y, 1): the models as COLMAP documents them."""
    k1, k2, k3, k4 = lens.radial
    p1, p2 = lens.tangential
    r2 = x * x + y * y
    if lens.is_fisheye:
        angle = np.arctan(np.sqrt(r2))
        bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
        scale = bent / np.sqrt(r2)
        x_bent, y_bent = x * scale, y * scale
    else:
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        x_bent = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        y_bent = y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
    fx, fy, cx, cy = INTRINSICS
    return x_bent * fx + cx, y_bent * fy + cy


@pytest.mark.parametrize(
    "lens",
    [
        Lens((-0.2, 0.05, -0.01, 0.0), (0.004, -0.003)),
        Lens((0.15, 0.0, 0.0, 0.0)),
        Lens((0.02, -0.01, 0.005, -0.001), is_fisheye=True),
        Lens((0.0, 0.0, 0.0, 0.0), is_fisheye=True),
    ],
)
def test_every_pixel_comes_from_where_the_lens_put_it(lens):
    step = undistortion(INTRINSICS, SIZE, lens)
    fx, fy, cx, cy = step.intrinsics
    y, x = np.mgrid[:80, :100] + 0.5
    expected_x, expected_y = seen_through(lens, (x - cx) / fx, (y - cy) / fy)
    np.testing.assert_allclose(step.map_x + 0.5, expected_x, atol=2e-3)
    np.testing.assert_allclose(step.map_y + 0.5, expected_y, atol=2e-3)
    # No borders: everything comes from inside the image taken.
    assert step.map_x.min() > -1
    assert step.map_x.max() < 100
    assert step.map_y.min() > -1
    assert step.map_y.max() < 80


def test_transparent_colours_do_not_bleed():
    step = undistortion(INTRINSICS, SIZE, Lens((-0.2, 0.0, 0.0, 0.0)))
    image = np.zeros((80, 100, 4), np.float32)
    image[..., 1] = 1.0
    image[:, 50:] = (1.0, 0.0, 0.0, 1.0)
    straight = step.apply(image)
    assert straight.shape == (80, 100, 4)
    visible = straight[straight[..., 3] > 0.01]
    np.testing.assert_allclose(visible[:, :3], np.tile([1.0, 0, 0], (len(visible), 1)), atol=1e-4)
    mask = step.apply(image[..., 3:])
    assert mask.shape == (80, 100, 1)
    np.testing.assert_allclose(mask, straight[..., 3:], atol=1e-6)


def test_captures_become_pinholes(tmp_path):
    lens = Lens((-0.1, 0.0, 0.0, 0.0))
    capture = orbit_capture(tmp_path, lens=lens)
    straight, steps = without_distortion(capture)
    assert not straight.is_distorted
    assert steps[0] is steps[3]
    np.testing.assert_allclose(straight.intrinsics[2], steps[2].intrinsics)
    assert len(straight.cameras()) == 4
    same, none = without_distortion(straight)
    assert same is straight
    assert none == (None,) * 4


def test_a_fourth_radial_term_is_refused():
    with pytest.raises(InvalidInputError, match="k4"):
        undistortion(INTRINSICS, SIZE, Lens((0.1, 0.0, 0.0, 0.1)))
