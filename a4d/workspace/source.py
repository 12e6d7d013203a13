"""Raw inputs: which kind of thing a path or a text is, and how it is taken into a workspace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from a4d.config import digest
from a4d.errors import InvalidInputError, MissingInputError, OutsideError, WorkspaceError
from a4d.io.containment import links_and_devices, require_inner, require_inside
from a4d.naming import bounded, name_of_text
from a4d.workspace.files import files_below, hash_file, is_below

Kind = Literal["image", "images", "video", "mesh", "capture", "text"]

SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"), "image"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".gif"), "video"),
    **dict.fromkeys((".obj", ".glb", ".gltf", ".ply", ".stl", ".off", ".fbx", ".bvh"), "mesh"),
}
CAPTURE_MARKS = ("transforms*.json", "cameras.txt", "cameras.bin", "sparse")


class Source(BaseModel):
    """Where a workspace comes from.

    Args:
        kind: image, images (a folder of them), video, mesh, capture (posed images) or text.
        path: below the workspace: a file, or a folder for `images` and `capture`; empty for a text.
        text: the prompt of a text source.
        sha256: of the file; for a folder, of its files' names and hashes; for a text, of the text.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Kind
    path: str = ""
    text: str = ""
    sha256: str

    @field_validator("path")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if value and not is_below(require_inner(value), ["source"]):
            raise ValueError(f"{value!r} is not below source/")
        return value


class ClipFacts(BaseModel):
    """An animation of a mesh file.

    Args:
        name: unique among the asset's.
        seconds: its length.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    seconds: float


class RenderedClip(BaseModel):
    """What some of a workspace's frames show.

    Args:
        clip: name of the animation; None is the rest pose.
        seconds: the moments, in the clip's own time.
        ground_truth: the file with surface and joints at these moments, relative to the workspace.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    clip: str | None = None
    seconds: list[float]
    ground_truth: Annotated[str, AfterValidator(require_inner)]


class SourceAsset(BaseModel):
    """How the mesh in `source/` became the subject that the frames show.

    Args:
        world_from_source: 4x4 similarity, row by row.
        up: axis of the source that became +Y.
        front: axis of the source that became +Z.
        axes: who said so: the user, the file's format, or a guess from the shape.
        clips: all animations of the source.
        lighting: of the frames: base colours alone, or shaded.
        rendered: what the frames show, in their order.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    world_from_source: list[list[float]]
    up: str
    front: str
    axes: Literal["given", "format", "guessed"]
    clips: list[ClipFacts] = []
    lighting: Literal["unlit", "shaded"] = "unlit"
    rendered: list[RenderedClip] = []


class RawInput(BaseModel):
    """A target of the command line that is not a workspace."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    path: Path | None = None
    text: str = ""

    @property
    def stem(self) -> str:
        """What the workspace is called: the file's or folder's name, or the first words of the text."""
        if self.path is None:
            return name_of_text(self.text)
        path = self.path.resolve()
        return bounded(path.name if path.is_dir() else path.stem)

    @property
    def folder(self) -> Path:
        """What the files lie below: the input itself if it is a folder, else the folder that it is in."""
        assert self.path is not None
        return self.path if self.path.is_dir() else self.path.parent

    def files(self) -> list[Path]:
        """The files that belong to it, for a mesh also its materials and pictures; none for a text.

        Raises:
            OutsideError: a folder holds a link that leads out of it.
        """
        if self.path is None:
            return []
        if self.kind == "mesh":
            from a4d.io.asset_files import asset_files

            return asset_files(self.path)
        if self.path.is_file():
            return [self.path]
        if self.kind == "images":
            files = sorted(file for file in self.path.iterdir() if SUFFIXES.get(file.suffix.lower()) == "image")
            named = files
        else:
            files = [file for file in files_below(self.path) if self._is_part(file)]
            named = [path for path in links_and_devices(self.path) if self._is_part(path)]
        try:
            require_inside(self.path, named)
        except OutsideError as error:
            error.remedy = f"Name a copy of the folder with its links followed: `cp -rL {self.path} COPY`"
            raise
        return files

    def _is_part(self, path: Path) -> bool:
        """Whether a file of the folder belongs to the input: a workspace that was made inside the folder does not."""
        parts = path.relative_to(self.folder).parts
        return not any(part.startswith(".") or part.endswith((".a4d", ".a4d.partial")) for part in parts)

    def sha256(self) -> str:
        """The identity of the content, by which a second command recognises the same input."""
        if self.path is None:
            return digest(self.text)
        files = self.files()
        if self.path.is_file() and len(files) == 1:
            return hash_file(self.path)
        return digest([[file.relative_to(self.folder).as_posix(), hash_file(file)] for file in files])

    def copy_into(self, folder: Path) -> Source:
        """Take the input into a workspace's `source/` as it is."""
        source = self.describe()
        if self.path is not None:
            target = folder / source.path
            place = target if self.path.is_dir() else target.parent
            for file in self.files():
                copy = target if file == self.path else place / file.relative_to(self.folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        return source

    def describe(self) -> Source:
        """The entry for `workspace.yaml`, without copying anything."""
        path = f"source/{self.path.resolve().name}" if self.path is not None else ""
        return Source(kind=self.kind, path=path, text=self.text, sha256=self.sha256())


def is_there(path: Path) -> bool:
    """Whether something exists under a path, which may be a text: longer than a name, or with what no name has."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def recognise(target: str) -> RawInput:
    """Tell what a target is by its name and, for a folder, by what lies in it; no file is decoded.

    A text is anything with a space in it that names no file.

    Raises:
        MissingInputError: it looks like a path and is not there.
        InvalidInputError: it is there and is no kind of input.
    """
    path = Path(target)
    if not is_there(path):
        if " " in target.strip() and path.suffix.lower() not in {*SUFFIXES, ".json", ".a4d"}:
            return RawInput(kind="text", text=target.strip())
        raise MissingInputError(f"there is no file or folder '{target}'", "A prompt is a text of two words or more")
    if path.is_dir():
        return RawInput(kind=_kind_of_folder(path), path=path)
    if path.name.startswith("transforms") and path.suffix == ".json":
        return RawInput(kind="capture", path=path.resolve().parent)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InvalidInputError(
            f"{target} is no image, video, mesh or capture, by its suffix", f"Known are: {' '.join(sorted(SUFFIXES))}"
        )
    return RawInput(kind=kind, path=path)


def _kind_of_folder(path: Path) -> Kind:
    from a4d.io.multi_view_folder import is_multi_view

    if any(any(path.glob(mark)) for mark in CAPTURE_MARKS) or is_multi_view(path):
        return "capture"
    if any(SUFFIXES.get(file.suffix.lower()) == "image" for file in path.iterdir()):
        return "images"
    raise InvalidInputError(
        f"the folder {path} holds no images, no view_0.mp4, no transforms.json, no COLMAP model and no workspace.yaml",
        "Name a workspace, or a folder of images",
    )


def require_same(source: Source | None, raw: RawInput, workspace: Path) -> None:
    """Check that a workspace found under the name of a raw input was made from it.

    Raises:
        WorkspaceError: it was made from something else.
    """
    if source is None or source.sha256 != raw.sha256():
        raise WorkspaceError(
            f"{workspace} exists and was made from another input than '{raw.path or raw.text}'",
            "Name the workspace itself to go on with it; move it away, or work in another folder, to start anew",
        )
