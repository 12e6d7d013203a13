"""What `a4d train-prior` needs to know of a model that it can train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from a4d.config import Config, load_yaml, overlaid, parse, set_value
from a4d.memory import Demand
from a4d.training.trainer import Batches, Trainee, TrainingConfig


class ModelTraining(Config):
    """Base of every model's training configuration, which adds its architecture and its data."""

    training: TrainingConfig

    def memory(self) -> list[Demand]:
        """What a batch asks of memory at the least."""
        return []


TrainingType = TypeVar("TrainingType", bound=ModelTraining)


@dataclass(frozen=True)
class Model(Generic[TrainingType]):
    """A model that can be trained.

    Args:
        name: on the command line.
        config: class of its settings.
        defaults: YAML file of its settings, with a section `cuda` of what is different there, and a section
            `continued` of what is different when training starts from weights.
        start: settings, weights to start from or None, and the seed, to the trainee and all of its batches.
        evaluate: weights, or None for those that ship, a device and a number of objects to figures by name.
        learns_from_files: whether it needs a data set, whose folder stands in the settings as `data.path`.
    """

    name: str
    config: type[TrainingType]
    defaults: Path
    start: Callable[[TrainingType, Path | None, int], tuple[Trainee, Batches]]
    evaluate: Callable[[Path | None, str, int], dict[str, float]]
    learns_from_files: bool = False

    def settings(
        self,
        device: str,
        is_continued: bool,
        given: Iterable[Mapping[str, Any]],
        assignments: tuple[str, ...] = (),
    ) -> TrainingType:
        """The model's settings for a device, with what was given in their place, in order.

        Args:
            device: `cpu` or `cuda`.
            is_continued: training starts from weights.
            given: of the same nesting as the file.
            assignments: as of `--set`.

        Raises:
            ConfigError: a key is unknown or a value out of range.
        """
        values = load_yaml(self.defaults)
        cuda, continued = values.pop("cuda", {}), values.pop("continued", {})
        if device.startswith("cuda"):
            values = overlaid(values, cuda)
        if is_continued:
            values = overlaid(values, continued)
        for each in given:
            values = overlaid(values, each)
        for assignment in assignments:
            set_value(values, assignment)
        return parse(self.config, values)
