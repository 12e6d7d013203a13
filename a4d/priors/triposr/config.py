"""The sizes and constants of a TripoSR; the defaults are those of the released weights."""

from __future__ import annotations

from pydantic import Field

from a4d.config import Config


class VisionConfig(Config):
    """A vision transformer, DINO ViT-B/16."""

    width: int = Field(default=768, ge=1)
    layers: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    inner_width: int = Field(default=3072, ge=1, description="of the layers' perceptrons")
    patch: int = Field(default=16, ge=1, description="pixels along a side")
    table: int = Field(default=14, ge=1, description="patches along the side of the pictures it was trained with")


class BackboneConfig(Config):
    """The transformer that makes planes of what the picture says."""

    width: int = Field(default=1024, ge=32)
    layers: int = Field(default=16, ge=1)
    heads: int = Field(default=16, ge=1)
    head_width: int = Field(default=64, ge=1)


class DecoderConfig(Config):
    """The perceptron that reads the planes' features."""

    width: int = Field(default=64, ge=1)
    layers: int = Field(default=9, ge=1, description="hidden ones")


class TripoSRConfig(Config):
    """A whole model."""

    picture: int = Field(default=512, ge=1, description="pixels along the side of the pictures it is shown")
    vision: VisionConfig = VisionConfig()
    backbone: BackboneConfig = BackboneConfig()
    decoder: DecoderConfig = DecoderConfig()
    plane: int = Field(default=32, ge=1, description="tokens along a plane's side")
    features: int = Field(default=40, ge=1, description="of a plane, on twice as many texels along a side")
    radius: float = Field(default=0.87, gt=0, description="half of the side of the cube that the planes span")
    density_bias: float = -1.0
    threshold: float = Field(default=25.0, gt=0, description="density at the surface")
    samples_per_ray: int = Field(default=128, ge=1)
