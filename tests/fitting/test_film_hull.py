"""The hull of a thing that moves, in one of its poses."""

import math
from collections.abc import Callable

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.fitting.film_hull import film_hull, likeliest_moment
from a4d.fitting.seed_settings import SeedConfig
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.render.mesh import render_mesh
from a4d.views import Frames

COUNT = 36
CONFIG = SeedConfig(kind="film", tolerated=0.1)
END = 0.85
"""How far the arm's end is from the middle, metres."""


def waving(angle: float) -> Mesh:
    """A ball with an arm at an angle above the horizon."""
    ball, arm = icosphere(0.35, 2), icosphere(0.1, 2)
    long = arm.vertices * torch.tensor([3.0, 1.0, 1.0]) + torch.tensor([END - 0.3, 0.0, 0.0])
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = torch.cat([long[:, :2] @ turn.T, long[:, 2:]], dim=1)
    return Mesh(torch.cat([ball.vertices, turned]), torch.cat([ball.faces, arm.faces + len(ball.vertices)]))


def to_and_fro(time: float) -> float:
    """From low to high and back, once."""
    return math.radians(10) * math.sin(2 * math.pi * time)


def late(time: float) -> float:
    """Still, and in the end up."""
    return math.radians(60 if time > 0.7 else 0)


def film(angle: Callable[[float], float]) -> Frames:
    """Its outlines while a camera goes around it once, in no order."""
    times = torch.arange(COUNT)[torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))] / COUNT
    cameras = orbit(360 * times, torch.full((COUNT,), 20.0), 3.0, 40.0, 64, 64)
    alphas = [render_mesh(waving(angle(float(time))), cameras[index]).alpha[0] for index, time in enumerate(times)]
    pictures = [torch.cat([alpha.expand(-1, -1, 3), alpha], dim=-1) for alpha in alphas]
    names = [f"{index}" for index in range(COUNT)]
    return Frames(pictures, [cameras[index] for index in range(COUNT)], times, names, ["train"] * COUNT)


def missed(frames: Frames, config: SeedConfig) -> float:
    """How far the end of a level arm is from the hull, metres."""
    end = torch.tensor([END, 0.0, 0.0])
    return float((film_hull(frames, config, 48).surface()[0] - end).norm(dim=1).min())


def at(moment: float) -> SeedConfig:
    """The settings of a hull in the pose of a moment."""
    return CONFIG.model_copy(update={"moment": moment})


def test_a_limb_that_moves_is_longer_in_the_hull_of_a_moment_than_in_that_of_all_frames() -> None:
    frames = film(to_and_fro)
    assert missed(frames, at(0.0)) < 0.15
    assert missed(frames, CONFIG) > 0.18


def test_the_moment_that_is_chosen_has_the_pose_of_most() -> None:
    frames = film(late)
    moment = likeliest_moment(frames, CONFIG)
    assert moment < 0.7
    assert missed(frames, at(moment)) < 0.1 < missed(frames, at(0.9))


def test_frames_that_have_nothing_in_common_are_refused() -> None:
    frames = film(late)
    empty = Frames([rgba * 0 for rgba in frames.rgba], frames.cameras, frames.times, frames.names, frames.splits)
    with pytest.raises(InvalidInputError, match="common"):
        film_hull(empty, at(0.5), 24)
    assert 0 < likeliest_moment(empty, CONFIG) < 1
