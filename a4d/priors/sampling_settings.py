"""How clips are sampled from a multi-view video prior: from where, over what, and in how many steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from a4d.config import Config

Spacing = Literal["leading", "trailing"]
Pixels = Annotated[int, Field(ge=16, le=4096)]


def _both_sides(value: object) -> object:
    return (value, value) if isinstance(value, int) else value


Size = Annotated[tuple[Pixels, Pixels], BeforeValidator(_both_sides)]
"""Height and width in pixels; one number is a square."""


class SamplingSettings(Config):
    """What a prior draws well is what it was trained on, so that every prior comes with settings of its own."""

    views: int = Field(ge=1, le=64, description="cameras evenly around the subject")
    frames: int = Field(ge=2, le=1024, description="moments of the clip")
    seconds: float = Field(gt=0, description="length of the clip")
    periodic: bool = Field(default=False, description="the clip repeats: after its last moment comes the first again")
    size: Size = Field(
        description="pixels of the first frames, height and width or both in one; those of the clip, unless the prior "
        "draws at one size alone"
    )
    elevation: float = Field(ge=-89, le=89, description="degrees above the subject")
    radius: float = Field(gt=0, description="metres from the middle to the cameras")
    fill: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the picture's height that the subject's longest side takes, "
        "whatever its shape, in place of a radius",
    )
    fov: float = Field(gt=1, lt=150, description="vertical field of view in degrees")
    background: Literal["black", "grey", "white"] = Field(description="behind the first frames")
    exposure: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="factor of the subject's colours as the prior sees them, so that what is "
        "as bright as a white background stands out from it",
    )
    steps: int = Field(ge=1, le=1000, description="of the sampler, a round")
    guidance_scale: float = Field(description="for prompt and first frames together")
    spacing: Spacing = Field(description="of the sampler's timesteps")
    free_init: int = Field(ge=1, le=10, description="rounds of sampling, the later ones from the low frequencies")
