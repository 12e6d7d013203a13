"""The compact prior: its network at rest, its conversions, its words, and the protocol in three modalities."""

import logging

import pytest
import torch

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import concatenate, orbit, turntable
from a4d.objectives.distillation import Distillation, Request, latent_gradient
from a4d.priors.compact import words as vocabulary
from a4d.priors.compact.attention import quarter_weights
from a4d.priors.compact.diffusion import (
    compact_schedule,
    diffusion_loss,
    draw_timesteps,
    flow_loss,
    noisy_levels,
    task_of,
)
from a4d.priors.compact.evaluation import without_attention
from a4d.priors.compact.examples import ProceduralBatches, Recipe
from a4d.priors.compact.network import DEVIATION, CompactConfig, CompactNetwork, Output, Task, velocity
from a4d.priors.compact.prior import CompactPrior, load_compact_prior
from a4d.priors.compact.sources import SOURCES, composite, gather_sources
from a4d.priors.compact.weights import load_network, save_network
from a4d.priors.protocol import Query, Viewpoints, sample_count
from a4d.priors.sampling import known_first_frames, sample

SIZES = CompactConfig(size=32, fine_width=16, width=32, blocks=1, heads=2, embedding=32, text_width=32)
RING = turntable(4, 10.0, 3.6, 35.0, 32)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CompactNetwork(SIZES).eval().requires_grad_(False)


@pytest.fixture
def trained_network(network):
    """A network whose every weight does something."""
    draws = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter += 0.03 * torch.randn(parameter.shape, generator=draws)
    return network


def batch(moving, images=32):
    recipe = Recipe(images=images, size=32, moving_share=float(moving), frames=(2,), text_dropout=0, pair_share=0)
    return ProceduralBatches(recipe, 5)[0]


def test_an_untrained_network_repeats_frame_0_at_every_noise_level(network):
    known = batch(moving=True)
    schedule, clean = compact_schedule(), known["clean"].float()
    for share in (0.2, 0.6, 0.999):
        t = torch.full((len(clean),), schedule.timestep(share))
        alpha, sigma = noisy_levels(schedule, t, task_of(known), clean.shape[2])
        a, s = alpha[..., None, None, None], sigma[..., None, None, None]
        still = known["still"].float()[:, :, None].expand_as(clean)
        noisy = a * still
        shown = a * noisy - s * network(noisy, sigma, task_of(known)).velocity
        torch.testing.assert_close(shown, still, atol=1e-5, rtol=1e-5)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    estimate = -network(noise, torch.ones(clean.shape[:3]), task_of(known)).velocity
    torch.testing.assert_close(estimate, still, atol=1e-6, rtol=0)


def test_velocity_noise_and_clean_image_agree_with_the_schedule():
    """The network's v, through the schedule's own conversions, is the clean image that its docstring says."""
    draws = torch.Generator().manual_seed(0)
    noisy, base, residual = (torch.randn(5, 3, 4, 4, generator=draws, dtype=torch.float64) for _ in range(3))
    schedule, t, d = compact_schedule(), torch.tensor([1, 150, 500, 800, 990]), 0.2
    a, s = schedule.alpha(t, noisy), schedule.sigma(t, noisy)
    total = a**2 * d**2 + s**2
    of_pixel = 0.05 + torch.rand(5, 1, 4, 4, generator=draws, dtype=torch.float64)
    skip = a * of_pixel**2 / (a**2 * of_pixel**2 + s**2)
    v = velocity(noisy, base, residual, s, torch.full_like(s, d), of_pixel)
    expected = base + skip * (noisy - a * base) + s * d / total.sqrt() * residual
    noise = schedule.noise_from_output(v, noisy, t)
    torch.testing.assert_close(schedule.clean_from_noise(noisy, noise, t), expected, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(a * noisy - s * v, expected)
    plain = velocity(noisy, torch.zeros_like(base), residual, s, torch.ones_like(s), torch.ones_like(s))
    torch.testing.assert_close(plain, -residual)


def test_the_loss_is_the_weighted_error_of_the_clean_image(trained_network):
    examples, schedule = batch(moving=True), compact_schedule()
    del examples["way"]
    t = torch.full((len(examples["clean"]),), 700)
    kind, loss = diffusion_loss(trained_network, examples, torch.Generator().manual_seed(3), schedule, t)
    noise = torch.randn(examples["clean"].shape, generator=torch.Generator().manual_seed(3))
    a, s = schedule.alpha(t, noise), schedule.sigma(t, noise)
    noisy = a * examples["clean"].float() + s * noise
    v = trained_network(noisy, s[..., 0, 0, 0].expand(noise.shape[:3]), task_of(examples)).velocity
    error = (a * noisy - s * v - examples["clean"]).square().mean()
    assert kind == "moving"
    assert float(loss) == pytest.approx(
        float(error / s.flatten()[0] ** 2) * min(1, 2 * float(s.flatten()[0]) ** 2), rel=1e-4
    )


def test_the_flow_loss_is_the_distance_to_the_true_way_where_it_is_seen():
    examples = batch(moving=True)
    asked = torch.ones(examples["clean"].shape[:3], dtype=torch.bool)
    way = torch.zeros(*asked.shape, SOURCES, 2, 32, 32)
    way[:, :, :, [0, 2, 3, 4], :, ::2, ::2] = examples["way"].float()
    assert float(flow_loss(way, examples, asked)) == pytest.approx(0, abs=1e-6)
    hidden = way.clone()
    hidden[:, :, :, [0, 2, 3, 4], :, ::2, ::2] += 5.0 * ~examples["visible"][:, :, :, :, None]
    assert float(flow_loss(hidden, examples, asked)) == pytest.approx(0, abs=1e-6)
    assert float(flow_loss(way + 3, examples, asked)) == pytest.approx(3 * 2**0.5, rel=0.01)
    examples["known"][:, 1] = 0
    wrong = way.clone()
    wrong[:, 0, :, 2] = 7  # the second view is the first one's quarter turn
    assert float(flow_loss(wrong, examples, asked)) == pytest.approx(0, abs=1e-6)


def test_known_still_views_carry_no_noise_and_no_loss(trained_network):
    examples = batch(moving=False)
    examples["known"] = torch.zeros_like(examples["known"])
    examples["known"][:, 1] = 1
    schedule = compact_schedule()
    t = torch.full((len(examples["clean"]),), 600)
    alpha, sigma = noisy_levels(schedule, t, task_of(examples), 1)
    assert (sigma[:, 1] == 0).all()
    assert (alpha[:, 1] == 1).all()
    assert (sigma[:, [0, 2, 3]] > 0.5).all()

    def spoilt(noisy, level, task):
        output = trained_network(noisy, level, task)
        given = (level == 0)[..., None, None, None]
        return Output(torch.where(given, 9.0, output.velocity), torch.where(given[..., None], 9.0, output.way))

    losses = [diffusion_loss(each, examples, torch.Generator(), schedule, t)[1] for each in (trained_network, spoilt)]
    assert torch.equal(*losses)


def test_timesteps_are_a_quarter_pure_noise_and_otherwise_shifted_toward_it():
    schedule, draws = compact_schedule(), torch.Generator().manual_seed(0)
    moving = draw_timesteps(schedule, 20000, True, draws).float()
    still = draw_timesteps(schedule, 20000, False, draws).float()
    assert float((moving == 999).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert moving[moving < 999].mean() > still[still < 999].mean() > 520


def test_sources_are_the_other_sides_and_the_mirrored_back():
    still = torch.rand(1, 4, 3, 8, 8)
    azimuth = torch.tensor([[30.0, 120.0, 210.0, 300.0]])
    sources = gather_sources(still, torch.tensor([[1.0, 1.0, 0.0, 1.0]]), azimuth)
    assert sources.shape == (1, 4, SOURCES, 3, 8, 8)
    front = sources[0, 0]
    torch.testing.assert_close(front[0], still[0, 0])
    torch.testing.assert_close(front[2], still[0, 1])
    assert (front[3] == 1).all()
    torch.testing.assert_close(front[4], still[0, 3])
    torch.testing.assert_close(sources[0, 3, 5], still[0, 1].flip(-1))
    alone = gather_sources(still[:, :1], torch.ones(1, 1), azimuth[:, :1])
    assert (alone[0, 0, 2:] == 1).all()


def test_flow_moves_and_gates_blend_the_sources():
    still = torch.zeros(1, 1, 3, 32, 32)
    still[..., 10:20, 12] = 1
    sources = gather_sources(still, torch.ones(1, 1), torch.zeros(1, 1))
    zero = {"flow": torch.zeros(1, 8, 8, 2 * SOURCES), "gates": torch.zeros(1, SOURCES - 1, 32, 32)}
    affine = torch.zeros(1, SOURCES, 2, 3)
    torch.testing.assert_close(composite(sources, 1, **zero, affine=affine.flatten(1))[0][0], still[0, 0])
    affine[0, 0, 0, 2] = 4 * 2 * 4 / 32  # four pixels to the right of where a pixel is, its colour is taken
    moved, way = composite(sources, 1, **zero, affine=affine.flatten(1))
    torch.testing.assert_close(moved[0], still[0, 0].roll(-4, -1), atol=1e-5, rtol=0)
    assert float(way[0, 0, 0, 5, 5]) == pytest.approx(4 * 2 / 32)
    zero["gates"][:, 2] = 0.25
    blended, _ = composite(sources, 1, **zero, affine=affine.flatten(1))
    torch.testing.assert_close(blended[0], 0.75 * moved[0] + 0.25, atol=1e-5, rtol=0)


def test_relative_azimuths_are_shared_between_the_nearest_quarters():
    weights = quarter_weights(torch.tensor([[0.0, 90.0, 135.0, 350.0]]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4, 4))
    torch.testing.assert_close(weights[0, 0, 1], torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(weights[0, 1, 0], torch.tensor([0.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(weights[0, 0, 2], torch.tensor([0.0, 0.5, 0.5, 0.0]))


def test_attention_lets_views_and_frames_see_each_other(trained_network):
    """A change of one view's noise reaches the others through attention alone."""
    examples = batch(moving=True)
    noisy = torch.randn(examples["clean"].shape, generator=torch.Generator().manual_seed(0))
    level = torch.ones(noisy.shape[:3])
    changed = noisy.clone()
    changed[:, 0, 0] += 1

    def effect():
        a, b = (trained_network(images, level, task_of(examples)).velocity for images in (changed, noisy))
        return (a - b).abs()

    assert effect()[:, 2, 1].max() > 1e-5
    with without_attention(trained_network):
        assert effect()[:, 1:].max() < 1e-6
        assert effect()[:, 0, 0].max() > 1e-5


def test_synonyms_are_understood_and_foreign_words_reported_once(caplog):
    vocabulary._reported.clear()
    with caplog.at_level(logging.WARNING):
        rows = vocabulary.encode_prompts(["a crimson robot is running", "a red robot is walking", "", "Quokka, red"], 8)
        vocabulary.encode_prompts(["a quokka"], 8)
    assert torch.equal(rows[0], rows[1])
    assert (rows[2] == vocabulary.NOTHING).all()
    assert torch.equal(rows[3, :1], rows[1, :1])
    assert len(caplog.records) == 2
    assert "quokka" in caplog.text
    assert "never seen running; walking is the nearest motion" in caplog.text
    assert set(vocabulary.SYNONYMS.values()) <= set(vocabulary.words())
    assert not set(vocabulary.SYNONYMS) & set(vocabulary.words())
    assert len(vocabulary.words()) + 2 <= CompactConfig().words


@pytest.mark.parametrize(
    ("prompt", "motion"),
    [
        ("a panda is dancing", "swaying"),
        ("a fox jumps", "jump"),
        ("it swims", "swaying"),
        ("an eagle is flying", "jumping"),
    ],
)
def test_a_motion_that_is_unknown_becomes_the_nearest(prompt, motion):
    assert vocabulary.understood(prompt.split()[-1]) == motion
    assert vocabulary.names_a_motion(prompt)
    assert vocabulary.encode_prompts([motion], 8)[0, 0] in vocabulary.encode_prompts([prompt], 8)[0]


def test_a_prompt_without_a_motion_is_told_the_known_ones_once(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            vocabulary.report_missing_motions(["a red panda with a drum", "", "a panda is dancing"])
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("the compact prior knows no motion in 'a red panda with a drum': it knows spinning, jumping")
    assert vocabulary.encode_prompts([""], 4).eq(vocabulary.NOTHING).all()


def test_weights_are_read_back_in_half_precision(trained_network, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_network(path, trained_network, {"steps": 3})
    loaded, facts = load_network(path)
    assert facts == {"steps": 3}
    assert loaded.config == SIZES
    for name, value in trained_network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    with pytest.raises(BackendUnavailableError, match="train-prior compact"):
        load_compact_prior(tmp_path / "nowhere")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BackendUnavailableError, match="cannot be loaded"):
        load_network(path)


def test_a_still_prior_sees_rings_and_takes_a_reference_as_it_is(trained_network):
    prior = CompactPrior(trained_network)
    assert sample_count(prior, 8) == 2
    latents = prior.encode(torch.rand(8, 50, 50, 3))
    assert latents.shape == (8, 3, 32, 32)
    torch.testing.assert_close(prior.encode(prior.decode(latents)), latents)
    two = concatenate([RING, RING])
    t = torch.tensor([500, 700])
    plain = prior.denoise(latents, t, prior.condition(["a red robot", "a blue dog"]), Viewpoints(two))
    alone = prior.denoise(latents[4:], t[1:], prior.condition(["a blue dog"]), Viewpoints(RING))
    torch.testing.assert_close(plain[4:], alone, atol=1e-4, rtol=1e-4)
    picture = torch.rand(1, 32, 32, 3)
    shown = prior.denoise(latents[:4], t[:1], prior.condition(["a red robot"], picture, RING[1]), Viewpoints(RING))
    schedule = prior.schedule
    clean = schedule.clean_from_noise(latents[1:2], shown[1:2], t[:1])
    torch.testing.assert_close(clean, prior.encode(picture), atol=1e-4, rtol=0)
    assert (shown[0] - plain[0]).abs().max() > 1e-4
    beside = orbit(torch.tensor([45.0]), torch.tensor([10.0]), 3.6, 35.0, 32, 32)
    assert torch.isfinite(
        prior.denoise(latents[:4], t[:1], prior.condition(["a dog"], picture, beside), Viewpoints(RING))
    ).all()
    with pytest.raises(ConfigError, match="4 views"):
        prior.denoise(latents[:3], t[:1], prior.condition(["a dog"]), Viewpoints(RING[:3]))
    with pytest.raises(ConfigError, match="reference"):
        CompactPrior(trained_network, "posed-image").condition(["a dog"])


def test_a_single_view_prior_is_conditioned_on_its_reference(trained_network):
    prior = CompactPrior(trained_network, "posed-image")
    latents = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([600, 600])
    a, b = (
        prior.denoise(
            latents, t, prior.condition(["a dog"] * 2, torch.full((1, 32, 32, 3), c), RING[0]), Viewpoints(RING[1:3])
        )
        for c in (0.1, 0.9)
    )
    assert a.shape == latents.shape
    assert (a - b).abs().max() > 1e-3


def test_clips_are_sampled_with_their_first_frames_kept(network):
    """An untrained network takes clips for frame 0 and a deviation, and samples just that, whatever the guidance."""
    prior = CompactPrior(network, "multi-view-video")
    first = prior.encode(torch.rand(4, 32, 32, 3, generator=torch.Generator().manual_seed(0)))
    cameras = RING[torch.arange(4).repeat_interleave(3)]
    query = Query(prior.condition(["a robot is waving"]), prior.unconditional([""]), cameras)
    shape = (1, 4, 3, 3, 32, 32)
    draws = torch.Generator().manual_seed(1)
    clip = sample(prior, query, known_first_frames(first, 3), shape, 10, 3.0, draws, spacing="trailing")
    assert torch.equal(clip.view(4, 3, 3, 32, 32)[:, 0], first)
    assert float((clip.view(4, 3, 3, 32, 32) - first[:, None]).square().mean()) < 1.2 * DEVIATION[0] ** 2


def test_distillation_leaves_the_first_frames_alone(trained_network):
    prior = CompactPrior(trained_network, "multi-view-video")
    latents = prior.encode(torch.rand(12, 32, 32, 3, generator=torch.Generator().manual_seed(0)))
    cameras = RING[torch.arange(4).repeat_interleave(3)]
    request = Request(prior.condition(["a robot is waving"]), prior.unconditional([""]), cameras)
    settings = Distillation("x0", 2.0)
    gradient = latent_gradient(prior, latents, torch.tensor([800]), request, settings, torch.Generator().manual_seed(0))
    frames = gradient.view(4, 3, 3, 32, 32)
    assert (frames[:, 0] == 0).all()
    assert (frames[:, 1:].abs().amax((2, 3, 4)) > 0).all()


def test_times_are_periods_from_the_first_frame_on(trained_network):
    prior = CompactPrior(trained_network, "multi-view-video")
    latents = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    cameras, t = RING[torch.arange(4).repeat_interleave(4)], torch.tensor([900])
    told = prior.condition(["a robot is waving"])
    without = prior.denoise(latents, t, told, Viewpoints(cameras))
    quarters = prior.denoise(latents, t, told, Viewpoints(cameras, torch.arange(4).repeat(4) / 4))
    halves = prior.denoise(latents, t, told, Viewpoints(cameras, torch.arange(4).repeat(4) / 8))
    torch.testing.assert_close(without, quarters)
    assert (without - halves).abs().max() > 1e-4


def test_any_number_of_views_goes_through_the_network(trained_network):
    for views in (1, 2, 6):
        task = Task(
            torch.rand(1, views, 3, 32, 32),
            torch.ones(1, views),
            torch.arange(views)[None] * 360.0 / views,
            torch.zeros(1, views),
            torch.tensor([[0.25, 0.5]]),
            torch.ones(1),
            torch.zeros(1, 16, dtype=torch.int64),
        )
        v = trained_network(torch.randn(1, views, 2, 3, 32, 32), torch.ones(1, views, 2), task).velocity
        assert v.shape == (1, views, 2, 3, 32, 32)
        assert torch.isfinite(v).all()
