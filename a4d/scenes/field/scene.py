"""A radiance field: static, or moving over a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a4d.config import Config, Number, Spec, overlaid, parse, plain, value_at
from a4d.errors import ConfigError, SurfaceVanishedError
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.memory import TRAINED_NUMBER
from a4d.optimisers import Optimisers
from a4d.render.encoding import GridConfig, progressive_level_weights
from a4d.render.field import RAY_CHANNELS, Marching, SamplingConfig, render_field
from a4d.render.occupancy import CELL_BYTES, OccupancyConfig, OccupancyGrid
from a4d.render.render import Channel, Render, Shading, Wants
from a4d.scenes.field.radiance import (
    DensityConfig,
    Grid4D,
    GridStack,
    RadianceField,
    TimeConfig,
    build_features,
    feature_parameters,
)
from a4d.scenes.field.surface import outer_surface
from a4d.scenes.perceptron import NetworkConfig
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene

FieldShading = Literal["albedo", "lambertian", "textureless", "normal"]

POINTS = 2**17
"""Points at which a mesh's grid is evaluated at once."""


class FieldSceneConfig(Config):
    """What a field is made of besides its tensors."""

    kind: Literal["field"] = "field"
    bound: float | None = Field(default=None, gt=0, description="half of the cube's side in metres; the seed's radius")
    encoding: GridConfig = GridConfig()
    network: NetworkConfig = NetworkConfig()
    density: DensityConfig = DensityConfig()
    time: TimeConfig | None = Field(default=None, description="grid-4d or grid-stack; null is a static field")
    active_levels: Number | None = Field(default=None, description="levels that take part, by step; null is all")
    sampling: SamplingConfig = SamplingConfig()
    occupancy: OccupancyConfig = OccupancyConfig()
    shading: FieldShading = "albedo"
    ambient: float = Field(default=0.1, ge=0, le=1, description="light on a surface that faces away from the lamp")
    surface_density: float = Field(default=10.0, gt=0, description="per metre, where a mesh has its surface")
    surface_resolution: int = Field(default=128, ge=8, le=1024, description="cells of a mesh's grid along the cube")

    @model_validator(mode="before")
    @classmethod
    def _without_normals(cls, values: Any) -> Any:
        """Leave out what scenes of before said about normals, which are now rendered where somebody wants them."""
        return (
            {name: value for name, value in values.items() if name != "normals"} if isinstance(values, dict) else values
        )


class FieldScene(Scene):
    """A field in a cube around the origin, and a grid that knows its empty space."""

    kind = "field"
    config_class = FieldSceneConfig
    config: FieldSceneConfig
    shadings = get_args(FieldShading)
    follows_rays = True
    offers = RAY_CHANNELS | frozenset[Channel]({"normal"})
    steps_done: Tensor

    def __init__(self, config: FieldSceneConfig) -> None:
        super().__init__()
        self.config = config
        self.bound = 1.0 if config.bound is None else config.bound
        self.field = RadianceField(
            build_features(config.encoding, config.time), config.network, config.density, self.bound
        )
        self.occupancy = OccupancyGrid(config.occupancy, self.bound, config.occupancy.bins if config.time else 1)
        # Decides which levels take part and how rays are shifted.
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))

    @classmethod
    def memory(cls, config: FieldSceneConfig) -> int:  # type: ignore[override]
        """Bytes of the grids of features and of the grid that says where there is anything."""
        bins = config.occupancy.bins if config.time else 1
        cells = CELL_BYTES * bins * config.occupancy.resolution**3
        return cells + TRAINED_NUMBER * feature_parameters(config.encoding, config.time)

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> FieldScene:
        """Start as a blob in the seed's cube, or as the seed's shape where the blob's says so; it does not move yet."""
        config = parse(FieldSceneConfig, spec, "scene")
        scene = cls(config.model_copy(update={"bound": config.bound or seed.radius}))
        scene.field.initialise(generator)
        if scene.field.seed is not None:
            half = scene.bound / 2
            scene.field.seed.initialise(lambda points: seed.signed_distance(points, (half, half, half)))
        scene.occupancy.fill(scene.density, generator)
        return scene

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> FieldScene:
        """The same field with other settings, or one that may move over time and does not yet.

        Raises:
            ConfigError: the other is no field, or the settings are those of another table or network.
        """
        if not isinstance(start, FieldScene):
            raise cannot_become(start, cls)
        return start.reconfigured(parse(FieldSceneConfig, overlaid(plain(start.config), over), "scene"))

    def moving(self, time: Grid4D | GridStack) -> FieldScene:
        """A copy of this static field that may move over time, and does not yet."""
        return self.reconfigured(self.config.model_copy(update={"time": time}))

    def reconfigured(self, config: FieldSceneConfig) -> FieldScene:
        """A copy of this field with other settings; the levels that take part stay so.

        Raises:
            ConfigError: they are those of another table or network, or a moving field would move in another way.
        """
        for name in ("bound", "encoding", "network", "density"):
            if getattr(config, name) != getattr(self.config, name):
                raise ConfigError(f"scene.{name}: a field that is there cannot take another", "Leave the key out")
        if self.is_moving and config.time != self.config.time:
            raise ConfigError("scene.time: a field that moves cannot move in another way", "Begin from a static one")
        if config.active_levels == self.config.active_levels:
            # Steps will be counted from 0 again, and a schedule would mask levels anew that the field relies on.
            config = config.model_copy(update={"active_levels": sum(self.level_weights)})
        scene = FieldScene(config).to(self.steps_done.device)
        if config.time == self.config.time:
            scene.field.load_state_dict(self.field.state_dict())
        else:
            scene.field.features.adopt(self.field.features)
            scene.field.network.load_state_dict(self.field.network.state_dict())
            if scene.field.seed is not None and self.field.seed is not None:
                scene.field.seed.load_state_dict(self.field.seed.state_dict())
        scene.occupancy.density.copy_(self.occupancy.density.expand_as(scene.occupancy.density))
        scene.occupancy.occupied.copy_(self.occupancy.occupied.expand_as(scene.occupancy.occupied))
        return scene

    @property
    def is_moving(self) -> bool:
        """Whether it has a grid over time."""
        return self.config.time is not None

    @property
    def seconds(self) -> None:
        """Not known: a field's clip is as long as that of the frames."""
        return None

    @property
    def is_periodic(self) -> bool:
        """Never."""
        return False

    @property
    def has_mesh(self) -> bool:
        """Always."""
        return True

    @property
    def level_weights(self) -> tuple[float, ...]:
        """How much each level of the grid takes part at this step."""
        levels = self.config.encoding.levels
        active = self.config.active_levels
        return progressive_level_weights(levels, levels if active is None else value_at(active, int(self.steps_done)))

    def density(
        self,
        points: Tensor,  # (N, 3) world, metres
        times: Tensor,  # (N,) in [0, 1]
    ) -> Tensor:
        """(N,) per metre."""
        return self.field.activate(self.field(points, times, self.level_weights)[0])

    def albedo(
        self,
        points: Tensor,  # (N, 3) world, metres
        times: Tensor,  # (N,) in [0, 1]
    ) -> Tensor:
        """(N, 3) sRGB in [0, 1]."""
        colours: Tensor = self.field(points, times, self.level_weights)[1]
        return colours

    def surface_colours(self, points: Tensor, time: float = 0.0) -> Tensor:
        """The albedo of (N, 3) points."""
        return torch.cat([self.albedo(part, torch.full_like(part[:, 0], time)) for part in points.split(POINTS)])

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """March the rays through all pixels, in the configured shading; a moving field without times is at time 0."""
        return self.render_shaded(cameras, times, background, self.config.shading, wants)

    def render_shaded(
        self,
        cameras: Cameras,
        times: Tensor | None,  # (B,) in [0, 1]
        background: Tensor | None,  # (B, 3) or (3,) sRGB
        shading: Shading | None,
        wants: Wants = (),
    ) -> Render:
        """Like `render`, in another shading.

        `lambertian` multiplies the albedo by the light that a lamp at the camera and the ambient light send onto the
        surface, `textureless` shows that light alone, and `normal` shows (n + 1) / 2 (DreamFusion, section 3.1).
        """
        shading = shading or self.config.shading
        self.require_shading(shading)
        self.require_channels(wants)
        shift = int(self.steps_done) if self._is_shifted else None
        marching = Marching(self.config.sampling, self.occupancy, shift)
        return render_field(_Shaded(self, shading), cameras, times, background, marching, wants)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Encoding, time and network; of a stack, the first instant belongs to `encoding` and the others to `time`."""
        return {
            "encoding": [self.field.features.space.table],
            "time": self.field.features.moving,
            "network": list(self.field.network.parameters()),
        }

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Unmask levels, and look anew at what is empty."""
        self.steps_done.fill_(step + 1)
        self.occupancy.update(step, self.density, generator)

    def facts(self) -> dict[str, float]:
        """The share of cells that are occupied, and the number of levels that take part."""
        return {"occupied": self.occupancy.share, "levels": sum(self.level_weights)}

    def temporal_variation(self, unit: Tensor) -> Tensor:
        """Mean squared change of a level's features between neighbouring instants (Animate124, section 3.2).

        Args:
            unit: (N, 3) points in [0, 1]³ of the cube.

        Returns:
            a scalar, 0 for a static field.
        """
        features, weights = self.field.features, self.level_weights
        instants = torch.linspace(0, 1, features.instants).tolist()
        encoded = [features(unit, torch.full_like(unit[:, 0], instant), weights) for instant in instants]
        if len(encoded) == 1:
            return unit.new_zeros(())
        changes = torch.stack(encoded).diff(dim=0)
        return changes.square().sum(-1).mean() / self.config.encoding.levels

    @torch.no_grad()
    def mesh(self, time: float = 0.0) -> Mesh:
        """The outer surface of a given density at a time, closed, coloured by the albedo.

        Raises:
            SurfaceVanishedError: the field is nowhere that dense, or everywhere.
        """
        count, device = self.config.surface_resolution + 1, self.steps_done.device
        axis = torch.linspace(-self.bound, self.bound, count, device=device)
        points = torch.cartesian_prod(axis, axis, axis)
        raw = [
            self.field(part, torch.full_like(part[:, 0], time), self.level_weights)[0] for part in points.split(POINTS)
        ]
        level = self.field.raw_density(self.config.surface_density)
        # Values before the activation change evenly across the surface, so that it lies smoothly between the cells.
        values = torch.cat(raw).view(count, count, count).cpu().numpy() - level
        if not values.max() > 0:
            raise SurfaceVanishedError(
                f"the field is nowhere denser than {self.config.surface_density} per metre",
                "Lower scene.surface_density, or fit the field for longer",
            )
        positions, faces = outer_surface(values, self.bound)
        return Mesh(positions, faces, self.surface_colours(positions.to(device), time).cpu())

    @property
    def _is_shifted(self) -> bool:
        return self.config.sampling.jitter and torch.is_grad_enabled() and self.training

    def save(self, folder: Path) -> None:
        """Write `scene.yaml` and `tensors.safetensors`, which hold the occupancy too.

        The levels that take part are written as they are: whoever goes on with the scene counts steps from 0 again.
        """
        levels = None if self.config.active_levels is None else sum(self.level_weights)
        config = self.config.model_copy(update={"active_levels": levels})
        write_scene(folder, config, self.state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> FieldScene:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, FieldSceneConfig, device)
        scene = cls(config)
        scene.load_state_dict(tensors)
        return scene.to(device)


@dataclass(frozen=True)
class _Shaded:
    """A field as one of its shadings shows it."""

    scene: FieldScene
    shading: Shading

    @property
    def bound(self) -> float:
        """Half of the cube's side, metres."""
        return self.scene.bound

    def density(self, points: Tensor, times: Tensor) -> Tensor:
        """(N,) per metre at points (N, 3) and times (N,)."""
        return self.scene.density(points, times)

    def signals(self, points: Tensor, times: Tensor, directions: Tensor, wants: frozenset[str]) -> dict[str, Tensor]:
        """Density and colour of points (N, 3) seen along unit directions, and normals where they are needed."""
        field, levels = self.scene.field, self.scene.level_weights
        raw, albedo = field(points, times, levels)
        signals = {"density": field.activate(raw), "rgb": albedo}
        if self.shading == "albedo" and "normal" not in wants:
            return signals
        normals = field.normals(points, times, levels)
        return {**signals, "rgb": self._shaded(albedo, normals, directions), "normal": normals}

    def _shaded(self, albedo: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
        if self.shading == "albedo":
            return albedo
        if self.shading == "normal":
            return (normals + 1) / 2
        facing = -(normals * directions).sum(-1, keepdim=True)
        ambient = self.scene.config.ambient
        light = ambient + (1 - ambient) * facing.clamp_min(0)
        return light.expand(-1, 3) if self.shading == "textureless" else albedo * light
