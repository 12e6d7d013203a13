"""The part of the glTF 2.0 JSON schema that we read; whatever is not declared here is ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Index = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Vector2 = Annotated[list[float], Field(min_length=2, max_length=2)]
Vector3 = Annotated[list[float], Field(min_length=3, max_length=3)]
Vector4 = Annotated[list[float], Field(min_length=4, max_length=4)]
Matrix4 = Annotated[list[float], Field(min_length=16, max_length=16)]
UvSet = Annotated[int, Field(ge=0, le=15)]
"""Bounded because every vertex gets coordinates in all sets up to the highest that a material names."""


class Extensions(BaseModel):
    """Extensions of an object by name: those that are read as fields, all others as they stand."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    @property
    def others(self) -> dict[str, Any]:
        """Those that are not read."""
        return self.model_extra or {}


class GltfObject(BaseModel):
    """An object with camelCase keys, of finite numbers, with integers that are written as integers."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore", allow_inf_nan=False)

    extensions: Extensions = Extensions()


class Asset(GltfObject):
    """The version of the format that a file follows."""

    version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
    min_version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")] | None = None


class Buffer(GltfObject):
    """Raw bytes, in the file, beside it, or in a data URI."""

    byte_length: Positive
    uri: str | None = None


class BufferView(GltfObject):
    """A stretch of a buffer, with the bytes from one element to the next where they are interleaved."""

    buffer: Index
    byte_length: Positive
    byte_offset: Index = 0
    byte_stride: Annotated[int, Field(ge=4, le=252)] | None = None


class SparseIndices(GltfObject):
    """Which elements of an accessor are replaced."""

    buffer_view: Index
    component_type: Literal[5121, 5123, 5125]
    byte_offset: Index = 0


class SparseValues(GltfObject):
    """What they are replaced by."""

    buffer_view: Index
    byte_offset: Index = 0


class Sparse(GltfObject):
    """Elements of an accessor that differ from its buffer view, or from zero."""

    count: Positive
    indices: SparseIndices
    values: SparseValues


class Accessor(GltfObject):
    """A buffer view read as vectors or matrices; component types are OpenGL constants."""

    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Positive
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    buffer_view: Index | None = None
    byte_offset: Index = 0
    normalized: bool = False
    sparse: Sparse | None = None


class Image(GltfObject):
    """A picture, by address or in a buffer view."""

    uri: str | None = None
    buffer_view: Index | None = None


class Sampler(GltfObject):
    """How a texture is filtered and continued, in OpenGL constants."""

    mag_filter: int = 9729
    wrap_s: int = 10497
    wrap_t: int = 10497


class TextureWebp(GltfObject):
    """EXT_texture_webp: the picture in that format."""

    source: Index | None = None


class TextureExtensions(Extensions):
    """The extensions of a texture that are read."""

    webp: TextureWebp | None = Field(default=None, alias="EXT_texture_webp")


class Texture(GltfObject):
    """A picture and how it is sampled."""

    source: Index | None = None
    sampler: Index | None = None
    extensions: TextureExtensions = TextureExtensions()

    @property
    def picture(self) -> int | None:
        """Index of its image."""
        webp = self.extensions.webp
        return self.source if webp is None or webp.source is None else webp.source


class TextureTransform(GltfObject):
    """KHR_texture_transform: uv are scaled, turned and moved before the look-up."""

    offset: Vector2 = [0.0, 0.0]
    rotation: float = 0.0
    scale: Vector2 = [1.0, 1.0]
    tex_coord: UvSet | None = None


class TextureInfoExtensions(Extensions):
    """The extensions of a reference to a texture that are read."""

    transform: TextureTransform | None = Field(default=None, alias="KHR_texture_transform")


class TextureInfo(GltfObject):
    """A texture reference; `scale` belongs to normal maps and `strength` to occlusion maps."""

    index: Index
    tex_coord: UvSet = 0
    scale: float = 1.0
    strength: float = 1.0
    extensions: TextureInfoExtensions = TextureInfoExtensions()

    @property
    def uv_set(self) -> int:
        """The texture coordinates it uses; those that a transform names take precedence."""
        transform = self.extensions.transform
        return self.tex_coord if transform is None or transform.tex_coord is None else transform.tex_coord


class MetallicRoughness(GltfObject):
    """Linear factors, and the textures that they multiply."""

    base_color_factor: Vector4 = [1.0, 1.0, 1.0, 1.0]
    base_color_texture: TextureInfo | None = None
    metallic_factor: float = 1.0
    roughness_factor: float = 1.0
    metallic_roughness_texture: TextureInfo | None = None


class SpecularGlossiness(GltfObject):
    """KHR_materials_pbrSpecularGlossiness, the older model of materials."""

    diffuse_factor: Vector4 = [1.0, 1.0, 1.0, 1.0]
    diffuse_texture: TextureInfo | None = None
    specular_factor: Vector3 = [1.0, 1.0, 1.0]
    glossiness_factor: float = 1.0
    specular_glossiness_texture: TextureInfo | None = None


class Transmission(GltfObject):
    """KHR_materials_transmission: the share of light that passes a thin wall; its map's red is a factor of it."""

    transmission_factor: float = 0.0
    transmission_texture: TextureInfo | None = None


class EmissiveStrength(GltfObject):
    """KHR_materials_emissive_strength: a factor of the emitted light."""

    emissive_strength: float = 1.0


class MaterialExtensions(Extensions):
    """The extensions of a material that are read."""

    unlit: dict[str, Any] | None = Field(default=None, alias="KHR_materials_unlit")
    emissive_strength: EmissiveStrength = Field(default=EmissiveStrength(), alias="KHR_materials_emissive_strength")
    specular_glossiness: SpecularGlossiness | None = Field(default=None, alias="KHR_materials_pbrSpecularGlossiness")
    transmission: Transmission = Field(default=Transmission(), alias="KHR_materials_transmission")


class Material(GltfObject):
    """How a primitive looks."""

    name: str = ""
    pbr_metallic_roughness: MetallicRoughness = MetallicRoughness()
    normal_texture: TextureInfo | None = None
    occlusion_texture: TextureInfo | None = None
    emissive_texture: TextureInfo | None = None
    emissive_factor: Vector3 = [0.0, 0.0, 0.0]
    alpha_mode: str = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    extensions: MaterialExtensions = MaterialExtensions()


class PrimitiveExtensions(Extensions):
    """The extensions of a primitive that are read."""

    variants: dict[str, Any] | None = Field(default=None, alias="KHR_materials_variants")


class Primitive(GltfObject):
    """Faces of one material; attributes and morph targets are accessors by name."""

    attributes: dict[str, Index]
    indices: Index | None = None
    material: Index | None = None
    mode: Annotated[int, Field(ge=0, le=6)] = 4
    targets: list[dict[str, Index]] = []
    extensions: PrimitiveExtensions = PrimitiveExtensions()


class Mesh(GltfObject):
    """Primitives that share weights of their morph targets."""

    primitives: list[Primitive]
    name: str = ""
    weights: list[float] | None = None
    extras: Any = None


class Instancing(GltfObject):
    """EXT_mesh_gpu_instancing: the node's mesh is shown at each of several places, given by accessors."""

    attributes: dict[str, Index] = {}


class Visibility(GltfObject):
    """KHR_node_visibility: whether a node and all below it are seen."""

    visible: bool = True


class NodeExtensions(Extensions):
    """The extensions of a node that are read."""

    instancing: Instancing | None = Field(default=None, alias="EXT_mesh_gpu_instancing")
    visibility: Visibility = Field(default=Visibility(), alias="KHR_node_visibility")
    light: dict[str, Any] | None = Field(default=None, alias="KHR_lights_punctual")


class Node(GltfObject):
    """A place in the hierarchy, as a matrix or as translation, rotation (xyzw) and scale."""

    name: str = ""
    children: list[Index] = []
    mesh: Index | None = None
    skin: Index | None = None
    matrix: Matrix4 | None = None
    translation: Vector3 = [0.0, 0.0, 0.0]
    rotation: Vector4 = [0.0, 0.0, 0.0, 1.0]
    scale: Vector3 = [1.0, 1.0, 1.0]
    weights: list[float] | None = None
    camera: Any = None
    extensions: NodeExtensions = NodeExtensions()


class Skin(GltfObject):
    """Joints, and the matrices that bring vertices into their frames."""

    joints: Annotated[list[Index], Field(min_length=1)]
    name: str = ""
    inverse_bind_matrices: Index | None = None
    skeleton: Index | None = None


class Scene(GltfObject):
    """The roots of a hierarchy."""

    nodes: list[Index] = []


class AnimationSampler(GltfObject):
    """Keys: accessors of times in seconds and of values."""

    input: Index
    output: Index
    interpolation: Literal["LINEAR", "STEP", "CUBICSPLINE"] = "LINEAR"


class AnimationPointer(GltfObject):
    """KHR_animation_pointer: any property, by its JSON pointer."""

    pointer: str = ""


class ChannelTargetExtensions(Extensions):
    """The extensions of a channel's target that are read."""

    pointer: AnimationPointer | None = Field(default=None, alias="KHR_animation_pointer")


class ChannelTarget(GltfObject):
    """The property of a node that a channel moves."""

    path: str
    node: Index | None = None
    extensions: ChannelTargetExtensions = ChannelTargetExtensions()


class Channel(GltfObject):
    """Keys, and what they move."""

    sampler: Index
    target: ChannelTarget


class Animation(GltfObject):
    """A named clip."""

    channels: list[Channel]
    samplers: list[AnimationSampler]
    name: str = ""


class Variants(GltfObject):
    """KHR_materials_variants: the choices that primitives refer to."""

    variants: list[dict[str, Any]] = []


class RootExtensions(Extensions):
    """The extensions of the root object that are read."""

    lights: dict[str, Any] | None = Field(default=None, alias="KHR_lights_punctual")
    variants: Variants = Field(default=Variants(), alias="KHR_materials_variants")


class Gltf(GltfObject):
    """The root object."""

    asset: Asset
    accessors: list[Accessor] = []
    animations: list[Animation] = []
    buffer_views: list[BufferView] = []
    buffers: list[Buffer] = []
    extensions_required: list[str] = []
    images: list[Image] = []
    materials: list[Material] = []
    meshes: list[Mesh] = []
    nodes: list[Node] = []
    samplers: list[Sampler] = []
    scene: Index | None = None
    scenes: list[Scene] = []
    skins: list[Skin] = []
    textures: list[Texture] = []
    extensions: RootExtensions = RootExtensions()
