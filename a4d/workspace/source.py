"""Raw inputs: which kind of thing a path or a text is, and how it is taken into a workspace."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from a4d.config import digest
from a4d.errors import InvalidInputError, MissingInputError, OutsideError, WorkspaceError
from a4d.io.containment import links_and_devices, require_inner, require_inside
from a4d.io.files import hash_file
from a4d.io.suffixes import FILM_SUFFIXES, PICTURE_SUFFIXES
from a4d.naming import as_argument, bounded, name_of_text, readable_name
from a4d.workspace.files import files_below, is_below

Kind = Literal["image", "images", "video", "mesh", "capture", "text"]

READABLE = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off", ".bvh")
MESH_SUFFIXES = (*READABLE, ".fbx")
SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys(PICTURE_SUFFIXES, "image"),
    **dict.fromkeys(FILM_SUFFIXES, "video"),
    **dict.fromkeys(MESH_SUFFIXES, "mesh"),
}
SPLATS = frozenset({".splat", ".spz", ".ksplat", ".sog"})
CAPTURE_MARKS = ("transforms*.json", "sparse")


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
        left_out: what the file holds besides, and nothing here shows.
        lighting: of the frames: base colours alone, or shaded.
        rendered: what the frames show, in their order.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    world_from_source: list[list[float]]
    up: str
    front: str
    axes: Literal["given", "format", "guessed"]
    clips: list[ClipFacts] = []
    left_out: list[str] = []

    def clip_name(self, wanted: str | None) -> str | None:
        """The name of the animation that is meant, by its name or number; what fits none stays as it is."""
        from a4d.geometry.assets.animation import named_index

        names = [clip.name for clip in self.clips]
        index = None if wanted is None else named_index(names, wanted)
        return wanted if index is None else names[index]

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
        name = readable_name(self._given.name)
        return bounded(name if self.path.is_dir() else Path(name).stem)

    @property
    def _given(self) -> Path:
        """The input under the name that it was given by, also where that is a link's: what it leads to has any name."""
        assert self.path is not None
        return self.path if self.path.name not in ("", "..") else self.path.resolve()

    @property
    def folder(self) -> Path:
        """What the files lie below: the input itself if it is a folder, else the folder that it is in."""
        assert self.path is not None
        return self.path if self.path.is_dir() else self.path.parent

    def files(self) -> dict[str, Path]:
        """The files that belong to it by their names below its folder, for a mesh also its materials and pictures.

        Of a mesh behind a link they may lie beside the link or beside what it leads to. A text has none.

        Raises:
            OutsideError: a folder holds a link that leads out of it.
            InvalidInputError: the name of a file in a folder is not UTF-8.
        """
        if self.path is None:
            return {}
        if self.path.is_file():
            return self._with_companions(self.path)
        if self.kind == "images":
            files = sorted(file for file in self.path.iterdir() if SUFFIXES.get(file.suffix.lower()) == "image")
            named = files
        else:
            files = [file for file in files_below(self.path) if self._is_part(file)]
            named = [path for path in links_and_devices(self.path) if self._is_part(path)]
        try:
            require_inside(self.path, named)
        except OutsideError as error:
            error.remedy = f"Name a copy of the folder with its links followed: `cp -rL {as_argument(self.path)} COPY`"
            raise
        return {_required_text(file, self.path): file for file in files}

    def _with_companions(self, path: Path) -> dict[str, Path]:
        from a4d.io.assets.asset_files import asset_files

        named = {readable_name(path.name): path}
        if self.kind == "mesh":
            for main in (path, path.resolve()) if path.is_symlink() else (path,):
                for file in asset_files(main)[1:]:
                    named.setdefault(_required_text(file, main.parent), file)
        return named

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
        return digest([[name, hash_file(file)] for name, file in files.items()])

    def copy_into(self, folder: Path) -> Source:
        """Take the input into a workspace's `source/` as it is."""
        source = self.describe()
        if self.path is not None:
            target = folder / source.path
            place = target if self.path.is_dir() else target.parent
            for name, file in self.files().items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place / name)
        return source

    def describe(self) -> Source:
        """The entry for `workspace.yaml`, without copying anything."""
        path = f"source/{readable_name(self._given.name)}" if self.path is not None else ""
        return Source(kind=self.kind, path=path, text=self.text, sha256=self.sha256())


def _required_text(file: Path, folder: Path) -> str:
    """The name of a file below a folder, which others in the folder may refer to, so that it must stay as it is."""
    name = file.relative_to(folder).as_posix()
    if readable_name(name) != name:
        raise InvalidInputError(f"{folder} has a file whose name is not UTF-8: {readable_name(name)}", "Rename it")
    return name


def is_there(path: Path) -> bool:
    """Whether something exists under a path, which may be a text: longer than a name, or with what no name has."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def recognise(target: str) -> RawInput:
    """Tell what a target is: a folder by what lies in it, a mesh by its name, a picture and a film by their content.

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
        return RawInput(kind="capture", path=path.absolute().parent)
    if path.suffix.lower() in SPLATS:
        remedy = "Give the images that it was made from, or a mesh of the same subject"
        raise InvalidInputError(f"{target} is a Gaussian splat, of which nothing is made here", remedy)
    kind = _kind_of_file(path)
    if kind is None:
        raise InvalidInputError(
            f"{target} is no image, video, mesh or capture", f"Known are pictures, films, and {' '.join(READABLE)}"
        )
    return RawInput(kind=kind, path=path)


def _is_picture(path: Path) -> bool:
    return SUFFIXES.get(path.suffix.lower()) == "image"


def _kind_of_file(path: Path) -> Kind | None:
    from a4d.io.recognition import picture_or_film

    named = SUFFIXES.get(path.suffix.lower())
    # What is damaged or empty is what its name says, so that its reader can say what is wrong with it.
    return named if named == "mesh" else picture_or_film(path) or named


def _kind_of_folder(path: Path) -> Kind:
    from a4d.datasets.captioned_pictures import pictures_below
    from a4d.io.captures.colmap import IMAGE_FOLDERS, find_colmap_models
    from a4d.io.captures.lab4d import is_database
    from a4d.io.captures.multi_view_folder import is_multi_view
    from a4d.io.captures.transforms_json import nested_transforms
    from a4d.io.people.people_reader import is_people

    if is_people(path) or is_database(path):
        return "capture"
    has_models = bool(find_colmap_models(path))
    if has_models and not any(_is_picture(file) for file in files_below(path)):
        for project in list(path.absolute().parents)[:3]:
            if any((project / name).is_dir() for name in IMAGE_FOLDERS if name):
                model = path.absolute().relative_to(project).as_posix()
                named = shlex.quote(os.path.relpath(project))
                raise MissingInputError(
                    f"{path} holds a COLMAP model without its images",
                    f"Name the project and the model: `a4d preprocess {named} --model {shlex.quote(model)}`",
                )
    if has_models or any(any(path.glob(mark)) for mark in CAPTURE_MARKS) or is_multi_view(path):
        return "capture"
    if any(_is_picture(file) for file in path.iterdir()):
        return "images"
    if nested_transforms(path) is not None:
        return "capture"
    single = next(iter(pictures_below(path)), None)
    if single is not None:
        raise InvalidInputError(
            f"{path} holds single pictures of several things, which are no capture",
            f"Fit each by itself: `a4d fit-static {as_argument(single)}`, or all by recipes/quickstart.sh",
        )
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
