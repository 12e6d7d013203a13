"""`a4d info`: the runs of a workspace, which of them are out of date, its scenes and sizes."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from a4d.config import load_yaml
from a4d.console import format_metrics, format_size, print_json, print_result, print_table
from a4d.errors import A4DError
from a4d.workspace.files import files_below
from a4d.workspace.freshness import examine
from a4d.workspace.journal import open_for_reading
from a4d.workspace.lock import read_holder
from a4d.workspace.workspace import Workspace


def info(
    workspace: Annotated[Path, typer.Argument(help="A workspace.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the runs of a workspace, which of them are out of date, its scenes and sizes."""
    facts = gather(open_for_reading(workspace))
    if json:
        print_json(facts)
    else:
        _print(facts)


def gather(workspace: Workspace) -> dict[str, Any]:
    """Everything that `a4d info` tells, as plain values.

    Raises:
        WorkspaceError: a record is damaged.
    """
    records = workspace.read_records()
    holder = read_holder(workspace.path)
    runs = []
    for record in sorted(records.values(), key=lambda record: record.finished):
        findings = examine(workspace, record, records)
        reasons = [*findings.inputs, *(f"{path} is missing" for path in findings.missing)]
        runs.append(
            {
                "name": record.name,
                "stage": record.stage,
                "status": "stale" if reasons else "edited" if findings.edited else "current",
                "reasons": reasons or [f"{path} was edited" for path in findings.edited],
                "finished": record.finished,
                "seconds": record.seconds,
                "metrics": record.metrics,
            }
        )
    runs += [
        {"name": name, "stage": "", "status": "partial", "reasons": ["unfinished"], "metrics": {}}
        for name in workspace.partials()
    ]
    return {
        "path": str(workspace.path),
        "name": workspace.name,
        "source": workspace.metadata.source.model_dump() if workspace.metadata.source else None,
        "frames": workspace.metadata.frame_count,
        "runs": runs,
        "scenes": [_scene_facts(folder) for folder in workspace.scenes()],
        "bytes": _size(workspace.path),
        "held_by": str(holder) if holder and not holder.is_dead() else None,
    }


def _scene_facts(folder: Path) -> dict[str, Any]:
    try:
        kind = str(load_yaml(folder / "scene.yaml").get("kind", "unknown"))
    except A4DError:
        kind = "unreadable"
    return {"name": folder.name, "kind": kind, "bytes": _size(folder)}


def _size(folder: Path) -> int:
    total = 0
    for file in files_below(folder):
        with suppress(FileNotFoundError):  # a writer has replaced it since
            total += file.stat().st_size
    return total


def _print(facts: dict[str, Any]) -> None:
    source = facts["source"]
    origin = f"{source['kind']}: {source['path'] or source['text']}" if source else "no source"
    frames = f", {facts['frames']} frames" if facts["frames"] is not None else ""
    print_result(f"{facts['path']}  {origin}{frames}, {format_size(facts['bytes'])}")
    if facts["held_by"]:
        print_result(f"being written by {facts['held_by']}")
    rows = [
        (
            run["name"],
            run["stage"],
            run["status"],
            _when(run.get("finished")),
            f"{run['seconds']:.1f}" if "seconds" in run else "",
            format_metrics(run["metrics"]),
        )
        for run in facts["runs"]
    ]
    print_table(("run", "stage", "status", "finished", "seconds", "metrics"), rows)
    for run in facts["runs"]:
        for reason in run["reasons"][:3]:
            print_result(f"  {run['name']}: {reason}")
    if facts["scenes"]:
        scenes = [(scene["name"], scene["kind"], format_size(scene["bytes"])) for scene in facts["scenes"]]
        print_result("")
        print_table(("scene", "kind", "size"), scenes)


def _when(finished: str | None) -> str:
    return datetime.fromisoformat(finished).astimezone().strftime("%Y-%m-%d %H:%M") if finished else ""
