"""Views and films of a scene that is known, against frames that show it, or something else."""

import pytest
import torch

from a4d.evaluation.judges import Judges
from a4d.evaluation.views import FILM_FRAMES, compare_views
from a4d.geometry.cameras import Cameras, turntable
from a4d.render.render import Render
from a4d.views import Frames

CAMERAS = turntable(2, 10.0, 3.0, 40.0, 48)
TIMES = [0.0, 0.5, 1.0]


class Sliding(torch.nn.Module):
    """A grey square that slides by half of its width from time 0 to 1, before a background."""

    seconds = None
    is_periodic = False

    def __init__(self, is_moving: bool = True, jump: float = 0.0, level: float = 0.5) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.is_moving, self.jump, self.level, self.times = is_moving, jump, level, []

    def render(self, cameras: Cameras, times: torch.Tensor | None, background: torch.Tensor, wants=()) -> Render:
        time = float(times) if times is not None and self.is_moving else 0.0
        self.times.append(time)
        alpha = torch.zeros(1, cameras.height, cameras.width, 1)
        left = 16 + round(8 * time)
        alpha[:, 16:32, left : left + 16] = 1
        level = self.level + self.jump * (round(time * (FILM_FRAMES - 1)) % 2)
        return Render(level * alpha + background[:, None, None] * (1 - alpha), alpha, alpha)


def frames_of(scene: Sliding, times: list[float] | None) -> Frames:
    rgba, cameras, seen = [], [], []
    for view in range(2):
        for time in times or [0.0]:
            render = scene.render(CAMERAS[view], torch.tensor([time]), torch.zeros(1, 3))
            rgba.append(torch.cat([render.rgb, render.alpha], dim=-1)[0])
            cameras.append(CAMERAS[view])
            seen.append(time)
    names = [str(index) for index in range(len(rgba))]
    scene.times.clear()
    return Frames(rgba, cameras, torch.tensor(seen) if times else None, names, ["train"] * len(rgba))


def test_a_scene_against_itself_is_perfect_over_both_backgrounds() -> None:
    frames = frames_of(Sliding(), TIMES)
    for level in (0.0, 1.0):
        facts = compare_views(Sliding(), frames, background=level)
        assert (facts["psnr"], facts["foreground_psnr"]) == (99.0, 99.0)
        assert facts["ssim"] == facts["foreground_ssim"] == facts["iou"] == pytest.approx(1)
        assert facts["flicker"] == pytest.approx(0, abs=1e-7)
        assert "second_difference" not in facts
        assert len(facts["views"]) == 6


def test_an_error_of_the_subject_is_told_without_the_empty_rest() -> None:
    frames = frames_of(Sliding(), None)
    facts = compare_views(Sliding(is_moving=False, level=0.6), frames)
    assert facts["foreground_psnr"] == pytest.approx(20, abs=1e-3)
    assert facts["psnr"] == pytest.approx(20 + 10 * torch.log10(torch.tensor(48**2 / 16**2)).item(), abs=1e-3)
    assert "flicker" not in facts
    missing = compare_views(Sliding(is_moving=False, level=0.0), frames)
    assert missing["foreground_psnr"] == pytest.approx(-10 * torch.log10(torch.tensor(0.25)).item(), abs=1e-3)
    # A black subject is as wrong over white as over black: the background is no part of a foreground.
    whiter = compare_views(Sliding(is_moving=False, level=0.0), frames, background=1.0)
    assert whiter["foreground_psnr"] == pytest.approx(missing["foreground_psnr"])


def test_what_stands_still_changes_less_than_the_truth() -> None:
    frames = frames_of(Sliding(), TIMES)
    facts = compare_views(Sliding(is_moving=False), frames)
    # Four columns of 16 pixels appear and as many vanish, at .5, in each of two steps.
    assert facts["flicker"] == pytest.approx(-2 * 4 * 16 * 0.5 / 48**2, rel=1e-5)


def test_a_single_frame_gets_a_film_of_its_camera_that_flickers_if_the_scene_does() -> None:
    frames = frames_of(Sliding(), None).only(0)
    steady, jumping = Sliding(), Sliding(jump=0.1)
    facts = compare_views(jumping, frames)
    assert jumping.times == pytest.approx([0.0, *torch.linspace(0, 1, FILM_FRAMES).tolist()])
    assert "flicker" not in facts
    difference = facts["second_difference"] - compare_views(steady, frames)["second_difference"]
    assert difference == pytest.approx(0.2 * 16**2 / 48**2, rel=0.2)


class Brightness:
    """A CLIP for which an image is how bright it is: an angle up to a right one."""

    def images(self, rgb: torch.Tensor) -> torch.Tensor:
        angle = rgb.amax((1, 2, 3)) * torch.pi / 2
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_clip_judges_a_film_against_the_single_frame_and_views_against_their_own() -> None:
    judges, cosine = Judges(clip=Brightness()), torch.tensor(0.1 * torch.pi / 2).cos().item()
    still = frames_of(Sliding(), None)
    film = compare_views(Sliding(jump=0.1), still, judges=judges)
    assert film["clip_i"] == pytest.approx((1 + cosine) / 2, abs=1e-6)
    assert film["clip_f"] == pytest.approx(cosine, abs=1e-6)
    moving = frames_of(Sliding(), TIMES)
    views = compare_views(Sliding(level=0.6), moving, judges=judges)
    assert views["clip_i"] == pytest.approx(cosine, abs=1e-6)
    assert views["clip_f"] == pytest.approx(1, abs=1e-6)
    alone = compare_views(Sliding(is_moving=False), still, judges=judges)
    assert alone["clip_i"] == pytest.approx(1)
    assert "clip_f" not in alone
