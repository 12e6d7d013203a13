"""Running a stage on a workspace or a raw input: locate, lock, decide, run, commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from a4d.config import Config, plain, to_yaml
from a4d.console import format_metrics
from a4d.errors import A4DError, BackendUnavailableError, UsageError, WorkspaceError
from a4d.naming import MOST_BYTES, bounded
from a4d.running.decision import Decision, decide, few, make_plan
from a4d.running.environment import library_versions, peak_gpu_memory_bytes
from a4d.running.failures import guarded, naming_the_disk
from a4d.running.logs import logging_into, logging_to
from a4d.running.stage import Stage
from a4d.runtime import Runtime, peak_memory_bytes, resolve_device
from a4d.workspace.entries import METADATA, PARTIAL, RUN_NAME
from a4d.workspace.files import discard
from a4d.workspace.journal import complete_interrupted_commits
from a4d.workspace.lock import LOCK, Lock, acquire, locked
from a4d.workspace.record import Record
from a4d.workspace.remedies import naming_the_run
from a4d.workspace.source import RawInput, is_there, recognise, require_same
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Metadata, Workspace

logger = logging.getLogger(__name__)

StageFinder = Callable[[str], Stage]


@dataclass(frozen=True)
class Options:
    """How a stage is run.

    Args:
        values: settings of the stage, merged from file and flags.
        assignments: `--set key.path=value`, applied after them.
        name: of the run and its scene; the stage's name where None.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of every random number.
        force: make a finished result anew.
        dry_run: say what would be done, write nothing.
        command: the command line, for the record.
        level: the least severe log message that the console shows.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    assignments: tuple[str, ...] = ()
    name: str | None = None
    device: str = "auto"
    seed: int = 0
    force: bool = False
    dry_run: bool = False
    command: tuple[str, ...] = ()
    level: int = logging.INFO


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Args:
        stage: the sub-command.
        name: of the run.
        status: `done`, `up to date`, or for a dry run `would run`, `would resume`.
        reason: why, in words.
        workspace: its folder.
        inputs: what is read, relative to the workspace.
        outputs: files that were written, with the workspace's path.
        metrics: of the run.
        seconds: that it took; for a result that was up to date, that it had taken.
        peak_memory_mb: likewise.
        warnings: likewise.
        missed: quality gates that the result misses, in words; the user should look before going on with it.
    """

    stage: str
    name: str
    status: str
    reason: str
    workspace: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    warnings: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """The workspace that a target means, which exists where `raw` is None or was used before."""

    path: Path
    raw: RawInput | None = None

    def exists(self) -> bool:
        """Whether the workspace has been made."""
        return (self.path / METADATA).is_file()

    def workspace(self) -> Workspace:
        """The workspace, or one in memory alone that a raw input would become."""
        if self.raw is None or self.exists():
            return Workspace.open(self.path)
        return Workspace(self.path, Metadata(name=self.raw.stem, source=self.raw.describe()))

    def origin(self, workspace: Workspace) -> str:
        """What its workspace is made from: a path, relative to the workspace where that is what is named, or a text."""
        if self.raw is not None:
            return str(self.raw.path or self.raw.text)
        source = workspace.metadata.source
        return "" if source is None else source.path or source.text


def merge_values(settings: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's settings from a file and flags, the latter winning."""
    return {**settings, **{key: value for key, value in flags.items() if value is not None}}


def locate(target: str) -> Place:
    """Which workspace a target of the command line means.

    Raises:
        A4DError: it is neither a workspace nor a raw input, or its workspace belongs to another input.
    """
    path = Path(target)
    if path.suffix == ".a4d" or is_there(path / METADATA):
        Workspace.open(path)
        return Place(path)
    raw = recognise(target)
    place = Place(Path(f"{raw.stem}.a4d"), raw)
    if place.exists():
        require_same(Workspace.open(place.path).metadata.source, raw, place.path)
    elif place.path.exists():
        raise WorkspaceError(f"{place.path} exists and is no workspace", "Move it away, or work in another folder")
    return place


def resolved_config(stage: Stage, target: str, options: Options) -> str:
    """The complete configuration of a stage for a target as YAML; writes nothing."""
    return to_yaml(plain(_resolved(stage, locate(target).workspace(), options))).rstrip()


def _resolved(stage: Stage, workspace: Workspace, options: Options) -> Config:
    return stage.resolved(workspace, options.values, options.assignments)


def execute(stage: Stage, target: str, options: Options, console: Console, find_stage: StageFinder) -> Outcome:
    """Run a stage, and before it those that it needs of a raw input, or of the workspace of one picture.

    Args:
        stage: what to run.
        target: a workspace, or an image, video, mesh, folder or prompt, which makes `<stem>.a4d` here.
        options: settings and run control.
        console: standard error.
        find_stage: gives the stages that `stage.needs` names.

    Raises:
        A4DError: with the exit code and the remedy; the workspace is as it was.
        KeyboardInterrupt: Ctrl-C.
    """
    name = options.name or stage.name
    if not RUN_NAME.fullmatch(name):
        raise UsageError(f"--name '{name}' may have letters, digits, '-' and '_' only")
    if bounded(name) != name:
        raise UsageError(f"--name is longer than {MOST_BYTES} bytes")
    options = replace(options, name=name)
    place = locate(target)
    if options.dry_run:
        return _foresee(stage, place, options, find_stage)
    workspace = place.workspace()
    with naming_the_run(workspace), naming_the_disk(place.path):
        # A mistake in the settings should show before anything is written or a needed stage is run.
        config = _resolved(stage, workspace, options)
        if place.raw is None or place.exists():
            return _run_in_place(stage, place, options, console, find_stage)
        stage.require_all(config, resolve_device(options.device))
        return _run_in_new_workspace(stage, place, place.raw, options, console, find_stage)


def _foresee(stage: Stage, place: Place, options: Options, find_stage: StageFinder) -> Outcome:
    workspace = place.workspace()
    name = options.name or stage.name
    config = _resolved(stage, workspace, options)
    writes = [*stage.writes, *([f"scenes/{name}/"] if stage.writes_scene else []), f"stages/{name}/"]
    steps = [] if place.exists() else [f"make {place.path}"]
    if needed := _needed(stage, place, workspace, find_stage):
        steps.append(f"run {', '.join(each.name for each in needed)} first")
    if steps:
        decision, inputs = Decision("run", f"would {' and '.join(steps)}"), [place.origin(workspace)]
    else:
        plan = make_plan(stage, workspace, config, options.seed)
        decision = decide(stage, workspace, name, plan, force=options.force)
        inputs = plan.input_paths
    status = decision.action if decision.action == "up to date" else f"would {decision.action}"
    outputs = [str(place.path / path) for path in writes]
    return Outcome(stage.name, name, status, decision.reason, str(place.path), inputs, outputs)


def _run_in_place(stage: Stage, place: Place, options: Options, console: Console, find_stage: StageFinder) -> Outcome:
    try:
        lock = acquire(place.path)
    except OSError:
        current = _outcome_if_current(stage, place.workspace(), options)
        if current is None:
            raise
        return current
    try:
        workspace = place.workspace()
        with logging_to(console, options.level):
            complete_interrupted_commits(workspace)
            _run_needs(stage, place, workspace, options, console, find_stage)
            return _run(stage, workspace, options, console)
    finally:
        lock.release()


def _outcome_if_current(stage: Stage, workspace: Workspace, options: Options) -> Outcome | None:
    """A finished result in a folder that cannot be written is still a finished result."""
    config = _resolved(stage, workspace, options)
    name = options.name or stage.name
    plan = make_plan(stage, workspace, config, options.seed)
    decision = decide(stage, workspace, name, plan, force=options.force)
    record = workspace.read_records().get(name)
    return _outcome_of(workspace, record, decision) if record and decision.action == "up to date" else None


def _needed(stage: Stage, place: Place, workspace: Workspace, find_stage: StageFinder) -> list[Stage]:
    """What is to be run first: of the stages that another needs those behind the last that has been run.

    Of a workspace that is named itself nothing is run unasked, unless it is one picture's, whose camera has no say.
    """
    source = workspace.metadata.source
    if place.raw is None and (source is None or source.kind != "image"):
        return []
    needs = [find_stage(name) for name in stage.needs]
    made = [index for index, need in enumerate(needs, start=1) if need.has_been_run(workspace)]
    return needs[max(made, default=0) :]


def _run_needs(
    stage: Stage, place: Place, workspace: Workspace, options: Options, console: Console, find_stage: StageFinder
) -> None:
    for need in _needed(stage, place, workspace, find_stage):
        _run_first(need, workspace, options, console)


def _run_in_new_workspace(
    stage: Stage, place: Place, raw: RawInput, options: Options, console: Console, find_stage: StageFinder
) -> Outcome:
    first = find_stage(stage.needs[0]) if stage.needs else stage
    with _new_workspace(place, raw) as (workspace, lock), logging_to(console, options.level):
        if first is stage:
            outcome = _run(stage, workspace, options, console)
            _rename(workspace, place.path, lock)
            return replace(outcome, workspace=str(place.path), outputs=_paths(workspace, outcome.name))
        temporary = workspace.path
        _run_first(first, workspace, options, console)
        _rename(workspace, place.path, lock)
        _run_needs(stage, place, workspace, options, console, find_stage)
        try:
            return _run(stage, workspace, options, console)
        except BackendUnavailableError:
            # Weights that turn out to be bad leave nothing behind: the workspace is one that may go away again.
            if not workspace.partials():
                _rename(workspace, temporary, lock)
            raise


@contextmanager
def _new_workspace(place: Place, raw: RawInput) -> Iterator[tuple[Workspace, Lock]]:
    """Build a workspace under a temporary name; unless the block renames it, as after a bad input, it goes away."""
    temporary = place.path.with_name(f"{place.path.name}{PARTIAL}")
    if temporary.is_symlink():
        raise WorkspaceError(f"{temporary} is a link, where a workspace would be made", "Remove it")
    temporary.mkdir(exist_ok=True)
    with locked(temporary) as lock:
        try:
            for leftover in temporary.iterdir():
                if leftover.name != LOCK:
                    discard(leftover)
            source = raw.copy_into(temporary)
            yield Workspace.create(temporary, Metadata(name=raw.stem, source=source)), lock
        except A4DError as error:
            # The copy that the message is about goes away; the user knows the original.
            if raw.path is not None:
                error.problem = error.problem.replace(str(temporary / source.path), str(raw.path))
            raise
        finally:
            if temporary.exists():
                discard(temporary)


def _run_first(stage: Stage, workspace: Workspace, options: Options, console: Console) -> None:
    """Run a stage that another needs, with defaults; it is told of when it is done, so that a bad input is one line."""
    logger.debug("%s comes first", stage.name)
    options = replace(options, values={}, assignments=(), name=stage.name, force=False)
    outcome = _run(stage, workspace, options, console)
    logger.info("%s came first: %s", stage.name, format_metrics(outcome.metrics))


def _rename(workspace: Workspace, path: Path, lock: Lock) -> None:
    try:
        workspace.path.rename(path)
    except OSError as error:
        if not path.exists():
            raise
        raise WorkspaceError(f"{path} was made by another process meanwhile", "Run the same command again") from error
    workspace.path = lock.folder = path


def _paths(workspace: Workspace, name: str) -> list[str]:
    return [str(workspace.path / item.path) for item in workspace.read_records()[name].outputs]


def _run(stage: Stage, workspace: Workspace, options: Options, console: Console) -> Outcome:
    """One stage on a locked workspace."""
    name = options.name or stage.name
    config = _resolved(stage, workspace, options)
    plan = make_plan(stage, workspace, config, options.seed)
    decision = decide(stage, workspace, name, plan, force=options.force)
    if decision.warning:
        logger.warning("%s: %s", name, decision.warning)
    record = workspace.read_records().get(name)
    if decision.action == "up to date" and record is not None:
        for warning in record.warnings:
            logger.warning("%s", warning)
        return _outcome_of(workspace, record, decision)
    if decision.action == "resume":
        logger.info("%s %s", name, decision.reason)
    runtime = Runtime(resolve_device(options.device), options.seed, console)
    stage.require_all(config, runtime.device)
    before = record if decision.action == "run" else None
    transaction = Transaction.begin(workspace, name, config, plan)
    with guarded(stage, transaction), logging_into(transaction.folder / "log.txt"):
        with runtime.stop.listening(at_once=not stage.resumable):
            metrics = stage.run(transaction, config, runtime)
        record = transaction.commit(
            metrics,
            device=runtime.device,
            command=options.command,
            environment=library_versions(),
            peak_memory_mb=peak_memory_bytes() / 2**20,
            peak_gpu_memory_mb=peak_gpu_memory_bytes() / 2**20,
        )
    if before is not None:
        logger.info("%s was %s", name, decision.reason.removeprefix("is ") + _gone(workspace, before))
    return _outcome_of(workspace, record, replace(decision, reason=""), status="done")


def _gone(workspace: Workspace, before: Record) -> str:
    """What a run had made before, and has not made again."""
    missing = [item.path for item in before.outputs if not (workspace.path / item.path).exists()]
    return f"; gone with what was there before: {few(missing)}" if missing else ""


def _outcome_of(workspace: Workspace, record: Record, decision: Decision, status: str = "up to date") -> Outcome:
    return Outcome(
        stage=record.stage,
        name=record.name,
        status=status,
        reason=decision.reason,
        workspace=str(workspace.path),
        inputs=record.input_paths,
        outputs=[str(workspace.path / item.path) for item in record.outputs],
        metrics=record.metrics,
        seconds=record.seconds,
        peak_memory_mb=record.peak_memory_mb,
        warnings=record.warnings,
        missed=record.missed,
    )
