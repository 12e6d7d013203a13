from pathlib import Path

import pytest
from pydantic import Field

from a4d.config import (
    Config,
    Number,
    Schedule,
    Spec,
    differences,
    digest,
    load_yaml,
    parse,
    plain,
    set_value,
    to_yaml,
    value_at,
)
from a4d.errors import ConfigError


class Inner(Config):
    learning_rate: Number = 1e-2


class Outer(Config):
    iterations: int = Field(default=10, ge=1)
    inner: Inner = Inner()
    free: Spec = Field(default_factory=dict)


@pytest.mark.parametrize("curve", ["linear", "cosine", "exponential"])
def test_a_schedule_follows_its_curve_and_is_constant_outside(curve: str) -> None:
    schedule = Inner(learning_rate={"from": 1.0, "to": 0.5, "steps": 8, "delay": 2, "curve": curve}).learning_rate
    at_half = {"linear": 0.75, "cosine": 0.75, "exponential": 0.5**0.5}[curve]
    assert value_at(schedule, 0) == value_at(schedule, 2) == 1.0
    assert value_at(schedule, 6) == pytest.approx(at_half)
    assert value_at(schedule, 10) == value_at(schedule, 99) == pytest.approx(0.5)
    quarter = {"linear": 0.875, "cosine": 0.5 + 0.5 * 0.85355339, "exponential": 0.840896415}[curve]
    assert value_at(schedule, 4) == pytest.approx(quarter)


def test_a_repeated_schedule_begins_anew_and_stays_at_its_end() -> None:
    spelling = {"from": 8.0, "to": 2.0, "steps": 4, "delay": 3, "curve": "exponential", "repeat": 3}
    schedule = Inner(learning_rate=spelling).learning_rate
    once = [8.0, 8.0 * 2**-0.5, 4.0, 4.0 * 2**-0.5]
    assert [value_at(schedule, step) for step in range(3)] == [8.0] * 3
    assert [value_at(schedule, step) for step in range(3, 15)] == pytest.approx(once * 3)
    assert value_at(schedule, 15) == value_at(schedule, 99) == pytest.approx(2.0)


def test_a_schedule_is_written_as_it_is_read() -> None:
    spelling = {"from": 1.0, "to": 0.5, "steps": 8, "delay": 0, "curve": "linear", "repeat": 1}
    config = parse(Outer, {"inner": {"learning_rate": spelling}})
    assert isinstance(config.inner.learning_rate, Schedule)
    assert plain(config)["inner"]["learning_rate"] == spelling
    assert parse(Outer, plain(config)) == config


def test_an_unknown_key_is_refused_and_the_nearest_valid_one_named() -> None:
    with pytest.raises(ConfigError, match=r"'inner\.learning_rat'.*Did you mean 'learning_rate'"):
        parse(Outer, {"inner": {"learning_rat": 1}})
    with pytest.raises(ConfigError, match=r"'iteration'.*Did you mean 'iterations'"):
        parse(Outer, {"iteration": 1})


@pytest.mark.parametrize("value", [0, "many", float("nan"), None, [1]])
def test_a_value_out_of_range_is_refused_by_its_path(value: object) -> None:
    with pytest.raises(ConfigError, match="iterations"):
        parse(Outer, {"iterations": value})


def test_set_reaches_into_mappings_and_lists_and_reads_yaml() -> None:
    values = {"objectives": [{"weight": 1}, {"weight": 2}], "views": {}}
    set_value(values, "objectives.1.weight=2.5")
    set_value(values, "views.novel.size=64")
    set_value(values, "scene={kind: gaussians, sh_degree: 3}")
    set_value(values, "name=")
    assert values == {
        "objectives": [{"weight": 1}, {"weight": 2.5}],
        "views": {"novel": {"size": 64}},
        "scene": {"kind": "gaussians", "sh_degree": 3},
        "name": None,
    }


@pytest.mark.parametrize("assignment", ["a", "=1", "a..b=1", "objectives.7.weight=1", "objectives.x=1", "n.b=1", "a={"])
def test_a_malformed_set_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        set_value({"objectives": [{}], "n": 3}, assignment)


def test_yaml_that_is_no_mapping_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match="cannot read"):
        load_yaml(file)
    file.write_text("a: 1\nb: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not valid YAML at line \d"):
        load_yaml(file)
    file.write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="list"):
        load_yaml(file)
    file.write_text("!!python/object/apply:os.system ['true']", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_yaml(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load_yaml(file)
    file.write_text("", encoding="utf-8")
    assert load_yaml(file) == {}


def test_digest_ignores_key_order_and_differences_name_the_leaves() -> None:
    assert digest({"a": 1, "b": [1, {"c": 2}]}) == digest({"b": [1, {"c": 2}], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert differences({"a": 1, "b": [1, {"c": 2}]}, {"a": 1, "b": [1, {"c": 3}], "d": 4}) == [
        "b.1.c: 2 -> 3",
        "d: None -> 4",
    ]


def test_yaml_keeps_the_order_of_the_configuration() -> None:
    assert to_yaml(plain(Outer())).splitlines()[0] == "iterations: 10"
