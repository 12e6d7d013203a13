"""The exact prior is the posterior mean of its set, in every modality."""

import pytest
import torch

from a4d.errors import ConfigError
from a4d.geometry.cameras import orbit, turntable
from a4d.priors.exact import ExactPrior, ExampleSet, PatchEncoder
from a4d.priors.protocol import Viewpoints
from a4d.priors.schedule import noise_schedule


def images(count, size=4, seed=0):
    return torch.rand(count, size, size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def predicted_clean(prior, noisy, t, prompts=None, **view):
    conditioning = prior.condition(prompts or [""] * len(t))
    eps = prior.denoise(noisy, t, conditioning, Viewpoints(**view))
    per_image = t.repeat_interleave(len(noisy) // len(t))
    return prior.schedule.clean_from_noise(noisy, eps, per_image)


def test_agrees_with_bayes_by_enumeration():
    prior = ExactPrior(ExampleSet(images(5)))
    noisy, t = torch.randn(3, 3, 4, 4, dtype=torch.float64), torch.tensor([300, 600, 900])
    clean = images(5).permute(0, 3, 1, 2) * 2 - 1
    for row, step in enumerate(t):
        a = prior.schedule.alphas_cumprod[step]
        density = torch.stack([torch.exp(-(noisy[row] - a.sqrt() * x).square().sum() / (2 * (1 - a))) for x in clean])
        expected = torch.einsum("n,nchw->chw", density / density.sum(), clean)
        torch.testing.assert_close(predicted_clean(prior, noisy, t)[row], expected)


def test_is_the_score_of_the_noisy_set():
    """eps = -sigma grad log p(z), by automatic differentiation of the mixture of Gaussians."""
    prior = ExactPrior(ExampleSet(images(4)))
    t = torch.tensor([450])
    z = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    a = prior.schedule.alphas_cumprod[t]
    clean = images(4).permute(0, 3, 1, 2) * 2 - 1
    log_density = torch.logsumexp(-(z - a.sqrt() * clean).square().sum((1, 2, 3)) / (2 * (1 - a)), 0)
    score = torch.autograd.grad(log_density, z)[0]
    torch.testing.assert_close(prior.denoise(z.detach(), t, prior.condition([""])), -(1 - a).sqrt() * score)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stable_at_both_ends_of_the_schedule(dtype):
    prior = ExactPrior(ExampleSet(images(6, size=32)), noise_schedule(zero_terminal_snr=True))
    clean = prior.encode(images(6, size=32))[2:3].to(dtype)
    noise = torch.randn(clean.shape, dtype=dtype)
    for step in (0, 1, 998, 999):
        t = torch.tensor([step])
        noisy = prior.schedule.add_noise(clean, noise, t)
        eps = prior.denoise(noisy, t, prior.condition([""]))
        assert torch.isfinite(eps).all()
        if step < 2:
            torch.testing.assert_close(eps, noise, atol=1e-2 if dtype == torch.float32 else 1e-9, rtol=0)


def test_prompts_choose_examples():
    prior = ExactPrior(ExampleSet(images(3), prompts=["a cat", "a dog", "a cat"]))
    t = torch.tensor([999, 999])
    noisy = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    found = predicted_clean(prior, noisy, t, ["a dog", "a cat"])
    clean = prior.encode(images(3))
    torch.testing.assert_close(found[0], clean[1])
    assert (found[1] - clean[1]).abs().max() > 0.1
    with pytest.raises(ConfigError, match="Did you mean 'a dog'"):
        prior.condition(["a dig"])


def test_cameras_choose_views():
    cameras = turntable(8, 15.0, 3.0, 40.0, 4)
    prior = ExactPrior(ExampleSet(images(8), cameras=cameras))
    assert prior.modality == "posed-image"
    asked = orbit(torch.tensor([92.0, -44.0]), torch.tensor([12.0, 17.0]), 5.0, 30.0, 4, 4)
    empty = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    found = predicted_clean(prior, empty, torch.tensor([800, 800]), cameras=asked)
    torch.testing.assert_close(found, prior.encode(images(8))[[2, 7]])
    soft = ExactPrior(prior.examples, bandwidths=(30.0, 1.0), nearest=False)
    mixed = predicted_clean(soft, empty, torch.tensor([999, 999]), cameras=asked)
    assert (mixed - found).abs().max() > 0.01


def test_times_choose_frames_of_a_moving_scene():
    cameras = turntable(2, 0.0, 3.0, 40.0, 4)[torch.tensor([0, 0, 1, 1])]
    times = torch.tensor([0.0, 1.0, 0.0, 1.0])
    prior = ExactPrior(ExampleSet(images(4), cameras=cameras, times=times))
    found = predicted_clean(
        prior,
        torch.zeros(2, 3, 4, 4, dtype=torch.float64),
        torch.tensor([700, 700]),
        cameras=cameras[torch.tensor([0, 2])],
        times=torch.tensor([0.9, 0.2]),
    )
    torch.testing.assert_close(found, prior.encode(images(4))[[1, 2]])


def test_a_multi_view_is_chosen_as_a_whole():
    ring = turntable(8, 10.0, 3.0, 40.0, 4)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    prior = ExactPrior(ExampleSet(images(8)[order], views=4, cameras=ring[order]))
    assert prior.modality == "multi-view"
    noisy = torch.zeros(4, 3, 4, 4, dtype=torch.float64)
    found = predicted_clean(prior, noisy, torch.tensor([900]), cameras=ring[order[4:]])
    torch.testing.assert_close(found, prior.encode(images(8)[order[4:]]))
    with pytest.raises(ConfigError, match="4 views"):
        predicted_clean(prior, noisy[:2], torch.tensor([900, 900]))


def test_videos_and_multi_view_videos():
    assert ExactPrior(ExampleSet(images(6), frames=3)).modality == "video"
    prior = ExactPrior(ExampleSet(images(24), views=4, frames=3))
    assert prior.modality == "multi-view-video"
    t = torch.tensor([100])
    clean = prior.encode(images(24))[12:]
    noisy = prior.schedule.add_noise(clean, torch.randn_like(clean), t.expand(12))
    torch.testing.assert_close(predicted_clean(prior, noisy, t), clean)


def test_a_linear_encoder_that_keeps_distances_changes_no_posterior():
    weight = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))[0].view(12, 3, 2, 2)
    pixel, patch = ExactPrior(ExampleSet(images(5))), ExactPrior(ExampleSet(images(5)), encoder=PatchEncoder(weight))
    noisy, t = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.tensor([500, 700])
    encoded = patch.encoder(noisy)
    assert encoded.shape == (2, 12, 2, 2)
    expected = patch.encoder(predicted_clean(pixel, noisy, t))
    torch.testing.assert_close(predicted_clean(patch, encoded, t), expected)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="5 images"):
        ExampleSet(images(5), views=4)
