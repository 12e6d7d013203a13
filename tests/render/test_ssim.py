import numpy as np
import pytest
import torch
from numba import get_num_threads, set_num_threads
from skimage.metrics import structural_similarity

from a4d.render.ssim import convolved_ssim_map, ssim, ssim_map


def pair(*shape, noise=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(shape, generator=generator)
    return images, (images + noise * torch.randn(shape, generator=generator)).clamp(0, 1)


def value_and_gradients(function, images, targets, weights, dtype):
    a, b = images.to(dtype).clone().requires_grad_(), targets.to(dtype).clone().requires_grad_()
    values = function(a, b)
    (values * weights.to(dtype)).sum().backward()
    return values.detach(), a.grad, b.grad


@pytest.mark.parametrize("shape", [(2, 37, 53, 3), (1, 64, 64, 1), (3, 5, 9, 4), (1, 1, 1, 3)])
def test_kernel_agrees_with_convolution_in_double_precision(shape):
    images, targets = pair(*shape)
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    truth = value_and_gradients(convolved_ssim_map, images, targets, weights, torch.float64)
    fast = value_and_gradients(ssim_map, images, targets, weights, torch.float32)
    assert (fast[0] - truth[0]).abs().max() < 1e-5
    for found, expected in zip(fast[1:], truth[1:], strict=True):
        assert (found - expected).norm() < 1e-4 * expected.norm()


def test_smooth_bright_images_keep_their_digits():
    """Variance is a small difference of large numbers there."""
    ramp = torch.linspace(0.9, 1.0, 48)
    images = ramp[None, :, None, None].expand(1, 48, 48, 3).contiguous()
    targets = (images + 0.002 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    truth = value_and_gradients(convolved_ssim_map, images, targets, torch.ones(()), torch.float64)
    fast = value_and_gradients(ssim_map, images, targets, torch.ones(()), torch.float32)
    assert abs(fast[0].mean() - truth[0].mean()) < 1e-5
    assert (fast[1] - truth[1]).norm() < 1e-2 * truth[1].norm()


def test_interior_is_that_of_scikit_image():
    images, targets = pair(1, 40, 50, 3)
    _, expected = structural_similarity(
        images[0].double().numpy(),
        targets[0].double().numpy(),
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    np.testing.assert_allclose(ssim_map(images, targets)[0, 5:-5, 5:-5].numpy(), expected[5:-5, 5:-5], atol=1e-5)


def test_gradient_is_that_of_finite_differences():
    images, targets = (part.double() for part in pair(1, 6, 7, 2))
    assert torch.autograd.gradcheck(convolved_ssim_map, (images.requires_grad_(), targets.requires_grad_()))


def test_equal_images_are_perfectly_similar_and_stay():
    images, _ = pair(2, 20, 20, 3)
    leaf = images.clone().requires_grad_()
    value = ssim(leaf, images)
    value.backward()
    assert value.item() == pytest.approx(1, abs=1e-5)
    assert leaf.grad.abs().max() < 1e-6
    assert ssim(images, 1 - images) < 0


def test_symmetric_and_falling_with_noise():
    scores = [ssim(*pair(1, 32, 32, 3, noise=noise)) for noise in (0.05, 0.2, 0.8)]
    assert scores[0] > scores[1] > scores[2]
    images, targets = pair(1, 32, 32, 3)
    assert torch.allclose(ssim(images, targets), ssim(targets, images))


def test_bits_do_not_depend_on_the_number_of_threads():
    images, targets = pair(2, 50, 40, 3)
    threads = get_num_threads()
    found = []
    try:
        for count in (threads, 1):
            set_num_threads(count)
            found.append(value_and_gradients(ssim_map, images, targets, torch.ones(()), torch.float32))
    finally:
        set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_images_that_do_not_lie_in_memory_as_written():
    images, targets = pair(2, 3, 24, 20)
    moved = ssim_map(images.movedim(1, -1), targets.movedim(1, -1))
    assert torch.equal(moved, ssim_map(images.movedim(1, -1).contiguous(), targets.movedim(1, -1).contiguous()))


def test_ascent_restores_an_image():
    target = pair(1, 16, 16, 1)[0]
    image = torch.full_like(target, 0.5).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        loss = 1 - ssim(image, target)
        loss.backward()
        optimiser.step()
    assert loss < 0.02


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="expected two images"):
        ssim(torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 9, 3))
    with pytest.raises(ValueError, match="expected two images"):
        ssim(torch.zeros(8, 8, 3), torch.zeros(8, 8, 3))
