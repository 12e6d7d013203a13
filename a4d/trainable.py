"""Whatever learns in a run: a scene, a prior's adapter, a network of cameras, the poses of every frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import unknown_key
from a4d.optimisers import Optimisers


class Trainable(nn.Module, ABC):
    """Parameters in named groups, which a run optimises, checkpoints, resumes and saves."""

    @abstractmethod
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """All parameters that can learn, by the names of the groups that rates are given for; a group may be empty."""

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Adapt to an optimiser's step: densify, unmask levels, extract a mesh anew."""

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over the `state_dict` of a checkpoint that was written after `step` iterations."""
        self.load_state_dict(state)

    def facts(self) -> dict[str, float]:
        """Numbers that change during optimisation and belong into its log, such as a count of primitives."""
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learnt into an existing folder."""

    def hold_all_but(self, groups: Collection[str]) -> None:
        """Let the parameters of some groups learn from now on, and no other."""
        learning = {id(parameter) for name in groups for parameter in self.groups()[name]}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    @contextmanager
    def reaching(self, groups: Collection[str] | None) -> Iterator[None]:
        """Leave all but some groups out of the graphs that are built within the block; None leaves none out.

        What is held costs no backward pass.
        """
        own = self.groups() if groups is not None else {}
        held = [
            parameter
            for name, parameters in own.items()
            if groups is not None and name not in groups
            for parameter in parameters
            if parameter.requires_grad
        ]
        for parameter in held:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in held:
                parameter.requires_grad_(True)

    def require_groups(self, names: Collection[str], where: str) -> None:
        """Check that there are such groups.

        Raises:
            ConfigError: one is unknown; `where` is the place in the settings that names it.
        """
        for name in names:
            if name not in self.groups():
                raise unknown_key(f"{where}.{name}", name, self.groups())


def learning_parameters(module: nn.Module) -> tuple[bool, ...] | None:
    """Which of a module's parameters a graph is built for at present; None where no graphs are built.

    By it, what renders share within a step is told from what was computed without a graph, or with parts held.
    """
    return tuple(each.requires_grad for each in module.parameters()) if torch.is_grad_enabled() else None
