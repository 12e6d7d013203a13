"""What a fit reads beside the workspace's images: scenes, adapters, and the weights of models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from a4d.config import digest
from a4d.fitting.settings import Fitting
from a4d.io.frame_channels import channel_entry
from a4d.priors.placement import Placement
from a4d.runtime import Runtime
from a4d.workspace.files import files_below, hash_file
from a4d.workspace.record import Weights
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

ADAPTERS = "adapters"
"""Where a workspace keeps what `a4d train-prior` makes."""


def weight_overrides(text: str) -> dict[str, Path]:
    """Folders of weights by catalogue name, from `NAME=PATH[,NAME=PATH]...`.

    Raises:
        UsageError: a part is not of that form, or there is no such folder.
    """
    from a4d.priors.catalogue import parse_overrides

    return parse_overrides(part.strip() for part in text.split(",") if part.strip())


def require_weights(config: Fitting) -> None:
    """Look for the weights of all priors, reading none.

    Raises:
        BackendUnavailableError: some are missing; the remedy is the command that fetches them.
    """
    config.resolved.weight_folders(weight_overrides(config.weights))


def record_weights(work: Transaction, folders: Mapping[str, Path], overrides: Mapping[str, Path]) -> None:
    """Put models on a run's record, and say which of them are not for commercial use.

    Args:
        work: of the run.
        folders: of the models by name.
        overrides: those of them that a user named.
    """
    from a4d.priors.catalogue import find

    for name, folder in folders.items():
        work.weights.append(_recorded(name, folder, overrides))
        if not find(name).commercial:
            work.warn(f"{name}: {find(name).terms}")


def _recorded(name: str, folder: Path, overrides: Mapping[str, Path]) -> Weights:
    """What is known of a model's files: the hub's commit, or the hash of all that a user named or the package holds."""
    from a4d.priors.catalogue import find

    if name not in overrides and find(name).packaged is None:
        return Weights(id=name, revision=folder.name)
    hashes = [[file.relative_to(folder).as_posix(), hash_file(file)] for file in files_below(folder)]
    return Weights(id=name, sha256=digest(hashes))


def placement(config: Fitting, runtime: Runtime) -> Placement:
    """Where the run's priors compute."""
    return Placement(runtime.device, offload=config.offload, overrides=weight_overrides(config.weights))


def files_read(workspace: Workspace, config: Fitting) -> list[Path]:
    """The files and folders that decide the result, beside the workspace's images and what a new scene begins from.

    Those are the scene that is gone on from, the files that a new one names, the scenes that priors are shown, the
    adapters that priors use, and the channels of frames that views or objectives look at.

    Raises:
        MissingInputError: there is no such scene or file.
        ConfigError: there is no channel of a name that views or objectives want.
    """
    from a4d.objectives.objective import observing

    parts = config.resolved
    seen = observing(parts.views, parts.objectives).values()
    channels = dict.fromkeys(channel_entry(name) for views in seen for name in views.channels_read)
    given = [workspace.scene(config.from_scene)] if config.from_scene else []
    files = [] if parts.scene is None else parts.scene.files()
    shown = [workspace.scene(name) for name in parts.scenes_shown]
    adapters = parts.adapter_folders(workspace.path / ADAPTERS)
    return given + files + shown + adapters + [workspace.path / each for each in channels]


def image_files(workspace: Workspace) -> list[Path]:
    """Images and their cameras."""
    return [workspace.path / name for name in ("transforms.json", "images")]


def fit_inputs(workspace: Workspace, config: Fitting) -> list[Path]:
    """The images where views or priors are made of them, and `files_read`."""
    frames = image_files(workspace) if config.resolved.reads_frames else []
    return frames + files_read(workspace, config)
