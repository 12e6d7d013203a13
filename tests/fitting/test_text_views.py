"""Views that a prior draws of words: the best of several draws, kept for whoever resumes, and what is found in them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from a4d.datasets.procedural.named_colours import colour_lead, colour_named, main_colour, nearest_colours
from a4d.datasets.procedural.vocabulary import COLOURS
from a4d.fitting import text_views
from a4d.fitting.sample_settings import ViewSampleConfig
from a4d.fitting.text_views import agreement, best_views, figures_of_words, read_text_views, sampled_text_views
from a4d.geometry.primitives import box
from a4d.priors.placement import Placement
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.seed import Seed

CONFIG = ViewSampleConfig(
    prior="compact", draws=3, size=16, elevation=10, radius=3.6, fov=35, background="white", steps=2, guidance_scale=1
)
RUNTIME = Runtime(console=Console(quiet=True))


def views(colour: str, shift: int = 0) -> torch.Tensor:
    """(4, 16, 16, 3) four views of a block off the middle over white, the last two moved from where they mirror."""
    images = torch.ones(4, 16, 16, 3)
    for view, left in enumerate((3, 5, 16 - 9 + shift, 16 - 11 + shift)):
        images[view, 4:12, left : left + 6] = torch.tensor(COLOURS[colour])
    return images


class Drawing:
    """A prior whose draws are given in turn."""

    views = 4

    def __init__(self, *draws: torch.Tensor) -> None:
        self.draws = iter(draws)

    def condition(self, prompts: list[str]) -> None:
        return None

    unconditional = condition

    def encode(self, rgb: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        return rgb.permute(0, 3, 1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.permute(0, 2, 3, 1)


@pytest.fixture
def drawn(monkeypatch) -> None:
    monkeypatch.setattr(
        text_views, "sample", lambda prior, *rest, **options: next(prior.draws).permute(0, 3, 1, 2).clone()
    )


def test_the_colour_of_the_subject_is_the_first_that_is_not_a_part_s() -> None:
    assert main_colour("a striped red robot with blue legs") == "red"
    assert main_colour("a robot with blue legs") is None
    assert main_colour("a crimson horse") == main_colour("a firebrick horse") == "red"
    assert main_colour("a dark green tower") == "green"
    assert main_colour("a red rose") == main_colour("a red tomato on a plate") == "red"
    assert main_colour("a blue salmon coloured robot") == "blue"
    assert main_colour("a golden robot with turquoise legs") == "yellow"
    assert [colour_named(word) for word in ("teal", "indigo", "gainsboro", "tower")] == ["teal", "purple", "grey", None]
    assert main_colour("a totem with pink arms and teal body") is None
    for brightness in (1.0, 0.6):
        names = list(COLOURS)
        found = nearest_colours(brightness * torch.tensor(list(COLOURS.values())))
        assert [names[index] for index in found.tolist()] == names
    pixels = torch.tensor(COLOURS["red"]).repeat(10, 1)
    pixels[:3] = torch.tensor(COLOURS["blue"])
    assert colour_lead(pixels, "red") == pytest.approx(0.4)
    assert colour_lead(pixels, "blue") == pytest.approx(-0.4)
    assert colour_lead(0.1 * torch.ones(5, 3), "grey") == colour_lead(0.8 * torch.ones(5, 3), "black") == 1.0


@pytest.mark.usefixtures("drawn")
def test_the_draw_is_taken_that_mirrors_itself_and_has_the_colour_that_is_named() -> None:
    askew, blue, red = views("red", shift=3), views("blue"), views("red")
    chosen = best_views(Drawing(askew, blue, red), CONFIG, "a red block", RUNTIME)
    assert chosen.shape == (4, 16, 16, 4)
    assert torch.equal(chosen[..., 3] > 0.5, (red < 0.99).any(-1))
    torch.testing.assert_close(chosen[0, 8, 4, :3], torch.tensor(COLOURS["red"]))
    assert agreement(chosen, "a red block") == pytest.approx(2.0)
    unnamed = best_views(Drawing(askew, blue, red), CONFIG, "a block", RUNTIME)
    torch.testing.assert_close(unnamed[0, 8, 4, :3], torch.tensor(COLOURS["blue"]))
    assert agreement(torch.zeros(4, 16, 16, 4), "a block") == -1.0


@pytest.mark.usefixtures("drawn")
def test_a_resumed_run_sees_what_the_first_saw(monkeypatch, tmp_path: Path) -> None:
    work, asked = SimpleNamespace(previews=tmp_path), []

    def load(name: str, placement: Placement) -> Drawing:
        asked.append(name)
        return Drawing(*[views("red")] * 3)

    monkeypatch.setattr(text_views, "load_prior", load)
    first = sampled_text_views(work, CONFIG, "a red block", Placement(), RUNTIME)
    again = sampled_text_views(work, CONFIG, "a red block", Placement(), RUNTIME)
    assert asked == ["compact"]
    assert all(torch.equal(*pair) for pair in zip(first.rgba, again.rgba, strict=True))
    positions = torch.cat([camera.positions for camera in first.cameras])
    torch.testing.assert_close(positions.norm(dim=1), torch.full((4,), 3.6))
    assert float(positions[0, 2]) == pytest.approx(3.6 * torch.tensor(10.0).deg2rad().cos().item(), abs=1e-5)


@pytest.mark.usefixtures("drawn")
def test_a_scene_is_held_against_the_outlines_and_the_colour(monkeypatch, tmp_path: Path) -> None:
    spec = {
        "kind": "fixed_mesh",
        "shading": "albedo",
        "material": {"encoding": {"levels": 2, "table": 512, "base_resolution": 4, "finest_resolution": 8}},
    }
    scene = FixedMeshScene.begin(spec, Seed(mesh=box((1.0, 1.0, 1.0))), generator(0, "begin"))
    monkeypatch.setattr(text_views, "load_prior", lambda name, placement: Drawing(*[views("red")] * 3))
    sampled_text_views(SimpleNamespace(previews=tmp_path), CONFIG, "a red block", Placement(), RUNTIME)
    figures = figures_of_words(scene, read_text_views(tmp_path / "sampled", CONFIG), "a grey block", "compact")
    assert 0.2 < figures["sampled_iou"] < 0.9
    assert figures["colour_lead"] == 1.0
    assert figures_of_words(scene, read_text_views(tmp_path / "sampled", CONFIG), "a block", "mvdream-2.1").keys() == {
        "sampled_iou"
    }
