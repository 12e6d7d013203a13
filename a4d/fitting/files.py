"""What a fit reads beside the workspace's images: scenes, adapters, and the weights of models."""

from __future__ import annotations

from pathlib import Path

from a4d.fitting.settings import Fitting
from a4d.io.frame_channels import channel_entry
from a4d.priors.placement import Placement
from a4d.running.weights import weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.workspace import Workspace

ADAPTERS = "adapters"
"""Where a workspace keeps what `a4d train-prior` makes."""


def require_weights(config: Fitting) -> None:
    """Look for the weights of all priors, reading none.

    Raises:
        BackendUnavailableError: some are missing; the remedy is the command that fetches them.
    """
    config.resolved.weight_folders(weight_overrides(config.weights))


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
    parts = config.resolved
    channels = dict.fromkeys(map(channel_entry, parts.channels_read))
    given = [workspace.scene(config.from_scene)] if config.from_scene else []
    files = _files_of_scene(config)
    shown = [workspace.scene(name) for name in parts.scenes_shown]
    adapters = parts.adapter_folders(workspace.path / ADAPTERS)
    return given + files + shown + adapters + [workspace.path / each for each in channels]


def _files_of_scene(config: Fitting) -> list[Path]:
    """The files that a new scene names, or another kind of scene that the given one becomes."""
    begun = config.resolved.scene
    if begun is not None:
        return begun.files()
    if not config.scene or "kind" not in config.scene:
        return []
    from a4d.fitting.resolution import SceneChoice

    return SceneChoice.of(config.scene).files()


def image_files(workspace: Workspace) -> list[Path]:
    """Images and their cameras."""
    return [workspace.path / name for name in ("transforms.json", "images")]


def fit_inputs(workspace: Workspace, config: Fitting) -> list[Path]:
    """The images where views or priors are made of them, and `files_read`."""
    frames = image_files(workspace) if config.resolved.reads_frames else []
    return frames + files_read(workspace, config)
