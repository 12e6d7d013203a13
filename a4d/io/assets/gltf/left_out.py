"""What a glTF file holds and an asset lacks, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from a4d.geometry.assets.animation import distinct_names
from a4d.geometry.assets.left_out import label, listed, named, quoted
from a4d.io.assets.gltf import schema
from a4d.io.assets.gltf.appearance import Pictures, material_extensions
from a4d.io.assets.gltf.container import Container
from a4d.io.assets.gltf.extensions import unread_extensions
from a4d.io.assets.gltf.hierarchy import PLACE_SHAPES, ShownScene
from a4d.io.assets.gltf.motion import TARGETS, driven
from a4d.io.assets.gltf.surfaces import TRIANGLES

LOSSLESS = frozenset(
    {
        "EXT_meshopt_compression",
        "KHR_draco_mesh_compression",
        "KHR_mesh_quantization",
        "KHR_meshopt_compression",
    }
)
"""Extensions that say in another way what the file says without them."""

READ_ATTRIBUTE = re.compile(r"POSITION|NORMAL|TANGENT|TEXCOORD_[0-9]|COLOR_0|(JOINTS|WEIGHTS)_[0-9]+", re.ASCII)
READ_TARGETS = frozenset({"POSITION", "NORMAL", "TANGENT"})


def left_out(container: Container, scene: ShownScene, pictures: Pictures) -> tuple[str, ...]:
    """Everything that the scene has and an asset has no room for, and what is missing on disk.

    Args:
        container: the file.
        scene: what of it is shown; what stands elsewhere counts as a whole.
        pictures: of the file.
    """
    return tuple(
        entry
        for find in (_pictures, _nodes, _meshes, _variants, _animations, _extensions)
        for entry in find(container.gltf, scene, pictures)
    )


def _pictures(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    used = {texture.picture for texture in gltf.textures}
    missing = [quoted(name) for index, name in pictures.missing.items() if index in used]
    if missing:
        yield f"the {named('picture', missing)}, which {'are' if len(set(missing)) > 1 else 'is'} missing"


def _nodes(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    hidden = [label(gltf.nodes[index].name, index) for index in scene.hidden if _shows(gltf.nodes[index])]
    if hidden:
        yield f"the hidden {named('node', hidden)}"
    reached = {*scene.nodes, *scene.hidden}
    elsewhere = [
        label(node.name, index)
        for index, node in enumerate(gltf.nodes)
        if index not in reached and node.mesh is not None
    ]
    if elsewhere:
        yield f"the {named('node', elsewhere)} outside the scene that is shown"
    cameras = sum(gltf.nodes[index].camera is not None for index in reached)
    lights = sum(gltf.nodes[index].extensions.light is not None for index in scene.nodes)
    for count, what in ((cameras, "camera"), (lights, "light")):
        if count:
            yield f"{count} {what}{'s' if count > 1 else ''}"
    for index in scene.nodes:
        yield from _instancing(gltf, index)


def _shows(node: schema.Node) -> bool:
    return node.mesh is not None or node.extensions.light is not None


def _instancing(gltf: schema.Gltf, index: int) -> Iterator[str]:
    node = gltf.nodes[index]
    instancing = node.extensions.instancing
    if instancing is None or node.mesh is None:
        return
    name = label(node.name, index)
    if node.skin is not None:
        yield f"the instances of node {name}, whose mesh has a skin"
        return
    further = [quoted(attribute) for attribute in instancing.attributes if attribute not in PLACE_SHAPES]
    if further:
        yield f"the {named('attribute', further)} of the instances of node {name}"


def _meshes(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    lost: dict[str, list[str]] = {}
    for index, mesh in _shown_meshes(gltf, scene).items():
        name = label(mesh.name, index)
        for primitive in mesh.primitives:
            for what in _lost_of(primitive):
                lost.setdefault(what, []).append(name)
    for what, names in lost.items():
        yield f"{what} of {named('mesh', names)}"


def _lost_of(primitive: schema.Primitive) -> Iterator[str]:
    if primitive.mode < TRIANGLES:
        yield "the lines" if primitive.mode else "the points"
        return
    for attribute in primitive.attributes:
        if not READ_ATTRIBUTE.fullmatch(attribute):
            yield f"the attribute {quoted(attribute)}"
    for attribute in sorted({attribute for target in primitive.targets for attribute in target} - READ_TARGETS):
        yield f"what morph targets do to {quoted(attribute)}"


def _shown_meshes(gltf: schema.Gltf, scene: ShownScene) -> dict[int, schema.Mesh]:
    indices = (gltf.nodes[index].mesh for index in scene.nodes)
    return {index: gltf.meshes[index] for index in indices if index is not None}


def _variants(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    meshes = _shown_meshes(gltf, scene).values()
    if any(primitive.extensions.variants for mesh in meshes for primitive in mesh.primitives):
        variants = gltf.extensions.variants.variants
        names = [label(str(variant.get("name", "")), index) for index, variant in enumerate(variants)]
        yield f"the material {named('variant', names)}" if names else "material variants"


def _animations(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    names = distinct_names([animation.name for animation in gltf.animations])
    for name, animation in zip(names, gltf.animations, strict=True):
        targets = [channel.target for channel in animation.channels]
        pointers = [target.extensions.pointer for target in targets if driven(target)[1] not in TARGETS]
        driving = [quoted(pointer.pointer) for pointer in pointers if pointer is not None]
        if driving:
            yield f"what animation {quoted(name)} does to {listed(driving)}"


def _extensions(gltf: schema.Gltf, scene: ShownScene, pictures: Pictures) -> Iterator[str]:
    """Those that are used and not read, each with the objects that have it."""
    owners: dict[str, dict[str, list[str]]] = {}
    meshes = _shown_meshes(gltf, scene)
    collections: tuple[tuple[str, dict[int, schema.GltfObject]], ...] = (
        ("node", {index: gltf.nodes[index] for index in scene.nodes}),
        ("mesh", dict(meshes.items())),
        ("skin", dict(enumerate(gltf.skins))),
        ("scene", dict(enumerate(gltf.scenes))),
        ("animation", dict(enumerate(gltf.animations))),
        ("image", dict(enumerate(gltf.images))),
        ("sampler", dict(enumerate(gltf.samplers))),
        # Another encoding of a picture is no loss where there is one that we read.
        ("texture", {n: texture for n, texture in enumerate(gltf.textures) if texture.picture is None}),
    )
    for kind, items in collections:
        for index, item in items.items():
            for extension in unread_extensions(item):
                name = label(getattr(item, "name", ""), index)
                owners.setdefault(extension, {}).setdefault(kind, []).append(name)
    used = {primitive.material for mesh in meshes.values() for primitive in mesh.primitives}
    for index in sorted(index for index in used if index is not None):
        for extension in material_extensions(gltf, pictures).lost(gltf.materials[index]):
            name = label(gltf.materials[index].name, index)
            owners.setdefault(extension, {}).setdefault("material", []).append(name)
    for extension in (*gltf.extensions.others, *gltf.asset.extensions.others):
        owners.setdefault(extension, {})
    for extension, kinds in owners.items():
        if extension not in LOSSLESS:
            of = " and ".join(named(kind, names) for kind, names in kinds.items())
            yield f"{quoted(extension)[1:-1]}{f' of {of}' if of else ''}"
