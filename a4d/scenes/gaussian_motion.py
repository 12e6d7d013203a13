"""Gaussians that move over a clip by a motion field, and the mesh that moves with them where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from a4d.config import Config, Number, Spec, load_yaml, parse, plain, to_yaml, unknown_key, value_at
from a4d.errors import ConfigError
from a4d.geometry.arap import Neighbourhoods, edge_neighbourhoods, nearest_neighbourhoods
from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.randomness import generator as random_generator
from a4d.render.gaussians import render_gaussians
from a4d.render.render import Render
from a4d.scenes.initialise import gaussians_on_surface
from a4d.scenes.motion_field import GROUPS, MotionConfig, MotionField
from a4d.scenes.scene import Followed, Scene
from a4d.scenes.seed import Seed

MARGIN = 1.25
"""Half of the field's cube over the farthest coordinate of the shape at rest."""

WHOLE = 1024
"""Gaussians, spread over all, whose mean features decide the rigid motion of the whole."""


class GaussianMotionConfig(Config):
    """What a moving scene is made of besides its tensors."""

    kind: Literal["gaussian_motion"] = "gaussian_motion"
    count: int = Field(default=8000, ge=1, description="Gaussians on a mesh")
    opacity: float = Field(default=0.95, gt=0, lt=1, description="of Gaussians on a mesh")
    motion: MotionConfig = MotionConfig()


class GaussianMotionScene(Scene):
    """Gaussians at rest, which never change, and a motion field, exactly none at time 0."""

    kind = "gaussian_motion"
    config_class = GaussianMotionConfig
    config: GaussianMotionConfig
    rest_means: Tensor
    whole: Tensor

    def __init__(self, config: GaussianMotionConfig, rest: Gaussians, mesh: Mesh | None = None) -> None:
        super().__init__()
        for field in fields(rest):
            self.register_buffer(f"rest_{field.name}", getattr(rest, field.name).detach().float().contiguous().clone())
        self.rest_mesh = mesh
        places = rest.means if mesh is None else torch.cat([rest.means, mesh.vertices.to(rest.means)])
        bound = config.motion.bound or MARGIN * float(places.abs().max())
        self.config = config.model_copy(update={"motion": config.motion.model_copy(update={"bound": bound})})
        self.motion = MotionField(self.config.motion, bound)
        spread = torch.linspace(0, len(rest) - 1, min(len(rest), WHOLE)).long()
        self.register_buffer("whole", self.rest_means[spread], persistent=False)
        self._neighbourhoods: dict[tuple[str, int], Neighbourhoods] = {}

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> GaussianMotionScene:
        """Gaussians on the seed's mesh; nothing moves yet.

        Raises:
            ConfigError: the seed has no mesh.
        """
        config = parse(GaussianMotionConfig, spec, "scene")
        if seed.mesh is None:
            raise ConfigError("a moving scene begins from a mesh or from Gaussians", "Fit a static scene first")
        scene = cls(config, gaussians_on_surface(seed.mesh, config.count, config.opacity, generator), seed.mesh)
        scene.motion.initialise(generator)
        return scene

    @property
    def rest(self) -> Gaussians:
        """The Gaussians at time 0."""
        return Gaussians(**{field.name: getattr(self, f"rest_{field.name}") for field in fields(Gaussians)})

    def moments(self, times: list[float]) -> list[Gaussians]:
        """The Gaussians at several times in [0, 1]."""
        rest = self.rest
        return [moved.gaussians(rest) for moved in self.motion(rest.means, times, self.whole)]

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The Gaussians at a time in [0, 1]; at 0 exactly those at rest."""
        return self.rest if time == 0 else self.moments([time])[0]

    def mesh(self, time: float = 0.0) -> Mesh | None:
        """The mesh that the scene was made from, its own vertices moved; None where there was none."""
        if self.rest_mesh is None:
            return None
        return self.rest_mesh.with_vertices(self.moved_points("vertices", [time])[0])

    def render(self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None) -> Render:
        """Splat the Gaussians, those of each moment together; without times at time 0."""
        if times is None:
            return render_gaussians(self.rest, cameras, background)
        moments, place = times.unique(return_inverse=True)
        if torch.is_grad_enabled():
            self.motion.carry(float(moments[-1]))
        colour = self.rest_means.new_zeros(3) if background is None else background
        colours = colour.expand(len(cameras), 3)
        parts, order = [], []
        for index, gaussians in enumerate(self.moments([float(time) for time in moments])):
            chosen = (place == index).nonzero()[:, 0]
            parts.append(render_gaussians(gaussians, cameras[chosen], colours[chosen]))
            order.append(chosen)
        back = torch.cat(order).argsort()
        return Render(*(torch.cat([getattr(part, name) for part in parts])[back] for name in ("rgb", "alpha", "depth")))

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) Gaussians or vertices at time 0."""
        if points == "gaussians":
            return self.rest_means
        if self.rest_mesh is None:
            raise ConfigError("this scene has no mesh whose vertices could be followed", "Use points: gaussians")
        return self.rest_mesh.vertices

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) Gaussians or vertices at several times; at 0 exactly those at rest."""
        rest = self.rest_points(points) if chosen is None else self.rest_points(points)[chosen]
        moved = [displacement.points(rest) for displacement in self.motion(rest, times, self.whole)]
        return torch.stack([rest if time == 0 else place for time, place in zip(times, moved, strict=True)])

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """The nearest Gaussians to each, or the neighbours of vertices along edges."""
        key = (points, count)
        if key not in self._neighbourhoods:
            rest = self.rest_points(points)
            if points == "gaussians":
                self._neighbourhoods[key] = nearest_neighbourhoods(rest, count)
            else:
                assert self.rest_mesh is not None
                draws = random_generator(0, "edge neighbours")
                self._neighbourhoods[key] = edge_neighbourhoods(self.rest_mesh.faces, count, draws)
        return self._neighbourhoods[key]

    def parameter_groups(self, rates: Mapping[str, Number]) -> list[dict[str, Any]]:
        """One group per named rate; a group without a rate stays as it is."""
        for name in rates:
            if name not in GROUPS:
                raise unknown_key(f"optimiser.rates.{name}", name, GROUPS)
        return [
            {"name": name, "params": self.motion.parameters_of(name), "lr": value_at(rate, 0)}
            for name, rate in rates.items()
        ]

    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors` and the Gaussians at time 0 as `gaussians.ply`."""
        (folder / "scene.yaml").write_text(to_yaml(plain(self.config)), encoding="utf-8")
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        if self.rest_mesh is not None:
            parts = {"vertices": self.rest_mesh.vertices, "faces": self.rest_mesh.faces, "colours": self.rest_mesh.colours}
            tensors |= {f"mesh.{name}": part.cpu().contiguous() for name, part in parts.items() if part is not None}
        save_file(tensors, folder / "tensors.safetensors")
        write_gaussian_ply(folder / "gaussians.ply", self.rest.to("cpu"))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> GaussianMotionScene:
        """Read what `save` wrote."""
        config = parse(GaussianMotionConfig, load_yaml(folder / "scene.yaml"), str(folder / "scene.yaml"))
        tensors = load_file(folder / "tensors.safetensors", device=str(device))
        rest = Gaussians(**{field.name: tensors[f"rest_{field.name}"] for field in fields(Gaussians)})
        mesh = None
        if "mesh.vertices" in tensors:
            mesh = Mesh(tensors["mesh.vertices"], tensors["mesh.faces"], tensors.get("mesh.colours"))
        scene = cls(config, rest, mesh).to(device)
        scene.load_state_dict({name: value for name, value in tensors.items() if not name.startswith("mesh.")})
        return scene
