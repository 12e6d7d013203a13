"""Refinement of a clip: a prior is shown a frozen scene, and looks at the frames that are chosen of the clip alone."""

import hashlib

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn.functional import avg_pool2d

from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.render.render import Render
from a4d.runtime import Runtime
from a4d.scenes.scene import Scene
from a4d.views.orbit import OrbitViews

FRAMES, SIZE = 16, 16
CHOSEN = [0, 8]
TILE = {
    "kind": "score-distillation", "views": "clip", "prior": "tile", "frozen": "before", "frames": CHOSEN, "form": "x0",
    "guidance_scale": 1, "t": [0.2, 0.8], "shared_t": True,
}  # fmt: skip


class Film(Scene):
    """A picture per moment, the same from all sides; it counts what is rendered."""

    kind = "film"

    def __init__(self, pictures):
        super().__init__()
        self.pictures = nn.Parameter(pictures.clone())
        self.rendered = 0

    @classmethod
    def begin(cls, spec, seed, generator):
        raise AssertionError

    def render(self, cameras, times=None, background=None, wants=()):
        self.rendered += len(cameras)
        rgb = self.pictures[(times * (FRAMES - 1)).round().long()]
        return Render(rgb, torch.ones_like(rgb[..., :1]), torch.zeros_like(rgb[..., :1]))

    def groups(self):
        return {"pictures": [self.pictures]}

    def save(self, folder):
        raise AssertionError

    @classmethod
    def load(cls, folder, device="cpu"):
        raise AssertionError


def sharp():
    return torch.rand(FRAMES, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(3))


def blurred():
    return avg_pool2d(sharp().permute(0, 3, 1, 2), 3, 1, 1).permute(0, 2, 3, 1)


class Tile(ExactPrior):
    """Knows a sharper picture of whatever it is shown; it remembers what it was asked."""

    def __init__(self):
        super().__init__(ExampleSet(sharp(), prompts=[str(number) for number in range(FRAMES)]))
        self.encoded, self.levels = [], []

    def condition(self, prompts, images=None, cameras=None):
        if images is None:
            return super().condition(prompts)
        nearest = torch.cdist(images.flatten(1), blurred().flatten(1)).argmin(1)
        return super().condition([str(number) for number in nearest.tolist()])

    def encode(self, rgb, generator=None):
        if hasattr(self, "encoded"):
            self.encoded.append((len(rgb), rgb.requires_grad))
        return super().encode(rgb, generator)

    def denoise(self, latents, t, *rest):
        self.levels.append(t.tolist())
        return super().denoise(latents, t, *rest)


def clip():
    return OrbitViews(batch=1, frames=FRAMES, size=SIZE)


def refined(folder, objectives, priors, steps):
    before, scene = Film(blurred()), Film(blurred())
    before.requires_grad_(False)
    config = LoopConfig.model_validate({"iterations": steps, "optimiser": {"rates": {"pictures": 0.03}}})
    problem = Problem(scene, {"clip": clip()}, build_objectives(objectives), None, priors, {"before": before})
    optimise(problem, config, folder, Runtime(console=Console(quiet=True)))
    return before, scene


def fingerprint(scene):
    return hashlib.sha256(scene.pictures.detach().numpy().tobytes()).hexdigest()


def test_chosen_frames_become_sharper_and_the_frozen_scene_stays(tmp_path):
    tile, steps = Tile(), 60
    before, scene = refined(tmp_path, [TILE], {"tile": tile}, steps)
    start, end = ((pictures - sharp()).flatten(1).norm(dim=1) for pictures in (blurred(), scene.pictures.detach()))
    assert (end[CHOSEN] < 0.5 * start[CHOSEN]).all()
    others = [frame for frame in range(FRAMES) if frame not in CHOSEN]
    assert torch.equal(scene.pictures.detach()[others], blurred()[others])
    assert fingerprint(before) == fingerprint(Film(blurred()))
    # Nothing is rendered or encoded for the fourteen frames that nobody looks at; a preview is a view by itself.
    assert before.rendered == len(CHOSEN) * steps
    assert scene.rendered == len(CHOSEN) * steps + 2
    assert tile.encoded == [(len(CHOSEN), True)] * steps


def test_all_objectives_share_the_render_of_a_clip(tmp_path):
    film = ExactPrior(ExampleSet(sharp(), frames=FRAMES))
    whole = {"kind": "score-distillation", "views": "clip", "prior": "film", "guidance_scale": 1}
    before, scene = refined(tmp_path, [TILE, whole], {"tile": Tile(), "film": film}, 5)
    assert scene.rendered == FRAMES * 5 + 2
    assert before.rendered == len(CHOSEN) * 5


@pytest.mark.parametrize("is_shared", [True, False])
def test_frames_have_one_noise_level_where_they_share_it(is_shared):
    tile = Tile()
    (ask,) = build_objectives([{**TILE, "shared_t": is_shared}])
    for index in range(12):
        step = Step(
            index, 0, Film(blurred()), {"clip": clip()}, priors={"tile": tile}, frozen={"before": Film(blurred())}
        )
        ask(step.choosing(ask.frames))
    assert all(first == second for first, second in tile.levels) is is_shared
    assert len({first for first, _ in tile.levels}) > 6
    assert all(200 <= level <= 800 for levels in tile.levels for level in levels)


def test_a_frozen_scene_is_rendered_once_for_all_who_are_shown_it():
    before = Film(blurred())
    step = Step(0, 0, Film(blurred()), {"clip": clip()}, frozen={"before": before}).choosing(CHOSEN)
    first, again = (step.render_frozen("before", "clip") for _ in range(2))
    assert first is again
    assert before.rendered == len(CHOSEN)
    assert not first.rgb.requires_grad
