"""Whether a run has to happen: the plan it would follow against the record of what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from a4d.config import Config, differences, parse, plain
from a4d.errors import ConfigError, WorkspaceError
from a4d.running.stage import Stage
from a4d.workspace.files import name_in, stamps_of
from a4d.workspace.freshness import examine, input_changes
from a4d.workspace.record import Plan, Record
from a4d.workspace.transaction import can_resume
from a4d.workspace.workspace import Workspace

Action = Literal["run", "resume", "up to date"]


@dataclass(frozen=True)
class Decision:
    """What will be done, and why in words for the user."""

    action: Action
    reason: str
    warning: str = ""


def make_plan(stage: Stage, workspace: Workspace, config: Config, seed: int) -> Plan:
    """What a run would follow, with its inputs hashed."""
    paths = stage.inputs(workspace, config)
    return Plan(
        stage=stage.name,
        code_version=stage.code_version,
        config=plain(config),
        seed=seed,
        input_paths=[name_in(workspace.path, path) for path in paths],
        inputs=stamps_of(workspace.path, paths, workspace.known_stamps()),
    )


def decide(stage: Stage, workspace: Workspace, name: str, plan: Plan, *, force: bool) -> Decision:
    """Run, resume, or leave alone what is there.

    Raises:
        WorkspaceError: the name belongs to another stage's run, or the finished result was made with other settings
            or edited by hand, and `force` is not given.
    """
    records = workspace.read_records()
    record = records.get(name)
    if record is not None and record.stage != stage.name:
        raise WorkspaceError(
            f"the name '{name}' belongs to a run of {record.stage} in {workspace.path}", "Choose another with --name"
        )
    fresh: Action = "resume" if can_resume(workspace, name, plan) else "run"
    if record is None:
        return Decision(fresh, "resumes from its checkpoint" if fresh == "resume" else "has not been run")
    if force:
        return Decision(fresh, "is made anew because of --force")
    changes = differences(_completed(stage, record), {**plan.config, "--seed": plan.seed})
    if changes:
        raise WorkspaceError(
            f"'{name}' in {workspace.path} is finished with other settings: {'; '.join(changes)}",
            "Keep it and choose --name for another result, or replace it with --force",
        )
    findings = examine(workspace, record, records)
    stale = [*input_changes(record, plan.inputs), *(f"{path} was removed" for path in findings.missing)]
    if stage.outdated is not None:
        stale += stage.outdated(workspace, parse(stage.config, plan.config), record)
    if record.code_version != plan.code_version:
        stale.append(f"this a4d computes {stage.name} differently")
    if stale and findings.edited:
        raise WorkspaceError(
            f"'{name}' in {workspace.path} is out of date ({few(stale)}), and {few(findings.edited)} "
            "was edited by hand",
            "Save your edit, then make it anew with --force",
        )
    if stale:
        return Decision(fresh, f"is out of date: {few(stale)}")
    edited = f"kept the edits by hand in {few(findings.edited)}; --force makes it anew" if findings.edited else ""
    return Decision("up to date", "is up to date", edited)


def _completed(stage: Stage, record: Record) -> dict[str, object]:
    """The record's settings with the defaults of fields that are newer than it."""
    try:
        config = plain(parse(stage.config, record.config))
    except ConfigError:
        config = record.config
    return {**config, "--seed": record.seed}


def few(items: list[str]) -> str:
    """The first of several things, and how many more there are."""
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
