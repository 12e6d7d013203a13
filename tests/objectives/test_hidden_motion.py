"""Animate124 finds a motion that only priors know; what stands still, or moves for the front alone, falls short."""

import pytest
import torch
from hidden_motion import POSED, RADIUS, Moving, Renders, found, score, swaying, with_other_back

from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature, paint
from a4d.priors.protocol import Viewpoints

BODY = paint(creature(resolution=20))
HIDDEN, OTHER = swaying(BODY), swaying(with_other_back(BODY))


def for_the_front_alone(hidden: Moving) -> Moving:
    """What looks like the hidden motion from the front, while no point comes nearer or goes farther away."""
    rest = hidden.mesh(0.0).vertices

    def at(moment: float):
        moved = hidden.mesh(moment)
        scale = (RADIUS - rest[:, 2:]) / (RADIUS - moved.vertices[:, 2:])
        return moved.with_vertices(torch.cat([moved.vertices[:, :2] * scale, rest[:, 2:]], dim=1))

    return Moving(at)


def test_what_stands_still_or_moves_for_the_front_alone_falls_short() -> None:
    assert score(HIDDEN, HIDDEN).shortfalls == []
    still = score(lambda cameras, times: HIDDEN(cameras, torch.zeros_like(times)), HIDDEN)
    torch.testing.assert_close(still.psnr, still.held)
    assert {"azimuth 0", "azimuth 90", "azimuth 180", "moment 0.5", "moment 1"} <= set(still.shortfalls)
    flat = score(for_the_front_alone(HIDDEN), HIDDEN)
    assert {"azimuth 90", "azimuth 180"} <= set(flat.shortfalls)
    assert "azimuth 0" not in flat.shortfalls


def test_the_video_prior_knows_both_and_takes_the_clip_for_the_one_that_it_resembles() -> None:
    prior = Renders([HIDDEN, OTHER], "video")
    cameras = orbit(torch.tensor([150.0, 170.0, 190.0]), torch.full((3,), 10.0), RADIUS, 40.0, 16, 16)
    seen = Viewpoints(cameras, torch.tensor([0.1, 0.3, 0.5]))
    clips = [prior.encode(thing(cameras, seen.times).rgb) for thing in (HIDDEN, OTHER)]
    assert float((clips[0] - clips[1]).abs().max()) > 0.5
    draws, t = torch.Generator().manual_seed(0), torch.tensor([200])
    for clip in clips:
        noise = torch.randn(clip.shape, generator=draws)
        alpha, sigma = prior.schedule.alpha(t, clip), prior.schedule.sigma(t, clip)
        found = prior.denoise(alpha * clip + sigma * noise, t, prior.condition([""]), seen)
        torch.testing.assert_close(found, noise, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_the_hidden_motion_is_found_and_less_well_without_the_posed_view_prior() -> None:
    whole, without = (score(found("gaussians", HIDDEN, [OTHER], left_out), HIDDEN) for left_out in ((), (POSED,)))
    assert whole.shortfalls == []
    assert float(whole.psnr.mean()) > 22
    assert float(without.psnr.mean()) < float(whole.psnr.mean()) - 1
