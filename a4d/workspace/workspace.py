"""The folder that every stage reads and writes; `FORMAT.md` beside this file is its specification."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from a4d import __version__
from a4d.config import load_yaml, to_yaml
from a4d.errors import ConfigError, MissingInputError, WorkspaceError
from a4d.io.containment import contained
from a4d.naming import as_argument
from a4d.workspace.entries import METADATA, PARTIAL, RUN_NAME, STAGES, require_sound
from a4d.workspace.files import FileStamp, write_whole
from a4d.workspace.record import RECORD, Record, damage, read_document
from a4d.workspace.source import Source, SourceAsset

FORMAT_VERSION = 1
SUFFIX = ".a4d"

FIRST_FIT = {"video": "fit-dynamic", "text": "distill"}
"""The stage that makes the first scene, by the kind of source; of others `fit-static`."""


class Metadata(BaseModel):
    """`workspace.yaml`; fields of a newer a4d are kept when it is rewritten.

    Args:
        name: under which it was made; its folder may have been renamed since.
        created_by: the a4d version that made it.
        source: what it was made from; None for one that was put together by hand.
        prompts: texts by role, such as `subject` and `motion`.
        notes: facts about the subject and its placement that stages leave for each other.
        frame_count: number of frames in `transforms.json` and `images/`, once known.
        fps: frames per second of a clip.
        asset: what is known of a mesh's axes, size, place and clips.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: Literal["a4d-workspace"] = "a4d-workspace"
    version: int = FORMAT_VERSION
    name: str
    created_by: str = f"a4d {__version__}"
    source: Source | None = None
    prompts: dict[str, str] = Field(default_factory=dict)
    notes: dict[str, Any] = Field(default_factory=dict)
    frame_count: int | None = None
    fps: float | None = None
    asset: SourceAsset | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value in (".", "..") or "/" in value or "\0" in value:
            raise ValueError(f"{value!r} cannot be the name of a file")
        return value

    @property
    def subject(self) -> str | None:
        """What the workspace shows in words: its subject's prompt, which a text's workspace has from the start."""
        text = self.source.text if self.source else ""
        return self.prompts.get("subject") or text or None

    def text(self) -> str:
        """The content of `workspace.yaml`; fields without a value are left out."""
        return to_yaml(self.model_dump(mode="json", exclude_none=True))


class Workspace:
    """A workspace on disk, or one that is about to be made there and has its metadata alone."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self.path = path
        self.metadata = metadata

    @classmethod
    def open(cls, path: Path) -> Workspace:
        """Read an existing workspace.

        Raises:
            MissingInputError: the folder does not exist or is no workspace.
            WorkspaceError: something in it leads out of it, or `workspace.yaml` is damaged or of a future version.
        """
        file = path / METADATA
        if not os.path.lexists(file):
            raise MissingInputError(f"{path} is no workspace: it has no {METADATA}", "`a4d preprocess INPUT` makes one")
        require_sound(path)
        try:
            values = load_yaml(file)
        except ConfigError as error:
            raise WorkspaceError(error.problem, error.remedy) from None
        version = values.get("version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise WorkspaceError(
                f"{file} has format version {version}, and this a4d {__version__} reads up to {FORMAT_VERSION}",
                "Upgrade a4d",
            )
        try:
            return cls(path, Metadata.model_validate(values))
        except ValidationError as error:
            raise WorkspaceError(f"{file} {damage(error)}") from None

    @classmethod
    def create(cls, path: Path, metadata: Metadata) -> Workspace:
        """Make a workspace in a folder that is new or holds no workspace yet.

        Raises:
            WorkspaceError: there is one already.
        """
        if (path / METADATA).exists():
            raise WorkspaceError(f"{path} is a workspace already", "Open it, or choose another name")
        path.mkdir(parents=True, exist_ok=True)
        write_whole(path / METADATA, metadata.text())
        return cls(path, metadata)

    @property
    def argument(self) -> str:
        """Its path as it stands in a command that the user is told to run."""
        return as_argument(self.path)

    @property
    def name(self) -> str:
        """What it is called now: its folder's name, without `.a4d`."""
        return self.path.resolve().name.removesuffix(PARTIAL).removesuffix(SUFFIX)

    def require(self, relative: str, remedy: str) -> Path:
        """A file or folder that a stage cannot do without; `remedy` names the command that makes it.

        Raises:
            MissingInputError: it is not there.
            OutsideError: the path leads out of the workspace.
        """
        path = contained(self.path, relative)
        if not path.exists():
            raise MissingInputError(f"{path} is missing", remedy)
        return path

    def source_path(self) -> Path:
        """The input as it was given, below `source/`: a file, or a folder of files.

        Raises:
            MissingInputError: the workspace comes from a text, or from nothing.
        """
        source = self.metadata.source
        if source is None or not source.path:
            raise MissingInputError(f"{self.path} was made from no file", "`a4d preprocess INPUT` makes a workspace")
        return self.require(source.path, "Put the file back, or make the workspace anew")

    def scenes(self) -> list[Path]:
        """The folders of all scenes, in the order of their names."""
        return sorted(file.parent for file in (self.path / "scenes").glob("*/scene.yaml"))

    def scene(self, name: str | None = None) -> Path:
        """The folder of a scene; without a name, of the one that was finished last.

        Args:
            name: one of this workspace's, or the path of a folder of another's.

        Raises:
            MissingInputError: there is no such scene, or none at all.
        """
        if name is not None and len(Path(name).parts) > 1 and (Path(name) / "scene.yaml").is_file():
            return Path(name).absolute()
        scenes = {folder.name: folder for folder in self.scenes()}
        if name is None:
            records = sorted(self.read_records().values(), key=lambda record: record.finished)
            finished = [record.name for record in records if record.name in scenes]
            name = finished[-1] if finished else next(reversed(scenes), None)
        if name is None:
            raise MissingInputError(f"{self.path} has no scene yet", self._first_fit)
        if name not in scenes:
            has = f"It has {', '.join(scenes)}" if scenes else self._first_fit
            raise MissingInputError(f"{self.path} has no scene '{name}'", has)
        return scenes[name]

    @property
    def _first_fit(self) -> str:
        """What makes the first scene of its kind of source."""
        source = self.metadata.source
        stage = FIRST_FIT.get(source.kind, "fit-static") if source else "fit-static"
        return f"Run `a4d {stage} {self.argument}` first"

    def read_records(self) -> dict[str, Record]:
        """The records of all finished runs by run name.

        Raises:
            WorkspaceError: one is damaged.
        """
        files = sorted((self.path / STAGES).glob(f"*/{RECORD}"))
        named = {file.parent.name: file for file in files if RUN_NAME.fullmatch(file.parent.name)}
        records = {}
        for name, file in named.items():
            try:
                records[name] = read_document(file, Record)
            except WorkspaceError:
                # A run that is being committed takes its former record away, and may have written the new one since.
                if file.exists():
                    records[name] = read_document(file, Record)
        return records

    def known_stamps(self) -> dict[str, FileStamp]:
        """Files by the name and content that a record last saw, so that nothing is hashed twice."""
        records = sorted(self.read_records().values(), key=lambda record: record.finished)
        return {item.path: item for record in records for item in (*record.inputs, *record.outputs)}

    def stage_folder(self, name: str) -> Path:
        """Where the record and log of a finished run lie."""
        return self.path / STAGES / name

    def partial_folder(self, name: str) -> Path:
        """Where a run keeps what is not finished."""
        return self.path / STAGES / f"{name}{PARTIAL}"

    def partials(self) -> list[str]:
        """The names of runs that were begun and not finished."""
        folders = (self.path / STAGES).glob(f"*{PARTIAL}")
        named = {folder.name.removesuffix(PARTIAL): folder for folder in folders}
        return sorted(name for name, folder in named.items() if RUN_NAME.fullmatch(name) and _has_entries(folder))


def _has_entries(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # the run that it belonged to is finished by now
        return False
