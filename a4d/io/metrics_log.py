"""`metrics.jsonl`: a run's figures, one JSON object a line, which a resumed run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class MetricsLog:
    """The figures of a run in a file; every line has the `step` that it was written after."""

    path: Path

    def truncate(self, step: int) -> None:
        """Drop the lines that a run resumed after a step will write again, and one that was cut off."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
