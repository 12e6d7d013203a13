"""The objective: renders reach what the prior expects, and every choice of the configuration reaches the prior."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from a4d.config import parse
from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.objectives import build_objectives
from a4d.objectives.asking import random_turns
from a4d.objectives.objective import Step
from a4d.objectives.score_distillation import ScoreDistillation
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.components import resized
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.released.controlnet_tile import ControlNetTile
from a4d.priors.schedule import noise_schedule
from a4d.render.render import Render
from a4d.runtime import Runtime
from a4d.scenes.scene import Scene
from a4d.views import Frames, build_views
from a4d.views.orbit import OrbitViews

SIZE = 16


class Album(Scene):
    """One page per octant of azimuth: the simplest thing that looks different from all sides."""

    kind = "album"

    def __init__(self):
        super().__init__()
        self.pages = nn.Parameter(torch.full((8, SIZE, SIZE, 3), 0.5))

    @classmethod
    def begin(cls, spec, seed, generator):
        return cls()

    def render(self, cameras, times=None, background=None, wants=()):
        x, z = cameras.positions[:, 0], cameras.positions[:, 2]
        page = (torch.rad2deg(torch.atan2(x, z)) / 45).round().long() % 8
        left, top = (round(SIZE / 2 - centre) for centre in cameras.intrinsics[0, 2:].tolist())
        rgb = self.pages[page, top : top + cameras.height, left : left + cameras.width]
        return Render(rgb, torch.ones_like(rgb[..., :1]), torch.zeros_like(rgb[..., :1]))

    def groups(self):
        return {"pages": [self.pages]}

    def save(self, folder):
        raise AssertionError

    @classmethod
    def load(cls, folder, device="cpu"):
        raise AssertionError


def pictures(count=8):
    return torch.rand(count, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(5))


RING = turntable(8, 0.0, 3.0, 40.0, SIZE)


def objective(**values):
    spec = {"kind": "score-distillation", "views": "novel", "prior": "exact", "guidance_scale": 1, **values}
    (built,) = build_objectives([spec])
    return built


def step_of(prior, scene=None, index=0, batch=4, frames=None, **views):
    novel = OrbitViews(batch=batch, elevation=(0.0, 0.0), radius=3.0, size=SIZE, ring=math.gcd(batch, prior.views))
    return Step(index, 7, scene or Album(), {"novel": novel, **views}, frames, "cpu", {"exact": prior})


def distilled_psnr(prior, steps=120, batch=4, **values):
    scene, ask = Album(), objective(t=[0.02, {"from": 0.9, "to": 0.1, "steps": steps}], **values)
    optimiser = torch.optim.Adam(scene.parameters(), lr=0.05)
    for index in range(steps):
        optimiser.zero_grad()
        ask(step_of(prior, scene, index, batch)).backward()
        optimiser.step()
    return -10 * float((scene.pages.detach() - pictures()).square().mean().log10())


@pytest.mark.parametrize("form", ["noise", "x0"])
def test_a_scene_reaches_the_posed_views(form):
    assert distilled_psnr(ExactPrior(ExampleSet(pictures(), cameras=RING)), form=form) > 30


QUADRUPLES = torch.tensor([[k, k + 2, k + 4, k + 6] for k in range(8)]).flatten() % 8


def test_a_scene_reaches_the_multi_views():
    prior = ExactPrior(ExampleSet(pictures()[QUADRUPLES], views=4, cameras=RING[QUADRUPLES]))
    assert distilled_psnr(prior, form="x0", x0_rescale=0.5) > 30


def test_it_fails_with_mirrored_cameras_and_with_views_out_of_order():
    mirrored = turntable(8, 0.0, 3.0, 40.0, SIZE)[-torch.arange(8) % 8]
    assert distilled_psnr(ExactPrior(ExampleSet(pictures(), cameras=mirrored)), form="x0") < 20
    shuffled = QUADRUPLES.view(8, 4)[:, [1, 0, 2, 3]].flatten()
    prior = ExactPrior(ExampleSet(pictures()[shuffled], views=4, cameras=RING[QUADRUPLES]))
    assert distilled_psnr(prior, form="x0") < 20


def gradient(ask, step):
    step.scene.pages.grad = None
    ask(step).backward()
    return step.scene.pages.grad.clone()


def test_the_value_is_a_function_of_seed_and_step():
    prior = ExactPrior(ExampleSet(pictures(), cameras=RING))
    ask = objective()
    first, again, later = (float(ask(step_of(prior, index=i)).detach()) for i in (3, 3, 4))
    assert first == again != later


def test_patches_change_nothing_but_memory():
    prior = ExactPrior(ExampleSet(pictures(), cameras=RING))
    whole = gradient(objective(), step_of(prior))
    assert whole.abs().max() > 0
    torch.testing.assert_close(gradient(objective(patch=8), step_of(prior)), whole)


def test_the_range_of_timesteps_anneals_at_given_steps(monkeypatch):
    """AnimatableDreamer's schedule: [.98, .98], [.50, .74], [.02, .50] at steps 0, 4000, 8000."""
    seen = []
    prior = ExactPrior(ExampleSet(pictures(), cameras=RING))
    denoise = prior.denoise
    monkeypatch.setattr(prior, "denoise", lambda z, t, *rest: seen.append(t) or denoise(z, t, *rest))
    ask = objective(t=[{"from": 0.98, "to": 0.02, "steps": 8000}, {"from": 0.98, "to": 0.5, "steps": 8000}])
    for index, (low, high) in {0: (980, 980), 4000: (500, 740), 8000: (20, 500), 20000: (20, 500)}.items():
        seen.clear()
        for offset in range(40):
            step = step_of(prior, index=index, batch=8)
            step.seed = offset
            ask(step)
        drawn = torch.cat(seen)
        assert low <= int(drawn.min()) <= low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) <= int(drawn.max()) <= high


def test_a_template_is_asked_with_the_prompt_in_its_place():
    names = [f"a photo of a cat, 8k, {view} view" for view in ("front", "side", "back")]
    prior = ExactPrior(ExampleSet(pictures(3), prompts=names))
    objective(prompt="a cat", template="a photo of {}, 8k", view_prompts="sectors")(step_of(prior, batch=1))
    with pytest.raises(ConfigError, match="unknown key 'prompt: a cat, "):
        objective(prompt="a cat", view_prompts="sectors")(step_of(prior, batch=1))
    with pytest.raises(ConfigError, match="where the prompt goes"):
        objective(template="a photo")


def test_prompts_name_the_view():
    prior = ExactPrior(ExampleSet(pictures(3), prompts=["a cat, front view", "a cat, side view", "a cat, back view"]))
    ask = objective(prompt="a cat", view_prompts="sectors")
    scene = Album()
    optimiser = torch.optim.Adam(scene.parameters(), lr=0.05)
    for index in range(100):
        optimiser.zero_grad()
        ask(step_of(prior, scene, index)).backward()
        optimiser.step()
    found = scene.pages.detach()
    for page, example in ((0, 0), (2, 1), (6, 1), (4, 2)):
        assert float((found[page] - pictures(3)[example]).abs().mean()) < 0.05


class Recorder(ExactPrior):
    """An exact prior that wants a reference and remembers what it was given."""

    needs_reference = True

    def condition(self, prompts, images=None, cameras=None):
        if images is not None:
            self.seen = images, cameras
        return super().condition(prompts)


def observed():
    rgba = torch.cat([pictures(2), torch.ones(2, SIZE, SIZE, 1)], dim=-1)
    return Frames([rgba[0]], [RING[2]], None, ["0"], ["train"])


def test_the_only_observed_view_set_is_the_reference():
    prior, views = Recorder(ExampleSet(pictures(), cameras=RING)), build_views({"seen": {"kind": "observed"}})
    objective()(step_of(prior, frames=observed(), **views))
    images, cameras = prior.seen
    torch.testing.assert_close(images, pictures(2)[:1].expand(4, -1, -1, -1))
    torch.testing.assert_close(cameras.world_from_camera, RING[2].world_from_camera)


@pytest.mark.parametrize("picture", ["render", "reference", "frozen"])
def test_a_controlnet_is_shown_the_render_the_reference_or_a_frozen_scene(picture, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "priors"))
    import tiny_models as tiny

    prior = ControlNetTile(tiny.unet(), tiny.controlnet(), tiny.vae(), tiny.text_encoder(), noise_schedule())
    before, scene = Album(), Album()
    with torch.no_grad():
        before.pages.copy_(pictures())
        scene.pages.uniform_(generator=torch.Generator().manual_seed(11))
    forward, seen = prior.controlnet.forward, []
    monkeypatch.setattr(
        prior.controlnet, "forward", lambda z, t, text, c, **k: seen.append(c) or forward(z, t, text, c, **k)
    )
    step = step_of(prior, scene, frames=observed(), **build_views({"seen": {"kind": "observed"}}))
    step.frozen = {"before": before}
    chosen = {"render": {}, "reference": {"reference": "seen"}, "frozen": {"frozen": "before"}}[picture]
    found = gradient(objective(guidance_scale=7.5, **chosen), step)
    cameras = step.batch("novel").cameras
    shown = {
        "render": scene.render(cameras).rgb,
        "reference": pictures(2)[:1].expand(4, -1, -1, -1),
        "frozen": before.render(cameras).rgb,
    }[picture]
    expected = resized(shown.detach(), prior.encoder.size)
    torch.testing.assert_close(seen[0], expected.repeat(2, 1, 1, 1))
    assert found.abs().max() > 0
    assert before.pages.grad is None


def test_a_picture_has_one_source():
    with pytest.raises(ConfigError, match="not both"):
        objective(reference="seen", frozen="before")
    prior = ExactPrior(ExampleSet(pictures(), cameras=RING))
    with pytest.raises(ConfigError, match="frozen: before"):
        objective(frozen="before")(step_of(prior))


def test_views_are_weighed_by_their_angle_from_the_reference():
    prior, views = ExactPrior(ExampleSet(pictures(), cameras=RING)), build_views({"seen": {"kind": "observed"}})
    plain = gradient(objective(), step_of(prior, batch=8))
    weighed = gradient(
        objective(reference="seen", weigh_by_angle=True), step_of(prior, batch=8, frames=observed(), **views)
    )
    batch = step_of(prior, batch=8).batch("novel")
    for camera in range(8):
        x, _, z = batch.cameras.positions[camera].tolist()
        turn = float(torch.rad2deg(torch.atan2(torch.tensor(x), torch.tensor(z))))
        page = round(turn / 45) % 8
        factor = min(abs(turn - 90), 360 - abs(turn - 90)) / 180
        if sum(round(float(t) / 45) % 8 == page for t in turns(batch.cameras)) == 1:
            torch.testing.assert_close(weighed[page], plain[page] * factor, atol=1e-6, rtol=1e-3)


def turns(cameras):
    return torch.rad2deg(torch.atan2(cameras.positions[:, 0], cameras.positions[:, 2]))


class Relief(Album):
    """An album of normals as well."""

    offers = frozenset({"normal"})

    def render(self, cameras, times=None, background=None, wants=()):
        colours = super().render(cameras)
        normal = torch.nn.functional.normalize(colours.rgb * 2 - 1, dim=-1)
        return replace(colours, channels={"normal": normal} if wants else {}, alpha=colours.rgb[..., :1])


class Whole(ExactPrior):
    """A prior whose latents have four channels; it remembers them."""

    def denoise(self, latents, *others):
        self.asked = latents
        return torch.zeros_like(latents)

    def encode(self, rgb, generator=None):
        assert not hasattr(self, "latents"), "nothing is encoded"
        return super().encode(rgb)


def test_normals_and_mask_stand_for_latents():
    scene, prior = Relief(), Whole(ExampleSet(pictures(), cameras=RING))
    with torch.no_grad():
        scene.pages.uniform_(generator=torch.Generator().manual_seed(3))
    ask = objective(geometry_latents=8, t=[0, 0], weighting="uniform")
    found = gradient(ask, step_of(prior, scene))
    assert prior.asked.shape == (4, 4, 8, 8)
    assert found.abs().max() > 0
    # Turning keeps lengths, shrinking averages.
    lengths = prior.asked[:, :3].norm(dim=1)
    assert 0.3 < float(lengths.mean()) < 1.1
    with pytest.raises(ConfigError, match="of kind 'album' have no channel 'normal'"):
        Problem(Album(), step_of(prior).views, [ask], priors={"exact": prior})


def test_unturned_normals_are_those_of_the_render():
    scene, prior = Relief(), Whole(ExampleSet(pictures(), cameras=RING))
    ask = objective(geometry_latents=SIZE, normal_turn="none", t=[0, 0], weighting="uniform")
    step = step_of(prior, scene)
    gradient(ask, step)
    render = step.render("novel", ("normal",))
    shown = torch.cat([render.channels["normal"], render.alpha], dim=-1).permute(0, 3, 1, 2)
    # At timestep 0 a latent has all but a few percent of noise left.
    assert float((prior.asked - shown).detach().abs().mean()) < 0.05


def test_turns_by_yaw_and_pitch_leave_no_roll_and_favour_the_poles():
    turns = {turn: random_turns(turn, 4000, torch.Generator().manual_seed(1)) for turn in ("any", "yaw-pitch")}
    for rotations in turns.values():
        torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(4000, 3, 3), rtol=0, atol=1e-5)
    rows = torch.tensor([0.0, 1.0, 0.0]) @ turns["yaw-pitch"]
    # Up is turned about the x axis alone, and evenly: E[y^2] is a half, where over all rotations it is a third.
    assert float(rows[:, 0].abs().max()) < 1e-5
    assert float(rows[:, 1].square().mean()) == pytest.approx(1 / 2, abs=0.03)
    assert float((torch.tensor([0.0, 1.0, 0.0]) @ turns["any"])[:, 1].square().mean()) == pytest.approx(1 / 3, abs=0.03)


def test_objectives_take_turns(tmp_path):
    spec = {"kind": "score-distillation", "views": "novel", "prior": "exact", "guidance_scale": 1}
    turns = {"first": 3, "every": 4}
    mine, others = build_objectives([{**spec, "turns": turns}, {**spec, "turns": {**turns, "others": True}}])
    assert [step for step in range(14) if mine.turns.includes(step, 0)] == [0, 1, 2, 4, 8, 12]
    assert all(mine.turns.includes(step, 0) != others.turns.includes(step, 0) for step in range(50))
    scene = Album()
    prior = ExactPrior(ExampleSet(pictures(), cameras=RING))
    asked = []
    prior.denoise = lambda z, t, *rest: asked.append(len(asked)) or ExactPrior.denoise(prior, z, t, *rest)
    views = {"novel": OrbitViews(batch=4, elevation=(0.0, 0.0), radius=3.0, size=SIZE)}
    (rare,) = build_objectives([{**spec, "turns": {"every": 5}}])
    config = LoopConfig.model_validate({"iterations": 11, "optimiser": {"rates": {"pages": 0.1}, "clip": 1e-9}})
    runtime = Runtime(console=Console(quiet=True))
    figures = optimise(Problem(scene, views, [rare], priors={"exact": prior}), config, tmp_path, runtime)
    assert len(asked) == 3
    assert figures["score-distillation/exact/novel"] > 0


def test_what_cannot_be_asked_is_said_in_one_line():
    posed = ExactPrior(ExampleSet(pictures(), cameras=RING))
    multi = ExactPrior(ExampleSet(pictures(), views=4, cameras=RING))
    with pytest.raises(ConfigError, match="multiple of 4"):
        objective()(step_of(multi, batch=3))
    with pytest.raises(ConfigError, match="Did you mean 'exact'"):
        objective(prior="exakt")(step_of(posed))
    with pytest.raises(ConfigError, match="needs a reference"):
        objective(weigh_by_angle=True)(step_of(posed))
    with pytest.raises(ConfigError, match="reference"):
        objective()(step_of(Recorder(posed.examples)))
    with pytest.raises(ConfigError, match="guidance_scale"):
        parse(ScoreDistillation, {"views": "novel", "prior": "exact"})
