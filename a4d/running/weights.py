"""The weights of a run's models: folders that the user names, and what the record says of those that took part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from a4d.config import digest
from a4d.io.files import hash_file
from a4d.priors.catalogue import find, locate, parse_overrides
from a4d.workspace.files import files_below
from a4d.workspace.record import Weights
from a4d.workspace.transaction import Transaction


def weight_overrides(text: str) -> dict[str, Path]:
    """Folders of weights by catalogue name, from `NAME=PATH[,NAME=PATH]...`.

    Raises:
        UsageError: a part is not of that form, or there is no such folder.
    """
    return parse_overrides(part.strip() for part in text.split(",") if part.strip())


def record_weights(work: Transaction, folders: Mapping[str, Path], overrides: Mapping[str, Path]) -> None:
    """Put models on a run's record, and say which of them are not for commercial use.

    Args:
        work: of the run.
        folders: of the models by name.
        overrides: those of them that a user named.
    """
    for name, folder in folders.items():
        work.weights.append(_recorded(name, folder, overrides))
        if not find(name).commercial:
            work.warn(f"{name}: {find(name).terms}")


def located_weights(work: Transaction, name: str, weights: str) -> Path:
    """The folder of a model that takes part in a run, which its record will name.

    Args:
        work: of the run.
        name: in the catalogue.
        weights: folders that the user names, as `weight_overrides` takes them.

    Raises:
        BackendUnavailableError: the weights are not on this machine.
    """
    overrides = weight_overrides(weights)
    folder = locate(name, overrides)
    record_weights(work, {name: folder}, overrides)
    return folder


def _recorded(name: str, folder: Path, overrides: Mapping[str, Path]) -> Weights:
    """What is known of a model's files: the hub's commit, or the hash of all that a user named or the package holds."""
    if name not in overrides and find(name).packaged is None:
        return Weights(id=name, revision=folder.name)
    hashes = [[file.relative_to(folder).as_posix(), hash_file(file)] for file in files_below(folder)]
    return Weights(id=name, sha256=digest(hashes))
