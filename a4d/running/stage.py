"""What a stage is: a configuration, a function that runs it in a transaction, and what it reads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4d.config import Config, parse, set_value
from a4d.memory import Demand, require_memory
from a4d.runtime import Runtime
from a4d.workspace.files import name_in

if TYPE_CHECKING:
    from a4d.workspace.record import Record
    from a4d.workspace.transaction import Transaction
    from a4d.workspace.workspace import Workspace


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline and one sub-command.

    Args:
        name: the sub-command, `fit-static`.
        summary: one line of help.
        example: a command line that can be copied.
        config: every top-level field of a plain type is a command-line flag, its description the help. A stage that
            reads a scene has the field `from_scene: str | None`, which `--from` sets.
        run: does the work in a transaction and returns metrics as plain scalars.
        defaults: built-in values that suit a workspace and what the user asks for, whose settings replace whole keys
            of them; the workspace may not exist on disk yet, and then has its metadata alone. None leaves it to the
            configuration's own defaults.
        complete: checks the nested parts of a configuration and fills in their defaults. None has nothing to add.
        inputs: the files and folders whose content decides whether a finished result is current.
        outdated: why a finished result is out of date although its inputs are the same, by the workspace, the
            configuration and its record; None has no reason.
        require: looks for what a complete configuration needs of the machine, such as weights, before anything is
            written; it raises where that is missing.
        memory: what a complete configuration asks of memory at the least, which is held against what the machine has
            before anything is written.
        needs: the stages that are run first, with defaults, when the target is a raw input or one picture's workspace.
        makes: what none can do without that needs it, as a pattern of paths in the workspace; empty where nothing is.
        writes: what it writes beside its scene, relative to the workspace, for `--dry-run`.
        writes_scene: it makes `scenes/NAME`.
        resumable: it writes checkpoints and looks at `runtime.stop`; another stage is stopped where it stands.
        memory_knobs: the settings that reduce its memory, for the message when it runs out.
        code_version: raised when the same configuration and inputs make a different result.
    """

    name: str
    summary: str
    example: str
    config: type[Config]
    run: Callable[[Transaction, Any, Runtime], dict[str, Any]]
    inputs: Callable[[Workspace, Any], list[Path]]
    defaults: Callable[[Workspace, Mapping[str, Any]], dict[str, Any]] | None = None
    complete: Callable[[Any], Config] | None = None
    outdated: Callable[[Workspace, Any, Record], list[str]] | None = None
    require: Callable[[Any], None] | None = None
    memory: Callable[[Any], list[Demand]] | None = None
    needs: tuple[str, ...] = ()
    makes: str = ""
    writes: tuple[str, ...] = ()
    writes_scene: bool = False
    resumable: bool = False
    memory_knobs: tuple[str, ...] = field(default=())
    code_version: int = 1

    def has_been_run(self, workspace: Workspace) -> bool:
        """Whether a workspace has what this stage makes for others, by a run of any name, or from elsewhere.

        What a stage wrote that this one needs is none of it: cameras that came with images say nothing of a body.
        """
        records = workspace.read_records().values()
        if any(record.stage == self.name for record in records):
            return True
        before = [record for record in records if record.stage in self.needs]
        found = [name_in(workspace.path, path) for path in workspace.path.glob(self.makes)] if self.makes else []
        return any(not any(record.touches(path) for record in before) for path in found)

    def require_all(self, config: Config, device: str) -> None:
        """Look for what a complete configuration needs of the machine; nothing is written and no weights are read.

        Args:
            config: complete.
            device: that the stage is to compute on.

        Raises:
            A4DError: something is missing, such as weights.
            OutOfMemoryError: the configuration asks for more memory than there is.
        """
        if self.memory is not None:
            require_memory(self.name, self.memory(config), device, self.memory_knobs)
        if self.require is not None:
            self.require(config)

    def resolved(self, workspace: Workspace, values: Mapping[str, Any], assignments: Sequence[str] = ()) -> Config:
        """The complete configuration for a workspace.

        Args:
            workspace: decides on the defaults.
            values: the user's file and flags; a key replaces the default's as a whole.
            assignments: `key.path=value`, applied last and however deep.

        Raises:
            ConfigError: an unknown key or a value out of range.
        """
        asked = copy.deepcopy(dict(values))
        for assignment in assignments:
            set_value(asked, assignment)
        merged = {**(self.defaults(workspace, asked) if self.defaults else {}), **copy.deepcopy(dict(values))}
        for assignment in assignments:
            set_value(merged, assignment)
        config = parse(self.config, merged)
        return self.complete(config) if self.complete else config
