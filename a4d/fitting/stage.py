"""What the stages that optimise a scene have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a4d.config import Config
from a4d.fitting.demands import demands
from a4d.fitting.files import fit_inputs, require_weights
from a4d.fitting.settings import complete_fitting
from a4d.memory import Demand
from a4d.running.stage import Stage
from a4d.workspace.workspace import Workspace


@dataclass(frozen=True)
class FittingStage(Stage):
    """A stage with settings of `Fitting`, which makes a scene and can be interrupted; see `Stage` for the rest."""

    inputs: Callable[[Workspace, Any], list[Path]] = fit_inputs
    complete: Callable[[Any], Config] | None = complete_fitting
    require: Callable[[Any], None] | None = require_weights
    memory: Callable[[Any], list[Demand]] | None = demands
    writes_scene: bool = True
    resumable: bool = True
