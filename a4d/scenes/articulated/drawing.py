"""Images of articulated Gaussians at rest and at moments of their clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.render.footprint import render_fitted, render_layered
from a4d.render.render import Render, Wants
from a4d.scenes.moment_renders import render_by_moment
from a4d.scenes.protocols import PLACE

Draw = Callable[[Gaussians, Tensor], Render]
"""The views of one moment, from its Gaussians and the (K,) indices of these views."""


@dataclass(frozen=True)
class Drawing:
    """Gaussians as cameras see them.

    Args:
        rest: where nothing moves them.
        moments: at several times in [0, 1].
        footprint: metres that a pixel is wide with which they are drawn; None is that of the views.
    """

    rest: Gaussians
    moments: Callable[[Sequence[float]], Sequence[Gaussians]]
    footprint: float | None

    def colours(
        self,
        cameras: Cameras,  # B
        times: Tensor | None,  # (B,) in [0, 1]; None is rest
        background: Tensor,  # (3,)
        wants: Wants,
        seen: Callable[[Gaussians, Cameras, Render], None] | None = None,
    ) -> Render:
        """B splatted views, with channels; `seen` is told of the views of each moment."""
        behind = background.expand(len(cameras), 3)

        def draw(gaussians: Gaussians, chosen: Tensor) -> Render:
            render = render_fitted(gaussians, cameras[chosen], behind[chosen], self.footprint, wants)
            if seen is not None:
                seen(gaussians, cameras[chosen], render)
            return render

        return self._by_moment(draw, len(cameras), times)

    def first_surface(
        self,
        cameras: Cameras,  # B
        times: Tensor | None,  # (B,) in [0, 1]; None is rest
    ) -> Render:
        """Depth on the first surface; see `a4d.render.footprint.render_layered`."""

        def draw(gaussians: Gaussians, chosen: Tensor) -> Render:
            return render_layered(gaussians, cameras[chosen], self.footprint)

        return self._by_moment(draw, len(cameras), times)

    def signals(
        self,
        cameras: Cameras,  # B
        times: Tensor,  # (B,) in [0, 1]
        signals: Mapping[str, Tensor],  # (N, C) or (B, N, C) of the Gaussians
    ) -> Render:
        """B views over black, with signals of the Gaussians as channels of their names."""

        def draw(gaussians: Gaussians, chosen: Tensor) -> Render:
            shown = {name: each if each.dim() == 2 else each[chosen] for name, each in signals.items()}
            return render_fitted(gaussians, cameras[chosen], footprint=self.footprint, signals=shown)

        return self._by_moment(draw, len(cameras), times)

    def places(
        self,
        cameras: Cameras,  # B
        times: Tensor,  # (B,) in [0, 1]
        motions: Tensor,  # (B, N, 3, 4) of the Gaussians to the places that are asked for
    ) -> Render:
        """B views over black, with the channel `place`: where a motion takes what is seen.

        The motion is blended, and applied to the point that the pixel's depth tells: the Gaussians' centres need not
        lie behind the pixel.
        """
        render = self.signals(cameras, times, {PLACE: motions.flatten(2)})
        origins, directions = cameras.rays()
        points = origins + render.depth * directions
        other_from_own = render.channels[PLACE].unflatten(-1, (3, 4))
        places = (other_from_own[..., :3] @ points[..., None]).squeeze(-1) + other_from_own[..., 3]
        return replace(render, channels={PLACE: places})

    def _by_moment(self, draw: Draw, count: int, times: Tensor | None) -> Render:
        if times is None:
            return draw(self.rest, torch.arange(count, device=self.rest.means.device))
        return render_by_moment(self.moments, draw, times)
