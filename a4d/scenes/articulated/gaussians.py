"""Gaussians at rest on a shape that nobody knew before, and the bones that take them along."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Spec, parse
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.arap import Neighbourhoods, nearest_neighbourhoods
from a4d.geometry.deformation.skinning import apply_per_vertex
from a4d.geometry.gaussians import SH_DEGREE_0, Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.rows import rows
from a4d.geometry.transforms import quaternion_product, rotation_from_quaternion
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.memory import TRAINED_NUMBER
from a4d.optimisers import Optimisers
from a4d.render.gaussians import GAUSSIAN_CHANNELS, RENDERED_GAUSSIAN
from a4d.render.render import Render, Wants
from a4d.scenes.articulated.base import ArticulatedScene
from a4d.scenes.articulated.bones import spread_bones
from a4d.scenes.articulated.config import ArticulatedConfig
from a4d.scenes.articulated.drawing import Drawing
from a4d.scenes.articulated.features import FeatureTable
from a4d.scenes.articulated.start import discs_of
from a4d.scenes.articulated.surface import stored_surface, surface_at_rest, taken_surface
from a4d.scenes.articulated.warp import blended_motions, blended_transforms
from a4d.scenes.protocols import FEATURES, Followed, SurfaceAttributes
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene
from a4d.scenes.visibility import Visibility

PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "colours")
"""Names of the parameters of the shape, which are also the names of their learning rates."""

BEHIND = 2.0
"""Radii at first by which a Gaussian may lie behind what a picture shows and still count as seen."""

NEIGHBOURS = 6
"""On the surface at rest, by which offsets and colours are smoothed."""


class ArticulatedGaussiansConfig(ArticulatedConfig):
    """What an articulated scene of Gaussians is made of besides its tensors."""

    kind: Literal["articulated"] = "articulated"
    count: int = Field(default=5000, ge=1, le=2_000_000, description="Gaussians on the shape")
    opacity: float = Field(default=0.9, gt=0, lt=1, description="to begin with")
    least_opacity: float = Field(default=0.73, gt=0, lt=1, description="below which none falls: a body hides its back")
    size: float = Field(default=0.8, gt=0, description="radius at first over the distance to the nearest others")
    widest: float = Field(default=1.1, ge=1, le=100, description="radius at most, over that at first")
    thickest: float = Field(
        default=0.3, gt=0, le=100, description="across the surface at most, over the radius at first"
    )
    features: int = Field(default=0, ge=0, le=1024, description="channels of learnt features, by which frames match")
    resolution: int = Field(default=128, ge=16, le=512, description="cells along the mesh of the shape at rest")
    footprint: float | None = Field(
        default=None, gt=0, description="metres that a pixel is wide with which they are drawn; the views' if not given"
    )


class ArticulatedGaussians(ArticulatedScene):
    """Gaussians at rest, all of them learnt, moved by a bag of bones that is learnt with them.

    Args:
        config: sizes.
        start: the Gaussians at rest to begin with, flat along their third axes.
        centres: (B, 3) of the bones at rest, world, metres.
        radii: (B,) of the bones, metres.
        generator: of the weights of networks, on the CPU; any will do where they are read afterwards.
        surface: the mesh at rest, on the CPU; made when it is asked for where it is None.
    """

    kind = "articulated"
    config_class = ArticulatedGaussiansConfig
    config: ArticulatedGaussiansConfig
    fixed = ("bones", "skinning", "features")
    offers = GAUSSIAN_CHANNELS
    start_means: Tensor
    start_log_scales: Tensor

    def __init__(
        self,
        config: ArticulatedGaussiansConfig,
        start: Gaussians,
        centres: Tensor,
        radii: Tensor,
        generator: torch.Generator | None = None,
        surface: Mesh | None = None,
    ) -> None:
        super().__init__(config, centres, radii, generator)
        self.means, self.quaternions, self.log_scales, self.opacity_logits, self.colours = (
            nn.Parameter(value.detach().float().contiguous().clone())
            for value in (start.means, start.quaternions, start.log_scales, start.opacity_logits, start.sh[:, :1])
        )
        self.feature_table = FeatureTable(len(start), config.features)
        self.register_buffer("start_means", self.means.detach().clone())
        self.register_buffer("start_log_scales", self.log_scales.detach().clone())
        self.visibility = Visibility(len(start))
        self._neighbourhoods: dict[int, Neighbourhoods] = {}
        self._surface = surface

    @classmethod
    def memory(cls, config: ArticulatedGaussiansConfig) -> int:  # type: ignore[override]
        """Bytes of all Gaussians; the bones are few."""
        numbers = 14 + config.features
        return config.count * (RENDERED_GAUSSIAN + TRAINED_NUMBER * numbers)

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> ArticulatedGaussians:
        """Flat Gaussians on the seed's shape, or its own Gaussians, and bones spread among them; nothing moves yet.

        Raises:
            ConfigError: the seed has no shape.
        """
        config = parse(ArticulatedGaussiansConfig, spec, "scene")
        start = discs_of(seed, config.count, config.opacity, config.size, generator)
        if seed.gaussians is not None:
            config = config.model_copy(update={"footprint": config.footprint or seed.footprint})
        return cls(config, start, *spread_bones(start.means, config.bones), generator)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the Gaussians at rest by their names, and those of the bones."""
        shape = {name: [getattr(self, name)] for name in PARAMETERS}
        return {**shape, "features": list(self.feature_table), **super().groups()}

    @property
    def rest(self) -> Gaussians:
        """The Gaussians at rest, part of the autograd graph."""
        return Gaussians(self.means, self.quaternions, self.log_scales, self.opacity_logits, self.colours)

    def moments(self, times: Sequence[float]) -> list[Gaussians]:
        """The Gaussians at several times in [0, 1], part of the autograd graph."""
        rest, weights = self.rest, self.skinning_weights(self.means)
        turns, moved = blended_motions(weights, self.bone_transforms(times), self.config.blending)
        turned = quaternion_product(turns, rest.quaternions)
        places = apply_per_vertex(moved, rest.means)
        return [replace(rest, means=means, quaternions=each) for means, each in zip(places, turned, strict=True)]

    def _point_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, N, 4, 4) posed_from_rest of each Gaussian."""
        weights = self.skinning_weights(self.means)
        return blended_transforms(weights, self.bone_transforms(times), self.config.blending)

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The Gaussians at a time in [0, 1]."""
        return self.moments([time])[0]

    @property
    def footprint(self) -> float | None:
        """As configured, or that of the first views."""
        return self.config.footprint

    def see_pixels(self, size: float) -> None:
        """Take over the size of pixels where the Gaussians have none yet, for all later images."""
        if self.footprint is None:
            self.config = self.config.model_copy(update={"footprint": size})

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """Splat the Gaussians, those of each moment together; without times at rest.

        While colours learn, it is noted which are seen.
        """
        self.require_channels(wants)
        is_learning = torch.is_grad_enabled() and self.colours.requires_grad
        behind = self.means.new_zeros(3) if background is None else background
        return self._drawing.colours(cameras, times, behind, wants, self._note if is_learning else None)

    def _note(self, gaussians: Gaussians, cameras: Cameras, render: Render) -> None:
        """Count which of the Gaussians of one moment its views show."""
        behind = BEHIND * self.start_log_scales.amax(1).exp()
        normals = rotation_from_quaternion(gaussians.quaternions)[..., 2]
        self.visibility.note(gaussians.means, cameras, render, behind, normals=normals)

    def render_surface(self, cameras: Cameras, times: Tensor | None = None) -> Render:
        """Depth on the first surface; see `a4d.render.footprint.render_layered`."""
        return self._drawing.first_surface(cameras, times)

    @property
    def _drawing(self) -> Drawing:
        return Drawing(self.rest, self.moments, self.footprint)

    def render_places(self, cameras: Cameras, times: Tensor, others: Tensor) -> Render:
        """Like `render`, with the channel `place`: where what is seen is at other times."""
        distinct, row = torch.cat([times, others]).unique(return_inverse=True)
        moved = self._point_transforms(distinct.tolist())
        before, after = rows(moved, row).chunk(2)
        return self._drawing.places(cameras, times, (after @ torch.linalg.inv(before))[..., :3, :])

    def render_features(self, cameras: Cameras, times: Tensor) -> Render:
        """Like `render`, with the channel `features`.

        Raises:
            ConfigError: the Gaussians have none.
        """
        return self._drawing.signals(cameras, times, {FEATURES: self.feature_table.required()})

    def featured_points(self, count: int, times: Sequence[float], draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some of the Gaussians, and their features.

        Raises:
            ConfigError: the Gaussians have none.
        """
        chosen = torch.randperm(len(self.means), generator=draws)[:count].to(self.means.device)
        return self.warped(self.means[chosen], times), self.feature_table.required()[chosen]

    def shape_points(self) -> Tensor:
        """(N, 3) the Gaussians at rest."""
        return self.means

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) Gaussians, vertices or bones at rest, which is no moment of the clip."""
        if points == "gaussians":
            return self.means
        return self.surface.vertices.to(self.means) if points == "vertices" else self.bag.centres

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) Gaussians, vertices or bones at several times."""
        if points == "nodes":
            return self.joints(times) if chosen is None else self.joints(times)[:, chosen]
        rest = self.rest_points(points)
        return self.warped(rest if chosen is None else rows(rest, chosen), times)

    def carried_points(self, points: Tensor, times: Sequence[float], since: float = 0.0) -> Tensor:
        """(T, P, 3) where points near the shape at a time, the first, are: each as the Gaussian then nearest to it."""
        at_first, *later = self._point_transforms([since, *times])
        nearest = torch.cdist(points, apply_per_vertex(at_first, self.means)).argmin(dim=1)
        carried = torch.stack([(each @ torch.linalg.inv(at_first))[nearest] for each in later])
        return apply_per_vertex(carried, points)

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """The nearest others to each at the start of the fit."""
        if points != "gaussians":
            return nearest_neighbourhoods(self.rest_points(points), count)
        if count not in self._neighbourhoods:
            self._neighbourhoods[count] = nearest_neighbourhoods(self.start_means, count)
        return self._neighbourhoods[count]

    def attributes(self, time: float = 0.0) -> SurfaceAttributes:
        """How far the Gaussians at rest are from where they began, their growth, and their colours."""
        growth = (self.log_scales - self.start_log_scales).mean(-1)
        return SurfaceAttributes(self.means - self.start_means, growth, 0.5 + SH_DEGREE_0 * self.colours[:, 0])

    def neighbours(self) -> Tensor:
        """(N, K) int64 the Gaussians that were nearest to each at the start of the fit."""
        return self.neighbourhoods("gaussians", min(NEIGHBOURS, len(self.means) - 1)).neighbours

    def features(self, time: float = 0.0) -> Mapping[str, Tensor]:
        """None: the attributes are a table."""
        return {}

    @property
    def has_mesh(self) -> bool:
        """Always: it is made when it is first asked for."""
        return True

    @property
    def surface(self) -> Mesh:
        """The surface at rest, on the CPU, as it is made of the Gaussians as they stand.

        Raises:
            InvalidInputError: they show none.
        """
        if self._surface is None:
            self._surface = surface_at_rest(self.rest.detach(), self.footprint, self.config.resolution)
        return self._surface

    def rest_mesh(self) -> Mesh:
        """The surface at rest; see `surface`."""
        return self.surface

    def mesh(self, time: float = 0.0) -> Mesh:
        """The surface at rest, its vertices moved by the bones."""
        rest = self.surface.to(self.means.device)
        return rest.with_vertices(self.warped(rest.vertices, [time])[0])

    @torch.no_grad()
    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Keep Gaussians flat, small and opaque, so that they remain a surface, and paint those unseen."""
        along = self.start_log_scales[:, :2].amax(1, keepdim=True)
        limits = along + torch.tensor([self.config.widest, self.config.widest, self.config.thickest]).log().to(along)
        self.log_scales.copy_(torch.minimum(self.log_scales, limits))
        self.opacity_logits.clamp_(min=math.log(self.config.least_opacity / (1 - self.config.least_opacity)))
        if self.colours.requires_grad:
            self.visibility.fill(self.colours, self.neighbours())
        self._surface = None

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over a checkpoint's state."""
        super().restore(state, step)
        self._surface = None
        self._neighbourhoods.clear()

    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors`, the surface included, and `gaussians.ply` of the shape at rest."""
        write_scene(folder, self.config, {**self.state_dict(), **stored_surface(self.surface)})
        write_gaussian_ply(folder / "gaussians.ply", self.rest.detach().to("cpu"), up="y")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> ArticulatedGaussians:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, ArticulatedGaussiansConfig, device)
        surface, start = taken_surface(tensors), Gaussians(*(tensors[name] for name in PARAMETERS))
        radii = tensors["bag.log_radii"].exp()[:, 0]
        scene = cls(config, start, tensors["bag.centres"], radii, surface=surface).to(device)
        scene.take(tensors)
        return scene
