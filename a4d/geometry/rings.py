"""Where to look at a subject from: rings of views around it, and views in the gaps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras, orbit


@dataclass(frozen=True)
class Rings:
    """Rings of cameras around the origin, each turned a little against the next.

    Args:
        count: views, dealt to the rings in turn.
        elevations: degrees above the subject, of each ring.
        azimuth: degrees, of the first view; 0 is the front, positive toward +X.
        radius: metres from the origin.
        fov: vertical field of view in degrees.
        size: pixels of the square images' side.
    """

    count: int
    elevations: Sequence[float] = (15.0,)
    azimuth: float = 0.0
    radius: float = 3.0
    fov: float = 40.0
    size: int = 512

    def cameras(self) -> Cameras:
        """The `count` views."""
        azimuth, elevation = self._angles(torch.arange(self.count, dtype=torch.float64))
        return self._looking_in(azimuth, torch.tensor(list(self.elevations))[elevation])

    def between(self, count: int) -> Cameras:
        """Views in the middle between neighbours, spread over all of the rings: what `cameras` do not show."""
        if count == 0 or self.count == 0:
            return self._looking_in(torch.zeros(count), torch.zeros(count))
        place = torch.arange(count) * self.count / count
        azimuth, _ = self._angles(place.floor().double())
        rings = len(self.elevations)
        # Neighbours on a ring are as far apart as the rings have views.
        azimuth = azimuth + 180 * rings / max(self.count, rings)
        heights = torch.tensor(list(self.elevations), dtype=torch.float64)
        middle = (heights[1:] + heights[:-1]) / 2 if rings > 1 else heights
        return self._looking_in(azimuth, middle[torch.arange(count) % len(middle)])

    def _angles(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Azimuth in degrees and ring of views."""
        rings = len(self.elevations)
        ring = index.long() % rings
        turn = ((index.long() // rings).double() + ring.double() / rings) / max(self.count / rings, 1)
        return self.azimuth + 360 * turn, ring

    def _looking_in(self, azimuth: Tensor, elevation: Tensor) -> Cameras:
        return orbit(azimuth.float(), elevation.float(), self.radius, self.fov, self.size, self.size)
