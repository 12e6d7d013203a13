"""Gaussians that move over a clip by a motion field, and the mesh that moves with them where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import Spec, parse
from a4d.errors import ConfigError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.arap import Neighbourhoods, edge_neighbourhoods, nearest_neighbourhoods
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.randomness import generator as random_generator
from a4d.render.footprint import render_fitted, render_layered
from a4d.render.gaussians import GAUSSIAN_CHANNELS
from a4d.render.render import Render, Wants
from a4d.scenes.carried_surface import CarriedSurface
from a4d.scenes.gaussian_motion.config import GaussianMotionConfig
from a4d.scenes.gaussian_motion.kinds import build_motion
from a4d.scenes.gaussian_motion.motion import Moved
from a4d.scenes.gaussian_motion.node_motion import NodeMotion
from a4d.scenes.initialise import gaussians_at_vertices, gaussians_on_asset
from a4d.scenes.moment_renders import render_by_moment
from a4d.scenes.protocols import AssetOptions, Followed, Splatting, is_moving
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene

SURFACE = "surface.glb"


class GaussianMotionScene(Scene):
    """Gaussians at rest, which never change, and a motion field, exactly none at time 0.

    Args:
        config: sizes.
        rest: the Gaussians at time 0.
        surface: what moves with them, or None.
    """

    kind = "gaussian_motion"
    config_class = GaussianMotionConfig
    config: GaussianMotionConfig
    offers = GAUSSIAN_CHANNELS
    rest_means: Tensor
    vertices: Tensor

    def __init__(self, config: GaussianMotionConfig, rest: Gaussians, surface: CarriedSurface | None = None) -> None:
        super().__init__()
        for field in fields(rest):
            self.register_buffer(f"rest_{field.name}", getattr(rest, field.name).detach().float().contiguous().clone())
        self.surface = surface
        vertices = rest.means[:0] if surface is None else surface.vertices
        self.register_buffer("vertices", vertices.detach().float().clone(), persistent=False)
        self.motion = build_motion(config.motion, self.rest_means, self.vertices, surface)
        self.config = config
        self._neighbourhoods: dict[tuple[Followed, int], Neighbourhoods] = {}

    @classmethod
    def memory(cls, config: GaussianMotionConfig) -> int:  # type: ignore[override]
        """Bytes of the Gaussians at rest that are not a seed's, which are not optimised, and of the motion."""
        return config.memory()

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> GaussianMotionScene:
        """The seed's Gaussians, or new ones on its surface; nothing moves yet.

        Raises:
            ConfigError: the seed has neither.
        """
        config = parse(GaussianMotionConfig, spec, "scene")
        asset = seed.asset
        if asset is None and seed.mesh is not None:
            asset = static_asset("mesh", primitive_from_mesh(seed.mesh))
        surface = None if asset is None else CarriedSurface.still(asset)
        if seed.gaussians is not None:
            rest = seed.gaussians
            config = config.model_copy(update={"footprint": config.footprint or seed.footprint})
        elif surface is None:
            raise ConfigError("a moving scene begins from a mesh or from Gaussians", "Fit a static scene first")
        elif config.place == "vertices":
            rest = gaussians_at_vertices(surface.asset)
        else:
            rest = gaussians_on_asset(surface.asset, config.count, config.opacity, config.size, generator)
        scene = cls(config, rest, surface)
        scene.motion.initialise(generator)
        return scene

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> GaussianMotionScene:
        """The Gaussians of a still scene, which may move from now on and do not yet."""
        if not isinstance(start, Splatting) or is_moving(start):
            raise cannot_become(start, cls)
        return cls.begin(over, Seed(gaussians=start.gaussians().detach(), footprint=start.footprint), generator)

    @property
    def rest(self) -> Gaussians:
        """The Gaussians at time 0."""
        return Gaussians(**{field.name: getattr(self, f"rest_{field.name}") for field in fields(Gaussians)})

    def moments(self, times: list[float]) -> list[Gaussians]:
        """The Gaussians at several times in [0, 1]."""
        rest = self.rest
        return [moved.gaussians(rest) for moved in self.motion("gaussians", rest.means, times)]

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The Gaussians at a time in [0, 1]; at 0, and at the end of a period, exactly those at rest."""
        return self.rest if self._is_at_rest(time) else self.moments([time])[0]

    def _is_at_rest(self, time: float) -> bool:
        return time == 0 or (self.is_periodic and time == 1)

    @property
    def is_moving(self) -> bool:
        """Always."""
        return True

    @property
    def seconds(self) -> float | None:
        """Of the clip, as configured."""
        return self.config.seconds

    @property
    def footprint(self) -> float | None:
        """That of the static scene, or of the views."""
        return self.config.footprint

    def see_pixels(self, size: float) -> None:
        """Take over the size of pixels where the Gaussians have none, for they stay as they are at rest.

        New ones lie on a surface that is known: pixels wider than they are must not make it fatter.
        """
        if self.footprint is None:
            finest = min(size, float(self.rest.scales.amax(1).median()))
            self.config = self.config.model_copy(update={"footprint": finest})

    @property
    def is_periodic(self) -> bool:
        """Whether the motion ends at rest to begin anew."""
        return self.motion.is_periodic

    @property
    def has_mesh(self) -> bool:
        """Whether it carries a surface."""
        return self.surface is not None

    def _require_surface(self) -> CarriedSurface:
        if self.surface is None:
            raise ConfigError("this scene has no mesh whose vertices could be followed", "Use points: gaussians")
        return self.surface

    def mesh(self, time: float = 0.0) -> Mesh:
        """The surface that the scene carries, its own vertices moved.

        Raises:
            ConfigError: there is none.
        """
        rest = self._require_surface().mesh.to(self.vertices.device)
        return rest.with_vertices(self.moved_points("vertices", [time])[0])

    @torch.no_grad()
    def asset(self, options: AssetOptions) -> Asset:
        """The surface that the scene carries with its materials, moving by morph targets or bones.

        Raises:
            ConfigError: there is none.
        """
        return self._require_surface().moving(self.moved_points("vertices", options.times), options)

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """Splat the Gaussians, those of each moment together; without times at time 0."""
        self.require_channels(wants)
        if times is not None and torch.is_grad_enabled():
            self.motion.carry(float(times.max()))
        colour = self.rest_means.new_zeros(3) if background is None else background
        colours = colour.expand(len(cameras), 3)

        def draw(gaussians: Gaussians, chosen: Tensor) -> Render:
            return render_fitted(gaussians, cameras[chosen], colours[chosen], self.footprint, wants)

        return self._by_moment(draw, len(cameras), times)

    def render_surface(self, cameras: Cameras, times: Tensor | None = None) -> Render:
        """Depth on the first surface; see `a4d.render.footprint.render_layered`."""

        def draw(gaussians: Gaussians, chosen: Tensor) -> Render:
            return render_layered(gaussians, cameras[chosen], self.footprint)

        return self._by_moment(draw, len(cameras), times)

    def _by_moment(
        self,
        draw: Callable[[Gaussians, Tensor], Render],
        count: int,
        times: Tensor | None,  # (B,) in [0, 1]
    ) -> Render:
        """`count` views, those of each moment drawn together from its Gaussians and their indices."""
        if times is None:
            return draw(self.rest, torch.arange(count, device=self.rest_means.device))
        return render_by_moment(self.moments, draw, times)

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) Gaussians, vertices or nodes at time 0.

        Raises:
            ConfigError: there is no mesh, or no nodes.
        """
        if points == "gaussians":
            return self.rest_means
        if points == "nodes":
            return self.node_frames([0.0])[0]
        self._require_surface()
        return self.vertices

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) Gaussians or vertices at several times; at 0, and at the end of a period, exactly those at rest."""
        rest = self.rest_points(points) if chosen is None else self.rest_points(points)[chosen]
        return self._but_at_rest(rest, self.motion(points, rest, times, chosen), times)

    def carried_points(self, points: Tensor, times: Sequence[float]) -> Tensor:
        """(T, P, 3) where any points near the shape are; at 0, and at the end of a period, exactly where they were."""
        return self._but_at_rest(points, self.motion.carried(points, times), times)

    def _but_at_rest(self, rest: Tensor, moved: Sequence[Moved], times: Sequence[float]) -> Tensor:
        return torch.stack(
            [rest if self._is_at_rest(time) else each.points for time, each in zip(times, moved, strict=True)]
        )

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """The nearest Gaussians to each, or the neighbours of vertices along edges."""
        key = (points, count)
        if key not in self._neighbourhoods:
            rest = self.rest_points(points)
            if points == "nodes":
                assert isinstance(self.motion, NodeMotion)
                self._neighbourhoods[key] = self.motion.neighbourhoods(count)
            elif self.surface is None or points == "gaussians":
                self._neighbourhoods[key] = nearest_neighbourhoods(rest, count)
            else:
                draws = random_generator(0, "edge neighbours")
                around = edge_neighbourhoods(self.surface.whole_faces, count, draws)
                self._neighbourhoods[key] = around.to(rest.device)
        return self._neighbourhoods[key]

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """The nodes that carry the motion: (M, 3) at time 0, and (T, M, 3) places and (T, M, 3, 3) rotations at times.

        Raises:
            ConfigError: no nodes carry it.
        """
        if not isinstance(self.motion, NodeMotion):
            raise ConfigError("no nodes carry the motion of this scene", "Set scene.motion.kind to nodes")
        return self.motion.nodes, *self.motion.node_frames(times)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the motion; the shape at rest stays as it is."""
        return self.motion.parameters_of()

    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors`, and, at time 0, `gaussians.ply` and `surface.glb`."""
        write_scene(folder, self.config, self.state_dict())
        write_gaussian_ply(folder / "gaussians.ply", self.rest.to("cpu"), up="y")
        if self.surface is not None:
            self.surface.save(folder / SURFACE)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> GaussianMotionScene:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, GaussianMotionConfig, device)
        rest = Gaussians(**{field.name: tensors[f"rest_{field.name}"] for field in fields(Gaussians)})
        surface = CarriedSurface.load(folder / SURFACE) if (folder / SURFACE).is_file() else None
        scene = cls(config, rest, surface).to(device)
        scene.load_state_dict(tensors)
        return scene
