"""Sizes of BiRefNet; the defaults are those of the released general model."""

from __future__ import annotations

from pydantic import Field

from a4d.config import Config


class SwinConfig(Config):
    """The windowed transformer (Liu et al. 2021), whose stages halve the grid and double the width."""

    width: int = Field(default=192, ge=1, description="channels of the first stage")
    depths: tuple[int, ...] = Field(default=(2, 2, 18, 2), min_length=4, max_length=4, description="layers by stage")
    heads: tuple[int, ...] = Field(default=(6, 12, 24, 48), min_length=4, max_length=4, description="heads by stage")
    window: int = Field(default=12, ge=1, description="tokens of a window's side")
    patch: int = Field(default=4, ge=1, description="pixels of a patch's side")
    hidden: int = Field(default=4, ge=1, description="times the width that is within a perceptron")


class BiRefNetConfig(Config):
    """The network as a whole."""

    swin: SwinConfig = SwinConfig()
    size: int = Field(default=1024, ge=32, description="pixels of the square picture that it is told")
    inner: int = Field(default=64, ge=1, description="channels within a block of the decoder")
    branch: int = Field(default=256, ge=1, description="channels of a branch of its pyramid")
    kernels: tuple[int, ...] = Field(default=(1, 3, 7), description="pixels of the branches' deformable kernels")
    gradient: int = Field(default=16, ge=1, description="channels by which a block attends to edges")

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the four stages, the coarsest first, of the picture and its half together."""
        return tuple(2 * self.swin.width * 2**stage for stage in (3, 2, 1, 0))
