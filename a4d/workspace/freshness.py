"""How the files of a finished run have changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from a4d.workspace.files import FileStamp, is_as_recorded, stamps_of
from a4d.workspace.record import Record
from a4d.workspace.workspace import Workspace


@dataclass(frozen=True)
class Findings:
    """How a finished run's files have changed since.

    Args:
        inputs: files that are not what the run read, with what happened to them.
        missing: outputs that are gone.
        edited: outputs whose content was changed by something other than a stage.
    """

    inputs: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)


def examine(workspace: Workspace, record: Record, records: Mapping[str, Record]) -> Findings:
    """Compare a finished run's inputs and outputs with the files as they are.

    An output that a later run took over is as it should be. Of inputs outside of the workspace, which the record alone
    names, only the size is looked at.
    """
    root = workspace.path
    inside = [root / path for path in record.input_paths if not Path(path).is_absolute()]
    known = {item.path: item for item in (*record.inputs, *record.outputs)}
    later = [other for other in records.values() if other.finished > record.finished]
    outputs = [item for item in record.outputs if not any(other.took_over(item.path) for other in later)]
    changed = [item.path for item in outputs if not is_as_recorded(root / item.path, item)]
    missing = [path for path in changed if not (root / path).is_file()]
    return Findings(
        inputs=input_changes(record, [*stamps_of(root, inside, known), *_seen_outside(record)]),
        missing=missing,
        edited=[path for path in changed if path not in missing],
    )


def _seen_outside(record: Record) -> list[FileStamp]:
    """The inputs outside of the workspace that are still there; one of another size has another, unknown content."""
    seen = []
    for item in record.inputs:
        if Path(item.path).is_absolute():
            with suppress(OSError):
                changed = Path(item.path).stat().st_size != item.size
                seen.append(item.model_copy(update={"sha256": ""}) if changed else item)
    return seen


def input_changes(record: Record, present: Sequence[FileStamp]) -> list[str]:
    """What happened to the inputs since.

    Files outside the workspace count by their content, so that they may be moved. An input that the run itself
    wrote, as a stage that completes a file does, counts as it left it.
    """
    before = {item.path: item.sha256 for item in record.inputs}
    now = {item.path: item.sha256 for item in present}
    own = {item.path: item.sha256 for item in record.outputs}
    changes = []
    for path in {**before, **now}:
        if Path(path).is_absolute():
            if path in now and now[path] not in before.values():
                changes.append(f"{path} changed")
        elif path not in now:
            changes.append(f"{path} is gone")
        elif now[path] not in (before.get(path), own.get(path)):
            changes.append(f"{path} {'changed' if path in before else 'is new'}")
    return changes
