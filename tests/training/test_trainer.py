"""The training loop: it learns, resumes bit by bit, stops on request, and several processes act as one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from regression import Examples, Line, Regression, config
from rich.console import Console
from safetensors.torch import load_file

from a4d.errors import ConfigError, Interrupted, InvalidInputError, QualityError
from a4d.interruption import StopRequest
from a4d.io.checkpoint import load_state
from a4d.runtime import Runtime
from a4d.training.muon import Muon, orthogonalised
from a4d.training.optimisers import Group, RateSchedule, build_optimisers, clip_gradients
from a4d.training.trainer import Trainer


def runtime():
    return Runtime("cpu", 3, Console(quiet=True), StopRequest())


def trained(folder, settings, trainee=None, examples=None, machine=None):
    trainer = Trainer(trainee or Regression(), examples or Examples(), settings, folder, machine or runtime())
    trainer.run()
    return load_file(folder / "weights.safetensors")


def test_it_learns_and_writes_down_how(tmp_path):
    trainee = Regression()
    before = trainee.validate(0, tmp_path / "previews")["distance"]
    weights = trained(tmp_path, config(300), trainee)
    assert trainee.validate(0, tmp_path / "previews")["distance"] < 0.2 < 1 < before
    torch.testing.assert_close(weights["offset"], torch.full((6,), 0.5), atol=0.1, rtol=0)
    assert torch.equal(weights["frozen"], torch.ones(1))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["all"] for line in lines if "all" in line]
    assert losses[-1] < 0.1 * losses[0]
    assert "distance" in lines[-1]["validation"]
    assert [line["step"] for line in lines if "all" in line] == list(range(20, 301, 20))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_in_two_parts_ends_with_the_same_bits(dtype, tmp_path):
    settings = config(60, dtype=dtype)
    whole = trained(tmp_path / "whole", settings)
    machine = runtime()
    trainee = Regression()

    def stop_at(step=[0]):  # noqa: B006  (a counter)
        step[0] += 1
        if step[0] == 25:
            machine.stop.signal_number = signal.SIGTERM

    trainee.after = stop_at
    with pytest.raises(Interrupted):
        trained(tmp_path / "parts", settings, trainee, machine=machine)
    stored, facts = load_state(tmp_path / "parts" / "state.safetensors")
    assert facts["step"] == 25
    assert {"matrix/momentum", "offset/exp_avg", "offset/exp_avg_sq", "offset/step"} == set(stored["optimiser"])
    examples = Examples()
    parts = trained(tmp_path / "parts", settings, examples=examples)
    assert examples.asked == list(range(25, 60))
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    assert [json.loads(line)["step"] for line in logs[0]] == [json.loads(line)["step"] for line in logs[1]]


def test_batches_from_worker_processes_are_the_same_in_the_same_order(tmp_path):
    here = trained(tmp_path / "here", config(12))
    elsewhere = trained(tmp_path / "elsewhere", config(12, workers=2))
    for name, value in here.items():
        assert torch.equal(value, elsewhere[name])


def test_half_precision_checkpoints_are_half_as_large_and_go_on(tmp_path):
    settings = config(30, state_dtype="bfloat16", checkpoint_seconds=1e-9)
    trained(tmp_path, settings)
    parts, _ = load_state(tmp_path / "state.safetensors")
    assert parts["weights"]["matrix"].dtype == torch.bfloat16
    weights = trained(tmp_path, settings.model_copy(update={"steps": 200}))
    torch.testing.assert_close(weights["offset"], torch.full((6,), 0.5), atol=0.15, rtol=0)


def test_a_damaged_checkpoint_is_told_and_left(tmp_path):
    trained(tmp_path, config(3))
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InvalidInputError, match="damaged"):
        trained(tmp_path, config(5))
    assert path.stat().st_size == 200


def test_a_loss_that_is_no_number_ends_the_run_and_not_the_weights(tmp_path):
    trainee = Regression(noise=float("nan"))
    with pytest.raises(QualityError, match="rates"):
        trained(tmp_path, config(40), trainee)
    assert torch.isfinite(trainee.module.matrix).all()


def test_the_clock_ends_a_run_without_steps(tmp_path):
    settings = config(None, hours=1.5 / 3600)
    weights = trained(tmp_path, settings)
    assert torch.isfinite(weights["matrix"]).all()
    _, facts = load_state(tmp_path / "state.safetensors")
    assert facts["step"] > 20
    assert 1.4 < facts["seconds"] < 6


def test_rates_warm_up_hold_and_fall():
    rates = RateSchedule(warm_up=10, decay_from=0.5, end=0.1, scale=2)
    assert rates.at(0, 0) == pytest.approx(0.2)
    assert rates.at(50, 0.5) == pytest.approx(2)
    assert rates.at(50, 0.75) == pytest.approx(2 * 0.55)
    assert rates.at(99, 1) == pytest.approx(0.2)


def test_groups_choose_by_the_first_pattern_and_refuse_what_cannot_be():
    line = Line()
    named = dict(line.named_parameters())
    with pytest.raises(ConfigError, match="no matrix"):
        build_optimisers(named, (Group(pattern=".", optimiser="muon"),))
    with pytest.raises(ConfigError, match="no parameter"):
        build_optimisers(named, (Group(pattern=".", optimiser="none"),))


def test_muon_steps_in_orthogonal_directions():
    matrix = torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
    for each in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalised(each, 5))
        assert 0.6 < values.min() <= values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(orthogonalised(matrix, 5), u @ v, atol=0.25, rtol=0)
    weight = torch.nn.Parameter(torch.zeros(8, 3, 2, 2))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=0.1).step()
    assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(0.1, rel=0.3)
    assert float((weight.detach() * weight.grad).sum()) < 0


def test_gradients_are_clipped_together():
    a, b = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert clip_gradients([a, b], 1.0) == pytest.approx(5)
    torch.testing.assert_close(a.grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(b.grad, torch.tensor([0.8]))


TWO_PROCESSES = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from regression import Examples, Regression, config
from a4d.runtime import Runtime
from a4d.training.processes import joined
from a4d.training.trainer import Trainer
from rich.console import Console
with joined("cpu") as processes:
    machine = Runtime("cpu", 3, Console(quiet=True))
    Trainer(Regression(noise=0.0), Examples(), config(20), Path({folder!r}), machine, processes).run()
"""


@pytest.mark.slow
def test_two_processes_take_turns_at_the_batches_and_average(tmp_path):
    """The mean gradient of two processes is that of one process with batches of twice the size."""
    script = tmp_path / "run.py"
    script.write_text(TWO_PROCESSES.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "two")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", script]
    subprocess.run([str(part) for part in command], check=True, env=environment, timeout=300)
    together = load_file(tmp_path / "two" / "weights.safetensors")

    class Pairs(Examples):
        def __getitem__(self, index):
            first, second = (super(Pairs, self).__getitem__(2 * index + k) for k in (0, 1))
            return {name: torch.cat([first[name], second[name]]) for name in first}

    alone = trained(tmp_path / "one", config(20), Regression(noise=0.0), Pairs())
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=2e-3, rtol=1e-3)
