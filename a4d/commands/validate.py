"""`a4d validate`: a workspace against the specification of its format."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from a4d.console import print_json, print_result
from a4d.errors import WorkspaceError
from a4d.workspace.validation import validate as check


def validate(
    workspace: Annotated[Path, typer.Argument(help="A workspace.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a workspace against the specification of its format; every problem is listed, and the exit code is 3."""
    report = check(workspace)
    if json:
        print_json({"workspace": str(workspace), "valid": not report.problems, **asdict(report)})
    else:
        for problem in report.problems:
            print_result(f"problem: {problem}")
        for warning in report.warnings:
            print_result(f"warning: {warning}")
        if not report.problems:
            print_result(f"{workspace} is valid")
    if report.problems:
        count = len(report.problems)
        raise WorkspaceError(f"{workspace} has {count} problem{'s' if count > 1 else ''}", "They are listed above")
