"""The loop: it converges, follows schedules, and a run that was stopped ends with the bits of one that was not."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from painting import Painting, gallery
from rich.console import Console

from a4d.errors import ConfigError, Interrupted
from a4d.interruption import StopRequest
from a4d.objectives import build_objectives
from a4d.optimise import DivergenceError, LoopConfig, Problem, optimise
from a4d.runtime import Runtime
from a4d.views import build_views

RATES = {"pixels": {"from": 0.1, "to": 0.01, "steps": 60, "curve": "exponential"}}
VIEWS = {"seen": {"kind": "observed", "split": "train", "background": "random", "batch": 2}}
OBJECTIVES = [
    {"kind": "photometric", "views": "seen", "ssim": 0},
    {"kind": "mask", "views": "seen", "weight": {"from": 0.1, "to": 1.0, "steps": 60}},
]


def config(iterations: int = 60, **extra: object) -> LoopConfig:
    values = {"iterations": iterations, "optimiser": {"rates": RATES}, "log_every": 7, **extra}
    return LoopConfig.model_validate(values)


def problem(objectives: list | None = None) -> Problem:
    return Problem(Painting(), build_views(VIEWS), build_objectives(objectives or OBJECTIVES), gallery())


def runtime(stop: StopRequest | None = None) -> Runtime:
    return Runtime(console=Console(quiet=True), stop=stop or StopRequest(), seed=3)


def test_the_scene_comes_to_satisfy_the_objectives(tmp_path: Path) -> None:
    task = problem()
    metrics = optimise(task, config(200), tmp_path, runtime())
    mean = torch.stack(gallery().rgba).mean(0)
    assert float((task.scene.pixels.detach()[..., 3] - mean[..., 3]).abs().mean()) < 0.05
    assert metrics["psnr"] > 24
    assert metrics["mask/seen"] < 0.06


def test_metrics_hold_every_loss_and_the_scheduled_rate(tmp_path: Path) -> None:
    optimise(problem(), config(), tmp_path, runtime())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert lines[-1]["photometric/seen"] < lines[0]["photometric/seen"]
    assert lines[-1]["psnr/seen"] > lines[0]["psnr/seen"] + 5
    assert lines[-1]["rates"]["pixels"] == pytest.approx(0.1 * 0.1 ** (59 / 60))
    assert (tmp_path / "previews" / "seen_000060.png").is_file()


@pytest.mark.parametrize("moments", [(1,), (23,), (7, 8, 40)])
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path: Path, moments: tuple[int, ...]) -> None:
    whole = problem()
    optimise(whole, config(), tmp_path / "whole", runtime())

    class StopAt(StopRequest):
        """Asks to stop when it has been looked at a number of times."""

        looks = 0
        limit = 0

        def __getattribute__(self, name: str) -> object:
            if name == "signal_number":
                StopAt.looks += 1
                return signal.SIGTERM if StopAt.looks >= StopAt.limit else None
            return super().__getattribute__(name)

    for moment in moments:
        StopAt.looks, StopAt.limit = 0, moment
        with pytest.raises(Interrupted):
            optimise(problem(), config(), tmp_path / "parts", runtime(StopAt()))
    last = problem()
    optimise(last, config(), tmp_path / "parts", runtime())
    assert torch.equal(last.scene.pixels, whole.scene.pixels)
    assert (tmp_path / "parts/metrics.jsonl").read_text() == (tmp_path / "whole/metrics.jsonl").read_text()


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path) -> None:
    stop = StopRequest()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            optimise(problem(), config(), tmp_path, runtime(stop))
    assert (tmp_path / "checkpoint" / "state.safetensors").is_file()


def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    optimise(problem(), config(10), tmp_path, runtime())


def test_the_seed_decides_the_order_of_frames_and_the_backgrounds(tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        task = problem()
        optimise(task, config(20), tmp_path / name, Runtime(console=Console(quiet=True), seed=seed))
        results.append(task.scene.pixels)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_what_is_not_a_number_ends_the_run_by_name(tmp_path: Path) -> None:
    task = problem()
    with torch.no_grad():
        task.scene.pixels[0, 0, 0] = float("nan")
    with pytest.raises(DivergenceError, match="photometric/seen"):
        optimise(task, config(10), tmp_path, runtime())


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([{"kind": "photometrics", "views": "seen"}], "Did you mean 'photometric'"),
        ([{"kind": "photometric", "views": "seen", "ssmi": 1}], r"objectives\.0\.ssmi.*Did you mean 'ssim'"),
        ([{"kind": "mask"}], r"objectives\.0\.views: field required"),
    ],
)
def test_a_misspelt_objective_is_named(objectives: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objectives(objectives)


def test_an_objective_of_a_view_set_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'sen'.*seen"):
        optimise(problem([{"kind": "mask", "views": "sen"}]), config(1), tmp_path, runtime())
