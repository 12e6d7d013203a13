"""4D-SDS in its x0 form, against the exact prior of a few clips that were filmed from several sides."""

import pytest
import torch

from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.objectives.distillation import Distillation, Request, latent_gradient, score_distillation
from a4d.objectives.priors import FramesPrior, build_priors
from a4d.priors.exact import ExactPrior, ExampleSet, PatchEncoder
from a4d.priors.placement import Placement
from a4d.priors.schedule import noise_schedule
from a4d.randomness import generator
from a4d.views import Frames

CLIPS, VIEWS, FRAMES, SIDE = 5, 2, 3, 4
PROMPTS = ("jump", "jump", "walk", "walk", "spin")
MOVING = (torch.arange(VIEWS * FRAMES) % FRAMES > 0).view(-1, 1, 1, 1)
SCHEDULE = noise_schedule("linear")


def rgb_of(count, seed=0):
    return torch.rand(count, SIDE, SIDE, 3, dtype=torch.float64, generator=generator(seed, "rgb"))


def exact_prior(**settings):
    weight = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=generator(9)))[0]
    # Clips that differ little, so that at the noise levels of 4D-SDS none of them is certain.
    rgb = 0.5 + 0.1 * (rgb_of(CLIPS * VIEWS * FRAMES) - 0.5)
    examples = ExampleSet(rgb, VIEWS, FRAMES, PROMPTS)
    encoder = PatchEncoder(weight[:8].reshape(8, 3, 2, 2))
    return ExactPrior(examples, SCHEDULE, encoder, clean_frames=1, **settings)


def request(prior, prompt="walk"):
    return Request(prior.condition([prompt]), prior.unconditional([""]))


def log_density(prior, noisy, first, t, prompt):
    """Of the noisy frames, up to a constant, by the definition of the mixture; the first frames choose among clips."""
    a, start = SCHEDULE.alphas_cumprod[t], SCHEDULE.alphas_cumprod[0]
    clips = prior.latents.view(CLIPS, VIEWS * FRAMES, -1)
    moving = MOVING.flatten()
    exponents = []
    for clip, text in zip(clips, PROMPTS, strict=True):
        fit = (noisy.flatten(1)[moving] - a.sqrt() * clip[moving]).square().sum() / (2 * (1 - a))
        told = (first.flatten(1)[~moving] - start.sqrt() * clip[~moving]).square().sum() / (2 * (1 - start))
        exponents.append(-fit - told if prompt in ("", text) else torch.tensor(-torch.inf, dtype=torch.float64))
    return torch.logsumexp(torch.stack(exponents), 0)


@pytest.mark.parametrize(("scale", "guidance"), [(0.0, "from-conditional"), (5.0, "from-conditional")])
def test_gradient_is_that_of_the_density_by_finite_differences(scale, guidance):
    """`z - x0 = -(sigma^2 / alpha) grad log p - (sigma / alpha) eps`: the slope of an energy in the moving frames."""
    prior, t = exact_prior(), 150
    rgb = (0.5 + 0.1 * (rgb_of(VIEWS * FRAMES, 1) - 0.5)).requires_grad_()
    latents = prior.encode(rgb).detach()
    noise = torch.randn(latents.shape, generator=generator(2)).double()
    a = SCHEDULE.alphas_cumprod[t]
    alpha, sigma = a.sqrt(), (1 - a).sqrt()

    def energy(values):
        z = torch.where(MOVING, prior.encode(values), latents)
        noisy = alpha * z + sigma * noise
        conditional = log_density(prior, noisy, latents, t, "walk")
        unconditional = log_density(prior, noisy, latents, t, "")
        guided = (1 + scale) * conditional - scale * unconditional
        linear = sigma / alpha * (noise * z)[MOVING.flatten()].sum()
        return (-((sigma / alpha) ** 2) * guided - linear) / (VIEWS * (FRAMES - 1))

    settings = Distillation("x0", scale, guidance)
    score_distillation(prior, rgb, torch.tensor([t]), request(prior), settings, generator(2)).backward()
    scale_of_gradient = float(rgb.grad.abs().max())
    assert scale_of_gradient > 1e-4
    for index in [(1, 0, 0, 0), (2, 3, 1, 2), (4, 1, 2, 1), (5, 2, 2, 0), (0, 1, 1, 1), (3, 0, 3, 2)]:
        step = torch.zeros_like(rgb)
        step[index] = 1e-5
        with torch.no_grad():
            slope = float(energy(rgb + step) - energy(rgb - step)) / 2e-5
        assert float(rgb.grad[index]) == pytest.approx(slope, rel=1e-5, abs=1e-7 * scale_of_gradient)


def test_the_normaliser_counts_the_moving_frames_alone():
    prior, latents = exact_prior(), exact_prior().encode(rgb_of(VIEWS * FRAMES, 3))
    settings = Distillation("x0", 5.0, "from-conditional", x0_rescale=0.25)
    per_image = latent_gradient(prior, latents, torch.tensor([120]), request(prior), settings, generator(0))
    per_sample = latent_gradient(
        prior,
        latents,
        torch.tensor([120]),
        request(prior),
        Distillation("x0", 5.0, "from-conditional", x0_rescale=0.25, normalise="samples"),
        generator(0),
    )
    assert not per_image[~MOVING.flatten()].any()
    torch.testing.assert_close(per_sample, VIEWS * (FRAMES - 1) * per_image)


def test_rescaling_brings_the_estimate_toward_the_conditionals_deviation():
    prior, latents, t = exact_prior(), exact_prior().encode(rgb_of(VIEWS * FRAMES, 3)), torch.tensor([180])
    moving = MOVING.flatten()

    def estimate(share, scale=40.0):
        settings = Distillation("x0", scale, "from-conditional", x0_rescale=share, normalise="samples")
        return (latents - latent_gradient(prior, latents, t, request(prior), settings, generator(0)))[moving]

    plain, conditional = estimate(0.0), estimate(0.0, 0.0)
    for share in (0.25, 1.0):
        expected = (1 - share) * plain.std() + share * conditional.std()
        torch.testing.assert_close(estimate(share).std(), expected)
        torch.testing.assert_close(estimate(share) / estimate(share).std(), plain / plain.std())


def test_a_disturbed_clip_is_repaired_to_the_one_whose_first_frames_it_has():
    prior = exact_prior()
    examples = prior.examples.rgb.view(CLIPS, VIEWS * FRAMES, SIDE, SIDE, 3)
    settings = Distillation("x0", 5.0, "from-conditional", x0_rescale=0.25, normalise="samples")
    for index in (0, 3):
        noise = 0.1 * torch.randn(examples[index].shape, generator=generator(index, "noise"))
        disturbed = torch.where(MOVING, examples[index] + noise, examples[index])
        rgb = disturbed.clone().requires_grad_()
        optimiser = torch.optim.SGD([rgb], lr=0.1)
        draws = generator(0, "steps", index)
        before = (prior.encode(disturbed) - prior.encode(examples[index])).norm()
        for _ in range(60):
            t = torch.randint(20, 201, (1,), generator=draws)
            optimiser.zero_grad()
            score_distillation(prior, rgb, t, request(prior, PROMPTS[index]), settings, draws).backward()
            optimiser.step()
        after = (prior.encode(rgb.detach()) - prior.encode(examples[index])).norm()
        assert after < 0.05 * before
        assert torch.equal(rgb.detach()[::FRAMES], examples[index][::FRAMES])


def test_a_workspaces_own_clips_may_be_told_by_their_first_frames(tmp_path):
    ring = turntable(VIEWS, 0.0, 2.0, 40.0, SIDE)
    cameras = [ring[view] for view in range(VIEWS) for _ in range(FRAMES)]
    rgba = [torch.cat([rgb.float(), torch.ones(SIDE, SIDE, 1)], dim=-1) for rgb in rgb_of(VIEWS * FRAMES)]
    names = [f"{index}.png" for index in range(len(rgba))]
    frames = Frames(rgba, cameras, None, names, ["train"] * len(rgba))

    def built(**settings):
        return build_priors({"clips": FramesPrior(views=VIEWS, **settings)}, frames, Placement(), tmp_path)["clips"]

    prior = built(frames=FRAMES, clean_frames=1, size=8)
    assert (prior.modality, prior.clean_frames) == ("multi-view-video", 1)
    with pytest.raises(ConfigError, match="all 3 frames"):
        built(frames=FRAMES, clean_frames=3, size=8)
