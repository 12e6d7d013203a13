"""The settings that articulated scenes share: bones, skinning, and how the bones move."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from a4d.config import Config
from a4d.scenes.articulation import PoseNetworkConfig
from a4d.scenes.perceptron import NetworkConfig

Blending = Literal["dual-quaternion", "linear"]
"""How the motions of several bones become that of a point between them."""


class SkinningNetworkConfig(NetworkConfig):
    """A network that adds to a point's distances from the bones (BANMo, section 3.2)."""

    width: int = Field(default=64, ge=4, le=512)
    layers: int = Field(default=2, ge=1, le=8, description="hidden ones")
    harmonics: int = Field(default=6, ge=1, le=64, description="waves of time that it reads")
    gain: float = Field(default=0.1, gt=0, description="squared radii that an output of one adds")


class ArticulatedConfig(Config):
    """Bones at rest, the weights by which they hold points, and their motion over the clip."""

    bones: int = Field(default=25, ge=1, le=256, description="bones, none another's parent")
    bone_size: float = Field(
        default=1.0, gt=0, description="a bone's radii at the start over the root mean square of its points' distances"
    )
    blending: Blending = Field(default="dual-quaternion", description="of the bones' motions")
    skinning: SkinningNetworkConfig | None = Field(
        default=None, description="a network beside the distances; null: distances alone decide"
    )
    motion: PoseNetworkConfig = Field(
        default=PoseNetworkConfig(shifted="all", layers=0, harmonics=5, falloff=1.0),
        description="of bones and root, a network of time or a Fourier series; its period follows from the cycles",
    )
    cycles: float | None = Field(
        default=None, ge=0, le=1000, description="how often the motion repeats in the clip; 0 or none: it does not"
    )
    seconds: float | None = Field(default=None, gt=0, description="length of the clip; that of the frames if not given")

    @property
    def paced(self) -> PoseNetworkConfig:
        """The motion's settings for loose bones, with the period that the cycles say."""
        period = min(1 / self.cycles, 1.0) if self.cycles else None
        return self.motion.model_copy(update={"shifted": "all", "period": period})
