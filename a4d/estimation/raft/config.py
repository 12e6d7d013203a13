"""Sizes of RAFT; the defaults are those of the released large model."""

from __future__ import annotations

from pydantic import Field

from a4d.config import Config

CELL = 8
"""Pixels along the side of what one feature stands for."""


class EncoderConfig(Config):
    """What makes features of a picture at an eighth of its size."""

    widths: tuple[int, ...] = Field(
        default=(64, 64, 96, 128, 256), min_length=5, max_length=5, description="channels of its stages and its output"
    )
    is_bottleneck: bool = Field(default=False, description="whether its blocks are narrow within")


class RaftConfig(Config):
    """The network as a whole."""

    features: EncoderConfig = EncoderConfig()
    context: EncoderConfig = EncoderConfig()
    is_context_normed: bool = Field(default=True, description="whether the context's encoder has batch norms")
    levels: int = Field(default=4, ge=1, description="of the pyramid of correlations")
    radius: int = Field(default=4, ge=1, description="pixels of a level around a place that are looked at")
    correlation: tuple[int, ...] = Field(
        default=(256, 192), min_length=1, max_length=2, description="channels that correlations become"
    )
    flow: tuple[int, ...] = Field(
        default=(128, 64), min_length=2, max_length=2, description="channels that the flow so far becomes"
    )
    motion: int = Field(default=128, ge=3, description="channels of both together")
    state: int = Field(default=128, ge=1, description="channels that are remembered from update to update")
    kernels: tuple[tuple[int, int], ...] = Field(
        default=((1, 5), (5, 1)), min_length=1, max_length=2, description="rows and columns of the gates' convolutions"
    )
    head: int = Field(default=256, ge=1, description="channels within what tells an update")
    is_upsampled: bool = Field(default=True, description="whether it learnt how flow becomes as fine as pictures")


SMALL = RaftConfig(
    features=EncoderConfig(widths=(32, 32, 64, 96, 128), is_bottleneck=True),
    context=EncoderConfig(widths=(32, 32, 64, 96, 160), is_bottleneck=True),
    is_context_normed=False,
    radius=3,
    correlation=(96,),
    flow=(64, 32),
    motion=82,
    state=96,
    kernels=((3, 3),),
    head=128,
    is_upsampled=False,
)
"""The released small model."""


def correlation_bytes(
    side: int,  # pixels
) -> int:
    """Of how alike every feature of a square picture is to every feature of another, in single precision."""
    return 4 * (side // CELL) ** 4
