"""The environment light of a scene: built-in or from a file, fixed or optimised."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from a4d.config import Config
from a4d.io.pictures.hdr import read_hdr
from a4d.render.cubemap import cube_from_panorama
from a4d.render.environment import EnvironmentLight, sky_cube, studio_cube
from a4d.trainable import learning_parameters

FIXED_SIZE, OPTIMISED_SIZE = 128, 32
"""Texels along the edge of a cube map's face."""

BUILT_IN = {"studio": studio_cube, "sky": sky_cube}
"""Environments by name, each a cube map of a size that is asked for."""

DARKEST = 1e-3
"""Linear radiance at which an optimised light starts where there is none: its logarithm must be finite."""


class LightConfig(Config):
    """Where the light comes from."""

    environment: str = Field(default="studio", description="built-in 'studio' or 'sky', or the path of an .hdr file")
    strength: float = Field(default=1.0, gt=0)
    is_optimised: bool = Field(default=False, description="a parameter of the scene, the group 'light'")

    @property
    def files(self) -> list[Path]:
        """The picture of the environment, where it is none of those built in."""
        return [] if self.environment in BUILT_IN else [Path(self.environment)]


class Lighting(nn.Module):
    """A cube map of radiance, and what the renderer needs of it.

    Args:
        config: source and strength; the file is read by `initialise` alone, after that the scene holds its content.
    """

    cube: Tensor

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.config = config
        self.logarithm: nn.Parameter | None = None
        if config.is_optimised:
            self.logarithm = nn.Parameter(torch.zeros(6, OPTIMISED_SIZE, OPTIMISED_SIZE, 3))
        else:
            self.register_buffer("cube", torch.zeros(6, FIXED_SIZE, FIXED_SIZE, 3))
        self._filtered: EnvironmentLight | None = None
        self._learning: tuple[bool, ...] | None = None

    @torch.no_grad()
    def initialise(self) -> None:
        """Take the built-in environment or read the file.

        Raises:
            MissingInputError: there is no such file.
            InvalidInputError: it is no Radiance picture.
        """
        if self.config.environment in BUILT_IN:
            cube = BUILT_IN[self.config.environment](FIXED_SIZE)
        else:
            cube = cube_from_panorama(torch.from_numpy(read_hdr(Path(self.config.environment))), FIXED_SIZE)
        cube = cube * self.config.strength
        if self.logarithm is None:
            self.cube.copy_(cube)
            return
        coarse = avg_pool2d(cube.permute(0, 3, 1, 2), FIXED_SIZE // OPTIMISED_SIZE).permute(0, 2, 3, 1)
        self.logarithm.copy_(coarse.clamp(min=DARKEST).log())

    def forget(self) -> None:
        """The parameters have changed: filter them anew when they are needed next."""
        if self.logarithm is not None:
            self._filtered = None

    def forward(self) -> EnvironmentLight:
        """The filtered environment, with gradients where it is optimised."""
        device = (self.cube if self.logarithm is None else self.logarithm).device
        learning = learning_parameters(self)
        is_stale = learning is not None and learning != self._learning and self.logarithm is not None
        if self._filtered is None or is_stale or self._filtered.irradiance.device != device:
            self._learning = learning
            self._filtered = EnvironmentLight.of(self.cube if self.logarithm is None else self.logarithm.exp())
        return self._filtered
