"""A surface that stays as it is, and a physically based material that is learnt: X-Dreamer's appearance stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from a4d.config import Spec, overlaid, parse, plain
from a4d.errors import ConfigError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset, Primitive
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.unwrapping import UnwrappedMesh, unwrap
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import vertex_tangents
from a4d.memory import TRAINED_NUMBER
from a4d.optimisers import Optimisers
from a4d.render.baking import charts_are_sound
from a4d.render.grid_layout import grid_layout
from a4d.render.mesh_gradients import view_mesh
from a4d.render.render import Render, Shading, Wants
from a4d.render.shaded_mesh import CornerNormals, render_material
from a4d.render.shading import encode_srgb
from a4d.scenes.carried_surface import CarriedSurface
from a4d.scenes.meshes.lighting import Lighting
from a4d.scenes.meshes.material_field import MaterialField, baked_material
from a4d.scenes.meshes.material_scene import MaterialScene, MaterialSceneConfig
from a4d.scenes.protocols import AssetOptions, has_mesh
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.seed import Seed
from a4d.scenes.storage import read_scene, write_scene

logger = logging.getLogger(__name__)

SURFACE = "surface.glb"

MARGIN = 1.01
"""Half the side of the material's cube over the farthest coordinate of the surface."""


class FixedMeshConfig(MaterialSceneConfig):
    """What is on the surface, and what lights it."""

    kind: Literal["fixed_mesh"] = "fixed_mesh"


class FixedMeshScene(MaterialScene):
    """The user's or another scene's mesh, whose vertices, faces and texture coordinates never change.

    Args:
        config: material, light and shading.
        surface: still; of its materials the names alone count, and which of them are seen from both sides.
    """

    kind = "fixed_mesh"
    config_class = FixedMeshConfig
    config: FixedMeshConfig
    vertices: Tensor
    faces: Tensor
    normals: Tensor
    corners: Tensor

    def __init__(self, config: FixedMeshConfig, surface: CarriedSurface) -> None:
        super().__init__()
        self.config, self.surface = config, surface
        self.material = MaterialField(config.material, MARGIN * float(surface.vertices.abs().max()))
        self.lighting = Lighting(config.light)
        posed = surface.posed
        # Outlines are found where faces share vertices, normals may differ between faces that meet.
        parts = {"vertices": posed.vertices, "faces": surface.whole_faces}
        for name, tensor in {**parts, "normals": posed.normals, "corners": posed.faces}.items():
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def memory(cls, config: FixedMeshConfig) -> int:  # type: ignore[override]
        """Bytes of the grid of features that tells the material."""
        return TRAINED_NUMBER * grid_layout(config.material.encoding).parameters

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> FixedMeshScene:
        """Start grey, on the surface of an asset or mesh.

        Raises:
            ConfigError: neither is known.
        """
        config = parse(FixedMeshConfig, spec, "scene")
        if seed.asset is not None:
            return cls._begun(config, seed.asset, generator)
        if seed.mesh is None:
            raise ConfigError("a scene of kind 'fixed_mesh' needs a mesh", "Give --from SCENE, or begin from a mesh")
        return cls._begun(config, _as_asset(seed.mesh), generator)

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> FixedMeshScene:
        """The surface of any scene that has one, grey; or the same surface and material in another light.

        Raises:
            ConfigError: the other has no surface, or its material is of other settings.
        """
        if isinstance(start, FixedMeshScene):
            return start.reconfigured(parse(FixedMeshConfig, overlaid(plain(start.config), over), "scene"))
        if not has_mesh(start):
            raise cannot_become(start, cls)
        return cls._begun(parse(FixedMeshConfig, over, "scene"), _as_asset(start.mesh()), generator)

    @classmethod
    def _begun(cls, config: FixedMeshConfig, asset: Asset, generator: torch.Generator) -> FixedMeshScene:
        still = CarriedSurface.still(asset)
        looks = tuple(
            Material(each.name, metallic=0.0, roughness=0.9, is_double_sided=each.is_double_sided)
            for each in still.asset.materials
        )
        scene = cls(config, CarriedSurface(replace(still.asset, materials=looks)))
        scene.material.initialise(generator)
        scene.lighting.initialise()
        return scene

    def reconfigured(self, config: FixedMeshConfig) -> FixedMeshScene:
        """The same surface and material, lit or shown in another way.

        Raises:
            ConfigError: the settings are those of another material.
        """
        if config.material != self.config.material:
            raise ConfigError("scene.material: a material that is there cannot take another", "Leave the key out")
        scene = FixedMeshScene(config, self.surface)
        scene.material.load_state_dict(self.material.state_dict())
        if config.light == self.config.light:
            scene.lighting.load_state_dict(self.lighting.state_dict())
        else:
            scene.lighting.initialise()
        return scene

    def surface_mesh(self) -> Mesh:
        """The surface on the scene's device, whole across the seams of pictures."""
        return Mesh(self.vertices, self.faces)

    def rasterised(self, cameras: Cameras, shading: Shading, wants: Wants) -> Render:
        """The surface with the normals of its file."""
        view = view_mesh(self.vertices, self.faces, cameras)
        normals = CornerNormals(self.normals, self.corners)
        mesh = self.surface_mesh()
        return render_material(view, mesh, self.material_at, self.lighting, shading, None, wants, normals)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the material and the light; a light that is held has none."""
        light = self.lighting.logarithm
        return {
            "material_encoding": [self.material.encoding.table],
            "material_network": list(self.material.network.parameters()),
            "light": [] if light is None else [light],
        }

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Filter a light that learns anew."""
        self.lighting.forget()

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over a checkpoint's state."""
        super().restore(state, step)
        self.lighting.forget()

    @torch.no_grad()
    def mesh(self, time: float = 0.0) -> Mesh:
        """The surface, whole across the seams of pictures, with its albedo at the vertices."""
        colours = encode_srgb(self.material.at(self.vertices).base_colour)
        return Mesh(self.vertices, self.faces, colours).to("cpu")

    def asset(self, options: AssetOptions) -> Asset:
        """The surface with baked pictures, over its own texture coordinates where a picture can be laid over them.

        They may leave the picture, which then repeats. Where parts of it would lie over each other, new coordinates are
        made, which is said.
        """
        primitives, looks = self.surface.asset.meshes[0].primitives, self.surface.asset.materials
        charts = [_own_charts(primitive) for primitive in primitives]
        sound = [chart for chart in charts if chart is not None and charts_are_sound(chart)]
        if len(sound) < len(primitives):
            return self._unwrapped_asset(options, has_own=any(chart is not None for chart in charts))
        parts, materials = [], []
        for index, (primitive, chart) in enumerate(zip(primitives, sound, strict=True)):
            look = looks[primitive.material]
            material = self._baked(look.name or f"{options.name}_{index}", chart, options.texture)
            materials.append(replace(material, is_double_sided=look.is_double_sided))
            parts.append(_with_pictures(primitive, index, has_normal_map=material.normal_map is not None))
        return static_asset(options.name, parts, materials)

    def _unwrapped_asset(self, options: AssetOptions, *, has_own: bool) -> Asset:
        """The whole surface in new charts."""
        if has_own:
            logger.warning("the mesh's texture coordinates overlap: new ones are made")
        posed = self.surface.posed
        unwrapped = unwrap(Mesh(posed.vertices, posed.faces), options.texture, normals=posed.normals)
        material = self._baked(options.name, unwrapped, options.texture)
        is_double_sided = any(look.is_double_sided for look in self.surface.asset.materials)
        primitive = unwrapped.primitive(has_tangents=material.normal_map is not None)
        return static_asset(options.name, primitive, replace(material, is_double_sided=is_double_sided))

    def _baked(self, name: str, unwrapped: UnwrappedMesh, size: int) -> Material:
        return baked_material(name, unwrapped, self.material, size, is_unlit=self.config.shading == "albedo")

    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors`, which hold the light too, and the surface as `surface.glb`."""
        write_scene(folder, self.config, self.state_dict())
        self.surface.save(folder / SURFACE)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> FixedMeshScene:
        """Read what `save` wrote."""
        config, tensors = read_scene(folder, FixedMeshConfig, device)
        scene = cls(config, CarriedSurface.load(folder / SURFACE)).to(device)
        scene.load_state_dict(tensors)
        return scene


def _as_asset(mesh: Mesh) -> Asset:
    return static_asset("surface", primitive_from_mesh(Mesh(mesh.vertices, mesh.faces)))


def _own_charts(primitive: Primitive) -> UnwrappedMesh | None:
    """A part of the surface over the first of its texture coordinates; None where it has none."""
    if not len(primitive.uvs):
        return None
    assert primitive.normals is not None
    every = torch.arange(len(primitive.positions))
    mesh = Mesh(primitive.positions, primitive.faces)
    return UnwrappedMesh(mesh, every, primitive.faces, primitive.uvs[0], primitive.normals)


def _with_pictures(primitive: Primitive, material: int, *, has_normal_map: bool) -> Primitive:
    """A part of the surface as it was, without colours of its own, and with tangents where a normal map needs them."""
    assert primitive.normals is not None
    tangents = None
    if has_normal_map:
        tangents = vertex_tangents(primitive.positions, primitive.faces, primitive.normals, primitive.uvs[0])
    return replace(primitive, material=material, colours=None, tangents=tangents)
