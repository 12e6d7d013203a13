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


class GltfObject(BaseModel):
    """An object with camelCase keys, of finite numbers, with integers that are written as integers."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore", allow_inf_nan=False)


class Asset(GltfObject):
    version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
    min_version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")] | None = None


class Buffer(GltfObject):
    byte_length: Positive
    uri: str | None = None


class BufferView(GltfObject):
    buffer: Index
    byte_length: Positive
    byte_offset: Index = 0
    byte_stride: Annotated[int, Field(ge=4, le=252)] | None = None


class SparseIndices(GltfObject):
    buffer_view: Index
    component_type: Literal[5121, 5123, 5125]
    byte_offset: Index = 0


class SparseValues(GltfObject):
    buffer_view: Index
    byte_offset: Index = 0


class Sparse(GltfObject):
    count: Positive
    indices: SparseIndices
    values: SparseValues


class Accessor(GltfObject):
    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Positive
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    buffer_view: Index | None = None
    byte_offset: Index = 0
    normalized: bool = False
    sparse: Sparse | None = None


class Image(GltfObject):
    uri: str | None = None
    buffer_view: Index | None = None


class Sampler(GltfObject):
    mag_filter: int = 9729
    wrap_s: int = 10497
    wrap_t: int = 10497


class TextureWebp(GltfObject):
    source: Index | None = None


class TextureExtensions(GltfObject):
    webp: TextureWebp | None = Field(default=None, alias="EXT_texture_webp")


class Texture(GltfObject):
    source: Index | None = None
    sampler: Index | None = None
    extensions: TextureExtensions = TextureExtensions()

    @property
    def picture(self) -> int | None:
        """Index of its image."""
        webp = self.extensions.webp
        return self.source if webp is None or webp.source is None else webp.source


class TextureTransform(GltfObject):
    offset: Vector2 = [0.0, 0.0]
    rotation: float = 0.0
    scale: Vector2 = [1.0, 1.0]
    tex_coord: UvSet | None = None


class TextureInfoExtensions(GltfObject):
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
    base_color_factor: Vector4 = [1.0, 1.0, 1.0, 1.0]
    base_color_texture: TextureInfo | None = None
    metallic_factor: float = 1.0
    roughness_factor: float = 1.0
    metallic_roughness_texture: TextureInfo | None = None


class SpecularGlossiness(GltfObject):
    diffuse_factor: Vector4 = [1.0, 1.0, 1.0, 1.0]
    diffuse_texture: TextureInfo | None = None
    glossiness_factor: float = 1.0


class EmissiveStrength(GltfObject):
    emissive_strength: float = 1.0


class MaterialExtensions(GltfObject):
    unlit: dict[str, Any] | None = Field(default=None, alias="KHR_materials_unlit")
    emissive_strength: EmissiveStrength = Field(default=EmissiveStrength(), alias="KHR_materials_emissive_strength")
    specular_glossiness: SpecularGlossiness | None = Field(default=None, alias="KHR_materials_pbrSpecularGlossiness")


class Material(GltfObject):
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


class Primitive(GltfObject):
    attributes: dict[str, Index]
    indices: Index | None = None
    material: Index | None = None
    mode: Annotated[int, Field(ge=0, le=6)] = 4
    targets: list[dict[str, Index]] = []


class Mesh(GltfObject):
    primitives: list[Primitive]
    name: str = ""
    weights: list[float] | None = None
    extras: Any = None


class Node(GltfObject):
    name: str = ""
    children: list[Index] = []
    mesh: Index | None = None
    skin: Index | None = None
    matrix: Matrix4 | None = None
    translation: Vector3 = [0.0, 0.0, 0.0]
    rotation: Vector4 = [0.0, 0.0, 0.0, 1.0]
    scale: Vector3 = [1.0, 1.0, 1.0]
    weights: list[float] | None = None


class Skin(GltfObject):
    joints: Annotated[list[Index], Field(min_length=1)]
    name: str = ""
    inverse_bind_matrices: Index | None = None
    skeleton: Index | None = None


class Scene(GltfObject):
    nodes: list[Index] = []


class AnimationSampler(GltfObject):
    input: Index
    output: Index
    interpolation: Literal["LINEAR", "STEP", "CUBICSPLINE"] = "LINEAR"


class AnimationPointer(GltfObject):
    pointer: str = ""


class ChannelTargetExtensions(GltfObject):
    pointer: AnimationPointer | None = Field(default=None, alias="KHR_animation_pointer")


class ChannelTarget(GltfObject):
    path: str
    node: Index | None = None
    extensions: ChannelTargetExtensions = ChannelTargetExtensions()


class Channel(GltfObject):
    sampler: Index
    target: ChannelTarget


class Animation(GltfObject):
    channels: list[Channel]
    samplers: list[AnimationSampler]
    name: str = ""


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
