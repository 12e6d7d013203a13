"""What a fit asks of memory at the least, known before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a4d.fitting.settings import Fitting
from a4d.memory import PICTURE_PIXEL, Demand

if TYPE_CHECKING:
    from a4d.views import Frames, Views


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
    return [Demand(f"views.{name}", PICTURE_PIXEL * pixels_of_step(each, frames)) for name, each in views]


def pixels_of_step(views: Views, frames: Frames | None) -> int:
    """How many pixels a view set shows in one step at the least; 0 where only the frames tell and are not known."""
    from a4d.views.moments import MomentViews
    from a4d.views.observed import ObservedViews
    from a4d.views.orbit import OrbitViews

    if isinstance(views, OrbitViews):
        return views.batch * (views.frames or 1) * views.size**2
    if not isinstance(views, ObservedViews) or isinstance(views, MomentViews) or frames is None:
        return 0
    cameras = [frames.cameras[index] for index in frames.select(views.split)]
    pixels = min((camera.width * camera.height for camera in cameras), default=0)
    if isinstance(views.size, float):
        longest = max((max(camera.width, camera.height) for camera in cameras), default=1)
        pixels = int(pixels * min(views.size / longest, 1) ** 2)
    elif views.size is not None:
        return 0
    return views.batch * min(pixels, pixels if views.patch is None else views.patch**2)
