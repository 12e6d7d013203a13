"""Assets from mesh and motion files of any common kind: shape, materials, and what moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.asset import Asset, Primitive
from a4d.geometry.assets.capsules import capsule_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.mending import Damage, mended
from a4d.geometry.assets.posing import deform
from a4d.io.assets.bvh import read_bvh
from a4d.io.assets.gltf.reader import SUFFIXES as GLTF_SUFFIXES
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.mesh_file import MeshFile, many
from a4d.io.assets.obj_reader import read_obj
from a4d.io.assets.off_reader import read_off
from a4d.io.assets.ply_mesh import read_ply_mesh
from a4d.io.assets.stl_reader import read_stl

STILL: dict[str, Callable[[Path], MeshFile]] = {
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply_mesh,
    ".stl": read_stl,
}
"""The readers of formats without motion."""

ADVICE = {
    ".fbx": "In Blender, import the FBX file and export it as glTF",
    ".blend": "In Blender, export it as glTF",
    ".zip": "Unpack it and name the mesh file inside",
}

Y_UP_FORMATS = (".glb", ".gltf", ".bvh")
"""Those in which +Y is up and +Z the front, by their specification or by custom."""

MOST_CORNERS = 50_000
"""Of a face; the time to cut one that is not convex grows with the square of their number."""

MOST_LOST = 0.5
"""Share of the faces that may be at no finite place in a file that is still taken for a mesh."""


def read_asset(path: Path) -> Asset:
    """Read what a file says about shape, look and motion, in its own world.

    Values that are no numbers, and normals without a direction, are mended; the asset's `left_out` counts them.

    Args:
        path: `.glb` and `.gltf` with skins, morph targets and clips; `.obj`, `.ply`, `.stl` and `.off`, which stand
            still; `.bvh`, whose skeleton gets a body of capsules and whose motion is a clip.

    Raises:
        MissingInputError: the file, or a buffer that it cannot do without, does not exist.
        InvalidInputError: another format, damaged, without faces of positive area, or at no finite place for the most
            part.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if suffix == ".bvh":
        return capsule_asset(path.stem, read_bvh(path))
    if suffix in STILL:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is mended or refused below
            asset = _still(path, STILL[suffix](path))
    elif suffix in GLTF_SUFFIXES:
        asset = read_gltf(path)
    else:
        known = ", ".join(sorted({*STILL, *GLTF_SUFFIXES, ".bvh"}))
        problem = f"{path}: meshes are not read from {suffix or 'files without a suffix'}"
        raise InvalidInputError(problem, ADVICE.get(suffix, f"Convert it to one of {known}"))
    asset = _mended(path, asset)
    if not bool((deform(asset).mesh.face_normals != 0).any()):
        raise InvalidInputError(f"{path} holds no triangle of positive area")
    return asset


def _still(path: Path, file: MeshFile) -> Asset:
    """The primitives of a mesh at one node, each with a material of its own."""
    largest = int(file.mesh.counts.max(initial=0))
    if largest > MOST_CORNERS:
        problem = f"{path} has a face of {largest} corners, more than {MOST_CORNERS}"
        raise InvalidInputError(problem, "Triangulate it on export")
    primitives, materials = list[Primitive](), list[Material]()
    for primitive in file.mesh.primitives():
        dressed, material = _dressed(primitive, file.materials[primitive.material])
        primitives.append(replace(dressed, material=len(materials)))
        materials.append(material)
    if not primitives:
        raise InvalidInputError(f"{path} holds no faces", "Points and lines alone make no surface")
    return replace(static_asset(path.stem, primitives, materials), name=path.name, left_out=file.left_out)


def _dressed(primitive: Primitive, material: Material) -> tuple[Primitive, Material]:
    """What is seen of a surface that may have both colours and a material: a picture, else colours, else the material.

    Formats other than glTF say nothing on how the two would be combined.
    """
    if not len(primitive.uvs):
        material = replace(
            material, base_colour_map=None, metallic_roughness_map=None, normal_map=None, emission_map=None
        )
    if material.base_colour_map is not None:
        return replace(primitive, colours=None), material
    if primitive.colours is not None:
        material = replace(material, base_colour=(1.0, 1.0, 1.0, material.base_colour[3]))
        if bool((primitive.colours[:, 3] < 1).any()):
            material = replace(material, alpha_mode="blend")
    return primitive, material


def _mended(path: Path, asset: Asset) -> Asset:
    meshes, damages, count = [], list[Damage](), 0
    for mesh in asset.meshes:
        pairs = [mended(primitive) for primitive in mesh.primitives]
        meshes.append(replace(mesh, primitives=tuple(primitive for primitive, _ in pairs)))
        damages += [damage for _, damage in pairs]
        count += sum(len(primitive.faces) for primitive in mesh.primitives)
    damage = Damage.total(damages) if damages else Damage()
    if damage.faces > MOST_LOST * count:
        problem = f"{path} holds vertices that are not finite numbers, in {damage.faces} of its {count} faces"
        raise InvalidInputError(problem, "Export it again")
    return replace(asset, meshes=tuple(meshes), left_out=(*asset.left_out, *_words(damage)))


def _words(damage: Damage) -> Iterator[str]:
    if damage.faces:
        yield many(damage.faces, "face") + " with a corner at no finite place"
    if damage.normals:
        replaced = "normal without a direction, replaced by that of its faces"
        yield many(damage.normals, replaced, "normals without a direction, replaced by those of their faces")
    if damage.uvs:
        yield many(damage.uvs, "texture coordinate that is not finite", "texture coordinates that are not finite")
    if damage.colours:
        yield many(damage.colours, "vertex colour that is not finite", "vertex colours that are not finite")
