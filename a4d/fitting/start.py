"""What a fit starts with: the workspace's images, and a scene that is gone on from or begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a4d.config import load_yaml
from a4d.errors import UsageError
from a4d.fitting.settings import Fitting
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.scenes.scene import Scene
    from a4d.scenes.seed import Seed
    from a4d.views import Frames


def require_another_name(work: Transaction, config: Fitting) -> None:
    """Check that the run does not replace the scene that it goes on from.

    Raises:
        UsageError: it would.
    """
    if config.from_scene == work.name:
        raise UsageError(f"the scene '{work.name}' cannot take its own place", "Choose another --name")


def start(workspace: Workspace, config: Fitting, seed: Seed | None, runtime: Runtime) -> Scene:
    """The scene to optimise, on the CPU.

    Args:
        workspace: of the scene that is gone on from.
        config: complete.
        seed: what is known of the shape, from which a scene is begun; None where one is gone on from.
        runtime: whose seed decides what is new in it.

    Raises:
        ConfigError: the scene does not become what the settings say.
    """
    from a4d.randomness import generator
    from a4d.scenes import begin_from, load_scene

    draws = generator(runtime.seed, "begin")
    if config.from_scene:
        return begin_from(load_scene(workspace.scene(config.from_scene)), config.scene, draws)
    choice = config.resolved.scene
    assert choice is not None
    assert seed is not None
    return choice.begin(seed, draws)


def kind_of(workspace: Workspace, scene: str) -> str:
    """The kind of a scene of the workspace.

    Raises:
        MissingInputError: there is no such scene.
        ConfigError: its `scene.yaml` cannot be read.
    """
    return str(load_yaml(workspace.scene(scene) / "scene.yaml").get("kind"))


def still_frames(frames: Frames) -> Frames:
    """What a static scene is compared with: the first moment of a clip that several cameras saw, else all frames."""
    if frames.times is not None and len(at_rest := frames.at(0)) > 1:
        return at_rest
    return frames
