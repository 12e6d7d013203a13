"""Results that miss a quality gate: kept, said again each time, and gone on with only if the user says so."""

import json
import math
from dataclasses import replace

import counting
import pytest

from a4d.commands.stage_command import RunControl, run_stage
from a4d.errors import ExitCode, QualityError
from a4d.running.quality import Gate, judge

GATES = (
    Gate("last", 4, 8, "it counted to {value:.0f}, after {resumed_from}"),
    Gate("share", 0.5, 0.2, "a share of {value:.1f}", at_least=True),
)


@pytest.fixture
def judged(monkeypatch):
    """The counting stage, whose result is held against gates."""

    def count(transaction, config, runtime):
        metrics = counting.count(transaction, config, runtime)
        judge(transaction, metrics, GATES)
        return metrics

    stage = replace(counting.COUNT, run=count)
    monkeypatch.setitem(counting.STAGES, "count", stage)
    monkeypatch.setattr("a4d.commands.table.find_stage", counting.STAGES.__getitem__)
    return stage


@pytest.mark.parametrize(("to", "warnings", "missed"), [(3, 0, 0), (5, 1, 0), (9, 0, 1)])
def test_a_figure_is_doubted_beyond_one_limit_and_missed_beyond_another(picture, run, judged, to, warnings, missed):
    outcome = run(iterations=to)
    assert (len(outcome.warnings), len(outcome.missed)) == (warnings, missed)
    assert all(said == f"it counted to {to}, after 0" for said in outcome.warnings + outcome.missed)


def test_small_sizes_are_missed_where_a_figure_should_be_large():
    gate = GATES[1]
    assert gate.is_beyond(0.1, gate.missed)
    assert gate.is_beyond(-3, gate.missed)
    assert not gate.is_beyond(0.3, gate.missed)
    assert gate.is_beyond(0.3, gate.doubted)


def test_what_is_no_number_passes_no_gate():
    assert all(gate.is_beyond(math.nan, limit) for gate in GATES for limit in (gate.doubted, gate.missed))
    assert not Gate("share", 0.5, math.inf, "never missed").is_beyond(math.nan, math.inf)


def test_a_missed_gate_ends_in_7_with_the_result_until_it_is_accepted(picture, judged, capsys):
    for _ in range(2):
        with pytest.raises(QualityError, match="it counted to 9") as raised:
            run_stage(judged, "picture.png", RunControl(json=True), {"iterations": 9})
        assert raised.value.exit_code == ExitCode.QUALITY
        assert "--accept" in raised.value.remedy
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["status"], second["status"]) == ("done", "up to date")
    assert first["missed"] == second["missed"] == ["it counted to 9, after 0"]
    assert (picture.parent / "picture.a4d" / "scenes" / "count" / "scene.yaml").is_file()
    run_stage(judged, "picture.png", RunControl(accept=True), {"iterations": 9})
    assert "up to date" in capsys.readouterr().out


def test_warnings_are_said_again_when_nothing_has_to_be_done(picture, run, judged, capsys):
    run(iterations=5)
    capsys.readouterr()
    assert run(iterations=5).status == "up to date"
    assert "it counted to 5" in capsys.readouterr().err
