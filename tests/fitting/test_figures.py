"""What photographs from several sides lack, though a scene is like each of them."""

from dataclasses import replace

import pytest
import torch

from a4d.fitting.figures import degrees_unseen, figures_of_photographs
from a4d.geometry.cameras import orbit
from a4d.render.shading import decode_srgb, encode_srgb
from a4d.scenes.gaussians.scene import GaussianScene
from a4d.scenes.seed import Seed
from a4d.views import Frames


def cameras(azimuths: list[float], elevation: float, size: int = 32):
    around = torch.tensor(azimuths)
    views = orbit(around, torch.full_like(around, elevation), 3.0, 40.0, size, size)
    return [views[index] for index in range(len(views))]


@pytest.mark.parametrize(
    ("azimuths", "elevation", "degrees"),
    [
        ([0.0, 90.0, 180.0, 270.0], 0.0, 45.0),
        ([0.0, 10.0, 20.0], 0.0, 170.0),
        ([0.0, 60.0, 120.0, 180.0], 0.0, 90.0),
        ([float(each) for each in range(0, 360, 10)], 50.0, 50.2),
    ],
)
def test_the_side_that_no_photograph_shows_is_measured(azimuths: list[float], elevation: float, degrees: float) -> None:
    assert degrees_unseen(cameras(azimuths, elevation)) == pytest.approx(degrees, abs=0.3)


def test_photographs_that_differ_in_brightness_are_noticed() -> None:
    draws = torch.Generator().manual_seed(0)
    scene = GaussianScene.begin({"kind": "gaussians", "count": 400, "opacity": 0.95}, Seed(radius=0.5), draws)
    views = cameras([0.0, 90.0, 180.0, 270.0], 20.0)
    gains = torch.tensor([0.8, 0.9, 1.0, 1.1])
    pictures = []
    for camera in views:
        with torch.no_grad():
            render = scene.render(camera)
        pictures.append(torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0].clamp(0, 1))
    frames = Frames(pictures, views, None, list("abcd"), ["train"] * 4)
    assert figures_of_photographs(scene, frames)["exposure_spread"] < 1e-3
    exposed = [
        torch.cat([encode_srgb(gain * decode_srgb(each[..., :3])), each[..., 3:]], dim=-1)
        for gain, each in zip(gains, pictures, strict=True)
    ]
    found = figures_of_photographs(scene, replace(frames, rgba=exposed))
    assert found["exposure_spread"] == pytest.approx(float(gains.log().std()), rel=1e-2)
    assert found["degrees_unseen"] == pytest.approx(49.0, abs=2)


def test_the_brightness_of_large_photographs_is_that_of_small_ones(monkeypatch) -> None:
    gains, seen = torch.tensor([1.0, 0.6]), []
    camera = orbit(torch.zeros(1), torch.zeros(1), 3.0, 40.0, 400, 300)
    scene = GaussianScene.begin({"kind": "gaussians", "count": 400}, Seed(radius=0.5), torch.Generator().manual_seed(0))
    with torch.no_grad():
        render = scene.render(camera)
    light = decode_srgb((render.rgb / render.alpha.clamp_min(1e-3))[0].clamp(0, 1))
    pictures = [torch.cat([encode_srgb(gain * light), render.alpha[0]], dim=-1) for gain in gains]
    monkeypatch.setattr(
        GaussianScene, "render", lambda *given, draw=GaussianScene.render: seen.append(given[1]) or draw(*given)
    )
    found = figures_of_photographs(scene, Frames(pictures, [camera] * 2, None, list("ab"), ["train"] * 2))
    assert {(each.width, each.height) for each in seen} == {(256, 192)}
    assert found["exposure_spread"] == pytest.approx(float(gains.log().std()), rel=1e-2)
