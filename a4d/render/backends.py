"""Which implementation of an operation runs: named in one table, imported at its first use, refused with a remedy."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from a4d.errors import BackendUnavailableError, UsageError


@functools.cache
def load(target: str) -> Callable[..., Any] | str:
    """Import `module:function` once; the function, or the reason why it cannot be imported.

    Extensions for another machine fail with OSError where packages that are absent fail with ImportError.
    """
    module, _, name = target.partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return function


def availability(table: Mapping[str, str]) -> dict[str, str | None]:
    """For each backend of a table of `module:function`, None if it can be used here, else the reason why not."""
    loaded = {name: load(target) for name, target in table.items()}
    return {name: reason if isinstance(reason, str) else None for name, reason in loaded.items()}


def choose(table: Mapping[str, str], name: str, remedies: Mapping[str, str]) -> Callable[..., Any]:
    """The function of a named backend.

    Args:
        table: backend names to `module:function`.
        name: one of them.
        remedies: what to do where a backend is not available, by name.

    Raises:
        UsageError: there is no backend of that name.
        BackendUnavailableError: it cannot be imported here; says why and what to do.
    """
    if name not in table:
        raise UsageError(f"unknown backend '{name}'", f"Valid are: auto, {', '.join(table)}")
    function = load(table[name])
    if isinstance(function, str):
        raise BackendUnavailableError(f"the backend '{name}' is not available ({function})", remedies.get(name, ""))
    return function
