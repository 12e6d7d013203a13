"""What a fit asks of memory at the least, known before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a4d.fitting.settings import Fitting
from a4d.memory import PICTURE_PIXEL, Demand

if TYPE_CHECKING:
    from a4d.views import Frames


def demands(config: Fitting) -> list[Demand]:
    """A new scene, and the pictures that one step of each view set sees.

    Args:
        config: complete.
    """
    scene = config.resolved.scene
    new = [] if scene is None else [Demand("scene", scene.kind.memory(scene.config))]
    return demands_of_views(config) + new


def demands_of_views(config: Fitting, frames: Frames | None = None) -> list[Demand]:
    """The pictures alone.

    Args:
        config: complete.
        frames: that observed views choose from; without them nothing is known of those.
    """
    views = config.resolved.views.items()
    return [Demand(f"views.{name}", PICTURE_PIXEL * each.pixels_per_step(frames)) for name, each in views]
