"""Sampling lands on what a prior knows, and its parts agree with independent evaluations of the same formulas."""

import pytest
import torch
from diffusers import DDIMScheduler

from a4d.errors import ConfigError
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.protocol import Query
from a4d.priors.sampling import FreeInit, Known, ddim_step, known_first_frames, sample, sampling_timesteps
from a4d.priors.schedule import noise_schedule
from a4d.randomness import generator

CLIPS, VIEWS, FRAMES, SIDE = 3, 2, 4, 6
PROMPTS = ("jump", "walk", "spin")


def exact_prior(clean_frames=1, **schedule):
    rgb = torch.rand(CLIPS * VIEWS * FRAMES, SIDE, SIDE, 3, generator=generator(0, "clips"))
    return ExactPrior(
        ExampleSet(rgb, VIEWS, FRAMES, PROMPTS), noise_schedule("linear", **schedule), clean_frames=clean_frames
    )


def clip(prior, index):
    return prior.latents[index].view(VIEWS * FRAMES, 3, SIDE, SIDE)


def shape(samples=1):
    return (samples, VIEWS, FRAMES, 3, SIDE, SIDE)


def first_frames(prior, *clips):
    return known_first_frames(torch.cat([clip(prior, index)[::FRAMES] for index in clips]), FRAMES)


@pytest.mark.parametrize("free_init", [None, FreeInit()])
def test_lands_on_the_clip_whose_first_frames_are_known(free_init):
    prior = exact_prior()
    for index in range(CLIPS):
        known, query = first_frames(prior, index), Query(prior.condition([""]))
        drawn = sample(prior, query, known, shape(), 12, 1.0, generator(index, "sample"), free_init)
        torch.testing.assert_close(drawn, clip(prior, index), atol=0.02, rtol=0)
        torch.testing.assert_close(drawn[::FRAMES], clip(prior, index)[::FRAMES], atol=0, rtol=0)


def test_lands_on_some_clip_without_anything_known_and_on_the_prompted_one_with_guidance():
    prior = exact_prior(clean_frames=0)
    free = Query(prior.condition([""]))
    drawn = [sample(prior, free, None, shape(), 25, 1.0, generator(seed, "any")) for seed in range(6)]
    nearest = [min(range(CLIPS), key=lambda i, each=each: float((each - clip(prior, i)).norm())) for each in drawn]
    for each, index in zip(drawn, nearest, strict=True):
        torch.testing.assert_close(each, clip(prior, index), atol=0.02, rtol=0)
    assert len(set(nearest)) > 1
    for index, prompt in enumerate(PROMPTS):
        query = Query(prior.condition([prompt]), prior.condition([""]))
        guided = sample(prior, query, None, shape(), 25, 2.0, generator(1, "guided"))
        torch.testing.assert_close(guided, clip(prior, index), atol=0.02, rtol=0)


def test_samples_of_a_batch_do_not_mix_and_progress_is_told():
    prior, told = exact_prior(), []
    query, known = Query(prior.condition(["", ""])), first_frames(prior, 2, 0)
    drawn = sample(
        prior, query, known, shape(2), 10, 1.0, generator(0), FreeInit(2), report=lambda *count: told.append(count)
    )
    torch.testing.assert_close(drawn, torch.cat([clip(prior, 2), clip(prior, 0)]), atol=0.02, rtol=0)
    assert told == [(done, 20) for done in range(1, 21)]


def test_what_is_known_need_not_be_a_frame_but_freeinit_needs_the_same_frames():
    prior = exact_prior(clean_frames=0)
    mask = torch.zeros(VIEWS * FRAMES, dtype=torch.bool)
    mask[1] = True
    known, query = Known(clip(prior, 1), mask), Query(prior.condition(["walk"]))
    drawn = sample(prior, query, known, shape(), 10, 1.0, generator(0))
    torch.testing.assert_close(drawn, clip(prior, 1), atol=0.02, rtol=0)
    with pytest.raises(ConfigError, match="every view"):
        sample(prior, query, known, shape(), 2, 1.0, generator(0), FreeInit())


def test_same_seed_same_sample():
    prior = exact_prior()
    query, known = Query(prior.condition([""])), first_frames(prior, 0)
    runs = [sample(prior, query, known, shape(), 3, 1.0, generator(seed), FreeInit(2)) for seed in (5, 5, 6)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(("spacing", "steps"), [("leading", 25), ("leading", 7), ("trailing", 25), ("trailing", 8)])
def test_timesteps_and_steps_are_those_of_diffusers(spacing, steps):
    scheduler = DDIMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1,
        timestep_spacing=spacing,
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    schedule = noise_schedule("linear")
    timesteps = sampling_timesteps(schedule, steps, spacing)
    assert timesteps == scheduler.timesteps.tolist()
    if (spacing, steps) == ("leading", 25):
        assert timesteps[:2] + timesteps[-2:] == [961, 921, 41, 1]
    draws = generator(0)
    latents, predicted = torch.randn(2, 1, 4, 8, 8, generator=draws).double()
    for t, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        mine = ddim_step(schedule, latents, predicted, t, following)
        if 1000 % steps and following is None:
            continue  # diffusers steps back by T // steps, which is then not where the next timestep is
        torch.testing.assert_close(mine, scheduler.step(predicted, t, latents).prev_sample, atol=1e-5, rtol=1e-4)


def test_a_schedule_that_ends_in_pure_noise_is_sampled_from_its_last_signal():
    schedule = noise_schedule("linear", zero_terminal_snr=True)
    assert sampling_timesteps(schedule, 10, "trailing")[0] == 998
    prior = ExactPrior(exact_prior().examples, schedule, clean_frames=1)
    known, query = first_frames(prior, 1), Query(prior.condition([""]))
    drawn = sample(prior, query, known, shape(), 10, 1.0, generator(0), spacing="trailing")
    torch.testing.assert_close(drawn, clip(prior, 1), atol=0.02, rtol=0)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(ConfigError, match="steps"):
        sampling_timesteps(noise_schedule(), steps)


@pytest.mark.parametrize("size", [(15, 8, 8), (4, 6, 10)])
def test_freeinit_mixes_frequencies_as_a_sum_over_waves_says(size):
    """Each wave's coefficient by its definition, weighed by the published response at its index after fftshift."""
    frames, height, width = size
    free_init = FreeInit(order=4, spatial=0.25, temporal=0.5)
    low, high = torch.randn(2, *size, generator=generator(0), dtype=torch.float64)
    steps = [torch.arange(count, dtype=torch.float64).to(torch.complex128) for count in size]
    waves = [torch.exp(-2j * torch.pi * torch.outer(step, step) / len(step)) for step in steps]

    def spectrum(values):
        return torch.einsum("thw,at,bh,cw->abc", values.to(torch.complex128), *waves)

    response = torch.zeros(size, dtype=torch.float64)
    for a in range(frames):
        for b in range(height):
            for c in range(width):
                shifted = [(i + count // 2) % count for i, count in zip((a, b, c), size, strict=True)]
                t, y, x = (2 * i / count - 1 for i, count in zip(shifted, size, strict=True))
                square = (0.25 / 0.5 * t) ** 2 + y**2 + x**2
                response[a, b, c] = 1 / (1 + (square / 0.25**2) ** 4)
    mixed = spectrum(low) * response + spectrum(high) * (1 - response)
    inverse = [wave.conj() / len(wave) for wave in waves]
    expected = torch.einsum("abc,at,bh,cw->thw", mixed, *inverse).real
    torch.testing.assert_close(free_init.mix(low, high), expected, atol=1e-12, rtol=0)


def test_freeinit_agrees_with_diffusers_filter():
    from diffusers.pipelines.free_init_utils import FreeInitMixin

    theirs = FreeInitMixin()
    low, high = torch.randn(2, 3, 4, 15, 8, 8, generator=generator(1))
    response = theirs._get_free_init_freq_filter((1, 4, 15, 8, 8), "cpu", "butterworth", 4, 0.25, 0.25)
    torch.testing.assert_close(FreeInit().low_pass(15, 8, 8).float(), response[0, 0])
    torch.testing.assert_close(
        FreeInit().mix(low, high), theirs._apply_freq_filter(low, high, response), atol=1e-5, rtol=0
    )


def test_the_next_round_keeps_the_coarse_motion_of_the_last_and_not_the_known_frame():
    """With a filter that passes everything, round two starts from the last result diffused with the first noise."""
    prior, seen = exact_prior(), []
    original = prior.denoise

    def denoise(latents, t, *rest):
        seen.append((int(t[0]), latents.clone()))
        return original(latents, t, *rest)

    prior.denoise = denoise
    query, known = Query(prior.condition([""])), first_frames(prior, 0)
    everything = FreeInit(2, order=1, spatial=1e4, temporal=1e4)
    sample(prior, query, known, shape(), 1, 1.0, generator(3), everything)
    (_, first), (_, second) = seen
    free = ~known.mask
    noise = torch.randn(first.shape, generator=generator(3))
    torch.testing.assert_close(first[free], noise[free])
    torch.testing.assert_close(second[known.mask], clip(prior, 0)[known.mask])
    expected = prior.schedule.add_noise(clip(prior, 0), noise, torch.tensor([999]))
    torch.testing.assert_close(second[free], expected[free], atol=1e-2, rtol=0)
