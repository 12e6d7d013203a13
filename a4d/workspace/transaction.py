"""A run of a stage: outputs are staged beside the workspace's files and take their places all at once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from a4d import __version__
from a4d.config import Config, to_yaml
from a4d.errors import WorkspaceError
from a4d.workspace.entries import METADATA, require_output
from a4d.workspace.files import discard, files_below, is_below, stamp, write_whole
from a4d.workspace.journal import JOURNAL, OUTPUTS, RUN_FILES, Journal, complete_commit
from a4d.workspace.record import RECORD, Plan, Record, Weights, read_document, write_document
from a4d.workspace.workspace import Metadata, Workspace

PLAN = "plan.json"

logger = logging.getLogger(__name__)


@dataclass
class Transaction:
    """What a stage writes through.

    Args:
        workspace: to read from; nothing in it changes before the commit.
        name: of the run, which is also the name of the scene it makes.
        config: the resolved configuration.
        plan: what determines the result.
        resumed: `checkpoint/` holds the state of an interrupted run of the same plan.
        backends: the implementation that was used for each operation, for the record; filled in by the stage.
        weights: the weight files that took part, for the record; filled in by the stage.
        warnings: what the user was told, for the record.
        missed: quality gates that the result misses, in words, for the record.
    """

    workspace: Workspace
    name: str
    config: Config
    plan: Plan
    resumed: bool = False
    backends: dict[str, str] = field(default_factory=dict)
    weights: list[Weights] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    _replaced: list[str] = field(default_factory=list)
    _metadata: dict[str, Any] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, workspace: Workspace, name: str, config: Config, plan: Plan) -> Transaction:
        """Start a run, or take up an interrupted one of the same plan; one of another plan is thrown away."""
        folder = workspace.partial_folder(name)
        resumed = can_resume(workspace, name, plan)
        if resumed:
            discard(folder / OUTPUTS)
        else:
            abandon(workspace, name)
        transaction = cls(workspace, name, config, plan, resumed)
        try:
            for made in (folder, transaction.checkpoint, transaction.previews):
                made.mkdir(parents=True, exist_ok=True)
            if not resumed:
                write_document(folder / PLAN, plan)
        except OSError:
            if not resumed:
                abandon(workspace, name)
            raise
        return transaction

    @property
    def folder(self) -> Path:
        """`stages/NAME.partial`, where the run keeps its log, metrics, previews and checkpoint."""
        return self.workspace.partial_folder(self.name)

    @property
    def checkpoint(self) -> Path:
        """The folder for what an interrupted run resumes from; the commit throws it away."""
        return self.folder / "checkpoint"

    @property
    def previews(self) -> Path:
        """The folder for pictures of the run's progress."""
        return self.folder / "previews"

    @property
    def metrics(self) -> Path:
        """`metrics.jsonl`, one JSON object a line."""
        return self.folder / "metrics.jsonl"

    def output(self, relative: str) -> Path:
        """Where to write a file that the commit puts at `relative` in the workspace; its folder exists."""
        path = self._staged(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def replace(self, relative: str) -> Path:
        """An empty folder that takes the place of the whole folder `relative` in the workspace."""
        path = self._staged(relative)
        discard(path)
        path.mkdir(parents=True)
        self._replaced.append(PurePosixPath(relative).as_posix())
        return path

    def scene(self) -> Path:
        """An empty folder that becomes `scenes/NAME`."""
        return self.replace(f"scenes/{self.name}")

    def describe(self, **fields: Any) -> None:
        """Change fields of `workspace.yaml` with the commit; `notes` and `prompts` are merged key by key."""
        for key, value in fields.items():
            merged = isinstance(value, Mapping) and key in ("notes", "prompts")
            self._metadata[key] = {**self._metadata.get(key, {}), **value} if merged else value

    def note(self, key: str) -> Any:
        """A note of `workspace.yaml` as the commit will leave it; None where there is none."""
        return self._metadata.get("notes", {}).get(key, self.workspace.metadata.notes.get(key))

    def warn(self, message: str) -> None:
        """Tell the user something that the record should keep."""
        logger.warning(message)
        self.warnings.append(message)

    def miss(self, message: str) -> None:
        """Keep on record why nobody should go on with the result unasked; it is kept all the same."""
        self.missed.append(message)

    def _staged(self, relative: str) -> Path:
        return self.folder / OUTPUTS / require_output(relative)

    def commit(
        self,
        metrics: Mapping[str, Any],
        *,
        device: str = "cpu",
        command: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        peak_memory_mb: float = 0.0,
        peak_gpu_memory_mb: float = 0.0,
    ) -> Record:
        """Put every output in its place and write the record.

        Raises:
            MissingInputError: the workspace has gone away meanwhile.
            OSError: the disk is full or read-only; the workspace is as it was.
        """
        staged = self.folder / OUTPUTS
        self._stage_metadata(Workspace.open(self.workspace.path).metadata)
        files = [(file, file.relative_to(staged).as_posix()) for file in files_below(staged)]
        record = Record(
            **self.plan.model_dump(),
            name=self.name,
            a4d_version=__version__,
            command=list(command),
            device=device,
            backends=self.backends,
            environment=dict(environment or {}),
            weights=self.weights,
            outputs=[stamp(file, name) for file, name in files if name != METADATA],
            replaced_folders=self._replaced,
            metrics={key: _plain(value) for key, value in metrics.items()},
            warnings=self.warnings,
            missed=self.missed,
            finished=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            seconds=round(time.monotonic() - self._began, 3),
            peak_memory_mb=round(peak_memory_mb, 1),
            peak_gpu_memory_mb=round(peak_gpu_memory_mb, 1),
        )
        write_whole(self.folder / "config.yaml", to_yaml(self.plan.config))
        write_document(self.folder / RECORD, record)
        write_document(self.folder / JOURNAL, self._journal(record))
        complete_commit(self.workspace, self.name)
        self.workspace.metadata = Workspace.open(self.workspace.path).metadata
        return record

    def _stage_metadata(self, metadata: Metadata) -> None:
        if not self._metadata:
            return
        present = metadata.model_dump()
        for key, value in self._metadata.items():
            present[key] = {**present[key], **value} if key in ("notes", "prompts") else value
        path = self.folder / OUTPUTS / METADATA
        path.parent.mkdir(exist_ok=True)
        path.write_text(Metadata.model_validate(present).text(), encoding="utf-8")

    def _journal(self, record: Record) -> Journal:
        root = self.folder.relative_to(self.workspace.path).as_posix()
        final = self.workspace.stage_folder(self.name).relative_to(self.workspace.path).as_posix()
        staged = self.folder / OUTPUTS
        files = [file.relative_to(staged).as_posix() for file in files_below(staged)]
        new = [*self._replaced, *(path for path in files if not is_below(path, self._replaced))]
        kept = [name for name in RUN_FILES if files_below(self.folder / name)]
        others = self.workspace.read_records()
        former = others.pop(self.name, None)
        obsolete = [item.path for item in former.outputs if not record.took_over(item.path)] if former else []
        return Journal(
            moves=[
                *((f"{root}/{OUTPUTS}/{path}", path) for path in new),
                *((f"{root}/{name}", f"{final}/{name}") for name in kept),
            ],
            removals=[
                *(path for path in obsolete if not any(other.took_over(path) for other in others.values())),
                *(f"{final}/{name}" for name in RUN_FILES if name not in kept),
            ],
        )


def _plain(value: Any) -> Any:
    """A metric as JSON can hold it: numbers of array libraries as Python's, infinite and undefined ones as None."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def can_resume(workspace: Workspace, name: str, plan: Plan) -> bool:
    """Whether an interrupted run of the same plan left a checkpoint."""
    folder = workspace.partial_folder(name)
    checkpoint = folder / "checkpoint"
    if not (folder / PLAN).is_file() or not checkpoint.is_dir() or not any(checkpoint.iterdir()):
        return False
    try:
        return read_document(folder / PLAN, Plan).identity() == plan.identity()
    except WorkspaceError:
        return False


def abandon(workspace: Workspace, name: str) -> None:
    """Throw away what an unfinished run has left; half of it gone must not look like something to resume."""
    folder = workspace.partial_folder(name)
    discard(folder / PLAN)
    discard(folder)
