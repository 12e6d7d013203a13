"""Score distillation against closed forms: the exact prior, finite differences, one form against the other."""

import pytest
import torch

from a4d.geometry.cameras import orbit, turntable
from a4d.objectives.deferred import render_in_patches
from a4d.objectives.distillation import (
    Distillation,
    Request,
    latent_gradient,
    sample_timesteps,
    score_distillation,
)
from a4d.priors.exact import ExactPrior, ExampleSet, PatchEncoder
from a4d.priors.protocol import guide
from a4d.priors.schedule import noise_schedule


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, size=4, seed=0):
    return torch.rand(count, size, size, 3, dtype=torch.float64, generator=seeded(seed))


def request(prior, samples, prompt="", **view):
    return Request(prior.condition([prompt] * samples), prior.unconditional([""] * samples), **view)


def encoder():
    weight = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=seeded(9)))[0]
    return PatchEncoder(weight[:8].reshape(8, 3, 2, 2))


def noise_like(latents, seed=0):
    return torch.randn(latents.shape, generator=seeded(seed)).double()


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_x0_form_is_the_noise_form_weighted_by_noise_to_signal(scale):
    prior = ExactPrior(ExampleSet(images(6), prompts=list("aabbcc")))
    latents, t = prior.encode(images(3, seed=1)), torch.tensor([30, 400, 900])
    asked = request(prior, 3, "b")
    noise = latent_gradient(
        prior, latents, t, asked, Distillation("noise", scale, weighting="noise-to-signal"), seeded()
    )
    x0 = latent_gradient(prior, latents, t, asked, Distillation("x0", scale), seeded())
    assert x0.abs().max() > 1e-3
    torch.testing.assert_close(noise, x0, atol=1e-10, rtol=1e-8)
    rescaled = latent_gradient(prior, latents, t, asked, Distillation("x0", scale, x0_rescale=0.5), seeded())
    assert ((rescaled - x0).abs().max() > 1e-3) == (scale != 1.0)


def test_gradient_is_that_of_the_noisy_sets_log_density():
    """Per pixel and by finite differences: d/d rgb of -log p_t(alpha E(rgb) + sigma eps), E linear."""
    prior = ExactPrior(ExampleSet(images(4)), encoder=encoder())
    rgb, t = images(1, seed=1).requires_grad_(), torch.tensor([350])
    a = float(prior.schedule.alphas_cumprod[350])
    noise = noise_like(prior.encode(rgb))

    def energy(values):
        z = prior.schedule.add_noise(prior.encode(values), noise, t).reshape(1, -1)
        fit = -(z - a**0.5 * prior.latents).square().sum(1) / (2 * (1 - a))
        # The added noise enters the gradient as -eps: a linear term.
        return -torch.logsumexp(fit, 0) * ((1 - a) / a) ** 0.5 - (prior.encode(values) * noise).sum()

    value = score_distillation(
        prior, rgb, t, request(prior, 1), Distillation("noise", 1.0, weighting="uniform"), seeded()
    )
    value.backward()
    for index in [(0, 0, 0, 0), (0, 1, 2, 1), (0, 3, 3, 2)]:
        step = torch.zeros_like(rgb)
        step[index] = 1e-5
        with torch.no_grad():
            slope = (energy(rgb + step) - energy(rgb - step)) / 2e-5
        assert float(rgb.grad[index]) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


def test_x0_gradient_against_finite_differences_of_its_loss():
    prior = ExactPrior(ExampleSet(images(8), views=4), encoder=encoder())
    rgb, t, asked = images(4, seed=1).requires_grad_(), torch.tensor([500]), request(prior, 1)
    score_distillation(prior, rgb, t, asked, Distillation("x0", 1.0), seeded()).backward()
    with torch.no_grad():
        latents = prior.encode(rgb)
        levels = t.expand(4)
        noisy = prior.schedule.add_noise(latents, noise_like(latents), levels)
        target = prior.schedule.clean_from_noise(noisy, prior.denoise(noisy, t, asked.conditional), levels)
        for index in [(0, 0, 0, 0), (2, 1, 2, 1), (3, 3, 3, 2)]:
            step = torch.zeros_like(rgb)
            step[index] = 1e-4
            slope = (
                (prior.encode(rgb + step) - target).square().sum() - (prior.encode(rgb - step) - target).square().sum()
            ) * (0.5 / 4 / 2e-4)
            assert float(rgb.grad[index]) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


def test_the_value_is_the_norm_and_weights_scale_the_gradient():
    prior = ExactPrior(ExampleSet(images(3)))
    rgb = images(1, seed=1).requires_grad_()
    value = score_distillation(
        prior, rgb, torch.tensor([200]), request(prior, 1), Distillation(guidance_scale=1), seeded()
    )
    (3.0 * value).backward()
    # The pixel encoder is 2 rgb - 1.
    assert float(rgb.grad.norm()) == pytest.approx(3 * 2 * float(value.detach()), rel=1e-6)


def test_several_priors_share_one_backward():
    first, second = ExactPrior(ExampleSet(images(3))), ExactPrior(ExampleSet(images(5, seed=4)), encoder=encoder())
    rgb = images(2, seed=1).requires_grad_()
    t = torch.tensor([100, 700])

    def values():
        return [
            score_distillation(p, rgb, t, request(p, 2), Distillation(form, 1.0), seeded(s))
            for s, (p, form) in enumerate([(first, "noise"), (second, "x0")])
        ]

    one, two = values()
    separate = [torch.autograd.grad(each, rgb)[0] for each in (one, two)]
    one, two = values()
    (0.5 * one + 40 * two).backward()
    torch.testing.assert_close(rgb.grad, 0.5 * separate[0] + 40 * separate[1])


def test_clipping_and_normalisation():
    prior = ExactPrior(ExampleSet(images(6), frames=3))
    latents, t, asked = prior.encode(images(6, seed=1)), torch.tensor([300, 800]), request(prior, 2)
    per_image = latent_gradient(prior, latents, t, asked, Distillation(guidance_scale=1), seeded())
    per_sample = latent_gradient(
        prior, latents, t, asked, Distillation(guidance_scale=1, normalise="samples"), seeded()
    )
    torch.testing.assert_close(per_sample, 3 * per_image)
    clipped = latent_gradient(prior, latents, t, asked, Distillation(guidance_scale=1, clip=0.01), seeded())
    torch.testing.assert_close(clipped, per_image.clamp(-0.01, 0.01))
    assert clipped.abs().max() == 0.01


def test_4d_sds_keeps_the_first_frame_of_every_view_clean():
    """Animate3D's sum / (n f) * f / (f - 1), with no gradient and no noise on frame 0."""
    views, frames = 2, 3
    prior = ExactPrior(ExampleSet(images(12), views=views, frames=frames))
    prior.clean_frames = 1
    seen = {}
    denoise = prior.denoise

    def spy(latents, *rest):
        seen["latents"] = latents
        return denoise(latents, *rest)

    prior.denoise = spy
    latents, t = prior.encode(images(6, seed=1)), torch.tensor([150])
    gradient = latent_gradient(prior, latents, t, request(prior, 1), Distillation("x0", 1.0), seeded())
    assert gradient[[0, 3]].abs().max() == 0
    torch.testing.assert_close(seen["latents"][[0, 3]], latents[[0, 3]])
    levels = t.expand(6)
    noisy = seen["latents"]
    clean = prior.schedule.clean_from_noise(noisy, denoise(noisy, t, prior.condition([""])), levels)
    expected = (latents - clean) / (views * frames) * frames / (frames - 1)
    keep = [1, 2, 4, 5]
    torch.testing.assert_close(gradient[keep], expected[keep])


def test_x0_rescale_is_taken_over_all_views_of_a_sample():
    prior = ExactPrior(ExampleSet(images(16), views=4, prompts=list("abcd")))
    latents, t = prior.encode(images(4, seed=1)), torch.tensor([600])
    asked = request(prior, 1, "b")
    gradient = latent_gradient(prior, latents, t, asked, Distillation("x0", 20.0, x0_rescale=0.5), seeded())
    levels = t.expand(4)
    noisy = prior.schedule.add_noise(latents, noise_like(latents), levels)
    c, u = (prior.denoise(noisy, t, prior.condition([p])) for p in ("b", ""))
    clean, reference = (prior.schedule.clean_from_noise(noisy, e, levels) for e in (guide(c, u, 20.0), c))
    clean = 0.5 * clean * reference.std() / clean.std() + 0.5 * clean
    torch.testing.assert_close(gradient, (latents - clean) / 4)


def test_timesteps_include_both_ends():
    schedule = noise_schedule()
    drawn = sample_timesteps(schedule, (0.02, 0.022), 300, seeded())
    assert sorted(set(drawn.tolist())) == [20, 21, 22]
    assert set(sample_timesteps(schedule, (0.98, 0.98), 10).tolist()) == {980}


@pytest.mark.parametrize("form", ["noise", "x0"])
def test_distilling_an_image_recovers_the_one_with_the_prompt(form):
    target = images(3, size=8)
    prior = ExactPrior(ExampleSet(target, prompts=["a", "b", "c"]))
    rgb = torch.full((1, 8, 8, 3), 0.5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([rgb], lr=0.02)
    for step in range(150):
        t = sample_timesteps(prior.schedule, (0.02, 0.98 - 0.9 * step / 150), 1, seeded(step))
        optimiser.zero_grad()
        score_distillation(prior, rgb, t, request(prior, 1, "b"), Distillation(form, 1.0), seeded(step)).backward()
        optimiser.step()
    errors = (rgb.detach() - target).square().mean((1, 2, 3))
    assert -10 * float(errors[1].log10()) > 35
    assert errors[[0, 2]].min() > 0.05


@pytest.mark.parametrize("mirrored", [False, True])
def test_distilling_posed_views_needs_the_right_azimuth_sign(mirrored):
    """Eight images, one per camera, distilled jointly: each recovers its own view, or with a wrong sign another's."""
    azimuth, elevation = torch.arange(8) * 45.0 + 10, torch.full((8,), 10.0)
    target = images(8, size=6)
    prior = ExactPrior(ExampleSet(target, cameras=orbit(azimuth, elevation, 3.0, 40.0, 6, 6)))
    asked = orbit(-azimuth if mirrored else azimuth, elevation, 3.0, 40.0, 6, 6)
    rgb = torch.full((8, 6, 6, 3), 0.5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([rgb], lr=0.03)
    for step in range(60):
        t = sample_timesteps(prior.schedule, (0.02, 0.5), 8, seeded(step))
        optimiser.zero_grad()
        score_distillation(
            prior, rgb, t, request(prior, 8, cameras=asked), Distillation("x0", 1.0), seeded(step)
        ).backward()
        optimiser.step()
    psnr = -10 * (rgb.detach() - target).square().mean().log10()
    assert (psnr > 30) != mirrored


def texture(cameras):
    """A smooth function of each pixel's ray."""
    origins, directions = cameras.rays()
    return torch.sin(3 * directions + origins)


def test_patches_equal_the_whole_image():
    cameras = turntable(2, 15.0, 3.0, 40.0, 20)
    parameter = torch.randn(3, requires_grad=True)
    gradients = []
    for patch in (20, 8):
        image = render_in_patches(lambda part: torch.tanh(texture(part) * parameter), cameras, patch)
        assert image.shape == (2, 20, 20, 3)
        gradients.append((image.detach(), torch.autograd.grad((image[:, 3:17] ** 3).sum(), parameter)[0]))
    whole = torch.tanh(texture(cameras) * parameter)
    for image, gradient in gradients:
        torch.testing.assert_close(image, whole.detach(), atol=1e-5, rtol=1e-5)
        expected = torch.autograd.grad((whole[:, 3:17] ** 3).sum(), parameter, retain_graph=True)[0]
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-4)


def test_patches_keep_only_one_patch_of_the_graph():
    cameras = turntable(1, 0.0, 3.0, 40.0, 32)
    parameter = torch.ones(3, requires_grad=True)
    alive, peak = 0, 0
    sizes = []

    def render(part):
        sizes.append((part.width, torch.is_grad_enabled()))
        return torch.tanh(texture(part) * parameter)

    def count(tensor):
        nonlocal alive, peak
        alive += tensor.numel()
        peak = max(peak, alive)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        image = render_in_patches(render, cameras, 8)
    assert peak < 8 * 8 * 3
    calls = len(sizes)
    image.sum().backward()
    assert calls == 16
    assert len(sizes) == 32
    assert parameter.grad is not None


def test_a_cropped_camera_sees_the_same_rays():
    cameras = turntable(3, 20.0, 3.0, 40.0, 12)
    whole, part = cameras.rays()[1], cameras.cropped(3, 5, 4, 6).rays()[1]
    torch.testing.assert_close(part, whole[:, 5:11, 3:7])
