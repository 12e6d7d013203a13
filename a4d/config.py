"""Configurations: pydantic models in, plain YAML out, unknown keys refused by name; numbers that may be schedules."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from a4d.documents import parse_json, parse_yaml
from a4d.errors import ConfigError, InvalidInputError

Spec = dict[str, Any]
"""A nested configuration whose `kind` says which class reads it; validated when it is built."""


LARGEST = 1e12
"""No setting has a use for a number beyond it; one that memory or a loop depends on has a lower limit of its own."""

LARGEST_FILE = 1 << 25
"""Bytes of a file of settings."""


class Config(BaseModel):
    """Base of every configuration: frozen, numbers of at most `LARGEST`, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        for number in _numbers(value):
            if not abs(number) <= LARGEST:
                raise ValueError(f"numbers beyond {LARGEST:g} are not taken")
        return value


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers of a setting; those of a nested configuration are its own affair."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping):
        yield from _numbers(list(value))
        yield from _numbers(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)


ConfigType = TypeVar("ConfigType", bound=Config)


class Schedule(Config):
    """A number that changes over the iterations, from `start` to `end` (`from` and `to` in YAML) within `steps`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: float
    end: float
    steps: int
    delay: int = 0
    curve: Literal["linear", "cosine", "exponential"] = "linear"
    repeat: int = Field(default=1, ge=1, description="times that the change takes place, each from the start")
    then: Schedule | None = Field(default=None, description="what follows on it, its steps counted from there")

    @model_validator(mode="before")
    @classmethod
    def _read_spelling(cls, value: Any) -> Any:
        """Translate the YAML spelling: `from` and `to` read as a sentence but are not Python names."""
        if isinstance(value, Mapping):
            return {{"from": "start", "to": "end"}.get(key, key): item for key, item in value.items()}
        return value

    @model_validator(mode="after")
    def _has_a_ratio(self) -> Schedule:
        if self.curve == "exponential" and not (self.start and self.end and self.end / self.start > 0):
            raise ValueError("an exponential schedule goes between two numbers of one sign, neither of them 0")
        return self

    def at(self, step: int) -> float:
        """The value at an iteration counted from 0; before `delay` the first, and after all changes the last."""
        since, period = max(step - self.delay, 0), max(self.steps, 1)
        if self.then is not None and since >= self.repeat * period:
            return self.then.at(since - self.repeat * period)
        fraction = since % period / period if since < self.repeat * period else 1.0
        if self.curve == "exponential":
            return self.start * (self.end / self.start) ** fraction
        if self.curve == "cosine":
            fraction = 0.5 - 0.5 * math.cos(math.pi * fraction)
        return self.start + (self.end - self.start) * fraction

    @property
    def largest(self) -> float:
        """The largest value that it takes."""
        return max(self.start, self.end, self.start if self.then is None else self.then.largest)


def _read_schedule(value: Any) -> Any:
    return Schedule.model_validate(value) if isinstance(value, Mapping) and "from" in value else value


Number = Annotated[float | Schedule, BeforeValidator(_read_schedule)]
"""A float, or a schedule such as `{from: 0.98, to: 0.5, steps: 8000, curve: linear}`."""


def value_at(number: float | Schedule, step: int) -> float:
    """The value of a number or schedule at an iteration counted from 0."""
    return number.at(step) if isinstance(number, Schedule) else number


def largest_value(number: float | Schedule) -> float:
    """The largest value of a number or schedule."""
    return number.largest if isinstance(number, Schedule) else number


def united(name: str, *parts: type[Config]) -> type[Config]:
    """A configuration with the settings of several, side by side; of equal names, which mean the same, the first's."""
    fields: dict[str, Any] = {}
    for part in parts:
        for key, field in part.model_fields.items():
            fields.setdefault(key, (field.annotation, field))
    return create_model(name, __base__=Config, **fields)


def part_of(config: Config, part: type[ConfigType]) -> ConfigType:
    """The settings of one of the configurations that were united."""
    return part.model_construct(**{name: getattr(config, name) for name in part.model_fields})


def within(low: float, high: float) -> Callable[[float | Schedule], float | Schedule]:
    """A check that a number, or all that a schedule may be, lies between two limits, which are included."""

    def check(number: float | Schedule) -> float | Schedule:
        if not all(low <= value <= high for value in _extremes(number)):
            raise ValueError(f"must lie between {low:g} and {high:g}")
        return number

    return check


def _extremes(number: float | Schedule | None) -> Iterator[float]:
    """The number, or the ends of a schedule and of those that follow on it."""
    if isinstance(number, Schedule):
        yield from (number.start, number.end, *_extremes(number.then))
    elif number is not None:
        yield number


def parse(model: type[ConfigType], values: Mapping[str, Any], where: str = "") -> ConfigType:
    """Validate plain values against a configuration class.

    Raises:
        ConfigError: naming the offending key with its full path and, for an unknown key, the nearest valid one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([*([where] if where else []), *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            raise unknown_key(path, str(first["loc"][-1]), _valid_keys(model, first["loc"][:-1])) from None
        problem = first["msg"].lower().removeprefix("value error, ")
        raise ConfigError(f"{path or model.__name__}: {problem} (got {first['input']!r:.80})") from None


def unknown_key(path: str, key: str, valid: Iterable[str]) -> ConfigError:
    """The error for a key, name or kind that does not exist, naming the nearest one that does."""
    valid = sorted(valid)
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    return ConfigError(
        f"unknown key '{path}'", f"Did you mean '{near[0]}'?" if near else f"Valid are: {', '.join(valid)}"
    )


def _valid_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)


def plain(config: BaseModel) -> dict[str, Any]:
    """A configuration as plain scalars, lists and dicts, ready for YAML or JSON; schedules in their YAML spelling."""
    return _plain(config.model_dump(mode="json"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if {"start", "end", "steps", "curve"} <= value.keys():
            spelled = {{"start": "from", "end": "to"}.get(key, key): item for key, item in value.items()}
            value = {key: item for key, item in spelled.items() if key != "then" or item is not None}
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with others in their place; lists, and what is of another `kind`, are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = value
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            is_alike = value.get("kind", inner.get("kind")) == inner.get("kind")
            merged[key] = overlaid(inner, value) if is_alike else value
    return merged


def to_yaml(values: Any) -> str:
    """Plain values as YAML text, in the order given."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML, or from a `.json` file; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is missing, unreadable, no document as `a4d.documents` takes them, or not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file: byte {error.start} is no UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path} is over {LARGEST_FILE >> 20} MB large, far more than settings need")
    parse_document = parse_json if path.suffix.lower() == ".json" else parse_yaml
    try:
        values = parse_document(text, str(path))
    except InvalidInputError as error:
        raise ConfigError(error.problem, error.remedy) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'key: value' lines, not a {type(values).__name__}")
    return values


def set_value(values: dict[str, Any], assignment: str) -> None:
    """Apply one `--set a.b.0.c=value` to plain values in place; the right side is read as YAML.

    Raises:
        ConfigError: there is no `=`, the path runs through something without keys, or an index is out of range.
    """
    path, separator, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {assignment!r} is not of the form key=value")
    try:
        value = parse_yaml(text, f"--set {path}")
    except InvalidInputError as error:
        raise ConfigError(error.problem, error.remedy) from None
    node: Any = values
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise ConfigError(f"--set {path}: '{key}' is not an index into a list of {len(node)}")
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
            if not last:
                node.setdefault(key, {})
        else:
            raise ConfigError(f"--set {path}: '{'.'.join(keys[:depth])}' has no keys below it")
        if last:
            node[index] = value
        else:
            node = node[index]


def digest(values: Any) -> str:
    """SHA-256 of plain values, independent of key order."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()  # paths may hold bytes that are no text


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The leaves in which two plain values differ, as `key: old -> new` lines."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, f"{path}.{i}")
        ]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]
