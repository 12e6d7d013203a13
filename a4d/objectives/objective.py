"""The third of the four nouns: an objective reads the renders of one step and says how far they are from the aim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from pydantic import Field
from torch import Tensor

from a4d.config import Config, Number, unknown_key
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.metrics import psnr
from a4d.priors.protocol import Prior
from a4d.render.render import Render
from a4d.scenes.scene import Scene
from a4d.views import Frames, ViewBatch, Views


@dataclass
class Step:
    """One iteration, as objectives see it: each view set is sampled and rendered once, when it is first asked for.

    Args:
        index: iterations done before this one.
        seed: the run's seed.
        scene: what is optimised.
        views: the run's view sets by name.
        frames: the workspace's images, or None.
        device: where the scene lives.
        priors: the run's diffusion priors by name.
        frozen: scenes by name that stay as they are.
    """

    index: int
    seed: int
    scene: Scene
    views: Mapping[str, Views]
    frames: Frames | None = None
    device: str = "cpu"
    priors: Mapping[str, Prior] = field(default_factory=dict)
    frozen: Mapping[str, Scene] = field(default_factory=dict)
    _batches: dict[str, ViewBatch] = field(default_factory=dict)
    _renders: dict[str, Render] = field(default_factory=dict)

    def batch(self, name: str) -> ViewBatch:
        """This step's sample of a view set.

        Raises:
            ConfigError: there is no such view set.
        """
        if name not in self.views:
            raise ConfigError(f"no view set is called '{name}'", f"There are: {', '.join(self.views)}")
        if name not in self._batches:
            self._batches[name] = self.views[name].sample(self.index, self.seed, self.frames).to(self.device)
        return self._batches[name]

    def prior(self, name: str) -> Prior:
        """A diffusion prior of this run.

        Raises:
            ConfigError: there is no such prior.
        """
        if name not in self.priors:
            raise unknown_key(f"prior: {name}", name, self.priors)
        return self.priors[name]

    def render(self, name: str) -> Render:
        """The scene as this step's sample of a view set sees it."""
        if name not in self._renders:
            self._renders[name] = self.render_from(self.batch(name).cameras, name)
        return self._renders[name]

    def render_from(self, cameras: Cameras, name: str) -> Render:
        """The scene from other cameras, such as parts of their images, but otherwise as a view set shows it."""
        return self._shown(self.scene, cameras, name)

    @torch.no_grad()
    def render_frozen(self, scene: str, name: str) -> Render:
        """A scene that stays as it is, as this step's sample of a view set sees it.

        Raises:
            ConfigError: there is no such scene.
        """
        if scene not in self.frozen:
            raise unknown_key(f"frozen: {scene}", scene, self.frozen)
        return self._shown(self.frozen[scene], self.batch(name).cameras, name)

    def _shown(self, scene: Scene, cameras: Cameras, name: str) -> Render:
        batch = self.batch(name)
        shading = self.views[name].drawn_shading(self.index, self.seed)
        return scene.render_shaded(cameras, batch.times, batch.background, shading)

    def psnr(self) -> dict[str, float]:
        """PSNR in dB of each view set that was rendered in this step and has observations, by name."""
        return {
            name: psnr(render.rgb.detach().clamp(0, 1), self._batches[name].rgb)
            for name, render in self._renders.items()
            if self._batches[name].rgba is not None
        }


class Turns(Config):
    """In which steps an objective takes part; by default in all."""

    first: int = Field(default=0, ge=0, description="steps at the start in which it does")
    every: int = Field(default=1, ge=1, description="after these, it does in steps that this number divides")
    others: bool = Field(default=False, description="it takes part in all other steps instead")

    def includes(self, step: int) -> bool:
        """Whether a step, counted from 0, is one of them."""
        return (step < self.first or step % self.every == 0) != self.others


class Objective(Config, ABC):
    """Base of all objectives; its fields are its configuration."""

    kind: str
    weight: Number = 1.0
    turns: Turns = Turns()

    @property
    def label(self) -> str:
        """Name in logs: the kind, with the view set where it reads one."""
        views = getattr(self, "views", None)
        return f"{self.kind}/{views}" if views else self.kind

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """The unweighted value of this objective, a scalar to be made small."""
