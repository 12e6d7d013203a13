"""An avatar's folder: settings, what was learnt, where its texels lie, and the body as it was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.io.bodies.tracked_body import BODY_FILE, read_tracked_body, write_tracked_body
from a4d.scenes.avatar.config import AvatarConfig
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.protocols import SurfaceAttributes
from a4d.scenes.storage import read_scene, write_scene

POINTS, BAKED = "points.", "baked."
"""How the names of tensors begin that say where texels lie, and what was learnt of them."""


@dataclass(frozen=True)
class StoredAvatar:
    """The parts of an avatar that its folder holds.

    Args:
        config: choices.
        tracked: the body in the poses as they were fitted.
        points: of its surface.
        state: tensors of the scene's parameters and buffers, by name.
        baked: what was learnt of the texels; None where it depends on the pose.
    """

    config: AvatarConfig
    tracked: TrackedBody
    points: SurfacePoints
    state: Mapping[str, Tensor]
    baked: SurfaceAttributes | None

    def write(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors` and `body.npz` into an existing folder."""
        tensors = {**self.state, **_prefixed(POINTS, self.points.stored())}
        if self.baked is not None:
            named = {field.name: getattr(self.baked, field.name).clone() for field in fields(self.baked)}
            tensors |= _prefixed(BAKED, named)
        write_scene(folder, self.config, tensors)
        write_tracked_body(folder / BODY_FILE, self.tracked)

    @classmethod
    def read(cls, folder: Path, device: torch.device | str) -> StoredAvatar:
        """What `write` wrote, the tensors on a device.

        Raises:
            ConfigError: the settings are missing, or are not an avatar's.
            MissingInputError: there are no tensors, or there is no body.
            InvalidInputError: they are damaged.
        """
        config, state = read_scene(folder, AvatarConfig, device)
        tracked = read_tracked_body(folder / BODY_FILE)
        points = SurfacePoints.restored(tracked.animated.body, config.texels, _taken(state, POINTS))
        baked = _taken(state, BAKED)
        return cls(config, tracked, points, state, SurfaceAttributes(**baked) if baked else None)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix out of others."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
