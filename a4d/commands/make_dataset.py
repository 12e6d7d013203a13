"""`a4d make-dataset`: animated assets become a data set of multi-view videos, clip by clip and process by process."""

from __future__ import annotations

import dataclasses
import json as json_format
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a4d.commands.dataset_jobs import AssetJob, Job, ProceduralJob, render_all
from a4d.config import differences, load_yaml
from a4d.console import make_console, print_json, print_result
from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.io.files import read_json, write_text
from a4d.memory import Demand, require_memory
from a4d.randomness import LARGEST_SEED

if TYPE_CHECKING:
    from a4d.datasets.asset_clips import Recording
    from a4d.datasets.procedural.recording import ProceduralRecording

SETTINGS = "dataset.json"
ASSETS = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", ".bvh")


class Lighting(str, Enum):
    """How assets are lit."""

    auto = "auto"
    unlit = "unlit"
    shaded = "shaded"


@dataclass(frozen=True)
class RecordingOptions:
    """How subjects are filmed."""

    views: Annotated[int, typer.Option(help="Cameras evenly around the subject.", min=1, max=1000)] = 16
    frames: Annotated[int, typer.Option(help="Frames of a clip.", min=1, max=10_000)] = 48
    fps: Annotated[float, typer.Option(help="Frames per second.", min=0.1, max=1000)] = 24.0
    size: Annotated[int, typer.Option(help="Pixels of the square frame's side.", min=16, max=4096)] = 256
    elevation: Annotated[tuple[float, float], typer.Option(help="Degrees above the subject, from and to.")] = (0, 30)
    radius: Annotated[
        float, typer.Option(help="Metres from the subject's middle to the cameras.", min=1.01, max=1e6)
    ] = 3.0
    fov: Annotated[float, typer.Option(help="Vertical field of view in degrees.", min=1, max=150)] = 40.0
    seed: Annotated[int, typer.Option(help="Seed of cameras and of drawn animations.", min=0, max=LARGEST_SEED)] = 0

    def __post_init__(self) -> None:
        """Check what the bounds of single options do not.

        Raises:
            UsageError: the elevations are no range.
        """
        low, high = self.elevation
        if not -90 <= low <= high <= 90:
            raise UsageError(f"--elevation {low:g} {high:g} is no range within -90 and 90")

    def of_procedural(self) -> ProceduralRecording:
        """The same for procedural objects."""
        from a4d.datasets.procedural.recording import ProceduralRecording

        return ProceduralRecording(**dataclasses.asdict(self))


@dataclass(frozen=True)
class AssetOptions:
    """What only assets have."""

    lighting: Annotated[Lighting, typer.Option(help="auto shades what has no colours of its own.")] = Lighting.auto
    clips: Annotated[
        int, typer.Option(help="Most animations of one asset; of more, some are drawn.", min=1, max=10_000)
    ] = 6
    captions: Annotated[Path | None, typer.Option(help="YAML or JSON: texts by asset, or by asset and animation.")] = (
        None
    )
    depth: Annotated[bool, typer.Option("--depth", help="Exact depth maps, too.")] = False
    ground_truth: Annotated[bool, typer.Option("--ground-truth", help="Vertices and joints, too.")] = False

    def recording(self, options: RecordingOptions) -> Recording:
        """How assets are filmed."""
        from a4d.datasets.asset_clips import Recording

        return Recording(
            **dataclasses.asdict(options),
            lighting=self.lighting.value,
            clips=self.clips,
            with_depth=self.depth,
            with_truth=self.ground_truth,
        )


def make_dataset(
    *,
    output: Annotated[Path, typer.Option(help="Folder of the data set; one that is there is continued.")],
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Assets, folders of them, or a .txt file that lists them.")
    ] = None,
    procedural: Annotated[
        int | None, typer.Option(help="As many generated, jointed objects in place of assets.", min=1, max=1_000_000)
    ] = None,
    options: RecordingOptions,
    of_assets: AssetOptions,
    images: Annotated[bool, typer.Option("--images", help="Every frame as a PNG with alpha, too.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; as many as there are cores if none.", min=1, max=256)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Render again, also with other settings.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
) -> None:
    """Render assets to multi-view videos in MV-Video's layout, with cameras; run it again to go on where it stopped."""
    from a4d.io.captures.multi_view_dataset import write_index

    if (procedural is None) == (not inputs):
        raise UsageError(
            "a data set is made either of assets or of procedural objects", "Name assets, or --procedural N"
        )
    recording: Recording | ProceduralRecording
    jobs: Sequence[Job]
    if procedural is not None:
        if of_assets.depth or of_assets.ground_truth or of_assets.captions is not None:
            raise UsageError("--depth, --ground-truth and --captions are for assets", "Leave them out")
        recording = films = options.of_procedural()
        jobs = [ProceduralJob(index, output, films, images) for index in range(procedural)]
    else:
        recording = views = of_assets.recording(options)
        texts = load_yaml(of_assets.captions) if of_assets.captions is not None else {}
        assets = name_assets(list(find_assets(inputs or [])))
        jobs = [AssetJob(path, uid, output, views, texts, images) for uid, path in assets.items()]
    pixels = recording.views * recording.frames * recording.size**2 * min(workers or 1, len(jobs))
    require_memory(
        "make-dataset",
        [Demand("the films of a clip", pixels * (8 if of_assets.depth else 4))],
        knobs=("views", "frames", "size", "workers"),
    )
    _require_settings(output, {**dataclasses.asdict(recording), "images": images}, force=force)
    tally = render_all(jobs, workers, force, make_console(quiet=quiet))
    if len(tally.failures) == len(jobs):
        first = next(iter(tally.failures.values()))
        raise InvalidInputError(f"none of {len(jobs)} assets could be rendered: {first}")
    count = write_index(output)
    if json:
        print_json({"output": str(output), "clips": count, **dataclasses.asdict(tally)})
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
    from a4d.intake.mesh_renders import file_name

    taken = set[str]()
    return {file_name(path.stem, taken): path for path in paths}


def _require_settings(root: Path, settings: dict[str, Any], *, force: bool) -> None:
    """Keep clips of different settings out of one data set.

    Raises:
        UsageError: what is there was made with others.
    """
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
