"""Scenes: anything with parameters that can be rendered, optimised, saved and exported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from a4d.config import Spec, load_yaml, unknown_key
from a4d.errors import ConfigError, InvalidInputError

if TYPE_CHECKING:
    import torch

    from a4d.scenes.scene import Scene

KINDS = {
    "articulated": "a4d.scenes.articulated.gaussians:ArticulatedGaussians",
    "articulated_field": "a4d.scenes.articulated.field:ArticulatedField",
    "avatar": "a4d.scenes.avatar.scene:AvatarScene",
    "field": "a4d.scenes.field.scene:FieldScene",
    "fixed_mesh": "a4d.scenes.meshes.fixed_mesh:FixedMeshScene",
    "gaussian_motion": "a4d.scenes.gaussian_motion.scene:GaussianMotionScene",
    "gaussians": "a4d.scenes.gaussians.scene:GaussianScene",
    "tetmesh": "a4d.scenes.meshes.tetmesh:TetmeshScene",
}


def scene_class(kind: str) -> type[Scene]:
    """The class of a kind of scene.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in KINDS:
        raise unknown_key(f"scene.kind: {kind}", kind, KINDS)
    module, _, name = KINDS[kind].partition(":")
    found: type[Scene] = getattr(import_module(module), name)
    return found


def begin_from(start: Scene, over: Spec | None, generator: torch.Generator) -> Scene:
    """A scene that goes on from another: as it is, with other settings, or turned into another kind.

    Args:
        start: as it stands.
        over: settings in place of its own, and the `kind` that it becomes; None or an empty one takes it as it is.
        generator: of what is new, on the CPU.

    Raises:
        ConfigError: an unknown key or kind, or one that the scene does not become.
    """
    if not over:
        return start
    return scene_class(str(over.get("kind", start.kind))).begin_from(start, over, generator)


def load_scene(folder: Path, device: str = "cpu") -> Scene:
    """Read a scene of any kind from its folder.

    Raises:
        ConfigError: the folder's `scene.yaml` is missing or names no known kind.
        InvalidInputError: its tensors are damaged, or are not those of its `scene.yaml`.
    """
    settings = folder / "scene.yaml"
    kind = str(load_yaml(settings).get("kind"))
    if kind not in KINDS:
        raise ConfigError(f"{settings} names no known kind of scene: {kind!r:.40}", f"Known are {', '.join(KINDS)}")
    try:
        return scene_class(kind).load(folder, device)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInputError(f"{folder / 'tensors.safetensors'} does not fit its scene.yaml: {reason}") from error
