"""A field of signed distances and colours at rest, which bones move: rays are bent back to where the shape was."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from a4d.config import Number, Spec, parse, value_at
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.differences import corner_differences
from a4d.geometry.surfaces.isosurface.coarse_to_fine import COARSEST, find_surface
from a4d.geometry.surfaces.parts import without_scraps
from a4d.optimisers import Optimisers
from a4d.render.field import RAY_CHANNELS, Marching, SamplingConfig, render_field
from a4d.render.occupancy import CELL_BYTES, MarkedSpace, OccupancyConfig, OccupancyGrid, marked_space
from a4d.render.render import Channel, Render, Wants, concatenated
from a4d.scenes.articulated.base import ArticulatedScene
from a4d.scenes.articulated.bones import spread_bones
from a4d.scenes.articulated.canonical_field import CanonicalField, CanonicalFieldConfig
from a4d.scenes.articulated.config import ArticulatedConfig
from a4d.scenes.protocols import FEATURES, PLACE
from a4d.scenes.seed import Seed
from a4d.scenes.seed_volume import Distances
from a4d.scenes.storage import read_scene, write_scene

POINTS = 2**17
"""Points at which colours are looked up at once."""

OUTLINE = 512
"""Of the occupied cells at rest, by which others ask where the posed shape is."""

REACH = 0.005
"""Half of the side of the cubes in which slopes are taken, over half of the side of the scene's cube."""


class ArticulatedFieldConfig(ArticulatedConfig):
    """What an articulated field is made of besides its tensors."""

    kind: Literal["articulated_field"] = "articulated_field"
    bound: float | None = Field(
        default=None, gt=0, description="half of the cube's side in metres, at rest; a quarter more than the seed's"
    )
    canonical: CanonicalFieldConfig = CanonicalFieldConfig()
    detail: Number = Field(default=1.0, description="share of the waves or levels that take part, by step")
    sampling: SamplingConfig = SamplingConfig(steps=128)
    occupancy: OccupancyConfig = OccupancyConfig(resolution=32, threshold=5.0)
    surface_resolution: int = Field(default=128, ge=8, le=1024, description="cells of a mesh's grid along the cube")


class ArticulatedField(ArticulatedScene):
    """Signed distances and colours in a cube at rest, moved by a bag of bones that is learnt with them.

    What is seen at a moment is looked up at rest, by the bones' inverse motions. What of the cube is empty is known at
    rest as well, so that it moves along.

    Args:
        config: with its `bound`.
        centres: (B, 3) of the bones at rest, world, metres.
        radii: (B,) of the bones, metres.
        generator: of the weights of the bones' networks, on the CPU.
    """

    kind = "articulated_field"
    config_class = ArticulatedFieldConfig
    config: ArticulatedFieldConfig
    fixed = ("bones", "skinning", "bound", "canonical", "occupancy")
    follows_rays = True
    offers = RAY_CHANNELS | frozenset[Channel]({"normal"})
    steps_done: Tensor

    def __init__(
        self, config: ArticulatedFieldConfig, centres: Tensor, radii: Tensor, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config, centres, radii, generator)
        assert config.bound is not None
        self.bound = config.bound
        self.canonical = CanonicalField(config.canonical, self.bound)
        self.occupancy = OccupancyGrid(config.occupancy, self.bound)
        # Decides what detail takes part and how rays are shifted.
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))

    @classmethod
    def memory(cls, config: ArticulatedFieldConfig) -> int:  # type: ignore[override]
        """Bytes of grids and of what is known to be empty; bones are few."""
        return config.canonical.memory() + CELL_BYTES * config.occupancy.resolution**3

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> ArticulatedField:
        """The seed's shape, or a ball where none is known, and bones spread over it; nothing moves yet."""
        config = parse(ArticulatedFieldConfig, spec, "scene")
        bound = config.bound or 1.25 * seed.reach
        ball = (seed.reach / 2,) * 3
        inside = _inside(lambda points: seed.signed_distance(points, ball), bound)
        scene = cls(config.model_copy(update={"bound": bound}), *spread_bones(inside, config.bones), generator)
        scene.canonical.initialise(lambda points: seed.signed_distance(points, ball), generator)
        scene.occupancy.fill(scene.density_at_rest, generator)
        return scene

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the field at rest, and of the bones."""
        return {**self.canonical.groups(), **super().groups()}

    @property
    def detail(self) -> float:
        """The share of waves or levels that take part at present."""
        return value_at(self.config.detail, int(self.steps_done))

    def rest_box(self) -> Tensor:
        """(2, 3) metres, of the cube."""
        low = torch.full((1, 3), -self.bound, device=self.steps_done.device)
        return torch.cat([low, -low])

    def signed_distances(self, points: Tensor) -> Tensor:
        """(N,) metres at points at rest, negative inside."""
        return self.canonical.distances(points, self.detail)

    def density_at_rest(
        self,
        points: Tensor,  # (N, 3) at rest, metres
        times: Tensor,  # (N,), which make no difference
    ) -> Tensor:
        """(N,) per metre."""
        return self.canonical.density(self.signed_distances(points))

    def shape_points(self) -> Tensor:
        """(N, 3) the middles of some of the occupied cells at rest, spread over all of them."""
        places = self._occupied_places()
        chosen = torch.linspace(0, len(places) - 1, min(OUTLINE, len(places)), device=places.device)
        return places[chosen.round().long()]

    def _occupied_places(self) -> Tensor:
        """(N, 3) the middles of the cells at rest that may hold something."""
        cells = self.occupancy.occupied[0].nonzero()
        return ((cells + 0.5) / self.occupancy.config.resolution * 2 - 1) * self.bound

    @torch.no_grad()
    def posed_space(self, times: Sequence[float] | None) -> MarkedSpace:
        """Where the bones take what is not empty, at times in [0, 1] or at rest."""
        places = self._occupied_places()
        posed = places[None] if times is None else self.warped(places, times)
        return marked_space(posed, 2 * self.bound / self.occupancy.config.resolution)

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """March the rays through all pixels, where the bones take what is not empty; without times it is at rest."""
        self.require_channels(wants)
        return self._marched(cameras, times, background, wants)

    def render_places(self, cameras: Cameras, times: Tensor, others: Tensor) -> Render:
        """Like `render`, with the channel `place`: where what is seen is at other times."""
        views = [
            self._marched(cameras[index], times[index : index + 1], None, {PLACE}, float(other))
            for index, other in enumerate(others)
        ]
        return concatenated(views)

    def render_features(self, cameras: Cameras, times: Tensor) -> Render:
        """Like `render`, with the channel `features`.

        Raises:
            ConfigError: the field has none.
        """
        self._require_features()
        return self._marched(cameras, times, None, {FEATURES})

    def featured_points(self, count: int, times: Sequence[float], draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Middles of occupied cells, and the features there.

        Raises:
            ConfigError: the field has none.
        """
        self._require_features()
        places = self._occupied_places()
        chosen = places[torch.randperm(len(places), generator=draws)[:count].to(places.device)]
        return self.warped(chosen, times), self.canonical.features(chosen, self.detail)

    def _require_features(self) -> None:
        if self.canonical.semantic is None:
            raise ConfigError("this scene learns no features", "Set scene.canonical.features")

    def _marched(
        self,
        cameras: Cameras,
        times: Tensor | None,
        background: Tensor | None,
        wants: Collection[str],
        other: float | None = None,
    ) -> Render:
        moments, index = (None, None) if times is None else times.unique(return_inverse=True)
        posed = _Posed(self, None if moments is None else moments.tolist(), other)
        slots = None if index is None else (index + 0.5) / len(posed)
        is_shifted = self.config.sampling.jitter and torch.is_grad_enabled() and self.training
        marching = Marching(posed.sampling, posed.space, int(self.steps_done) if is_shifted else None)
        return render_field(posed, cameras, slots, background, marching, cast("Wants", wants))

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Take in more detail, and look anew at what is empty."""
        self.steps_done.fill_(step + 1)
        self.occupancy.update(step, self.density_at_rest, generator)

    def facts(self) -> dict[str, float]:
        """The share of cells that are occupied, and metres over which density falls across the surface."""
        return {"occupied": self.occupancy.share, "beta": float((-self.canonical.log_inverse_beta.detach()).exp())}

    @property
    def has_mesh(self) -> bool:
        """Always: its surface is where distances are zero."""
        return True

    def surface_colours(self, points: Tensor, time: float = 0.0) -> Tensor:
        """The colours of (N, 3) posed points."""
        rest = self.unwarped(points[None], [time])[0]
        return torch.cat([self.canonical(part, self.detail)[1] for part in rest.split(POINTS)])

    @torch.no_grad()
    def mesh(self, time: float = 0.0) -> Mesh:
        """The surface where distances are zero at rest, closed, taken to where the bones are at a time.

        Raises:
            SurfaceVanishedError: distances are nowhere negative.
        """
        rest = self.rest_mesh()
        return rest.with_vertices(self.warped(rest.vertices, [time])[0])

    @torch.no_grad()
    def rest_mesh(self) -> Mesh:
        """The surface at rest, in its colours.

        Raises:
            SurfaceVanishedError: distances are nowhere negative.
        """
        device, cells = self.steps_done.device, self.config.surface_resolution

        def level(points: Tensor) -> Tensor:
            return torch.cat([-self.signed_distances(part.to(device)) for part in points.split(POINTS)])

        surface = without_scraps(find_surface(level, self.bound, cells, min(COARSEST, cells)).mesh)
        vertices = surface.vertices.to(device)
        colours = torch.cat([self.canonical(part, self.detail)[1] for part in vertices.split(POINTS)])
        return Mesh(vertices, surface.faces.to(device), colours)

    def save(self, folder: Path) -> None:
        """Write `scene.yaml` and `tensors.safetensors`; the detail that takes part is written as it is."""
        write_scene(folder, self.config.model_copy(update={"detail": self.detail}), self.state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> ArticulatedField:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, ArticulatedFieldConfig, device)
        scene = cls(config, tensors["bag.centres"], tensors["bag.log_radii"][:, 0].exp())
        scene.take(tensors)
        return scene.to(device)


class _Posed:
    """The field as its bones hold it at some moments, of which the t-th of T has the times from t / T to (t + 1) / T.

    Args:
        scene: at rest.
        moments: T in [0, 1]; None leaves it at rest.
        other: time in [0, 1] of which the signal `place` tells.
    """

    def __init__(self, scene: ArticulatedField, moments: Sequence[float] | None, other: float | None = None) -> None:
        self.scene, self.moments, self.other = scene, moments, other
        self.space = scene.posed_space(moments)

    def __len__(self) -> int:
        return 1 if self.moments is None else len(self.moments)

    @property
    def bound(self) -> float:
        return self.space.bound

    @property
    def sampling(self) -> SamplingConfig:
        """The scene's, whose steps are as long as in its own cube."""
        sampling = self.scene.config.sampling
        return sampling.model_copy(update={"steps": math.ceil(sampling.steps * self.bound / self.scene.bound)})

    def density(self, points: Tensor, times: Tensor) -> Tensor:
        """(M,) per metre."""
        return self.scene.density_at_rest(self._at_rest(points, times), times)

    def signals(self, points: Tensor, times: Tensor, directions: Tensor, wants: frozenset[str]) -> dict[str, Tensor]:
        canonical, detail = self.scene.canonical, self.scene.detail
        rest = self._at_rest(points, times)
        distances, colours = canonical(rest, detail)
        signals = {"density": canonical.density(distances), "rgb": colours}
        if "normal" in wants:
            signals["normal"] = self._normals(points, times)
        if PLACE in wants:
            assert self.other is not None
            signals[PLACE] = self.scene.warped(rest, [self.other])[0]
        if FEATURES in wants:
            signals[FEATURES] = canonical.features(rest, detail)
        return signals

    def _normals(self, points: Tensor, times: Tensor) -> Tensor:
        """(M, 3) of unit length, to where distances rise among the posed points."""
        repeated = times.repeat_interleave(4)

        def distances(around: Tensor) -> Tensor:
            return self.scene.signed_distances(self._at_rest(around, repeated))

        return normalize(corner_differences(distances, points, REACH * self.scene.bound), dim=-1)

    def _at_rest(self, points: Tensor, times: Tensor) -> Tensor:
        """(M, 3) where points were before their moments' bones took them."""
        if self.moments is None:
            return points
        rest = torch.zeros_like(points)
        index = (times * len(self.moments)).long()
        for number, moment in enumerate(self.moments):
            chosen = (index == number).nonzero()[:, 0]
            back = self.scene.unwarped(points.index_select(0, chosen)[None], [moment])[0]
            rest = rest.index_copy(0, chosen, back)
        return rest


def _inside(distances: Distances, bound: float, cells: int = 32) -> Tensor:
    """(P, 3) points of a grid that lie within a shape, or the one that is nearest to it."""
    axis = (torch.arange(cells) + 0.5) / cells * 2 * bound - bound
    points = torch.cartesian_prod(axis, axis, axis)
    found = distances(points)
    return points[found <= found.min().clamp_min(0)]
