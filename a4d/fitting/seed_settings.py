"""The settings of what a scene begins from: a first guess of the shape, and its renders where nothing was observed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from a4d.config import Config
from a4d.errors import ConfigError, MissingInputError
from a4d.intake.settings import MeshPlacement

Extent = Annotated[float, Field(gt=0)]


class SeedConfig(Config):
    """Where the first guess of the shape comes from."""

    kind: Literal["inflation", "capture", "points", "visual-hull", "film", "mesh", "ball", "file", "image-to-shape"] = (
        "ball"
    )
    thickness: float | None = Field(
        default=None,
        ge=0,
        le=2,
        description="depth of an inflated silhouette over its size; the outline tells if not given",
    )
    resolution: int = Field(default=96, ge=16, le=512, description="cells along the visual hull's side")
    radius: float = Field(default=1.0, gt=0, description="metres; extent of the ball and of the hull")
    tolerated: float = Field(
        default=0.0, ge=0, lt=1, description="share of the views that may see past a part of the hull: of what moves"
    )
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


class ShapeConfig(MeshPlacement):
    """The shape that a scene begins from where no scene is given: a simple body, or a coarse mesh of the user's."""

    kind: Literal["ball", "ellipsoid", "cylinder", "mesh", "visual-hull"] = Field(
        default="ball",
        description="a filled ball, or the surface of an ellipsoid, of an upright cylinder or of a file, or what fills "
        "the outlines of sampled views",
    )
    radius: float = Field(default=0.8, gt=0, description="metres; of a mesh, from its middle to its farthest vertex")
    axes: tuple[Extent, Extent, Extent] = Field(
        default=(1.0, 1.0, 1.0), description="half extents of ellipsoid and cylinder along x, y, z as shares of it"
    )
    file: Path | None = Field(default=None, description="of a mesh")

    @model_validator(mode="after")
    def _check_file(self) -> ShapeConfig:
        if (self.kind == "mesh") != (self.file is not None):
            raise ValueError("a file belongs to the kind `mesh`, and to no other")
        return self

    @property
    def files(self) -> list[Path]:
        """The files that decide the shape.

        Raises:
            MissingInputError: there is no such file.
        """
        if self.file is None:
            return []
        if not self.file.is_file():
            raise MissingInputError(f"{self.file} does not exist", "Correct seed.file")
        return [self.file.absolute()]


class ProxyConfig(Config):
    """Renders of the first guess that stand in for observations where there are none."""

    count: int = Field(default=24, ge=1, le=1000)
    size: int = Field(default=256, ge=16, le=4096)
    elevations: list[float] = Field(
        default=[-15.0, 15.0, 45.0], min_length=1, max_length=1000, description="degrees, one ring of views each"
    )
