"""Which command makes a damaged file of a workspace anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from a4d.errors import A4DError, ConfigError, InvalidInputError, MissingInputError
from a4d.workspace.record import Record
from a4d.workspace.workspace import Workspace


def command_of(workspace: Workspace, record: Record) -> str:
    """The command that repeats a finished run, with its settings."""
    words = ["a4d", record.stage, str(workspace.path), "--name", record.name, "--seed", str(record.seed), "--force"]
    config = workspace.stage_folder(record.name) / "config.yaml"
    return shlex.join([*words, "--config", str(config)] if config.is_file() else words)


@contextmanager
def naming_the_run(workspace: Workspace) -> Iterator[None]:
    """Where an error in the block names a file that a run has written, give the command that makes it anew."""
    try:
        yield
    except (ConfigError, InvalidInputError, MissingInputError) as error:
        with suppress(A4DError):  # a damaged record knows no command
            records = sorted(workspace.read_records().values(), key=lambda record: record.finished)
            for record in records:
                if any(str(workspace.path / item.path) in error.problem for item in record.outputs):
                    error.remedy = f"Make it anew: `{command_of(workspace, record)}`"
        raise
