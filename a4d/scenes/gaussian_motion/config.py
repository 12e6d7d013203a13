"""The settings of moving Gaussians."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from a4d.config import Config
from a4d.geometry.gaussians import count_numbers
from a4d.render.gaussians import RENDERED_GAUSSIAN
from a4d.scenes.gaussian_motion.hexplane_motion import HexplaneMotionConfig
from a4d.scenes.gaussian_motion.node_motion import NodeMotionConfig


class GaussianMotionConfig(Config):
    """What a moving scene is made of besides its tensors."""

    kind: Literal["gaussian_motion"] = "gaussian_motion"
    place: Literal["surface", "vertices"] = Field(
        default="surface", description="of Gaussians on a mesh: spread evenly, or one at each vertex as in Animate3D"
    )
    count: int = Field(default=6000, ge=1, le=20_000_000, description="Gaussians spread over a mesh")
    opacity: float = Field(default=0.95, gt=0, lt=1, description="of Gaussians spread over a mesh")
    size: float = Field(default=0.6, gt=0, description="radius of these over the mean distance to the nearest three")
    motion: HexplaneMotionConfig | NodeMotionConfig = Field(
        default=NodeMotionConfig(), discriminator="kind", description="carried by nodes, or a hexplane as in Animate3D"
    )
    seconds: float | None = Field(default=None, gt=0, description="length of the clip; that of the frames if not given")
    footprint: float | None = Field(
        default=None,
        gt=0,
        description="metres that a pixel is wide with which Gaussians are drawn; as they were fitted",
    )

    def memory(self) -> int:
        """Bytes of the Gaussians at rest that are not a seed's, which are not optimised, and of the motion."""
        rest = 0 if self.place == "vertices" else self.count * (RENDERED_GAUSSIAN + 4 * count_numbers(0))
        return rest + self.motion.memory()
