"""preprocess: an input of any kind becomes images with alpha, and cameras where they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from a4d.config import plain
from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.intake.given_views import GivenViews, take_views
from a4d.intake.mesh_views import PlacedMesh, take_mesh, take_mesh_at_rest
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from a4d.io.captures.capture import PosedCapture
    from a4d.io.captures.multi_view_folder import MultiViewFolder

    Image = NDArray[np.float32]


class Preprocess(GivenViews):
    """How the subject is found, and how large it becomes; of a mesh, what is shown from where."""

    matting: Literal["auto", "alpha", "uniform", "grabcut", "rembg"] = Field(
        default="auto", description="how the subject is cut out of its background"
    )
    mask: Path | None = Field(default=None, description="a file with the answer: white, or opaque, on the subject")
    depth: Path | None = Field(default=None, description="a depth map of the image, brighter where nearer")
    size: int = Field(default=512, ge=16, le=4096, description="pixels of the square frame's side")
    margin: float = Field(default=0.1, ge=0, lt=0.45, description="free part of the frame on each side")
    start: int = Field(default=0, ge=0, description="first frame of a video, counted from 0")
    end: int | None = Field(default=None, ge=1, description="the frame after a video's last one")
    fps: float | None = Field(
        default=None, gt=0, le=1000, description="frames per second to take from a video or an animation"
    )
    strict: bool = Field(default=False, description="refuse a film that is damaged or shorter than it says")
    max_size: int = Field(default=1600, ge=16, le=16_384, description="photographs are reduced to this many pixels")
    canonical: bool = Field(default=True, description="bring a capture's subject into the unit ball")
    skip_missing: bool = Field(default=False, description="leave out a capture's images that are not on disk")
    model: str | None = Field(
        default=None, description="which COLMAP model of a capture, such as sparse/1; the largest if not given"
    )


def memory(config: Preprocess) -> list[Demand]:
    """One square picture; what a mesh's clip takes is known when it has been read."""
    return [Demand("size", PICTURE_PIXEL * config.size**2)]


def run(work: Transaction, config: Preprocess, runtime: Runtime) -> dict[str, Any]:
    """Take the source in, by its kind."""
    from a4d.io.captures.multi_view_folder import MultiViewFolder

    source = work.workspace.metadata.source
    if source is None:
        raise MissingInputError(f"{work.workspace.path} has no source", "`a4d preprocess INPUT` makes a workspace")
    if config.mask is not None and source.kind != "image":
        raise UsageError("--mask applies to a single image", "Put masks into the alpha channel of the images")
    if config.depth is not None and source.kind != "image":
        raise UsageError("--depth applies to a single image")
    if config.clip is not None and source.kind != "mesh":
        raise UsageError(f"--clip applies to a mesh, and this input is of kind '{source.kind}'")
    if config.model is not None and source.kind != "capture":
        raise UsageError(f"--model applies to a COLMAP capture, and this input is of kind '{source.kind}'")
    if config.videos is not None and source.kind != "mesh":
        raise UsageError("--videos shows how a mesh moves", "Without a mesh, give the folder itself as the input")
    if source.kind == "mesh" and config.videos is not None:
        if config.clip not in (None, "none"):
            raise UsageError("--clip and --videos both say how the mesh moves", "Give one of them")
        facts, mesh = take_mesh_at_rest(work, config)
        return {**facts, **_take_views(work, config, MultiViewFolder.find(config.videos), mesh)}
    if source.kind == "mesh":
        return take_mesh(work, config, config.size, config.fps, runtime.console)
    return TAKERS[source.kind](work, config)


def take_image(work: Transaction, config: Preprocess) -> dict[str, Any]:
    """One image: cut out, centred, scaled; the crop is noted so that results can be placed back."""
    from a4d.framing import crop_around, cut
    from a4d.io.pictures.images import read_depth, read_image, write_depth, write_image
    from a4d.matting.matte import matte

    image = read_image(work.workspace.source_path(), max_size=4 * config.size, warn=work.warn)
    with naming(work.workspace.source_path()):
        found = matte(image, config.matting, config.mask)
    for note in found.notes:
        work.warn(note)
    crop = crop_around(found.rgba[..., 3], config.size, config.margin)
    write_image(work.replace("images") / "00000.png", cut(found.rgba, crop))
    if config.depth is not None:
        depth = _same_size(read_depth(config.depth), image.shape[:2], config.depth)
        framed = cut(_as_rgba(depth, found.rgba[..., 3]), crop)
        write_depth(work.replace("depth") / "00000.png", framed[..., 0])
    work.describe(frame_count=1, notes={"crop": plain(crop), "matting": found.method})
    return {"frames": 1, "matting": found.method, "coverage": float((found.rgba[..., 3] > 0.5).mean())}


def take_video(work: Transaction, config: Preprocess) -> dict[str, Any]:
    """A video: every frame cut out; one crop for all, so that the subject's motion stays."""
    import numpy as np

    from a4d.framing import crop_around, cut
    from a4d.io.films.video import read_video
    from a4d.io.pictures.images import read_image, write_image
    from a4d.matting.matte import matte
    from a4d.workspace.disk_space import require_space

    path = work.workspace.source_path()
    video = read_video(path, config.start, config.end, config.fps, 2 * config.size)
    folder, files, methods, notes = work.replace("images"), list[Path](), set[str](), set[str]()
    union: Image | None = None

    def warn(message: str) -> None:
        work.warn(message.replace(str(path), path.name))

    # A clip does not fit into memory: it waits on the disk until it is known where the subject goes.
    for frame in video.sound_frames(config.strict, warn):
        with naming(path, f"frame {len(files)} of those taken"):
            found = matte(frame, config.matting)
        files.append(folder / f"{len(files):05d}.png")
        write_image(files[-1], found.rgba)
        if union is None:
            require_space(folder, (video.count or 1) * files[-1].stat().st_size, "--fps, --start, --end or --size")
            union = found.rgba[..., 3]
        union = np.maximum(union, found.rgba[..., 3])
        methods.add(found.method)
        notes.update(found.notes)
    assert union is not None
    crop = crop_around(union, config.size, config.margin)
    for file in files:
        write_image(file, cut(read_image(file), crop))
    for note in sorted(notes):
        work.warn(note)
    work.describe(frame_count=len(files), fps=video.fps, notes={"crop": plain(crop), "matting": sorted(methods)})
    return {"frames": len(files), "fps": video.fps, "matting": ", ".join(sorted(methods))}


def take_images(work: Transaction, config: Preprocess) -> dict[str, Any]:
    """A folder of photographs: cut out where they lie, since their cameras will need each image whole and as stored."""
    from a4d.io.pictures.images import list_images, read_image, write_image
    from a4d.matting.matte import matte

    paths = list_images(work.workspace.source_path())
    folder = work.replace("images")
    for index, path in enumerate(paths):
        with naming(path):
            found = matte(read_image(path, config.max_size, upright=False, warn=work.warn), config.matting)
        write_image(folder / f"{index:05d}.png", found.rgba)
    work.describe(frame_count=len(paths), notes={"files": [path.name for path in paths], "straightened": False})
    return {"frames": len(paths)}


def take_capture(work: Transaction, config: Preprocess) -> dict[str, Any]:
    """Photographs with cameras: undistorted, reduced, with alpha where it is known, in the canonical frame."""
    from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
    from a4d.io.captures.capture import CaptureChoice
    from a4d.io.captures.capture_reader import read_capture
    from a4d.io.captures.multi_view_folder import MultiViewFolder, is_multi_view
    from a4d.io.captures.transforms_json import find_transforms, write_transforms

    path = work.workspace.source_path()
    if is_multi_view(path):
        return _take_views(work, config, MultiViewFolder.find(path))
    if config.model is not None and find_transforms(path):
        raise UsageError("--model names one of several COLMAP models, and this capture has a transforms.json")
    choice = CaptureChoice(model=config.model, root=path, skip_missing=config.skip_missing, warn=work.warn)
    capture = read_capture(path, choice)
    capture, masks = _take_photographs(work, config, capture)
    if config.canonical:
        capture = transform_capture(capture, canonical_frame(capture, masks))
    write_transforms(work.output("transforms.json"), capture)
    work.describe(frame_count=len(capture))
    facts: dict[str, Any] = {"frames": len(capture), "masks": masks is not None}
    if capture.points is not None:
        facts["points"] = len(capture.points)
    return facts


def _take_views(
    work: Transaction, config: Preprocess, clip: MultiViewFolder, mesh: PlacedMesh | None = None
) -> dict[str, Any]:
    """Films of a moving subject from several sides, and how well a mesh stands where they show it."""
    from a4d.io.captures.multi_view_folder import Excerpt
    from a4d.matting.matte import matte

    excerpt = Excerpt(config.start, config.end, config.fps, config.max_size)
    notes = set[str]()

    def cut_out(view: Path, frame: Image) -> Image:
        with naming(view):
            found = matte(frame, config.matting)
        notes.update(found.notes)
        return found.rgba

    facts = take_views(work, config, clip, excerpt, cut_out, mesh)
    for note in sorted(notes):
        work.warn(note)
    return facts


def _take_photographs(
    work: Transaction, config: Preprocess, capture: PosedCapture
) -> tuple[PosedCapture, list[NDArray[np.bool_]] | None]:
    """Write the photographs as pinholes would have taken them; the capture that names them, and their masks."""
    from dataclasses import replace

    import numpy as np

    from a4d.io.captures.undistortion import without_distortion
    from a4d.io.pictures.images import read_image, write_image
    from a4d.pixels import shrink

    straight, steps = without_distortion(capture)
    folder, masks, names, sizes = work.replace("images"), list[Any](), list[Path](), list[tuple[int, int]]()
    for index, path in enumerate(capture.images):
        pixels = read_image(path, upright=False, warn=work.warn)
        mask = None if capture.masks is None else capture.masks[index]
        if mask is not None:
            pixels = _as_rgba(
                pixels[..., :3], _same_size(read_image(mask, upright=False)[..., 0], pixels.shape[:2], mask)
            )
        step = steps[index]
        pixels = shrink(pixels if step is None else step.apply(pixels), config.max_size)
        names.append(folder / f"{index:05d}.png")
        write_image(names[-1], pixels)
        sizes.append((pixels.shape[1], pixels.shape[0]))
        masks.append(pixels[..., 3] > 0.5 if pixels.shape[2] == 4 else None)
    scale = np.array(sizes) / straight.sizes
    written = replace(
        straight,
        images=tuple(names),
        intrinsics=straight.intrinsics * np.concatenate([scale, scale], axis=1),
        sizes=np.array(sizes, np.int64),
        lenses=None,
        masks=None,
        depths=None,
    )
    return written, None if any(mask is None or mask.all() for mask in masks) else masks


def take_text(work: Transaction, config: Preprocess) -> dict[str, Any]:
    """A text: the prompt of the subject."""
    source = work.workspace.metadata.source
    assert source is not None
    work.describe(prompts={"subject": source.text})
    return {"words": len(source.text.split())}


TAKERS: dict[str, Callable[[Transaction, Preprocess], dict[str, Any]]] = {
    "image": take_image,
    "images": take_images,
    "video": take_video,
    "capture": take_capture,
    "text": take_text,
}


@contextmanager
def naming(path: Path, part: str = "") -> Iterator[None]:
    """Say of which file, and of which part of it, an error in the block speaks."""
    try:
        yield
    except InvalidInputError as error:
        if str(path) not in error.problem:
            error.problem = ": ".join(filter(None, (str(path), part, error.problem)))
        raise


def _as_rgba(values: Image, alpha: Image) -> Image:
    import numpy as np

    rgb = np.repeat(values[..., None], 3, axis=-1) if values.ndim == 2 else values
    return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


def _same_size(values: Image, shape: tuple[int, ...], path: Path) -> Image:
    """A mask or depth map at the image's size; a reduced copy of the same picture is enlarged.

    Raises:
        UsageError: it is of another aspect ratio.
    """
    import cv2
    import numpy as np

    if abs(values.shape[0] * shape[1] / (values.shape[1] * shape[0]) - 1) > 0.02:
        raise UsageError(f"{path} is {values.shape[1]}x{values.shape[0]}, but its image {shape[1]}x{shape[0]}")
    if values.shape == shape:
        return values
    return cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def inputs(workspace: Workspace, config: Preprocess) -> list[Path]:
    """The source, and the files that say more about it."""
    given = [
        path
        for path in (config.mask, config.depth, config.environment, config.videos, config.cameras)
        if path is not None
    ]
    return [workspace.path / "source", *given]


STAGE = Stage(
    name="preprocess",
    summary="Take an image, video, folder of photographs, posed capture, mesh or text into a workspace.",
    example="a4d preprocess photo.jpg --matting grabcut",
    config=Preprocess,
    run=run,
    inputs=inputs,
    writes=("images", "depth", "transforms.json", "points.ply", "ground_truth"),
    memory=memory,
    memory_knobs=("size", "max_size", "frames"),
    code_version=3,
)
