"""The fit itself: a scene and what learns beside it, optimised as the settings say, and saved with what is known."""

from __future__ import annotations

from collections.abc import Mapping

from a4d.errors import UsageError
from a4d.fitting.demands import demands_of_views
from a4d.fitting.figures import course, lens, repetition, rigidity
from a4d.fitting.files import ADAPTERS, placement
from a4d.fitting.settings import Fitting
from a4d.memory import require_memory
from a4d.objectives.priors import build_priors, build_trainables
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.lpips import load_network
from a4d.running.weights import record_weights
from a4d.runtime import Runtime
from a4d.scenes import load_scene
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.views.view_set import LAST_STEP, Views
from a4d.workspace.transaction import Transaction


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
    parts, place = config.resolved, placement(config, runtime)
    record_weights(work, parts.weight_folders(place.overrides), place.overrides)
    for warning in [warning for objective in parts.objectives for warning in objective.warnings]:
        work.warn(warning)
    assert config.iterations is not None
    for name in _still_reduced(parts.views, frames, config.iterations):
        work.warn(f"views.{name}: the fit ends before it sees images as large as they are; give it more --iterations")
    frozen = _frozen(work, parts.scenes_shown, runtime.device)
    priors = build_priors(parts.priors, frames, place, work.workspace.path / ADAPTERS)
    loop = LoopConfig(
        iterations=config.iterations,
        optimiser=parts.optimiser,
        checkpoint_seconds=config.checkpoint_seconds,
        preview_seconds=config.preview_seconds,
    )
    require_memory(work.name, demands_of_views(config, frames), runtime.device, ("views.*.batch", "views.*.size"))
    scene.to(runtime.device)
    learning = build_trainables(parts.priors, priors, runtime.seed)
    networks = {name: load_network(name, place).requires_grad_(False) for name in parts.networks}
    problem = Problem(scene, parts.views, parts.objectives, frames, priors, frozen, learning, networks)
    metrics = optimise(problem, loop, work.folder, runtime)
    scene.save(work.scene())
    if learning:
        adapters = work.replace(f"{ADAPTERS}/{work.name}")
        for name, trainable in learning.items():
            (adapters / name).mkdir()
            trainable.save(adapters / name)
    return metrics | rigidity(scene, frames) | repetition(scene) | lens(scene, frames) | course(scene, frames)


def _still_reduced(views: Mapping[str, Views], frames: Frames | None, iterations: int) -> list[str]:
    """The view sets whose images the last step sees smaller than a later one would."""
    if iterations == 0:
        return []
    return [
        name
        for name, each in views.items()
        if each.finest_pixel(frames, iterations - 1) > each.finest_pixel(frames, LAST_STEP)
    ]


def _frozen(work: Transaction, names: list[str], device: str) -> dict[str, Scene]:
    """The scenes that priors are shown, by name."""
    if work.name in names:
        raise UsageError(f"the scene '{work.name}' is shown to a prior and cannot be replaced", "Choose another --name")
    return {name: load_scene(work.workspace.scene(name), device).requires_grad_(False).eval() for name in names}
