"""The third of the four nouns: an objective reads the renders of one step and says how far they are from the aim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from a4d.config import Config, Number, unknown_key, value_at
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.metrics import psnr
from a4d.objectives.frame_choice import FrameChoice, chosen_rows
from a4d.objectives.pixel_renders import render_pixels
from a4d.priors.lpips import Lpips
from a4d.priors.protocol import Prior
from a4d.randomness import generator
from a4d.render.render import Channel, Render, Wants
from a4d.scenes import KINDS, scene_class
from a4d.scenes.scene import Scene
from a4d.views import Frames, ViewBatch, Views

Made = TypeVar("Made")


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
        networks: that look at pictures, by their names in the catalogue.
        reached: groups of the scene that gradients of this step's renders reach; None is all that learn.
        chosen: the frames of a clip that are looked at.
        shared: what was computed in this step for whoever asks, by what it answers.
        wanted: what objectives announced that they would ask, by the same keys.
        wants: channels that objectives announced that they would ask of each view set's renders, by its name.
    """

    index: int
    seed: int
    scene: Scene
    views: Mapping[str, Views]
    frames: Frames | None = None
    device: str = "cpu"
    priors: Mapping[str, Prior] = field(default_factory=dict)
    frozen: Mapping[str, Scene] = field(default_factory=dict)
    networks: Mapping[str, Lpips] = field(default_factory=dict)
    reached: tuple[str, ...] | None = None
    chosen: FrameChoice = "all"
    shared: dict[Hashable, Any] = field(default_factory=dict)
    wanted: dict[Hashable, Any] = field(default_factory=dict)
    wants: dict[str, frozenset[Channel]] = field(default_factory=dict)
    _batches: dict[tuple[str, str], ViewBatch] = field(default_factory=dict)
    _renders: dict[tuple[str, str, tuple[str, ...] | None, frozenset[Channel]], Render] = field(default_factory=dict)

    def reaching(self, groups: Sequence[str] | None) -> Step:
        """The same step for an objective whose gradients reach some groups of the scene; None is all that learn."""
        return self if groups is None else replace(self, reached=tuple(groups))

    def choosing(self, frames: FrameChoice) -> Step:
        """The same step for an objective that looks at some frames of a clip alone."""
        return self if frames == self.chosen else replace(self, chosen=frames)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What a key stands for in this step, made when it is first asked for."""
        if key not in self.shared:
            self.shared[key] = make()
        made: Made = self.shared[key]
        return made

    def batch(self, name: str) -> ViewBatch:
        """This step's sample of a view set, or what is chosen of its clips.

        Raises:
            ConfigError: there is no such view set, or frames of a clip are chosen that it has not.
        """
        if name not in self.views:
            raise ConfigError(f"no view set is called '{name}'", f"There are: {', '.join(self.views)}")
        key = (name, str(self.chosen))
        if key not in self._batches:
            if self.chosen == "all":
                views = self.views[name]
                batch = views.placed(views.sample(self.index, self.seed, self.frames).to(self.device), self.scene)
            else:
                batch = self.choosing("all").batch(name)[self._rows(name)]
            self._batches[key] = batch
        return self._batches[key]

    def _rows(self, name: str) -> Tensor:
        """Indices of the views that are chosen of this step's sample."""
        whole = self.choosing("all").batch(name)
        return chosen_rows(self.chosen, whole, generator(self.seed, "frames", name, self.index), f"views '{name}'")

    def prior(self, name: str) -> Prior:
        """A diffusion prior of this run.

        Raises:
            ConfigError: there is no such prior.
        """
        if name not in self.priors:
            raise unknown_key(f"prior: {name}", name, self.priors)
        return self.priors[name]

    def want(self, name: str, channels: Wants) -> None:
        """Announce that channels will be asked of a view set's renders, so that all are rendered together."""
        self.wants[name] = self.wants.get(name, frozenset()) | frozenset(channels)

    def render(self, name: str, wants: Wants = ()) -> Render:
        """The scene as this step's sample of a view set sees it, or what is chosen of its clips.

        It has what is wanted, and what was announced.
        """
        self.want(name, wants)
        asked, reached = self.wants[name], self._reached_by(name)
        key, whole = ((name, chosen, reached, asked) for chosen in (str(self.chosen), "all"))
        if key not in self._renders:
            if whole in self._renders:
                self._renders[key] = self._renders[whole][self._rows(name).to(self.device)]
            else:
                self._renders[key] = self._shown(self.scene, self.batch(name).cameras, name, asked)
        return self._renders[key]

    def _reached_by(self, name: str) -> tuple[str, ...] | None:
        """The groups that a view set's renders reach: those of both the set and the objective that asks."""
        own = self.views[name].reaches
        if own is None or self.reached is None:
            return self.reached if own is None else tuple(own)
        return tuple(group for group in own if group in self.reached)

    def render_from(self, cameras: Cameras, name: str) -> Render:
        """The scene from other cameras, such as parts of their images, but otherwise as a view set shows it."""
        return self._shown(self.scene, cameras, name)

    def frozen_scene(self, name: str) -> Scene:
        """A scene that stays as it is.

        Raises:
            ConfigError: there is no such scene.
        """
        if name not in self.frozen:
            raise unknown_key(f"frozen: {name}", name, self.frozen)
        return self.frozen[name]

    @torch.no_grad()
    def render_frozen(self, scene: str, name: str) -> Render:
        """A scene that stays as it is, as this step's sample of a view set sees it, or what is chosen of its clips.

        Raises:
            ConfigError: there is no such scene.
        """
        shown = self.frozen_scene(scene)
        return self.once(
            ("frozen", scene, name, str(self.chosen)), lambda: self._shown(shown, self.batch(name).cameras, name)
        )

    def _shown(self, scene: Scene, cameras: Cameras, name: str, wants: Wants = ()) -> Render:
        batch = self.batch(name)
        shading = self.views[name].drawn_shading(self.index, self.seed)
        with scene.reaching(self._reached_by(name)):
            if batch.pixels is None:
                return scene.render_shaded(cameras, batch.times, batch.background, shading, wants)
            return render_pixels(scene, batch, shading, wants)

    def psnr(self) -> dict[str, float]:
        """PSNR in dB of each view set that was rendered in this step and has observations, by name."""
        return {
            name: psnr(render.rgb.detach().clamp(0, 1), self._batches[name, chosen].rgb)
            for (name, chosen, *_), render in self._renders.items()
            if self._batches[name, chosen].rgba is not None
        }


def observing(views: Mapping[str, Views], objectives: Sequence[Objective]) -> dict[str, Views]:
    """View sets whose batches hold what objectives read of them.

    Raises:
        ConfigError: a channel is asked of views that observe nothing.
    """
    wanted: dict[str, list[str]] = {name: [] for name in views}
    for objective in objectives:
        wanted.get(str(getattr(objective, "views", "")), []).extend(objective.observes)
    return {name: each.observing(wanted[name]) for name, each in views.items()}


class Turns(Config):
    """In which steps an objective takes part; by default in all.

    Chances of one step come from one draw: two objectives of the same chance, of which one takes the `others`, share
    the steps between them, and what happens with a chance of 0.1 happens with one of 0.3 as well.
    """

    start: int = Field(default=0, ge=0, description="steps before which it takes no part")
    stop: int | None = Field(default=None, ge=0, description="step from which on it takes no part; None: to the end")
    first: int = Field(default=0, ge=0, description="steps at the start in which it always does")
    every: int = Field(default=1, ge=1, description="after these, it does in steps that this number divides")
    chance: Number = Field(default=1.0, description="with which it does in such a step")
    others: bool = Field(default=False, description="between start and stop it takes part in all other steps instead")

    def includes(self, step: int, seed: int) -> bool:
        """Whether a step, counted from 0, is one of them."""
        if step < self.start or (self.stop is not None and step >= self.stop):
            return False
        return (step < self.first or (step % self.every == 0 and self._falls(step, seed))) != self.others

    def _falls(self, step: int, seed: int) -> bool:
        chance = value_at(self.chance, step)
        return chance >= 1 or float(torch.rand((), generator=generator(seed, "turns", step))) < chance


class Objective(Config, ABC):
    """Base of all objectives; its fields are its configuration, and it says itself what it needs of a run."""

    applies_to: ClassVar[type[Any]] = Scene
    """What a scene must be, or the protocol that it must follow."""
    takes_prompt: ClassVar[bool] = False
    """Whether it has a `prompt`, which is the run's unless it says another."""

    kind: str
    weight: Number = 1.0
    turns: Turns = Turns()
    reaches: list[str] | None = Field(
        default=None, description="groups of the scene that its gradient reaches; null is all that have a rate"
    )
    frames: FrameChoice = Field(
        default="all", description="of each clip that it looks at: all, first, their indices, or how many at random"
    )

    @property
    def observes(self) -> tuple[str, ...]:
        """Channels of the frames that it reads of its view set's batches, beside the colours."""
        return ()

    @property
    def label(self) -> str:
        """Name in logs: the kind, with the view set where it reads one."""
        views = getattr(self, "views", None)
        return f"{self.kind}/{views}" if views else self.kind

    @property
    def views_read(self) -> tuple[str, ...]:
        """Names of the view sets whose batches it looks at."""
        views = getattr(self, "views", None)
        return (views,) if views else ()

    @property
    def priors_asked(self) -> tuple[str, ...]:
        """Names of the priors that it asks."""
        return ()

    @property
    def networks_asked(self) -> tuple[str, ...]:
        """Names in the catalogue of the networks that look at its renders."""
        return ()

    @property
    def scenes_shown(self) -> tuple[str, ...]:
        """Names of the workspace's scenes that it looks at and nothing changes."""
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of its settings before a run."""
        return ()

    def require(self, scene: Scene) -> None:
        """Check that it applies to a scene.

        Raises:
            ConfigError: the scene is of a kind that has not what it needs; the remedy names those that have.
        """
        if not isinstance(scene, self.applies_to):
            able = [kind for kind in KINDS if issubclass(scene_class(kind), self.applies_to)]
            raise ConfigError(
                f"{self.label} does not apply to a scene of kind '{scene.kind}'", f"It applies to {', '.join(able)}"
            )

    def distinct_times(self, step: Step, views: str) -> list[float]:
        """The distinct times in [0, 1] of what a step sees of a view set.

        Raises:
            ConfigError: the views have no times.
        """
        batch = step.batch(views)
        if batch.times is None:
            raise ConfigError(f"{self.label}: the views have no times", "Choose views of a clip")
        times: list[float] = batch.distinct_times.tolist()
        return times

    @property
    def needs(self) -> frozenset[Channel]:
        """What it needs of its views' renders beside colour, coverage and depth."""
        return frozenset()

    def announce(self, step: Step) -> None:
        """Say what it will ask of a step, before any objective is computed, so that what several ask is made once."""
        views = getattr(self, "views", None)
        if views:
            step.want(views, self.needs)

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """The unweighted value of this objective, a scalar to be made small."""
