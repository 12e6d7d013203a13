"""What learns in a run: groups that are held or reached, their optimisers, and what learns beside a scene."""

import signal
from pathlib import Path

import pytest
import torch
from painting import Painting, gallery
from rich.console import Console
from torch import nn

from a4d.errors import ConfigError, Interrupted
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step, Turns
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.optimisers import OptimiserConfig, RowAdam, adam, clip_gradients
from a4d.runtime import Runtime, StopRequest
from a4d.trainable import Trainable
from a4d.views import build_views


class Diptych(Painting):
    """A painting whose colours and coverage are two groups."""

    def __init__(self) -> None:
        super().__init__()
        del self.pixels
        self.colours = nn.Parameter(torch.full((16, 16, 3), 0.5))
        self.cover = nn.Parameter(torch.full((16, 16, 1), 0.5))

    def render(self, cameras, times=None, background=None, wants=()):
        self.__dict__["pixels"] = torch.cat([self.colours, self.cover], dim=-1)
        return super().render(cameras, times, background)

    def groups(self):
        return {"colours": [self.colours], "cover": [self.cover]}


VIEWS = {"seen": {"kind": "observed", "background": "random"}, "still": {"kind": "observed", "reaches": ["cover"]}}


def step_of(scene, index=0):
    return Step(index, 0, scene, build_views(VIEWS), gallery())


def quiet():
    return Runtime(console=Console(quiet=True), stop=StopRequest(), seed=3)


def loop(rates, iterations=8, **optimiser):
    return LoopConfig.model_validate({"iterations": iterations, "optimiser": {"rates": rates, **optimiser}})


def gradients(scene, spec):
    (objective,) = build_objectives([spec])
    step = step_of(scene)
    with scene.reaching(objective.reaches):
        value = objective(step.reaching(objective.reaches))
    scene.zero_grad()
    value.backward()
    return [parameter.grad for parameter in (scene.colours, scene.cover)]


def test_an_objective_and_a_view_set_say_which_groups_they_reach():
    scene = Diptych()
    both = gradients(scene, {"kind": "photometric", "views": "seen", "ssim": 0})
    assert all(gradient is not None for gradient in both)
    colours, cover = gradients(scene, {"kind": "photometric", "views": "seen", "ssim": 0, "reaches": ["colours"]})
    assert cover is None
    assert torch.equal(colours, both[0])
    colours, cover = gradients(scene, {"kind": "photometric", "views": "still", "ssim": 0})
    assert colours is None
    assert cover is not None
    assert all(parameter.requires_grad for parameter in scene.parameters())


def test_objectives_of_the_same_reach_share_a_render_and_others_do_not():
    scene, drawn = Diptych(), []
    render = scene.render
    scene.render = lambda *arguments: drawn.append(1) or render(*arguments)
    step = step_of(scene)
    step.render("seen"), step.reaching(None).render("seen")
    assert len(drawn) == 1
    held = step.reaching(["cover"])
    held.render("seen"), held.render("seen")
    assert len(drawn) == 2
    # What the set reaches and what the objective reaches is what both reach.
    step.render("still"), held.render("still")
    assert len(drawn) == 3


def test_groups_without_a_rate_stay_and_get_no_gradient(tmp_path: Path):
    scene = Diptych()
    objectives = build_objectives([{"kind": "photometric", "views": "seen"}])
    optimise(Problem(scene, build_views(VIEWS), objectives, gallery()), loop({"cover": 0.1}), tmp_path, quiet())
    assert torch.equal(scene.colours, torch.full((16, 16, 3), 0.5))
    assert scene.colours.grad is None
    assert float((scene.cover.detach() - 0.5).abs().max()) > 0.1


@pytest.mark.parametrize("where", ["views", "objectives", "rates"])
def test_groups_that_are_not_there_are_named(where, tmp_path):
    views = {"seen": {"kind": "observed", **({"reaches": ["colour"]} if where == "views" else {})}}
    spec = {"kind": "mask", "views": "seen", **({"reaches": ["colour"]} if where == "objectives" else {})}

    def begun():
        problem = Problem(Diptych(), build_views(views), build_objectives([spec]), gallery())
        optimise(problem, loop({"colour": 1.0}), tmp_path, quiet())

    with pytest.raises(ConfigError, match="Did you mean 'colours'"):
        begun()


def test_adam_of_the_loop_is_adam():
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    optimisers = adam({"x": [ours]}, OptimiserConfig(rates={"x": 0.01}))
    reference = torch.optim.Adam([theirs], lr=0.01, eps=1e-15, fused=True)
    for index in range(20):
        for parameter in (ours, theirs):
            parameter.grad = torch.sin(index * parameter.detach() * 3)
        optimisers.step()
        reference.step()
    assert torch.equal(ours, theirs)


def test_weights_decay_by_group():
    kept, lost = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimisers = adam(
        {"kept": [kept], "lost": [lost]}, OptimiserConfig(rates={"kept": 0.1, "lost": 0.1}, weight_decay={"lost": 0.5})
    )
    for parameter in (kept, lost):
        parameter.grad = torch.zeros(3)
    optimisers.step()
    assert torch.equal(kept, torch.ones(3))
    torch.testing.assert_close(lost.detach(), torch.full((3,), 1 - 0.1 * 0.5))


def test_rows_that_were_not_seen_neither_move_nor_forget():
    dense, rows = (nn.Parameter(torch.zeros(4, 2)) for _ in range(2))
    groups = {"dense": [dense], "rows": [rows]}
    config = OptimiserConfig(rates={"dense": 0.1, "rows": 0.1}, sparse=["rows"])
    optimisers = adam(groups, config)
    assert any(isinstance(part, RowAdam) for part in optimisers.parts)
    for seen in (0, 1):
        for parameter in (dense, rows):
            parameter.grad = torch.zeros(4, 2)
            parameter.grad[seen] = 1.0
        optimisers.step()
        optimisers.zero()
    # Adam carries the first row on although nothing asked it to; a row of its own stays.
    assert float(dense[0].detach().abs().min()) > 0.15
    torch.testing.assert_close(rows[0].detach(), torch.full((2,), -0.1))
    assert torch.equal(rows[2:].detach(), torch.zeros(2, 2))
    again = adam(
        {"dense": [dense], "rows": [rows]}, OptimiserConfig(rates={"dense": 0.1, "rows": 0.1}, sparse=["rows"])
    )
    again.restore(optimisers.state())
    moved = []
    for each in (optimisers, again):
        before = rows.detach().clone()
        rows.grad = torch.ones(4, 2)
        each.step()
        moved.append(rows.detach() - before)
        rows.data.copy_(before)
    assert torch.equal(*moved)


def test_norms_are_bounded_by_group():
    small, large = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    config = OptimiserConfig(rates={"small": 1, "large": 1}, clip_norm={"large": 2.0})
    optimisers = adam({"small": [small], "large": [large]}, config)
    small.grad, large.grad = torch.full((3,), 10.0), torch.full((3,), 10.0)
    clip_gradients(optimisers, config)
    assert float(small.grad.norm()) == pytest.approx(10 * 3**0.5)
    assert float(large.grad.norm()) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("extra", [{"weight_decay": {"y": 0.1}}, {"sparse": ["y"]}, {"clip_norm": {"y": 1.0}}])
def test_what_holds_for_a_group_needs_its_rate(extra):
    with pytest.raises(ValueError, match="'y' has no rate"):
        OptimiserConfig(rates={"x": 1.0}, **extra)


def test_turns_have_a_start_a_stop_and_a_chance():
    turns = Turns(start=5, stop=9)
    assert [step for step in range(20) if turns.includes(step, 0)] == [5, 6, 7, 8]
    some, rest = Turns(chance=0.3), Turns(chance=0.3, others=True)
    taken = [step for step in range(2000) if some.includes(step, 4)]
    assert len(taken) / 2000 == pytest.approx(0.3, abs=0.03)
    assert all(some.includes(step, 4) != rest.includes(step, 4) for step in range(200))
    assert {step for step in range(2000) if Turns(chance=0.1).includes(step, 4)} < set(taken)
    assert taken != [step for step in range(2000) if some.includes(step, 5)]


class Exposure(Trainable):
    """A brightness beside the scene, as a network of cameras or of exposures would be."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.steps = 0

    def groups(self):
        return {"gain": [self.gain]}

    def after_step(self, step, optimisers, generator):
        self.steps += 1

    def save(self, folder: Path) -> None:
        (folder / "gain").write_text(str(float(self.gain.detach())))


class Exposed(Painting):
    """A painting that is shown through an exposure."""

    def __init__(self, exposure: Exposure) -> None:
        super().__init__()
        self.__dict__["exposure"] = exposure

    def render(self, cameras, times=None, background=None, wants=()):
        render = super().render(cameras, times, background)
        return type(render)(render.rgb * self.exposure.gain, render.alpha, render.depth)


def exposed_problem():
    exposure = Exposure()
    objectives = build_objectives([{"kind": "photometric", "views": "seen", "ssim": 0}])
    views = build_views({"seen": VIEWS["seen"]})
    return Problem(Exposed(exposure), views, objectives, gallery(), trainables={"exposure": exposure})


def test_what_learns_beside_the_scene_is_resumed_with_the_same_bits(tmp_path: Path):
    settings = loop({"pixels": 0.01, "exposure/gain": 0.02}, 20)
    whole = exposed_problem()
    optimise(whole, settings, tmp_path / "whole", quiet())
    exposure = whole.trainables["exposure"]
    assert exposure.steps == 20
    assert abs(float(exposure.gain.detach()) - 1) > 0.02

    class StopAt(StopRequest):
        looks = 0

        def __getattribute__(self, name: str) -> object:
            if name == "signal_number":
                StopAt.looks += 1
                return signal.SIGTERM if StopAt.looks >= 7 else None
            return super().__getattribute__(name)

    runtime = Runtime(console=Console(quiet=True), stop=StopAt(), seed=3)
    with pytest.raises(Interrupted):
        optimise(exposed_problem(), settings, tmp_path / "parts", runtime)
    parts = exposed_problem()
    optimise(parts, settings, tmp_path / "parts", quiet())
    assert torch.equal(parts.trainables["exposure"].gain, exposure.gain)
    assert torch.equal(parts.scene.pixels, whole.scene.pixels)
    held = exposed_problem()
    optimise(held, loop({"pixels": 0.01}), tmp_path / "held", quiet())
    assert float(held.trainables["exposure"].gain.detach()) == 1.0
