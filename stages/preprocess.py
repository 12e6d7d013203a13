"""preprocess: an input of any kind becomes images with alpha, cameras where they are known, and channels on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4d.config import Config, part_of, united
from a4d.errors import MissingInputError, UsageError
from a4d.estimation.raft.config import correlation_bytes
from a4d.intake.settings import (
    CaptureSettings,
    ChannelSettings,
    GivenViews,
    ImageSettings,
    Matting,
    MeshViews,
    PhotographSettings,
    VideoSettings,
)
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.intake.cutting import SubjectCutter
    from a4d.intake.person_cutter import PersonCutter

SETTINGS: dict[str, tuple[type[Config], ...]] = {
    "image": (ImageSettings, ChannelSettings),
    "video": (VideoSettings, ChannelSettings),
    "images": (PhotographSettings, ChannelSettings),
    "capture": (CaptureSettings, GivenViews, ChannelSettings),
    "mesh": (MeshViews, GivenViews, ChannelSettings),
    "text": (),
}
"""What can be said of a source, by its kind."""

Preprocess = united("Preprocess", *(part for parts in SETTINGS.values() for part in parts))

REMEDIES = {
    "mask": "Name a folder of a film's masks with --masks, and put those of images into their alpha channel",
    "masks": "Give the mask of one image with --mask, and put those of several into their alpha channel",
    "videos": "Without a mesh, give the folder itself as the input",
}
"""What helps where a setting does not apply."""


def memory(config: Config) -> list[Demand]:
    """One square picture, and all pairs of two where a model finds flow; what a mesh's clip takes is known later."""
    size, is_paired = part_of(config, ImageSettings).size, part_of(config, ChannelSettings).flow_model is not None
    return [Demand("size", PICTURE_PIXEL * size**2 + is_paired * correlation_bytes(size))]


def run(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """Take the source in, by its kind, and make the channels that are wanted of its frames."""
    source = work.workspace.metadata.source
    if source is None:
        raise MissingInputError(f"{work.workspace.path} has no source", "`a4d preprocess INPUT` makes a workspace")
    _require_applicable(config, source.kind)
    _require_unknown_depth(config, source.kind)
    facts = TAKERS[source.kind](work, config, runtime)
    channels = part_of(config, ChannelSettings)
    if not channels.is_any_wanted:
        return facts
    from a4d.intake.channels import make_channels

    return {**facts, **make_channels(work, channels, runtime)}


def _require_applicable(config: Config, kind: str) -> None:
    """Refuse what is said of another kind of source."""
    known = {name for part in SETTINGS[kind] for name in part.model_fields}
    for name in Preprocess.model_fields:
        unsaid = Preprocess.model_fields[name].default
        # A number that has a default may be one that a recipe gives whatever it is run on.
        if name in known or not (unsaid is None or unsaid is False) or getattr(config, name) is unsaid:
            continue
        kinds = [each for each, parts in SETTINGS.items() if any(name in part.model_fields for part in parts)]
        raise UsageError(
            f"--{name.replace('_', '-')} applies to a source of kind {' or '.join(kinds)}, and this is of kind {kind}",
            REMEDIES.get(name, ""),
        )


def _require_unknown_depth(config: Config, kind: str) -> None:
    """Refuse to estimate a depth that is known."""
    image, mesh = part_of(config, ImageSettings), part_of(config, MeshViews)
    is_known = image.depth is not None or (kind == "mesh" and mesh.videos is None)
    if is_known and part_of(config, ChannelSettings).depth_model is not None:
        raise UsageError("--depth-model tells a depth that is known already", "Leave it out")


def _take_image(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """One image."""
    from a4d.intake.image import take_image

    return take_image(work, part_of(config, ImageSettings), _cutter(work, config, runtime), _person(work, config))


def _take_photographs(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """A folder of photographs."""
    from a4d.intake.photographs import take_photographs

    return take_photographs(work, part_of(config, PhotographSettings), _cutter(work, config, runtime))


def _take_video(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """A film from one side."""
    from a4d.intake.video import take_video

    return take_video(work, part_of(config, VideoSettings), _cutter(work, config, runtime), _person(work, config))


def _cutter(work: Transaction, config: Config, runtime: Runtime) -> SubjectCutter:
    """What cuts subjects out that are no people."""
    from a4d.intake.cutting import subject_cutter

    return subject_cutter(work, part_of(config, Matting), part_of(config, ChannelSettings).weights, runtime)


def _person(work: Transaction, config: Config) -> PersonCutter | None:
    """What cuts a person out, where that is asked for.

    Raises:
        UsageError: masks are given, too.
    """
    if part_of(config, Matting).matting != "person":
        return None
    for option in ("mask", "masks"):
        if getattr(config, option) is not None:
            raise UsageError(f"--matting person and --{option} both say what the subject is", "Give one of them")
    from a4d.intake.person_cutter import person_cutter

    return person_cutter(work, part_of(config, ChannelSettings))


def _take_capture(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """Photographs with cameras, films from several sides, a person with poses, or a film of a Lab4D database."""
    from a4d.intake.films import take_films
    from a4d.intake.lab4d_database import take_lab4d
    from a4d.intake.people_dataset import take_people
    from a4d.intake.photographs import take_capture
    from a4d.io.captures.lab4d import is_database
    from a4d.io.captures.multi_view_folder import MultiViewFolder, is_multi_view
    from a4d.io.people.people_reader import is_people

    path, capture = work.workspace.source_path(), part_of(config, CaptureSettings)
    if capture.sequence is not None and not is_database(path):
        raise UsageError("--sequence names a film of a Lab4D database, and this is none", "Leave it out")
    if is_people(path):
        return take_people(work, capture)
    if is_database(path):
        return take_lab4d(work, capture)
    if is_multi_view(path):
        cut_out = _cutter(work, config, runtime)
        return take_films(work, part_of(config, GivenViews), MultiViewFolder.find(path), cut_out)
    return take_capture(work, capture)


def _take_mesh(work: Transaction, config: Config, runtime: Runtime) -> dict[str, Any]:
    """A mesh that is shown here, or beside films that show it."""
    from a4d.intake.films import take_films
    from a4d.intake.mesh_views import take_mesh, take_mesh_at_rest
    from a4d.io.captures.multi_view_folder import MultiViewFolder

    shown = part_of(config, MeshViews)
    if shown.videos is None:
        return take_mesh(work, shown, runtime)
    if shown.clip not in (None, "none"):
        raise UsageError("--clip and --videos both say how the mesh moves", "Give one of them")
    facts, mesh = take_mesh_at_rest(work, shown)
    clip, cut_out = MultiViewFolder.find(shown.videos), _cutter(work, config, runtime)
    return {**facts, **take_films(work, part_of(config, GivenViews), clip, cut_out, mesh)}


def _take_text(work: Transaction, _: Config, __: Runtime) -> dict[str, Any]:
    """A text: the prompt of the subject."""
    source = work.workspace.metadata.source
    assert source is not None
    work.describe(prompts={"subject": source.text})
    return {"words": len(source.text.split())}


TAKERS: dict[str, Callable[[Transaction, Config, Runtime], dict[str, Any]]] = {
    "image": _take_image,
    "images": _take_photographs,
    "video": _take_video,
    "capture": _take_capture,
    "mesh": _take_mesh,
    "text": _take_text,
}


def require(config: Config) -> None:
    """Look for the weights of what makes channels, and of what cuts people out."""
    channels = part_of(config, ChannelSettings)
    channels.require_weights()
    part_of(config, Matting).require_model(channels.weights)
    channels.require_people(are_cut_out=part_of(config, Matting).matting == "person")


def inputs(workspace: Workspace, config: Config) -> list[Path]:
    """The source, and the files that say more about it."""
    given = (getattr(config, name) for name in Preprocess.model_fields)
    keypoints = part_of(config, ChannelSettings).keypoint_file
    files = [value for value in (*given, keypoints) if isinstance(value, Path)]
    return [workspace.path / "source", *files]


STAGE = Stage(
    name="preprocess",
    summary="Take an image, video, folder of photographs, posed capture, mesh or text into a workspace.",
    example="a4d preprocess photo.jpg --matting grabcut",
    config=Preprocess,
    run=run,
    inputs=inputs,
    require=require,
    makes="images",
    writes=(
        *("images", "depth", "normal", "visibility", "flow", "features", "tracks.npz", "keypoints.npz"),
        *("transforms.json", "points.ply", "ground_truth"),
    ),
    memory=memory,
    memory_knobs=("size", "max_size", "frames"),
    code_version=7,
)
