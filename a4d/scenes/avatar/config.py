"""The settings of an avatar."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from a4d.config import Config
from a4d.geometry.gaussians import count_numbers
from a4d.memory import TRAINED_NUMBER
from a4d.render.gaussians import RENDERED_GAUSSIAN
from a4d.scenes.avatar.appearance import COLOUR, NUMBERS, DecoderConfig, TableConfig
from a4d.scenes.avatar.branch import PoseBranchConfig

FILLED = 0.6
"""Share of a texture that charts take, about."""

Ratio = Annotated[float, Field(gt=0, le=100)]


class AvatarConfig(Config):
    """What an avatar is made of besides its tensors."""

    kind: Literal["avatar"] = "avatar"
    texels: int = Field(
        default=224, ge=8, le=4096, description="of the texture along a side; each seen one, a Gaussian"
    )
    size: Ratio = Field(default=0.75, description="deviation to begin with, over the distance of neighbouring texels")
    sizes: tuple[Ratio, Ratio] = Field(default=(0.8, 2.5), description="least and largest, over that to begin with")
    opacity: float = Field(default=0.982, gt=0, lt=1, description="of all, at all times")
    appearance: TableConfig | DecoderConfig = Field(
        default=TableConfig(), discriminator="kind", description="a table with a row per texel, or a decoded map"
    )
    branch: PoseBranchConfig | None = Field(default=None, description="what of the appearance depends on the pose")
    culling: float | None = Field(
        default=0.25, ge=-1, le=1, description="cosine to the viewing direction from which on a texel that faces away "
        "is left out while it is fitted; null leaves out none"
    )  # fmt: skip
    footprint: float | None = Field(
        default=None, gt=0, description="metres that a pixel is wide with which they are drawn; the views' if not given"
    )

    @model_validator(mode="after")
    def _check_branch(self) -> AvatarConfig:
        channels = self.appearance.channels if isinstance(self.appearance, DecoderConfig) else None
        if self.branch is not None and channels not in (None, self.branch.channels):
            raise ValueError(f"branch.channels: its features are added to those of a map with {channels}")
        return self

    def memory(self) -> int:
        """Bytes of the texels of a texture that is filled as usual, and of what decodes them."""
        texels = int(FILLED * self.texels**2)
        decoder = self.appearance if isinstance(self.appearance, DecoderConfig) else None
        parameters = NUMBERS * texels if decoder is None else decoder.channels * decoder.resolution**2
        if self.branch is not None and decoder is None:
            parameters += COLOUR * self.branch.channels * texels
        return TRAINED_NUMBER * parameters + texels * (RENDERED_GAUSSIAN + 4 * count_numbers(0))
