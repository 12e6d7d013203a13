"""Which priors the recipes use, read from their settings: `recipes/NAME/*.yaml`.

A checkout has `recipes/` at its top, and an installed package has it, as it has `stages/`, as a folder of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from a4d.config import load_yaml

MODEL_KEYS = ("prior", "depth_model", "features")
"""Settings whose value is a model of the catalogue."""


def shipped(folder: str) -> Path:
    """A folder that ships with the package and lies at the top of a checkout."""
    installed = Path(__file__).parents[1] / folder
    return installed if installed.is_dir() else Path(__file__).parents[2] / folder


@lru_cache(maxsize=1)
def named_in_recipes() -> dict[str, tuple[str, ...]]:
    """What each recipe calls a prior, in the order of its profiles and runs; built-in profiles that it names count."""
    files = sorted(shipped("recipes").glob("*/*.yaml"))
    named: dict[str, list[str]] = {}
    for file in files:
        named.setdefault(file.parent.name, []).extend(_names(load_yaml(file)))
    return {recipe: tuple(dict.fromkeys(names)) for recipe, names in named.items()}


def priors_of(recipe: str, catalogue: Collection[str]) -> list[str]:
    """The entries of the catalogue that a recipe names; empty where there is no such recipe."""
    return [name for name in named_in_recipes().get(recipe, ()) if name in catalogue]


def recipes_with(prior: str) -> list[str]:
    """The recipes that name a prior."""
    return [recipe for recipe, names in named_in_recipes().items() if prior in names]


def _names(values: Any) -> Iterator[str]:
    """Every value of a key that names a model, and every key and kind of `priors`, however deep."""
    if isinstance(values, list):
        for value in values:
            yield from _names(value)
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        if key in MODEL_KEYS:
            yield str(value)
        elif key == "profile":
            profile = shipped("stages") / "profiles" / f"{value}.yaml"
            yield from _names(load_yaml(profile)) if profile.is_file() else ()
        elif key == "priors" and isinstance(value, Mapping):
            yield from (str(prior.get("kind", name)) for name, prior in value.items() if isinstance(prior, Mapping))
        else:
            yield from _names(value)
