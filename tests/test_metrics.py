import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from a4d.geometry.primitives import icosphere
from a4d.metrics import foreground, mask_iou, psnr, ssim, surface_distances


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(32, 40, 3, generator=generator)
    return image, (image + 0.1 * torch.randn(32, 40, 3, generator=generator)).clamp(0, 1)


def test_psnr_of_a_known_error():
    image = torch.full((8, 8, 3), 0.5)
    assert psnr(image + 0.1, image) == pytest.approx(20.0, abs=1e-4)
    assert psnr(image, image) == math.inf


def test_psnr_agrees_with_another_library(pair):
    expected = peak_signal_noise_ratio(pair[1].numpy(), pair[0].numpy(), data_range=1.0)
    assert psnr(*pair) == pytest.approx(expected, abs=1e-4)


def test_ssim_agrees_with_another_library_and_takes_batches(pair):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(pair[0].numpy(), pair[1].numpy(), channel_axis=-1, data_range=1.0, **options)
    assert ssim(*pair) == pytest.approx(expected, abs=1e-5)
    assert ssim(torch.stack([pair[0], pair[0]]), torch.stack([pair[0], pair[1]])) == pytest.approx((1 + expected) / 2)


def test_iou_of_overlapping_squares():
    a, b = torch.zeros(2, 10, 10)
    a[2:6, 2:6] = 1
    b[4:8, 2:6] = 1
    assert mask_iou(a, b) == pytest.approx(8 / 24)
    assert mask_iou(a * 0, b * 0) == 1.0
    assert mask_iou(torch.stack([a, a]), torch.stack([a, b])) == pytest.approx((1 + 8 / 24) / 2)


def test_the_figures_of_a_foreground_do_not_depend_on_the_empty_rest(pair):
    alpha = torch.zeros(32, 40)
    alpha[8:24, 10:30] = 1
    image, reference = (each * alpha[..., None] for each in pair)
    mask = foreground(alpha, alpha * 0)
    assert psnr(image, reference, mask) == pytest.approx(psnr(image[8:24, 10:30], reference[8:24, 10:30]))
    wide = [torch.nn.functional.pad(each, (0, 0, 20, 20, 20, 20)) for each in (image, reference)]
    wide_mask = torch.nn.functional.pad(mask, (20, 20, 20, 20))
    assert psnr(*wide, wide_mask) == pytest.approx(psnr(image, reference, mask))
    assert ssim(*wide, wide_mask) == pytest.approx(ssim(image, reference, mask), abs=1e-9)
    assert psnr(*wide) > psnr(image, reference) + 3
    assert 1 - ssim(*wide) < 0.3 * (1 - ssim(image, reference))


def test_a_foreground_is_what_either_shows_in_8_bits():
    alpha, reference = torch.tensor([0.0, 1.0, 0.0, 0.001, 0.002]), torch.tensor([0.0, 0.0, 0.5, 0.0, 0.0])
    assert foreground(alpha, reference).tolist() == [False, True, True, False, True]
    image, nothing = torch.rand(16, 16, 3), torch.zeros(16, 16, dtype=torch.bool)
    assert psnr(image, image * 0, nothing) == math.inf
    assert ssim(image, image * 0, nothing) == 1.0
    assert ssim(image, image * 0, ~nothing) == pytest.approx(ssim(image, image * 0))


def test_distances_between_concentric_spheres():
    inner, outer = icosphere(0.5, 4), icosphere(0.6, 4)
    distances = surface_distances(inner, outer, threshold=0.11)
    assert distances.chamfer == pytest.approx(0.1, rel=0.01)
    assert distances.normal_consistency > 0.998
    assert distances.f_score == 1.0
    assert surface_distances(inner, outer, threshold=0.09).f_score == 0.0
    itself = surface_distances(inner, inner, threshold=0.05)
    assert itself.chamfer < 1e-6
    assert itself.normal_consistency == pytest.approx(1, abs=1e-6)


def test_a_missing_part_shows_in_completeness_alone():
    whole = icosphere(0.5, 4)
    upper = whole.faces[(whole.vertices[whole.faces][..., 1] > 0).all(1)]
    half = type(whole)(whole.vertices, upper)
    distances = surface_distances(half, whole, threshold=0.02)
    assert distances.precision > 0.99
    assert distances.recall == pytest.approx(0.5, abs=0.05)
    assert distances.completeness > 5 * distances.accuracy
