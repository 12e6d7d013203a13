"""View sets: from where a scene is looked at, and what was observed from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from a4d.config import Spec, parse, unknown_key
from a4d.views.batch import ViewBatch
from a4d.views.frames import Frames
from a4d.views.view_set import Views

__all__ = ["Frames", "ViewBatch", "Views", "build_views", "frames_of_split"]

KINDS = {
    "moments": "a4d.views.moments:MomentViews",
    "observed": "a4d.views.observed:ObservedViews",
    "orbit": "a4d.views.orbit:OrbitViews",
}


def build_views(specs: Mapping[str, Spec]) -> dict[str, Views]:
    """View sets from their configurations, by name.

    Raises:
        ConfigError: an unknown kind or key.
    """
    views = {}
    for name, spec in specs.items():
        kind = str(spec.get("kind"))
        if kind not in KINDS:
            raise unknown_key(f"views.{name}.kind: {kind}", kind, KINDS)
        module, _, class_name = KINDS[kind].partition(":")
        model: type[Views] = getattr(import_module(module), class_name)
        views[name] = parse(model, spec, f"views.{name}")
    return views


def frames_of_split(frames: Frames | None, split: str, **settings: Any) -> Iterator[ViewBatch]:
    """Each frame of a split once, alone, in the workspace's order.

    Args:
        frames: of the workspace.
        split: `train`, `test`, `all` or `proxy`.
        settings: further ones of observed views, such as their size and background.

    Raises:
        MissingInputError: the split has no frames.
    """
    observed = build_views({"frames": {"kind": "observed", "split": split, **settings}})
    return observed["frames"].every_frame(frames)
