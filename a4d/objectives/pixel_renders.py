"""Renders of some pixels of each image alone."""

from __future__ import annotations

from torch import Tensor

from a4d.render.render import Render, Shading, Wants
from a4d.scenes.scene import Scene
from a4d.views import ViewBatch
from a4d.views.batch import picked


def render_pixels(scene: Scene, batch: ViewBatch, shading: Shading | None, wants: Wants = ()) -> Render:
    """The pixels of a batch that alone count, as images (B, 1, K, C).

    Scenes that follow rays march these rays and no others; of other scenes the whole image is made and looked at there.

    Args:
        scene: on the batch's device.
        batch: with `pixels`.
        shading: in which it is shown; None is the scene's own.
        wants: channels beside colour, coverage and depth.

    Raises:
        ConfigError: the scene has no such shading.
    """
    assert batch.pixels is not None
    if not scene.follows_rays:
        whole = scene.render_shaded(batch.cameras, batch.times, batch.background, shading, wants)
        rgb, alpha, depth = (picked(image, batch.pixels) for image in (whole.rgb, whole.alpha, whole.depth))
        channels = {name: picked(channel, batch.pixels) for name, channel in whole.channels.items()}
        return Render(rgb, alpha, depth, channels, whole.visible)
    count, each = batch.pixels.shape[:2]
    times = None if batch.times is None else batch.times.repeat_interleave(each)
    background = batch.background.repeat_interleave(each, dim=0)
    single = scene.render_shaded(batch.cameras.through(batch.pixels), times, background, shading, wants)

    def in_rows(image: Tensor) -> Tensor:
        return image.view(count, 1, each, -1)

    channels = {name: in_rows(channel) for name, channel in single.channels.items()}
    return Render(in_rows(single.rgb), in_rows(single.alpha), in_rows(single.depth), channels)
