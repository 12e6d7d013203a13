import pytest
import torch
from scipy.ndimage import gaussian_filter

from a4d.render.blur import blurred


@pytest.mark.parametrize("deviation", [0.7, 1.9])
def test_a_fine_blur_is_that_of_scipy(deviation: float) -> None:
    image = torch.rand(2, 20, 33, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = blurred(image, deviation)
    wanted = gaussian_filter(image.numpy(), (0, deviation, deviation, 0), mode="constant", truncate=12)
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=2e-3, rtol=0)


def test_a_coarse_blur_is_sampled_sparsely_and_keeps_the_sum() -> None:
    image = torch.zeros(1, 65, 65, 1)
    image[:, 28:36, 30:34] = 1
    found = blurred(image, 6.0)
    assert found.shape == (1, 11, 11, 1)
    assert float(found.sum()) * 36 == pytest.approx(32, rel=0.02)


def test_below_a_quarter_of_a_pixel_nothing_changes() -> None:
    image = torch.rand(1, 5, 6, 3)
    assert blurred(image, 0.2) is image
