"""The settings of what a scene begins from: a first guess of the shape, and its renders where nothing was observed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from a4d.config import Config
from a4d.errors import ConfigError


class SeedConfig(Config):
    """Where the first guess of the shape comes from."""

    kind: Literal["inflation", "capture", "points", "visual-hull", "mesh", "ball", "file", "image-to-shape"] = "ball"
    thickness: float = Field(default=0.82, ge=0, le=2, description="depth of an inflated silhouette over its size")
    resolution: int = Field(default=96, ge=16, le=512, description="cells along the visual hull's side")
    radius: float = Field(default=1.0, gt=0, description="metres; extent of the ball and of the hull")
    file: Path | None = Field(default=None, description="a mesh that has the shape which the picture shows")
    prior: str | None = Field(default=None, description="the model that makes a shape of the picture")
    options: dict[str, Any] = Field(default={}, description="of that model, in place of the catalogue's")


def shape_model(config: SeedConfig) -> str:
    """The name in the catalogue of the model that makes the shape.

    Raises:
        ConfigError: none is named.
    """
    if config.prior is None:
        raise ConfigError("seed.prior: nothing says which model makes the shape", "Give one of `a4d weights list`")
    return config.prior


class PrimitiveConfig(Config):
    """The shape that a scene begins from where none is given."""

    kind: Literal["ball", "ellipsoid"] = Field(default="ball", description="a filled ball, or an ellipsoid's surface")
    radius: float = Field(default=0.8, gt=0, description="metres")
    axes: tuple[float, float, float] = Field(default=(1.0, 1.0, 1.0), description="x, y, z as shares of the radius")


class ProxyConfig(Config):
    """Renders of the first guess that stand in for observations where there are none."""

    count: int = Field(default=24, ge=1, le=1000)
    size: int = Field(default=256, ge=16, le=4096)
    elevations: list[float] = Field(
        default=[-15.0, 15.0, 45.0], min_length=1, max_length=1000, description="degrees, one ring of views each"
    )
