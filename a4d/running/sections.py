"""A paper in one file: settings of several runs, each in a section of its own.

A file is one of those where a key at the top names a stage, or holds settings that say for which `stage` they are; any
other file is the settings of a single run. A section is named like its stage, or like a run (`--name`) whose stage it
says:

    preprocess: {views: 8}
    fit-static: {profile: fit-static-mesh}
    coarse: {stage: distill, iterations: 500}
    distill: {iterations: 2000}

`a4d distill fox.a4d --name coarse --config FILE` takes `coarse`, and `--name fine` takes `distill`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from a4d.config import load_yaml, unknown_key
from a4d.errors import ConfigError

STAGE = "stage"
"""The key by which a section that is named like a run says what it is for."""


def settings_of(file: Path, stage: str, run: str | None, stages: Collection[str]) -> dict[str, Any]:
    """The settings of a run out of a file: its section, else that of its stage; all of a file without sections.

    Args:
        file: YAML or JSON.
        stage: of the run.
        run: its name; None is the stage's.
        stages: the names of all stages.

    Raises:
        ConfigError: the file cannot be read, a section is no mapping or for no stage, or there is none for this run.
    """
    values = load_yaml(file)
    if not any(key in stages or (isinstance(value, Mapping) and STAGE in value) for key, value in values.items()):
        return values
    sections = {name: _section(file, name, section, stages) for name, section in values.items()}
    for name in (run or stage, stage):
        if name in sections and sections[name][0] == stage:
            return sections[name][1]
    raise unknown_key(f"{file}: {stage}", stage, sections)


def _section(file: Path, name: str, section: Any, stages: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The stage that a section is for, and its settings."""
    if section is not None and not isinstance(section, Mapping):
        raise ConfigError(f"{file}: {name} must hold settings, not a {type(section).__name__}")
    settings = dict(section or {})
    stage = str(settings.pop(STAGE, name))
    if stage not in stages:
        key = name if stage == name else f"{name}.{STAGE}: {stage}"
        raise unknown_key(f"{file}: {key}", stage, stages)
    if name in stages and stage != name:
        raise ConfigError(f"{file}: {name} is the name of a stage, and cannot be for {stage}", "Name it like a run")
    return stage, settings
