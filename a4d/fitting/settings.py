"""The settings that every stage shares which optimises a scene: profiles, completion, and what they resolve to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import Field, PrivateAttr

from a4d.config import Config, Spec, load_yaml, unknown_key
from a4d.errors import ConfigError, UsageError
from a4d.priors.placement import Offload
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.fitting.resolution import ResolvedFit


class Fitting(Config):
    """Scene, views, objectives, priors and the loop; a profile fills in what is not given."""

    profile: str = Field(default="auto", description="the built-in defaults; auto chooses what suits the workspace")
    prompt: str | None = Field(default=None, description="what the scene shows, for objectives that do not say it")
    from_scene: str | None = Field(default=None, description="scene to go on from: its name, or its folder")
    scene: Spec | None = Field(
        default=None, description="what a new scene is made of, or what changes of the one to go on from"
    )
    views: dict[str, Spec]
    objectives: list[Spec]
    without: list[str] = Field(
        default=[], description="objectives that take no part, by their kind, their prior or their view set"
    )
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
    _resolved: ResolvedFit | None = PrivateAttr(default=None)

    @property
    def begun(self) -> Spec | None:
        """The configuration of a scene that is begun; None where one is gone on from."""
        return None if self.from_scene else self.scene

    @property
    def resolved(self) -> ResolvedFit:
        """Its parts as typed objects, made when they are first asked for; copies of the settings share them.

        Raises:
            ConfigError: an unknown key, kind, view set or prior, a value out of range, or a prior that has no prompt.
        """
        if self._resolved is None:
            from a4d.fitting.resolution import resolve

            self._resolved = resolve(self.views, self.objectives, self.priors, self.optimiser, self.prompt, self.begun)
        return self._resolved

    def changed(self, **values: Any) -> Self:
        """The same with other values of some settings, and parts of its own."""
        return self.model_construct(**{**dict(self), **values})


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


def kind_of(workspace: Workspace, scene: str) -> str:
    """The kind of a scene of the workspace.

    Raises:
        MissingInputError: there is no such scene.
        ConfigError: its `scene.yaml` cannot be read.
    """
    return str(load_yaml(workspace.scene(scene) / "scene.yaml").get("kind"))


def complete_fitting(config: FittingType) -> FittingType:
    """Check all parts of the settings, and fill in their defaults and the prompt; the last step of a completion.

    Raises:
        ConfigError: an unknown key, kind or prior, a value out of range, or no number of iterations.
    """
    if config.iterations is None:
        raise ConfigError("iterations: nothing says how many", "Give --iterations N")
    config = config.model_copy(update={"objectives": _taking_part(config)})
    return config.model_copy(update=config.resolved.settings())


START = "start"
"""The name by which an objective shows the scene that the run goes on from, as it was."""


def _taking_part(config: Fitting) -> list[Spec]:
    """The objectives that are not left out, each with the scene that it shows by its own name.

    Raises:
        ConfigError: what is left out is not there, or the scene at the start is shown where there is none.
    """
    names = [{str(spec.get(key)) for key in ("kind", "prior", "views")} for spec in config.objectives]
    for name in config.without:
        if not any(name in known for known in names):
            raise unknown_key(f"without: {name}", name, set().union(*names) - {"None"})
    kept = [spec for spec, known in zip(config.objectives, names, strict=True) if not known & set(config.without)]
    if not config.from_scene and any(spec.get("frozen") == START for spec in kept):
        raise ConfigError(f"frozen: {START}: this run goes on from no scene", "Give --from SCENE")
    return [{**spec, "frozen": config.from_scene} if spec.get("frozen") == START else spec for spec in kept]


def complete_with_scene(config: FittingType, purpose: str) -> FittingType:
    """Like `complete_fitting`, for a stage that goes on from a scene or begins one.

    Args:
        config: of the stage.
        purpose: what the scene is there for, `distill`.

    Raises:
        UsageError: there is neither a scene to go on from nor one to begin.
    """
    if not config.from_scene and not config.scene:
        raise UsageError(f"there is no scene to {purpose}", "Give --from SCENE, or `scene` for a new one")
    return complete_fitting(config)
