"""Schedules that follow the number of moments of a clip: a profile counts in moments, and the loop in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from a4d.config import Config


class Pace(Config):
    """Steps per moment, the first one aside, which is at rest."""

    alone: int = Field(ge=1, description="steps of each moment on its own, when its turn comes")
    together: int = Field(default=0, ge=0, description="steps per moment afterwards, in which all take part")


def paced(
    values: Mapping[str, Any],
    pace: Pace,
    moments: int,
) -> dict[str, Any]:
    """A profile's settings for a clip of so many moments.

    `steps: alone` in a schedule takes place once in the turn of each moment, and `steps: together` after all turns.
    Iterations, the turns of view sets of moments, and the keys of nodes are filled in where they are absent.

    Args:
        values: settings as plain data.
        pace: the steps.
        moments: T of the clip, the first included.
    """
    turns = max(moments - 1, 1)
    steps = {"alone": {"steps": pace.alone, "repeat": turns}, "together": {"steps": pace.together * turns}}
    result: dict[str, Any] = _counted(values, steps)
    if result.get("iterations") is None:
        result["iterations"] = (pace.alone + pace.together) * turns
    for view in result.get("views", {}).values():
        if view.get("kind") == "moments" and "unlocked" not in view:
            view.setdefault("turn", pace.alone)
    motion = result.get("scene", {}).get("motion", {})
    if motion.get("kind") == "nodes":
        motion.setdefault("keys", turns + 1)
    return result


def _counted(value: Any, steps: Mapping[str, Mapping[str, int]]) -> Any:
    if isinstance(value, Mapping):
        items = {key: _counted(item, steps) for key, item in value.items()}
        phase = items.get("steps")
        return {**items, **steps.get(str(phase), {})} if "from" in items else items
    return [_counted(item, steps) for item in value] if isinstance(value, list) else value
