"""A surface with a physically based material: signed distances on a grid, and networks of position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Number, Spec, parse, value_at
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface
from a4d.memory import TRAINED_NUMBER
from a4d.optimisers import Optimisers
from a4d.render.encoding import progressive_level_weights
from a4d.render.grid_layout import grid_layout
from a4d.render.mesh_gradients import view_mesh
from a4d.render.render import Render, Shading, Wants
from a4d.render.shaded_mesh import SurfacePoints, render_material
from a4d.render.shading import SurfaceMaterial, encode_srgb
from a4d.scenes.meshes.implicit_surface import DistanceNetwork, DistanceNetworkConfig, ImplicitSurface, SurfaceConfig
from a4d.scenes.meshes.lighting import Lighting
from a4d.scenes.meshes.material_field import MaterialField, baked_asset
from a4d.scenes.meshes.material_scene import MaterialScene, MaterialSceneConfig
from a4d.scenes.protocols import AssetOptions
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene
from a4d.trainable import learning_parameters

GROUPS = (
    "sdf",
    "displacement",
    "geometry_encoding",
    "geometry_network",
    "weights",
    "material_encoding",
    "material_network",
    "light",
)
"""Names of the groups of parameters, which are also the names of their learning rates."""

MARGIN = 1.15
"""The cube's side over the subject's."""


class TetmeshSceneConfig(MaterialSceneConfig):
    """What a scene is made of besides its tensors."""

    kind: Literal["tetmesh"] = "tetmesh"
    bound: float | None = Field(default=None, gt=0, description="half of the cube's side in metres; fits the seed")
    ellipsoid: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="half axes in metres to start with where no shape is known"
    )
    surface: SurfaceConfig = SurfaceConfig()
    active_levels: Number | None = Field(
        default=None, description="levels of the geometry's encoding that take part, by step; null is all"
    )


class TetmeshScene(MaterialScene):
    """A closed surface that a fit can change in shape and topology, and that every program can show."""

    kind = "tetmesh"
    config_class = TetmeshSceneConfig
    config: TetmeshSceneConfig
    steps_done: Tensor

    def __init__(self, config: TetmeshSceneConfig, step: int = 0) -> None:
        super().__init__()
        self.config = config
        self.bound = 1.0 if config.bound is None else config.bound
        self.surface = ImplicitSurface(config.surface, self.bound, step)
        self.material = MaterialField(config.material, self.bound)
        self.lighting = Lighting(config.light)
        # Decides the resolution and which levels take part.
        self.register_buffer("steps_done", torch.tensor(step))
        self._extracted: ExtractedSurface | None = None
        self._learning: tuple[bool, ...] | None = None

    @classmethod
    def memory(cls, config: TetmeshSceneConfig) -> int:  # type: ignore[override]
        """Bytes of the surface, and of the grid of features that tells its material."""
        return config.surface.memory() + TRAINED_NUMBER * grid_layout(config.material.encoding).parameters

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> TetmeshScene:
        """Start as the seed's shape, else as an ellipsoid; grey."""
        config = parse(TetmeshSceneConfig, spec, "scene")
        if config.bound is None:
            reach = seed.reach if seed.has_shape else max(config.ellipsoid)
            config = config.model_copy(update={"bound": MARGIN * reach})
        scene = cls(config)
        scene.surface.initialise(lambda points: seed.signed_distance(points, config.ellipsoid), generator)
        scene.material.initialise(generator)
        scene.lighting.initialise()
        return scene

    @property
    def level_weights(self) -> tuple[float, ...] | None:
        """How much each level of the geometry's encoding takes part at this step; None for a table."""
        geometry, active = self.config.surface.geometry, self.config.active_levels
        if not isinstance(geometry, DistanceNetworkConfig):
            return None
        levels = geometry.encoding.levels
        return progressive_level_weights(levels, levels if active is None else value_at(active, int(self.steps_done)))

    def extracted(self) -> ExtractedSurface:
        """The surface as it stands, part of the autograd graph; all views of a step share it.

        Raises:
            SurfaceVanishedError: there is no surface left.
        """
        learning = learning_parameters(self.surface)
        if self._extracted is None or (learning is not None and learning != self._learning):
            self._learning = learning
            # What is shared between renders is no part of a single one that is rendered anew when gradients come back.
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
                self._extracted = self.surface(self.level_weights)
        return self._extracted

    def surface_mesh(self) -> Mesh:
        """The extracted surface, part of the autograd graph."""
        return self.extracted().mesh

    def cell_size(self) -> float:
        """Metres along a side of the cells of the grid."""
        return self.surface.cell

    def _forget(self) -> None:
        self._extracted = None
        self.lighting.forget()

    @property
    def _is_held(self) -> bool:
        """Whether the surface cannot change, and need not be extracted anew after a step."""
        learns = any(parameter.requires_grad for parameter in self.surface.parameters())
        return not learns and self.config.active_levels is None

    def rasterised(self, cameras: Cameras, shading: Shading, wants: Wants) -> Render:
        """The surface as it stands; its material is asked for only where it is shown."""
        mesh = self.extracted().mesh
        view = view_mesh(mesh.vertices, mesh.faces, cameras)
        is_plain = shading in ("normal", "textureless") and not self.config.material.bump
        material = _unseen if is_plain else self.material_at
        return render_material(view, mesh, material, self.lighting, shading, None, wants)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the shape, its material and the light; what the configuration does without is empty."""
        geometry, light, weights = self.surface.geometry, self.lighting.logarithm, self.surface.weights
        groups: dict[str, list[nn.Parameter]] = {
            **{name: [] for name in GROUPS},
            "material_encoding": [self.material.encoding.table],
            "material_network": list(self.material.network.parameters()),
            "light": [] if light is None else [light],
            "weights": [] if weights is None else [weights],
        }
        if isinstance(geometry, DistanceNetwork):
            network = list(geometry.network.parameters())
            return {**groups, "geometry_encoding": [geometry.encoding.table], "geometry_network": network}
        return {**groups, "sdf": [geometry.sdf], "displacement": [geometry.displacement]}

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Look for the surface anew every so often, and make the grid finer where the configuration says so."""
        self.steps_done.fill_(step + 1)
        resolution = self.config.surface.cells_at(step + 1)
        if self._is_held and resolution == self.surface.resolution:
            self.lighting.forget()
            return
        self._forget()
        if resolution != self.surface.resolution:
            with torch.no_grad():
                mesh = self.surface(self.level_weights).mesh
            former = self.groups()
            self.surface.refine(mesh, resolution, self.level_weights)
            self._hand_over(former, optimisers)
        elif (step + 1) % self.config.surface.look_every == 0:
            self.surface.look(self.level_weights)

    def _hand_over(self, former: Mapping[str, Sequence[nn.Parameter]], optimisers: Optimisers) -> None:
        """Let the optimisers go on with the parameters of a new grid, whose moments start anew."""
        for name, parameters in self.groups().items():
            for old, new in zip(former[name], parameters, strict=True):
                if new is not old:
                    new.requires_grad_(old.requires_grad)
                    optimisers.replace(old, new)

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over a checkpoint's state, whose grid may be finer."""
        device = self.steps_done.device
        self.surface = ImplicitSurface(self.config.surface, self.bound, step).to(device)
        self.load_state_dict(state)
        self._after_loading()

    def _after_loading(self) -> None:
        self.surface.remember()
        self._forget()

    def _apply(self, *arguments: Any, **options: Any) -> TetmeshScene:
        """Move to another device; the grid and what was extracted from it follow."""
        super()._apply(*arguments, **options)
        self._after_loading()
        return self

    def facts(self) -> dict[str, float]:
        """Faces of the surface and cells along the grid's side."""
        return {"faces": len(self.extracted().mesh.faces), "resolution": self.surface.resolution}

    @torch.no_grad()
    def mesh(self, time: float = 0.0) -> Mesh:
        """The surface, closed, with its albedo at the vertices.

        Raises:
            SurfaceVanishedError: there is no surface left.
        """
        surface = self.extracted().mesh
        vertices = surface.vertices.detach()
        return Mesh(vertices, surface.faces, encode_srgb(self.material.at(vertices).base_colour)).to("cpu")

    def asset(self, options: AssetOptions) -> Asset:
        """The surface with baked pictures; where it is shown in its albedo alone, so it is in other programs."""
        return baked_asset(
            options.name, self.mesh(), self.material, options.texture, is_unlit=self.config.shading == "albedo"
        )

    def save(self, folder: Path) -> None:
        """Write `scene.yaml` and `tensors.safetensors`, which hold the light too.

        Schedules are written as what they have come to: whoever goes on with the scene counts steps from 0 again.
        """
        surface = self.config.surface.model_copy(update={"resolution": {0: self.surface.resolution}})
        levels = None if self.level_weights is None else sum(self.level_weights)
        config = self.config.model_copy(update={"surface": surface, "active_levels": levels})
        write_scene(folder, config, self.state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> TetmeshScene:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, TetmeshSceneConfig, device)
        scene = cls(config, int(tensors["steps_done"]))
        scene.load_state_dict(tensors)
        return scene.to(device)


def _unseen(points: SurfacePoints) -> SurfaceMaterial:
    """Some material, where only the shape is shown."""
    ones = torch.ones_like(points.positions)
    return SurfaceMaterial(ones, ones[:, 0], ones[:, 0])
