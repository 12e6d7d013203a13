"""What the settings of a fit name, as typed objects: each says for itself what it needs, and is asked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Generator

from a4d.config import Config, Spec, parse, plain, unknown_key
from a4d.errors import MissingInputError
from a4d.objectives import build_objectives
from a4d.objectives.objective import Objective, observing
from a4d.objectives.priors import PriorSettings, prior_settings
from a4d.optimisers import OptimiserConfig
from a4d.priors.catalogue import locate
from a4d.scenes import scene_class
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import Views, build_views


@dataclass(frozen=True)
class SceneChoice:
    """The kind of a scene that is begun, and its complete configuration."""

    kind: type[Scene]
    config: Config

    @classmethod
    def of(cls, spec: Spec) -> SceneChoice:
        """A scene by its configuration.

        Raises:
            ConfigError: an unknown key or kind, or a value out of range.
        """
        kind = scene_class(str(spec.get("kind")))
        return cls(kind, parse(kind.config_class, spec, "scene"))

    def begin(self, seed: Seed, draws: Generator) -> Scene:
        """A new scene, on the CPU.

        Args:
            seed: what is known of the shape.
            draws: of what is new, on the CPU.
        """
        return self.kind.begin(plain(self.config), seed, draws)

    def files(self) -> list[Path]:
        """The files outside of the workspace that decide how it begins.

        Raises:
            MissingInputError: one of them does not exist.
        """
        files = [file.absolute() for file in self.kind.files_read(self.config)]
        for file in files:
            if not file.is_file():
                raise MissingInputError(f"{file} does not exist", "Correct the scene's configuration")
        return files


@dataclass(frozen=True)
class ResolvedFit:
    """The parts of a fit, made of its settings before anything is read or written.

    Args:
        views: view sets by name.
        objectives: in the order of the settings.
        priors: settings of the priors by name, those included that objectives name without more ado.
        optimiser: rates, and what else holds for groups.
        scene: what is begun; None where a scene is gone on from.
    """

    views: Mapping[str, Views]
    objectives: Sequence[Objective]
    priors: Mapping[str, PriorSettings]
    optimiser: OptimiserConfig
    scene: SceneChoice | None = None

    @property
    def reads_frames(self) -> bool:
        """Whether views or priors are made of the workspace's images."""
        parts: list[Views | PriorSettings] = [*self.views.values(), *self.priors.values()]
        return any(part.reads_frames for part in parts)

    @property
    def channels_read(self) -> list[str]:
        """The channels of the workspace's frames that views or objectives look at."""
        seen = observing(self.views, self.objectives).values()
        return list(dict.fromkeys(name for views in seen for name in views.channels_read))

    @property
    def scenes_shown(self) -> list[str]:
        """The workspace's scenes that objectives look at and nothing changes."""
        return list(dict.fromkeys(name for each in self.objectives for name in each.scenes_shown))

    @property
    def weights(self) -> list[str]:
        """The entries of the catalogue that the priors are read from, and the networks that look at renders."""
        of_priors = [name for prior in self.priors.values() for name in prior.weights]
        return list(dict.fromkeys([*of_priors, *self.networks]))

    @property
    def networks(self) -> list[str]:
        """The names in the catalogue of the networks that look at renders."""
        return list(dict.fromkeys(name for each in self.objectives for name in each.networks_asked))

    def weight_folders(self, overrides: Mapping[str, Path]) -> dict[str, Path]:
        """Where these lie on this machine, by their names; nothing is read.

        Raises:
            BackendUnavailableError: some are missing; the remedy is the command that fetches them.
        """
        return {name: locate(name, overrides) for name in self.weights}

    def adapter_folders(self, root: Path) -> list[Path]:
        """The folders of the adapters that the priors use; `root` holds the workspace's."""
        folders = [folder for name, prior in self.priors.items() for folder in prior.adapter_folders(root, name)]
        return list(dict.fromkeys(folders))

    def settings(self) -> dict[str, Any]:
        """The same as plain settings, complete with all defaults."""
        parts: dict[str, Any] = {
            "views": {name: plain(views) for name, views in self.views.items()},
            "objectives": [plain(objective) for objective in self.objectives],
            "priors": {name: plain(prior) for name, prior in self.priors.items()},
            "optimiser": plain(self.optimiser),
        }
        return parts if self.scene is None else {**parts, "scene": plain(self.scene.config)}


def resolve(
    views: Mapping[str, Spec],
    objectives: Sequence[Spec],
    priors: Mapping[str, Spec],
    optimiser: Mapping[str, Any],
    prompt: str | None = None,
    scene: Spec | None = None,
) -> ResolvedFit:
    """The parts of a fit from plain settings.

    Args:
        views: view sets by name.
        objectives: in order.
        priors: by name, as far as the catalogue's own settings do not do.
        optimiser: rates, and what else holds for groups.
        prompt: for the objectives that take one and say none.
        scene: that is begun; None where one is gone on from.

    Raises:
        ConfigError: an unknown key, kind, view set or prior, a value out of range, or a prior that has no prompt.
    """
    sets = build_views(views)
    asked = build_objectives(objectives, prompt)
    for index, objective in enumerate(asked):
        for name in objective.views_read:
            if name not in sets:
                raise unknown_key(f"objectives.{index}.views: {name}", name, sets)
    return ResolvedFit(
        sets,
        asked,
        prior_settings(priors, asked),
        parse(OptimiserConfig, optimiser, "optimiser"),
        None if scene is None else SceneChoice.of(scene),
    )
