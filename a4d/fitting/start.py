"""What a fit starts with: the workspace's images, and a scene that is gone on from or begun."""

from __future__ import annotations

from pathlib import Path

from a4d.contents.frames import load_frames
from a4d.contents.learnt_cameras import has_other_cameras
from a4d.errors import MissingInputError, UsageError
from a4d.fitting.settings import Fitting
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes import begin_from, load_scene
from a4d.scenes.protocols import Lensed
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import Frames
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace


def require_another_name(work: Transaction, config: Fitting) -> None:
    """Check that the run does not replace the scene that it goes on from.

    Raises:
        UsageError: it would.
    """
    if config.from_scene == work.name:
        raise UsageError(f"the scene '{work.name}' cannot take its own place", "Choose another --name")


def start(work: Transaction, config: Fitting, seed: Seed | None, runtime: Runtime) -> Scene:
    """The scene to optimise, on the CPU.

    Args:
        work: of the workspace whose scene is gone on from; is warned where its cameras have changed.
        config: complete.
        seed: what is known of the shape, from which a scene is begun; None where one is gone on from.
        runtime: whose seed decides what is new in it.

    Raises:
        ConfigError: the scene does not become what the settings say.
    """
    draws = generator(runtime.seed, "begin")
    if config.from_scene:
        folder = work.workspace.scene(config.from_scene)
        scene = begin_from(load_scene(folder), config.scene, draws)
        if isinstance(scene, Lensed) and _is_of_other_cameras(work, folder, scene):
            scene.forget_cameras()
        return scene
    choice = config.resolved.scene
    assert choice is not None
    assert seed is not None
    return choice.begin(seed, draws)


def _is_of_other_cameras(work: Transaction, folder: Path, scene: Scene) -> bool:
    """Whether what a scene has learnt of cameras is that of another film, or of cameras that are no longer there."""
    if not folder.resolve().is_relative_to(work.workspace.path.resolve()):
        return True
    is_past = has_other_cameras(work.workspace, folder, scene)
    if is_past:
        work.warn(f"the cameras were found anew since '{folder.name}' was fitted: how they strayed is forgotten")
    return is_past


def still_frames(frames: Frames) -> Frames:
    """What a static scene is compared with: the first moment of a clip that several cameras saw, else all frames."""
    if frames.times is not None and len(at_rest := frames.at(0)) > 1:
        return at_rest
    return frames


def chosen_frame(work: Transaction, frames: Frames, index: int) -> Frames:
    """The one frame that is fitted; of a clip, the user is told that the others do not take part.

    Raises:
        UsageError: there is no such frame.
    """
    if index >= len(frames):
        raise UsageError(f"there is no frame {index} among {len(frames)}", f"Give --frame 0 to {len(frames) - 1}")
    if len(frames) > 1:
        work.warn(f"frame {index} of {len(frames)} alone is fitted; a static scene has no room for the others")
    return frames.only(index)


def observed_clip(workspace: Workspace, clip: str | None, *, may_stand_still: bool = False) -> Frames:
    """The workspace's frames of one clip.

    Args:
        workspace: with frames.
        clip: name or number of the animation; None is the first.
        may_stand_still: a single moment is enough: whose body stands in it moves by other motions.

    Raises:
        MissingInputError: they show a single moment where that is not enough, or not this clip.
    """
    frames = load_frames(workspace, clip)
    if frames.times is None or len(frames.moments) < (1 if may_stand_still else 2):
        raise MissingInputError(
            f"the frames of {workspace.path} do not move",
            "Give a film's cameras by `a4d estimate-pose --cameras FILE --moving`, run `a4d preprocess` on an animated "
            "mesh with --clip, or let a prior make them: --sample.prior NAME",
        )
    return frames
