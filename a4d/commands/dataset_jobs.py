"""The work of `a4d make-dataset`: clips of assets and of procedural objects, one process per core."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from a4d.console import progress
from a4d.errors import A4DError, OutOfMemoryError
from a4d.interruption import end_with, held_back
from a4d.runtime import prepare_process

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rich.console import Console

    from a4d.datasets.asset_clips import Recording
    from a4d.datasets.procedural.recording import ProceduralRecording

MOST_TAKES = 1000


@dataclass(frozen=True)
class Rendered:
    """What came of one job.

    Args:
        written: new clips.
        kept: clips that were there.
        failure: why the asset could not be read; empty where it could.
    """

    written: int
    kept: int
    failure: str = ""


class Job(Protocol):
    """All clips of one subject, which a process of its own may render."""

    @property
    def uid(self) -> str:
        """Of the subject."""

    def render(self, force: bool) -> Rendered:
        """Render those clips that are not there yet, or all."""


@dataclass(frozen=True)
class AssetJob:
    """All clips of one asset.

    Args:
        path: of the asset.
        uid: of the subject.
        root: of the data set.
        recording: how it is seen.
        captions: by subject.
        with_images: also as pictures with alpha.
    """

    path: Path
    uid: str
    root: Path
    recording: Recording
    captions: Mapping[str, Any]
    with_images: bool

    def render(self, force: bool) -> Rendered:
        """Render those clips that are not there yet, or all."""
        from a4d.datasets.asset_clips import record
        from a4d.io.captures.multi_view_dataset import is_written, write_clip

        written = kept = 0
        try:
            for number in range(MOST_TAKES):
                if is_written(self.root, self.uid, number) and not force:
                    kept += 1
                    continue
                clip = record(self.path, self.uid, number, self.recording, self.captions)
                if clip is None:
                    break
                write_clip(self.root, clip, with_images=self.with_images)
                written += 1
        except A4DError as error:
            failure = str(error)
            return Rendered(written, kept, failure if str(self.path) in failure else f"{self.path}: {failure}")
        return Rendered(written, kept)


@dataclass(frozen=True)
class ProceduralJob:
    """The one clip of a procedural object.

    Args:
        index: of the object.
        root: of the data set.
        recording: how it is seen.
        with_images: also as pictures with alpha.
    """

    index: int
    root: Path
    recording: ProceduralRecording
    with_images: bool

    @property
    def uid(self) -> str:
        """Of the subject."""
        return f"procedural-{self.index:06d}"

    def render(self, force: bool) -> Rendered:
        """Render the clip unless it is there."""
        from a4d.datasets.procedural.recording import record_procedural
        from a4d.io.captures.multi_view_dataset import is_written, write_clip

        if is_written(self.root, self.uid, 0) and not force:
            return Rendered(written=0, kept=1)
        write_clip(self.root, record_procedural(self.index, self.uid, self.recording), with_images=self.with_images)
        return Rendered(written=1, kept=0)


@dataclass
class Tally:
    """What came of the assets.

    Args:
        written: new clips.
        kept: clips that were there.
        failures: assets that could not be read, with the reason.
    """

    written: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, uid: str, result: Rendered) -> None:
        """Count what came of one subject."""
        self.written += result.written
        self.kept += result.kept
        if result.failure:
            self.failures[uid] = result.failure


def render_all(jobs: Sequence[Job], workers: int | None, force: bool, console: Console) -> Tally:
    """Do all jobs, each in a process of its own unless there is but one worker.

    Args:
        jobs: at least one.
        workers: processes; None is as many as there are cores.
        force: render also what is there.
        console: shows progress, and warns of assets that fail.

    Raises:
        OutOfMemoryError: a process was killed.
    """
    tally = Tally()
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with progress(console) as bar:
        task = bar.add_task("assets", total=len(jobs))

        def finished(job: Job, result: Rendered) -> None:
            tally.add(job.uid, result)
            if result.failure:
                console.print(f"warning: {result.failure}", style="yellow")
            bar.advance(task)

        if count == 1:
            for job in jobs:
                finished(job, job.render(force))
            return tally
        try:
            _render_beside(jobs, count, force, finished)
        except BrokenProcessPool:
            raise OutOfMemoryError(
                "a process that rendered was killed, as it is when memory runs out",
                "It needs less with fewer --workers",
            ) from None
    return tally


def _render_beside(jobs: Sequence[Job], count: int, force: bool, finished: Callable[[Job, Rendered], None]) -> None:
    """Do jobs in processes that end with this one."""
    from a4d.kernel_cache import cache_folder

    cache_folder()  # whatever there is to say of it is said here, and not by each of them
    # Forked processes would share the threads' locks of numba and torch.
    context = multiprocessing.get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    with held_back():  # it starts a process of Python's own, which lets signals through again
        pool = ProcessPoolExecutor(count, context, initializer=_prepare, initargs=(lifeline,))
    with pool, held:
        with held_back():
            waiting: dict[Future[Rendered], Job] = {pool.submit(job.render, force): job for job in jobs}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                finished(waiting.pop(future), future.result())


def _prepare(lifeline: Connection) -> None:
    """One thread per process: there is a process per core."""
    end_with(lifeline)
    logging.getLogger("a4d.kernel_cache").setLevel(logging.ERROR)
    prepare_process()
    import torch

    torch.set_num_threads(1)
