"""Which command makes a damaged file of a workspace anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from a4d.errors import A4DError, ConfigError, InvalidInputError, MissingInputError
from a4d.naming import as_argument
from a4d.workspace.files import is_as_recorded
from a4d.workspace.record import Record
from a4d.workspace.workspace import Workspace


def command_of(workspace: Workspace, record: Record) -> str:
    """The command that repeats a finished run, with its settings."""
    config = workspace.stage_folder(record.name) / "config.yaml"
    settings = f" --config {as_argument(config)}" if config.is_file() else ""
    return f"a4d {record.stage} {workspace.argument} --name {record.name} --seed {record.seed} --force{settings}"


@contextmanager
def naming_the_run(workspace: Workspace) -> Iterator[None]:
    """Where an error in the block names a file that is not what a run wrote, give the command that makes it anew."""
    try:
        yield
    except (ConfigError, InvalidInputError, MissingInputError) as error:
        with suppress(A4DError, OSError):  # a damaged record knows no command
            for record in sorted(workspace.read_records().values(), key=lambda record: record.finished):
                named = [item for item in record.outputs if str(workspace.path / item.path) in error.problem]
                if any(not is_as_recorded(workspace.path / item.path, item) for item in named):
                    error.remedy = f"Make it anew: `{command_of(workspace, record)}`"
        raise
