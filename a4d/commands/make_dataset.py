"""`a4d make-dataset`: animated assets become a data set of multi-view videos, clip by clip and process by process."""

from __future__ import annotations

import dataclasses
import json as json_format
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a4d.config import load_yaml
from a4d.console import make_console, print_json, print_result, progress
from a4d.errors import A4DError, InvalidInputError, MissingInputError, UsageError

if TYPE_CHECKING:
    from a4d.datasets.asset_clips import Recording
    from a4d.datasets.procedural.recording import ProceduralRecording

SETTINGS = "dataset.json"
ASSETS = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", ".bvh")
MOST_TAKES = 1000


class Lighting(str, Enum):
    """How assets are lit."""

    auto = "auto"
    unlit = "unlit"
    shaded = "shaded"


@dataclass(frozen=True)
class Job:
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

    def render(self, force: bool) -> tuple[int, int, str]:
        """Render those clips that are not there yet, or all."""
        return render_asset(self, force)


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

    def render(self, force: bool) -> tuple[int, int, str]:
        """Render the clip unless it is there."""
        from a4d.datasets.procedural.recording import record_procedural
        from a4d.io.multi_view_dataset import is_written, write_clip

        if is_written(self.root, self.uid, 0) and not force:
            return 0, 1, ""
        write_clip(self.root, record_procedural(self.index, self.uid, self.recording), with_images=self.with_images)
        return 1, 0, ""


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


def make_dataset(
    output: Annotated[Path, typer.Option(help="Folder of the data set; one that is there is continued.")],
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Assets, folders of them, or a .txt file that lists them.")
    ] = None,
    procedural: Annotated[
        int | None, typer.Option(help="As many generated, jointed objects in place of assets.", min=1)
    ] = None,
    views: Annotated[int, typer.Option(help="Cameras evenly around the subject.", min=1)] = 16,
    frames: Annotated[int, typer.Option(help="Frames of a clip.", min=1)] = 48,
    fps: Annotated[float, typer.Option(help="Frames per second.", min=0.1)] = 24.0,
    size: Annotated[int, typer.Option(help="Pixels of the square frame's side.", min=16, max=4096)] = 256,
    elevation: Annotated[tuple[float, float], typer.Option(help="Degrees above the subject, from and to.")] = (0, 30),
    radius: Annotated[float, typer.Option(help="Metres from the subject's middle to the cameras.", min=1.01)] = 3.0,
    fov: Annotated[float, typer.Option(help="Vertical field of view in degrees.", min=1, max=150)] = 40.0,
    lighting: Annotated[Lighting, typer.Option(help="auto shades what has no colours of its own.")] = Lighting.auto,
    clips: Annotated[int, typer.Option(help="Most animations of one asset; of more, some are drawn.", min=1)] = 6,
    captions: Annotated[
        Path | None, typer.Option(help="YAML or JSON: texts by asset, or by asset and animation.")
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Every frame as a PNG with alpha, too.")] = False,
    depth: Annotated[bool, typer.Option("--depth", help="Exact depth maps, too.")] = False,
    ground_truth: Annotated[bool, typer.Option("--ground-truth", help="Vertices and joints, too.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; as many as there are cores if none.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of cameras and of drawn animations.", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Render again, also with other settings.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Render assets to multi-view videos in MV-Video's layout, with cameras; run it again to go on where it stopped."""
    from a4d.datasets.asset_clips import Recording
    from a4d.datasets.procedural.recording import ProceduralRecording
    from a4d.io.multi_view_dataset import write_index

    low, high = elevation
    if not -90 <= low <= high <= 90:
        raise UsageError(f"--elevation {low:g} {high:g} is no range within -90 and 90")
    if (procedural is None) == (not inputs):
        raise UsageError(
            "a data set is made either of assets or of procedural objects", "Name assets, or --procedural N"
        )
    recording: Recording | ProceduralRecording
    jobs: Sequence[Job | ProceduralJob]
    if procedural is not None:
        if depth or ground_truth or captions is not None:
            raise UsageError("--depth, --ground-truth and --captions are for assets", "Leave them out")
        recording = ProceduralRecording(views, frames, fps, size, (low, high), radius, fov, seed)
        jobs = [ProceduralJob(index, output, recording, images) for index in range(procedural)]
    else:
        recording = Recording(
            views, frames, fps, size, (low, high), radius, fov, lighting.value, clips, depth, ground_truth, seed
        )
        texts = load_yaml(captions) if captions is not None else {}
        assets = name_assets(list(find_assets(inputs or [])))
        jobs = [Job(path, uid, output, recording, texts, images) for uid, path in assets.items()]
    _require_settings(output, {**dataclasses.asdict(recording), "images": images}, force=force)
    tally = _run(jobs, workers, force, make_console(quiet=quiet))
    if len(tally.failures) == len(jobs):
        first = next(iter(tally.failures.values()))
        raise InvalidInputError(f"none of {len(jobs)} assets could be rendered: {first}")
    count = write_index(output)
    result = {"output": str(output), "clips": count, "written": tally.written, "kept": tally.kept,
              "failures": tally.failures}  # fmt: skip
    if json:
        print_json(result)
    elif not quiet:
        failed = f", {len(tally.failures)} assets failed" if tally.failures else ""
        print_result(f"{count} clips in {output}: {tally.written} new, {tally.kept} kept{failed}")


def find_assets(inputs: list[Path]) -> Iterator[Path]:
    """The mesh files that inputs mean, in a fixed order.

    Raises:
        MissingInputError: an input does not exist.
        InvalidInputError: one is no mesh, or nothing is found in any.
    """
    found = list[Path]()
    for path in inputs:
        if not path.exists():
            raise MissingInputError(f"{path} does not exist")
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in ASSETS)
        elif path.suffix.lower() == ".txt":
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            found += [path.parent / line for line in lines if line and not line.startswith("#")]
        else:
            found.append(path)
    if not found:
        raise InvalidInputError("there are no assets in the inputs", f"Known are {', '.join(ASSETS)}")
    yield from dict.fromkeys(found)


def name_assets(paths: list[Path]) -> dict[str, Path]:
    """Assets by what they are called in the data set: their files' names, numbered where they are equal."""
    from a4d.workspace.mesh_views import file_name

    taken = set[str]()
    return {file_name(path.stem, taken): path for path in paths}


def _require_settings(root: Path, settings: dict[str, Any], *, force: bool) -> None:
    """Keep clips of different settings out of one data set.

    Raises:
        UsageError: what is there was made with others.
    """
    from a4d.config import differences
    from a4d.io.files import read_json, write_text

    file = root / SETTINGS
    plain = json_format.loads(json_format.dumps(settings))
    if file.is_file() and not force:
        changes = differences(read_json(file), plain)
        if changes:
            raise UsageError(
                f"{root} was made with other settings: {'; '.join(changes)}",
                "Choose another folder, or replace its clips with --force",
            )
    write_text(file, json_format.dumps(plain, indent=2) + "\n")


def _run(jobs: Sequence[Job | ProceduralJob], workers: int | None, force: bool, console: Any) -> Tally:
    import multiprocessing
    import os

    tally = Tally()
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with progress(console) as bar:
        task = bar.add_task("assets", total=len(jobs))

        def finished(job: Job | ProceduralJob, result: tuple[int, int, str]) -> None:
            written, kept, failure = result
            tally.written += written
            tally.kept += kept
            if failure:
                tally.failures[job.uid] = failure
                console.print(f"warning: {failure}", style="yellow", markup=False)
            bar.advance(task)

        if count == 1:
            for job in jobs:
                finished(job, job.render(force))
            return tally
        # Forked processes would share the threads' locks of numba and torch.
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_prepare) as pool:
            waiting: dict[Future[tuple[int, int, str]], Job | ProceduralJob] = {
                pool.submit(job.render, force): job for job in jobs
            }
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    finished(waiting.pop(future), future.result())
    return tally


def _prepare() -> None:
    """One thread per process: there is a process per core."""
    from a4d.runtime import prepare_process

    prepare_process()
    import torch

    torch.set_num_threads(1)


def render_asset(job: Job, force: bool) -> tuple[int, int, str]:
    """Render those clips of an asset that are not there yet.

    Returns:
        how many were written, how many were there, and why the asset failed, or nothing.
    """
    from a4d.datasets.asset_clips import record
    from a4d.io.multi_view_dataset import is_written, write_clip

    written = kept = 0
    try:
        for number in range(MOST_TAKES):
            if is_written(job.root, job.uid, number) and not force:
                kept += 1
                continue
            clip = record(job.path, job.uid, number, job.recording, job.captions)
            if clip is None:
                break
            write_clip(job.root, clip, with_images=job.with_images)
            written += 1
    except A4DError as error:
        return written, kept, f"{job.path}: {error}" if str(job.path) not in str(error) else str(error)
    return written, kept, ""
