"""What every stage that optimises a scene shares: its settings, their completion, the weights it needs, and the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from a4d.config import Config, Spec, digest, load_yaml, parse, plain, unknown_key
from a4d.errors import ConfigError, MissingInputError, UsageError
from a4d.memory import PICTURE_PIXEL, Demand, require_memory
from a4d.priors.placement import Offload, Placement
from a4d.runtime import Runtime
from a4d.workspace.files import files_below, hash_file
from a4d.workspace.record import Weights
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from a4d.objectives.objective import Objective
    from a4d.scenes.scene import Scene
    from a4d.views import Frames, Views


def weight_overrides(text: str) -> dict[str, Path]:
    """Folders of weights by catalogue name, from `NAME=PATH[,NAME=PATH]...`.

    Raises:
        UsageError: a part is not of that form, or there is no such folder.
    """
    from a4d.priors.catalogue import parse_overrides

    return parse_overrides(part.strip() for part in text.split(",") if part.strip())


class Fitting(Config):
    """Views, objectives, priors and the loop; a profile fills in what is not given."""

    profile: str = Field(default="auto", description="the built-in defaults; auto chooses what suits the workspace")
    prompt: str | None = Field(default=None, description="what the scene shows, for objectives that do not say it")
    views: dict[str, Spec]
    objectives: list[Spec]
    priors: dict[str, Spec] = Field(default={})
    iterations: int | None = Field(default=None, ge=0, description="steps of the optimisation")
    optimiser: dict[str, Any]
    # These do not change the result, and are no part of what a finished result is compared by.
    offload: Offload = Field(
        default="none", exclude=True, description="models of priors that visit the device only while they are used"
    )
    weights: str = Field(default="", exclude=True, description="folders of weights: NAME=PATH[,NAME=PATH]...")
    checkpoint_seconds: float = Field(default=60.0, gt=0, exclude=True, description="time between two checkpoints")
    preview_seconds: float = Field(default=20.0, gt=0, exclude=True, description="time between two previews")


ADAPTERS = "adapters"
"""Where a workspace keeps what `a4d train-prior` makes."""

REPORTED_MOMENTS = 16
"""Of a scene without frames, at which its energy is taken."""

FittingType = TypeVar("FittingType", bound=Fitting)


def profile_values(folder: Path, stage: str, profile: str, workspace: Workspace) -> dict[str, Any]:
    """The settings of a built-in profile, with the subject of a workspace as the prompt.

    Args:
        folder: of `<profile>.yaml`.
        stage: whose profiles begin with its name.
        profile: without the suffix.
        workspace: whose prompts are looked at.

    Raises:
        ConfigError: there is no such profile.
    """
    file = folder / f"{profile}.yaml"
    if not file.is_file():
        raise unknown_key(f"profile: {profile}", profile, (path.stem for path in folder.glob(f"{stage}-*.yaml")))
    return {**load_yaml(file), "profile": profile, "prompt": workspace.metadata.subject}


def complete_fitting(config: FittingType) -> FittingType:
    """Check views, objectives, priors and optimiser, and fill in their defaults and the prompt.

    Raises:
        ConfigError: an unknown key, kind or prior, a value out of range, or no number of iterations.
    """
    from a4d.objectives import build_objectives
    from a4d.objectives.priors import prior_configs
    from a4d.optimisers import OptimiserConfig
    from a4d.views import build_views

    if config.iterations is None:
        raise ConfigError("iterations: nothing says how many", "Give --iterations N")

    objectives = build_objectives([_prompted(spec, config.prompt) for spec in config.objectives])
    return config.model_copy(
        update={
            "views": {name: plain(views) for name, views in build_views(config.views).items()},
            "objectives": [plain(objective) for objective in objectives],
            "priors": {name: plain(prior) for name, prior in prior_configs(config.priors, objectives).items()},
            "optimiser": plain(parse(OptimiserConfig, config.optimiser, "optimiser")),
        }
    )


def _prompted(spec: Spec, prompt: str | None) -> Spec:
    return {"prompt": prompt, **spec} if prompt and spec.get("kind") == "score-distillation" else spec


def complete_scene(spec: Spec) -> Spec:
    """A scene's configuration with its defaults.

    Raises:
        ConfigError: an unknown key or kind, or a value out of range.
    """
    from a4d.scenes import scene_class

    return plain(parse(scene_class(str(spec.get("kind"))).config_class, spec, "scene"))


def scene_files(spec: Spec) -> list[Path]:
    """The files outside of the workspace that decide how a scene begins.

    Raises:
        MissingInputError: one of them does not exist.
    """
    from a4d.scenes import scene_class

    kind = scene_class(str(spec.get("kind")))
    files = [file.absolute() for file in kind.files_read(parse(kind.config_class, spec, "scene"))]
    for file in files:
        if not file.is_file():
            raise MissingInputError(f"{file} does not exist", "Correct the scene's configuration")
    return files


def demands(config: Fitting, scene: Spec | None, frames: Frames | None = None) -> list[Demand]:
    """What a fit asks of memory at the least: its scene, and the pictures that one step of each view set sees.

    Args:
        config: complete.
        scene: to be made; None where one is given.
        frames: that observed views choose from; without them nothing is known of those.
    """
    from a4d.scenes import scene_class
    from a4d.views import build_views

    asked = [
        Demand(f"views.{name}", PICTURE_PIXEL * pixels_of_step(views, frames))
        for name, views in build_views(config.views).items()
    ]
    if scene is not None:
        kind = scene_class(str(scene.get("kind")))
        asked.append(Demand("scene", kind.memory(parse(kind.config_class, scene, "scene"))))
    return asked


def pixels_of_step(views: Views, frames: Frames | None) -> int:
    """How many pixels a view set shows in one step at the least; 0 where only the frames tell and are not known."""
    from a4d.views import MomentViews, ObservedViews, OrbitViews

    if isinstance(views, OrbitViews):
        return views.batch * (views.frames or 1) * views.size**2
    if not isinstance(views, ObservedViews) or isinstance(views, MomentViews) or frames is None:
        return 0
    cameras = [frames.cameras[index] for index in frames.select(views.split)]
    pixels = min((camera.width * camera.height for camera in cameras), default=0)
    if isinstance(views.size, float):
        longest = max((max(camera.width, camera.height) for camera in cameras), default=1)
        pixels = int(pixels * min(views.size / longest, 1) ** 2)
    elif views.size is not None:
        return 0
    return views.batch * min(pixels, pixels if views.patch is None else views.patch**2)


def require_weights(config: Fitting) -> None:
    """Look for the weights of all priors, reading none.

    Raises:
        BackendUnavailableError: some are missing; the remedy is the command that fetches them.
    """
    _weight_folders(config)


def _weight_folders(config: Fitting) -> dict[str, Path]:
    from a4d.objectives import build_objectives
    from a4d.objectives.priors import prior_configs, weight_folders

    return weight_folders(
        prior_configs(config.priors, build_objectives(config.objectives)), weight_overrides(config.weights)
    )


def folders_read(workspace: Workspace, config: Fitting) -> list[Path]:
    """The folders of the adapters that priors use and of the scenes that they are shown: they decide the result.

    Raises:
        MissingInputError: there is no such scene.
    """
    from a4d.objectives import build_objectives
    from a4d.objectives.priors import adapter_folders, frozen_scenes, prior_configs

    objectives = build_objectives(config.objectives)
    configs = prior_configs(config.priors, objectives)
    scenes = [workspace.scene(name) for name in frozen_scenes(objectives)]
    return scenes + adapter_folders(configs, workspace.path / ADAPTERS)


def placement(config: Fitting, runtime: Runtime) -> Placement:
    """Where the run's priors compute."""
    return Placement(runtime.device, offload=config.offload, overrides=weight_overrides(config.weights))


def reads_frames(config: Fitting) -> bool:
    """Whether views or priors are made of the workspace's images."""
    from a4d.objectives import build_objectives
    from a4d.objectives.priors import prior_configs
    from a4d.views import build_views

    priors = prior_configs(config.priors, build_objectives(config.objectives)).values()
    return any(views.reads_frames for views in build_views(config.views).values()) or any(
        prior.reads_frames for prior in priors
    )


def fit(work: Transaction, config: Fitting, scene: Scene, frames: Frames | None, runtime: Runtime) -> dict[str, float]:
    """Optimise a scene as the settings say, going on from a checkpoint where there is one, and save it.

    Args:
        work: takes the scene, what priors have learnt, metrics, previews and checkpoints.
        config: complete.
        scene: to start from, on any device.
        frames: the workspace's images, or None where neither views nor priors are made of them.
        runtime: device, seed, console and stop requests.

    Returns:
        the objectives' last values, of which a distillation's is the norm of its gradient; `psnr` in dB where a view
        set is observed; and of a scene that deforms `arap_energy`, see
        `a4d.geometry.deformation.arap.deformation_energy`.

    Raises:
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
        UsageError: a scene that priors are shown would be replaced.
        Interrupted: a scheduler asked to stop; a checkpoint is left.
    """
    from a4d.objectives import build_objectives
    from a4d.objectives.priors import build_priors, build_trainables, prior_configs
    from a4d.optimise import LoopConfig, Problem, optimise
    from a4d.optimisers import OptimiserConfig
    from a4d.views import build_views

    objectives, place = build_objectives(config.objectives), placement(config, runtime)
    work.weights += [recorded_weights(name, path, place.overrides) for name, path in _weight_folders(config).items()]
    frozen = _frozen(work, objectives, runtime.device)
    configs = prior_configs(config.priors, objectives)
    priors = build_priors(configs, frames, place, work.workspace.path / ADAPTERS)
    assert config.iterations is not None
    loop = LoopConfig(
        iterations=config.iterations,
        optimiser=parse(OptimiserConfig, config.optimiser, "optimiser"),
        checkpoint_seconds=config.checkpoint_seconds,
        preview_seconds=config.preview_seconds,
    )
    require_memory(work.name, demands(config, None, frames), runtime.device, ("views.*.batch", "views.*.size"))
    scene.to(runtime.device)
    views = build_views(config.views)
    if views:
        scene.see_pixels(min(each.finest_pixel(frames) for each in views.values()))
    learning = build_trainables(configs, priors, runtime.seed)
    problem = Problem(scene, views, objectives, frames, priors, frozen, learning)
    metrics = optimise(problem, loop, work.folder, runtime)
    scene.save(work.scene())
    if learning:
        adapters = work.replace(f"{ADAPTERS}/{work.name}")
        for name, trainable in learning.items():
            (adapters / name).mkdir()
            trainable.save(adapters / name)
    return metrics | rigidity(scene, None if frames is None else frames.times)


def rigidity(scene: Scene, times: Tensor | None) -> dict[str, float]:
    """How far a moving scene is from keeping its shape; empty for one whose points cannot be followed.

    Args:
        scene: looked at where it moves.
        times: (F,) of the frames, in [0, 1], or None for evenly spaced ones.
    """
    import torch

    from a4d.geometry.deformation.arap import deformation_energy
    from a4d.scenes.scene import Deforming

    if not isinstance(scene, Deforming) or not scene.is_moving:
        return {}
    moments = torch.linspace(0, 1, REPORTED_MOMENTS) if times is None else times.unique()
    mesh = scene.mesh()
    with torch.no_grad():
        paths = scene.moved_points("gaussians" if mesh is None else "vertices", [0.0, *moments[moments > 0].tolist()])
    return {"arap_energy": deformation_energy(paths, None if mesh is None else mesh.faces)}


def _frozen(work: Transaction, objectives: Sequence[Objective], device: str) -> dict[str, Scene]:
    """The scenes that priors are shown, by name."""
    from a4d.objectives.priors import frozen_scenes
    from a4d.scenes import load_scene

    names = frozen_scenes(objectives)
    if work.name in names:
        raise UsageError(f"the scene '{work.name}' is shown to a prior and cannot be replaced", "Choose another --name")
    return {name: load_scene(work.workspace.scene(name), device).requires_grad_(False).eval() for name in names}


def recorded_weights(name: str, folder: Path, overrides: Mapping[str, Path]) -> Weights:
    """What is known of a model's files: the hub's commit, or the hash of all that a user named or the package holds."""
    from a4d.priors.catalogue import find

    if name not in overrides and find(name).packaged is None:
        return Weights(id=name, revision=folder.name)
    hashes = [[file.relative_to(folder).as_posix(), hash_file(file)] for file in files_below(folder)]
    return Weights(id=name, sha256=digest(hashes))
