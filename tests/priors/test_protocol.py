"""Guidance, prompts and camera codes mean what the papers' formulas and measured values say."""

import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.priors.camera_codes import angle_between_views, multi_view_code, relative_view_code, spherical
from a4d.priors.prompts import blended_view_conditioning, view_prompts
from a4d.priors.protocol import (
    Conditioning,
    Prior,
    Viewpoints,
    denoise_jointly,
    frame_mask,
    guide,
    join,
    match_deviation,
)
from a4d.priors.schedule import noise_schedule


def cameras_at(azimuth, elevation, radius=2.0):
    azimuth = torch.tensor(azimuth, dtype=torch.float32)
    return orbit(azimuth, torch.tensor(elevation, dtype=torch.float32).expand_as(azimuth), radius, 40.0, 8, 8)


class Echo(Prior):
    """A prior that returns what it was given, weighted so that a mix-up of order shows."""

    modality = "posed-image"

    def __init__(self):
        self.schedule = noise_schedule()

    def condition(self, prompts, images=None, cameras=None):
        return Conditioning({"value": torch.tensor([[float(sum(map(ord, p)))] for p in prompts])})

    def encode(self, rgb, generator=None):
        return rgb.permute(0, 3, 1, 2)

    def denoise(self, latents, t, conditioning, seen):
        extra = conditioning["value"] * 1e3 + t[:, None] + seen.cameras.positions[:, :1] + 10 * seen.times[:, None]
        return latents + extra[..., None, None]


def test_the_two_forms_of_guidance():
    c, u = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(guide(c, u, 7.5), u + 7.5 * (c - u))
    torch.testing.assert_close(guide(c, u, 7.5, "from-conditional"), c + 7.5 * (c - u))
    torch.testing.assert_close(guide(c, u, 100, "from-conditional"), guide(c, u, 101), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(guide(c, u, 1), c)


def test_guidance_rescale_agrees_with_diffusers():
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    c, u = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    expected = rescale_noise_cfg(guide(c, u, 7.5), c, guidance_rescale=0.7)
    torch.testing.assert_close(match_deviation(guide(c, u, 7.5), c, 0.7), expected, atol=1e-5, rtol=1e-4)


def test_deviation_is_taken_over_the_whole_sample():
    values, reference = torch.randn(8, 4, 8, 8) * torch.arange(1, 9).view(-1, 1, 1, 1), torch.randn(8, 4, 8, 8)
    matched = match_deviation(values, reference, 1.0, images_per_sample=4)
    for sample in (slice(0, 4), slice(4, 8)):
        assert float(matched[sample].std()) == pytest.approx(float(reference[sample].std()), rel=1e-5)
        ratio = matched[sample] / values[sample]
        assert float(ratio.max() - ratio.min()) < 1e-5


def test_joint_denoising_equals_one_by_one():
    prior, latents, t = Echo(), torch.randn(3, 3, 4, 4), torch.tensor([1, 2, 3])
    seen = Viewpoints(cameras_at([0.0, 30.0, 60.0], 10.0), torch.tensor([0.0, 0.5, 1.0]))
    conditionings = [prior.condition([p] * 3) for p in ("a", "b", "")]
    together = denoise_jointly(prior, latents, t, conditionings, seen)
    for each, conditioning in zip(together, conditionings, strict=True):
        torch.testing.assert_close(each, prior.denoise(latents, t, conditioning, seen))


def test_clean_frames_of_every_view_carry_no_noise():
    prior = Echo()
    prior.views, prior.clean_frames = 4, 1
    mask = frame_mask(prior, samples=2, batch=2 * 4 * 3)
    assert mask.tolist() == [False, True, True] * 8


def test_view_prompts_by_sector():
    cameras = cameras_at([0.0, -40.0, 90.0, -90.0, 170.0, -170.0], 0.0)
    names = [prompt.split(", ")[1] for prompt in view_prompts("a cat", cameras)]
    assert names == ["front view", "front view", "side view", "side view", "back view", "back view"]
    assert view_prompts("a cat", cameras_at([0.0], 75.0)) == ["a cat, overhead view"]


def test_blended_prompts_pass_through_the_three_views():
    prior = Echo()
    front, side, back = (float(prior.condition([f"x, {n} view"])["value"]) for n in ("front", "side", "back"))
    blended = blended_view_conditioning(prior, "x", cameras_at([0.0, 45.0, -90.0, 135.0, 180.0], 0.0))["value"]
    expected = torch.tensor([front, (front + side) / 2, side, (side + back) / 2, back])
    torch.testing.assert_close(blended.flatten(), expected, atol=1e-2, rtol=0)


def test_join_keeps_order():
    a, b = Conditioning({"x": torch.zeros(2, 1)}), Conditioning({"x": torch.ones(2, 1)})
    assert join([a, b])["x"].flatten().tolist() == [0, 0, 1, 1]


def test_spherical_inverts_orbit():
    azimuth, elevation = torch.tensor([0.0, 30.0, -120.0, 179.0]), torch.tensor([0.0, 45.0, -20.0, 80.0])
    found = spherical(orbit(azimuth, elevation, torch.tensor([1.0, 2.0, 3.0, 4.0]), 40.0, 8, 8)).unbind(-1)
    torch.testing.assert_close(found[0], azimuth, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1], elevation, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[2], torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_relative_view_code_signs():
    reference = cameras_at([10.0], 5.0, 2.0)
    code = relative_view_code(spherical(cameras_at([100.0, -80.0, 10.0], 35.0, 2.5)), spherical(reference))
    half_turn = torch.deg2rad(torch.tensor(-30.0))  # higher than the reference: nearer to the pole
    expected = torch.tensor([[half_turn, 1, 0, 0.5], [half_turn, -1, 0, 0.5], [half_turn, 0, 1, 0.5]])
    torch.testing.assert_close(code, expected, atol=1e-5, rtol=0)


def test_angle_between_views():
    reference = cameras_at([0.0], 0.0)
    angles = angle_between_views(cameras_at([0.0, 90.0, 180.0], 0.0), reference)
    torch.testing.assert_close(angles, torch.tensor([0.0, 90.0, 180.0]), atol=0.05, rtol=0)


def test_multi_view_code_of_the_released_models():
    """Literal values of `get_camera(4)` in Animate3D, elevation 15 degrees, azimuths 0 and 90."""
    code = multi_view_code(cameras_at([0.0, 90.0], 15.0, 3.0))
    s, c = 0.258819, 0.965926
    expected = torch.tensor(
        [[0, -s, c, c, 1, 0, 0, 0, 0, c, s, s, 0, 0, 0, 1], [-1, 0, 0, 0, 0, -s, c, c, 0, c, s, s, 0, 0, 0, 1]]
    )
    torch.testing.assert_close(code, expected, atol=1e-5, rtol=0)
