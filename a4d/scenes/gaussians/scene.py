"""A static scene of 3D Gaussians."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config, Spec, overlaid, parse, plain
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians, count_numbers
from a4d.geometry.reconstruction.visual_hull import Occupancy
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.memory import TRAINED_NUMBER
from a4d.optimisers import Optimisers
from a4d.render.footprint import SAME, drawing, render_layered
from a4d.render.gaussians import GAUSSIAN_CHANNELS, RENDERED_GAUSSIAN, render_gaussians
from a4d.render.gaussians_reference import DILATION
from a4d.render.render import Render, Wants
from a4d.scenes.gaussians.density_control import RESET_OPACITY, DensityControl, adapt
from a4d.scenes.initialise import (
    gaussians_at_points,
    gaussians_at_vertices,
    gaussians_in_ball,
    gaussians_on_asset,
    gaussians_on_surface,
    nearest_of,
)
from a4d.scenes.protocols import Splatting, is_moving
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene

PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh_base", "sh_detail")
"""Names of the parameters, which are also the names of their learning rates."""

EXACT_SIZE = 0.7
"""Radius of Gaussians on a surface that is known exactly, relative to the distance of their neighbours: as wide as to
leave no gaps. On a guess wider ones are better, which cover what may lie elsewhere."""


class GaussianSceneConfig(Config):
    """What a Gaussian scene is made of besides its tensors."""

    kind: Literal["gaussians"] = "gaussians"
    count: int = Field(
        default=20_000, ge=1, le=20_000_000, description="Gaussians to start with; given points are thinned to it"
    )
    opacity: float = Field(default=0.9, gt=0, lt=1, description="opacity to start with")
    place: Literal["surface", "vertices", "inside"] = Field(
        default="surface",
        description="where Gaussians begin: count of them on a surface, one per vertex of a mesh, or count of them "
        "anywhere in what the outlines leave of space",
    )
    sh_degree: int = Field(default=0, ge=0, le=3)
    sh_degree_every: int = Field(default=1000, ge=1, description="steps after which one more degree takes part")
    density: DensityControl | None = None
    margin: float | None = Field(
        default=None,
        ge=0,
        description="metres outside of what the subject fills at most that Gaussians may be; None: any",
    )
    footprint: float | None = Field(
        default=None, gt=0, description="metres that a pixel is wide with which they are drawn; the views' if not given"
    )


class GaussianScene(Scene):
    """Gaussians as parameters, with optional adaptive density control."""

    kind = "gaussians"
    config_class = GaussianSceneConfig
    config: GaussianSceneConfig
    offers = GAUSSIAN_CHANNELS
    means: nn.Parameter
    quaternions: nn.Parameter
    log_scales: nn.Parameter
    opacity_logits: nn.Parameter
    sh_base: nn.Parameter
    sh_detail: nn.Parameter
    gradient_sum: Tensor
    seen_count: Tensor
    solid: Occupancy | None = None

    def __init__(self, config: GaussianSceneConfig, start: Gaussians) -> None:
        super().__init__()
        self.config = config
        bases = (config.sh_degree + 1) ** 2
        sh = torch.nn.functional.pad(start.sh[:, :bases], (0, 0, 0, max(0, bases - start.sh.shape[1])))
        values = (start.means, start.quaternions, start.log_scales, start.opacity_logits, sh[:, :1], sh[:, 1:])
        for name, value in zip(PARAMETERS, values, strict=True):
            setattr(self, name, nn.Parameter(value.detach().float().contiguous().clone()))
        self.active_sh_degree: int | None = None
        self._reset_statistics()

    def _reset_statistics(self) -> None:
        device = self.means.device
        self.register_buffer("gradient_sum", torch.zeros(len(self.means), device=device))
        self.register_buffer("seen_count", torch.zeros(len(self.means), device=device))
        self._probes: list[tuple[Tensor, Tensor, Tensor]] = []

    @classmethod
    def memory(cls, config: GaussianSceneConfig) -> int:  # type: ignore[override]
        """Bytes of all Gaussians that are not a seed's vertices."""
        count = 0 if config.place == "vertices" else config.count
        return count * (RENDERED_GAUSSIAN + TRAINED_NUMBER * count_numbers(config.sh_degree))

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> GaussianScene:
        """Start on the seed's surface, else at its points, else anywhere in its ball.

        Raises:
            ConfigError: they are to begin where the seed has nothing.
        """
        config = parse(GaussianSceneConfig, spec, "scene")
        _require_place(config, seed)
        if seed.asset is not None:
            if config.place == "vertices":
                return cls(config, gaussians_at_vertices(seed.asset))
            return cls(config, gaussians_on_asset(seed.asset, config.count, config.opacity, EXACT_SIZE, generator))
        if seed.mesh is not None:
            return cls(config, gaussians_on_surface(seed.mesh, config.count, config.opacity, generator))
        scene = cls(config, _begun(config, seed, generator))
        scene.solid = seed.solid
        return scene

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> GaussianScene:
        """The Gaussians of another still scene, of its own settings with others in their place.

        Raises:
            ConfigError: the other moves or has no Gaussians, or the settings are not those of this kind.
        """
        if not isinstance(start, Splatting) or is_moving(start):
            raise cannot_become(start, cls)
        own = plain(start.config) if start.kind == cls.kind else {"footprint": start.footprint}
        return cls(parse(GaussianSceneConfig, overlaid(own, {"kind": cls.kind, **over}), "scene"), start.gaussians())

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The Gaussians as they stand, part of the autograd graph."""
        sh = torch.cat([self.sh_base, self.sh_detail], dim=1) if self.config.sh_degree else self.sh_base
        return Gaussians(self.means, self.quaternions, self.log_scales, self.opacity_logits, sh)

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """Splat the Gaussians; `times` do not matter to a static scene."""
        self.require_channels(wants)
        gaussians = self.gaussians()
        how = drawing(cameras, self.footprint)
        is_probed = self.config.density is not None and torch.is_grad_enabled()
        probe = self.means.new_zeros(len(cameras), len(gaussians), 2).requires_grad_() if is_probed else None
        render = render_gaussians(
            gaussians, how.cameras, background, wants=wants, sh_degree=self.active_sh_degree, screen_probe=probe,
            dilations=how.dilations,
        )  # fmt: skip
        if probe is not None and render.visible is not None:
            half_size = probe.new_tensor([how.cameras.width / 2, how.cameras.height / 2])
            self._probes.append((probe, render.visible, half_size))
        return how.reduced(render)

    def render_surface(self, cameras: Cameras, times: Tensor | None = None) -> Render:
        """Depth on the first surface; see `a4d.render.footprint.render_layered`."""
        return render_layered(self.gaussians(), cameras, self.footprint)

    @property
    def footprint(self) -> float | None:
        """As configured, or that of the finest views so far."""
        return self.config.footprint

    @torch.no_grad()
    def see_pixels(self, size: float) -> None:
        """Take over pixels that are finer than before: what these dilate less, the Gaussians are wider themselves."""
        before = self.footprint
        if before is not None and size >= before * (1 - SAME):
            return
        if before is not None:
            variances = (2 * self.log_scales).exp() + DILATION * (before**2 - size**2)
            self.log_scales.copy_(variances.log() / 2)
        self.config = self.config.model_copy(update={"footprint": size})

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """A group per parameter, of its name."""
        return {name: [getattr(self, name)] for name in PARAMETERS}

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Raise the active degree of the harmonics; adapt the number of Gaussians where the control says so."""
        self.active_sh_degree = min(self.config.sh_degree, (step + 1) // self.config.sh_degree_every)
        control = self.config.density
        if control is None:
            return
        self._collect_gradients()
        if control.is_due(step):
            parameters = {name: getattr(self, name).detach() for name in PARAMETERS}
            gradients = self.gradient_sum / self.seen_count.clamp_min(1)
            adapted, origin = adapt(parameters, gradients, control, generator, self._is_outside)
            for name, value in adapted.items():
                self._replace(name, value, optimisers, origin)
            self._reset_statistics()
        if control.resets(step):
            highest = torch.logit(torch.tensor(RESET_OPACITY)).item()
            value = self.opacity_logits.detach().clamp(max=highest)
            self._replace("opacity_logits", value, optimisers, torch.full((len(value),), -1))

    def _replace(
        self,
        name: str,
        value: Tensor,  # (M, ...)
        optimisers: Optimisers,
        origin: Tensor,  # (M,) former row of each, or -1 where the optimiser's memory starts anew
    ) -> None:
        """Swap a parameter for one of another length, carrying the optimiser's moments of the rows that remain."""
        former: nn.Parameter = getattr(self, name)
        current = nn.Parameter(value.contiguous(), requires_grad=former.requires_grad)
        setattr(self, name, current)
        optimisers.replace(former, current, origin)

    def _collect_gradients(self) -> None:
        for probe, visible, half_size in self._probes:
            if probe.grad is not None:
                self.gradient_sum += ((probe.grad * half_size).norm(dim=-1) * visible).sum(0)
                self.seen_count += visible.sum(0)
        self._probes.clear()

    def _is_outside(self, means: Tensor) -> Tensor:
        """(N,) whether places (N, 3) are where the pictures show nothing."""
        if self.solid is None or self.config.margin is None:
            return torch.zeros(len(means), dtype=torch.bool, device=means.device)
        return self.solid.signed_distance(means) > self.config.margin

    def facts(self) -> dict[str, float]:
        """The number of Gaussians."""
        return {"gaussians": len(self.means)}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over a checkpoint's state, whose number of Gaussians may differ."""
        for name in PARAMETERS:
            setattr(self, name, nn.Parameter(state[name].to(self.means.device)))
        self._reset_statistics()
        self.gradient_sum.copy_(state["gradient_sum"])
        self.seen_count.copy_(state["seen_count"])
        self.active_sh_degree = min(self.config.sh_degree, step // self.config.sh_degree_every) if step else None

    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors` and the standard `gaussians.ply`."""
        write_scene(folder, self.config, {name: getattr(self, name) for name in PARAMETERS})
        write_gaussian_ply(folder / "gaussians.ply", self.gaussians().detach().to("cpu"), up="y")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> GaussianScene:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, GaussianSceneConfig, device)
        sh = torch.cat([tensors["sh_base"], tensors["sh_detail"]], dim=1)
        gaussians = Gaussians(sh=sh, **{name: tensors[name] for name in PARAMETERS[:4]})
        return cls(config, gaussians).to(device)


def _require_place(config: GaussianSceneConfig, seed: Seed) -> None:
    lacking = {
        "vertices": None if seed.asset is not None else "there is no given mesh whose vertices they could be",
        "inside": None if seed.solid is not None else "no outlines from several sides say what could be filled",
    }
    if reason := lacking.get(config.place):
        raise ConfigError(f"scene.place: {config.place}: {reason}", "Leave it at surface")


def _begun(config: GaussianSceneConfig, seed: Seed, generator: torch.Generator) -> Gaussians:
    """Gaussians of a seed without a surface of faces."""
    if seed.points is None:
        return gaussians_in_ball(config.count, seed.radius, config.opacity, generator)
    colours = torch.full_like(seed.points, 0.5) if seed.colours is None else seed.colours
    if config.place == "inside":
        assert seed.solid is not None
        places = seed.solid.sample(config.count, generator)
        return gaussians_at_points(places, colours[nearest_of(places, seed.points)], config.opacity)
    chosen = torch.randperm(len(seed.points), generator=generator)[: config.count].sort().values
    return gaussians_at_points(seed.points[chosen], colours[chosen], config.opacity)
