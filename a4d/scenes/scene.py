"""The first of the four nouns: a scene is anything with parameters that can be rendered and saved."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from a4d.config import Config, Spec
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.render.render import Channel, Render, Shading, Wants
from a4d.scenes.seed import Seed
from a4d.trainable import Trainable


class Scene(Trainable):
    """A differentiable scene; its tensors live in parameters and buffers, its choices in `config`.

    What only some kinds are, such as moving, made of Gaussians or a mesh, is in `a4d.scenes.protocols`.
    """

    kind: ClassVar[str]
    config_class: ClassVar[type[Config]]
    shadings: ClassVar[tuple[Shading, ...]] = ()
    follows_rays: ClassVar[bool] = False
    """Whether each pixel is rendered on its own, so that few of them cost little."""
    offers: ClassVar[frozenset[Channel]] = frozenset()
    """The channels that its renders can have beside colour, coverage and depth."""
    config: Config

    @classmethod
    @abstractmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Scene:
        """A scene to be optimised, of the configuration `spec`, that starts from what is known of the shape.

        Raises:
            ConfigError: an unknown key or a value out of range in the configuration.
        """

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> Scene:
        """A scene of this kind that goes on from another.

        Args:
            start: as it stands; it stays as it is.
            over: settings in place of the other's, where it is of this kind, else as for `begin`.
            generator: on the CPU.

        Raises:
            ConfigError: the other does not become one of this kind, or not with these settings.
        """
        raise cannot_become(start, cls)

    @classmethod
    def files_read(cls, config: Config) -> list[Path]:
        """The files that a configuration names and `begin` reads."""
        return []

    @classmethod
    def memory(cls, config: Config) -> int:
        """Bytes that a scene of a configuration takes at the least while it is optimised, but for what a seed decides.

        Args:
            config: of the class's own kind.
        """
        return 0

    @abstractmethod
    def render(
        self,
        cameras: Cameras,
        times: Tensor | None = None,  # (B,) seconds in [0, 1] of the clip; None for a static scene
        background: Tensor | None = None,  # (B, 3) or (3,) sRGB; None is black
        wants: Wants = (),
    ) -> Render:
        """Images from B cameras, with the channels that are wanted and no more.

        Raises:
            ConfigError: this kind of scene does not offer one of them.
        """

    def render_shaded(
        self,
        cameras: Cameras,
        times: Tensor | None,  # (B,) in [0, 1]
        background: Tensor | None,  # (B, 3) or (3,) sRGB
        shading: Shading | None,
        wants: Wants = (),
    ) -> Render:
        """Like `render`, in one of this kind's shadings; None is the scene's own.

        Raises:
            ConfigError: this kind of scene has no such shading, or does not offer a channel.
        """
        self.require_shading(shading)
        return self.render(cameras, times, background, wants)

    def require_channels(self, wants: Collection[str], where: str = "wants") -> None:
        """Check that a scene of this kind offers what is wanted of its renders.

        Raises:
            ConfigError: it does not; names who asks and what there is.
        """
        for name in sorted(wants):
            if name not in self.offers:
                raise ConfigError(
                    f"{where}: renders of a scene of kind '{self.kind}' have no channel '{name}'",
                    f"They have: {', '.join(['rgb', 'alpha', 'depth', *sorted(self.offers)])}",
                )

    def require_shading(self, shading: Shading | None, where: str = "shading") -> None:
        """Check that a scene of this kind can be shown that way.

        Raises:
            ConfigError: it cannot; names the place in the configuration and what there is.
        """
        if shading is not None and shading not in self.shadings:
            raise ConfigError(
                f"{where}: a scene of kind '{self.kind}' has no shading '{shading}'",
                f"It has: {', '.join(self.shadings)}" if self.shadings else "Leave the key out",
            )

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors` and standard forms of this scene into an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Scene:
        """Read what `save` wrote."""


def cannot_become(start: Scene, kind: type[Scene]) -> ConfigError:
    """The error for a scene that another kind cannot go on from."""
    return ConfigError(
        f"a scene of kind '{start.kind}' does not become one of kind '{kind.kind}'", "Leave out `scene`, or --from"
    )
