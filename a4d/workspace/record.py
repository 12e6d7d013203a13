"""The record of a finished run: what made a result, from what, with which settings, on which machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from a4d.config import digest
from a4d.errors import InvalidInputError, MissingInputError, WorkspaceError
from a4d.io.containment import require_inner
from a4d.io.files import read_json
from a4d.workspace.entries import require_output
from a4d.workspace.files import FileStamp, is_as_recorded, is_below, write_whole

RECORD = "record.json"

Document = TypeVar("Document", bound=BaseModel)


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_moment)]
"""A time as ISO 8601 writes it."""


class Weights(BaseModel):
    """A weight file that took part: its catalogue id or path, pinned revision and hash."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    revision: str = ""
    sha256: str = ""


class Plan(BaseModel):
    """What determines a result: two runs with equal plans make the same thing.

    Args:
        stage: the sub-command.
        code_version: the stage's own counter, raised when it makes different results from the same plan.
        config: the resolved configuration as plain values.
        seed: of every random number.
        input_paths: files and folders that are read, as the stage named them.
        inputs: every file of those with its hash.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    stage: str
    code_version: int
    config: dict[str, Any]
    seed: int
    input_paths: list[str]
    inputs: list[FileStamp]

    @field_validator("input_paths", "inputs")
    @classmethod
    def _check_inputs(cls, values: list[Any]) -> list[Any]:
        for name in map(_path_of, values):
            if not Path(name).is_absolute():
                require_inner(name)
        return values

    def identity(self) -> str:
        """A hash of everything but the paths of files outside the workspace, which may move without harm."""
        contents = sorted(("" if Path(item.path).is_absolute() else item.path, item.sha256) for item in self.inputs)
        return digest([self.stage, self.code_version, self.config, self.seed, contents])


class Record(Plan):
    """The record of a finished run, `stages/NAME/record.json`; `FORMAT.md` describes every field.

    Raises:
        ValidationError: a field is missing, or an output is no place of a workspace that a run may write.
    """

    name: str
    a4d_version: str
    command: list[str]
    device: str
    backends: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    weights: list[Weights] = Field(default_factory=list)
    outputs: list[FileStamp]
    replaced_folders: list[str] = Field(default_factory=list)
    metrics: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    missed: list[str] = Field(default_factory=list)
    finished: Moment
    seconds: float
    peak_memory_mb: float
    peak_gpu_memory_mb: float = 0.0

    @field_validator("outputs", "replaced_folders")
    @classmethod
    def _check_outputs(cls, values: list[Any]) -> list[Any]:
        for name in map(_path_of, values):
            require_output(name)
        return values

    def took_over(self, path: str) -> bool:
        """Whether this run wrote a path, or replaced the folder that it lay in."""
        return is_below(path, self.replaced_folders) or any(item.path == path for item in self.outputs)

    def has_read(self, root: Path, names: Sequence[str]) -> bool:
        """Whether what this run read of some files and folders is still there as it was, whatever else is there.

        Args:
            root: of the workspace.
            names: paths in it.
        """
        read = [item for item in self.inputs if is_below(item.path, names)]
        return all(is_as_recorded(root / item.path, item) for item in read)

    def touches(self, path: str) -> bool:
        """Whether this run wrote a path or something in it, or replaced the folder that it lay in."""
        return self.took_over(path) or any(is_below(item.path, [path]) for item in self.outputs)


def _path_of(value: FileStamp | str) -> str:
    return value if isinstance(value, str) else value.path


def read_document(path: Path, model: type[Document]) -> Document:
    """Read a JSON file of the workspace's own.

    Raises:
        WorkspaceError: it is unreadable, not JSON, or lacks a field.
    """
    try:
        return model.model_validate(read_json(path))
    except (MissingInputError, InvalidInputError) as error:
        raise WorkspaceError(error.problem, f"Delete {path.parent} to make it anew") from None
    except ValidationError as error:
        raise WorkspaceError(f"{path} {damage(error)}", f"Delete {path.parent} to make it anew") from None


def damage(error: ValidationError) -> str:
    """The first of a document's mistakes, in words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    reason = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"].lower()
    return f"is damaged at '{key}': {reason}"


def write_document(path: Path, document: BaseModel) -> None:
    """Write a JSON file of the workspace's own, whole or not at all."""
    write_whole(
        path, json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )
