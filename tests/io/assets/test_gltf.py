import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from gltf_files import TRIANGLE, GltfBuilder, png, read, triangle

from a4d.errors import A4DError, InvalidInputError, MissingInputError
from a4d.geometry.assets.posing import deform
from a4d.io.assets.gltf.accessors import Accessors
from a4d.io.assets.gltf.container import read_container
from a4d.io.assets.gltf.reader import read_gltf


def array(file: GltfBuilder, tmp_path: Path, index: int) -> np.ndarray:
    return Accessors(read_container(file.write(tmp_path / "asset.glb"))).array(index)


# --- containers and resources


def test_all_containers_hold_the_same_asset(tmp_path: Path) -> None:
    file = triangle()
    binary, embedded = read(file, tmp_path), read(file, tmp_path, "asset.gltf")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a b.bin").write_bytes(file.data + b"more than declared")
    file.json["buffers"] = [{"uri": "parts/a%20b.bin", "byteLength": len(file.data)}]
    (tmp_path / "external.gltf").write_bytes(b"\xef\xbb\xbf" + json.dumps(file.json).encode())
    external = read_gltf(tmp_path / "external.gltf")
    for asset in (binary, embedded, external):
        assert deform(asset).vertices.tolist() == TRIANGLE
        assert deform(asset).faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "../secret.bin",
            "%2e%2e/secret.bin",
            "sub/../../secret.bin",
            "/etc/passwd",
            "file:///etc/passwd",
            "C:/x.bin",
        ),
        *("http://example.com/x.bin", "..\\secret.bin", "\\\\host\\x.bin", "link.bin", "a\0b", "", "loop/x"),
    ],
)
def test_resources_outside_the_folder_are_refused(tmp_path: Path, uri: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    folder = tmp_path / "asset"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "loop").symlink_to(folder / "loop")
    file = triangle()
    file.json["buffers"] = [{"uri": uri, "byteLength": 36}]
    (folder / "asset.gltf").write_text(json.dumps(file.json))
    with pytest.raises(A4DError, match=r"asset's folder|cannot read"):
        read_gltf(folder / "asset.gltf")


def test_a_missing_buffer_is_an_error_and_a_missing_picture_a_note(tmp_path: Path) -> None:
    file = triangle()
    file.add("images", uri="gone.png")
    file.add("textures", source=0)
    file.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": 0}})
    asset = read(file, tmp_path)
    assert asset.left_out == ("the picture 'gone.png', which is missing",)
    assert asset.materials[0].base_colour_map is None
    file.json["buffers"] = [{"uri": "gone.bin", "byteLength": 36}]
    (tmp_path / "asset.gltf").write_text(json.dumps(file.json))
    with pytest.raises(MissingInputError, match=r"gone\.bin"):
        read_gltf(tmp_path / "asset.gltf")


def test_other_formats_are_refused_with_advice(tmp_path: Path) -> None:
    for name in ("dance.fbx", "model.dae", "model.obj"):
        with pytest.raises(InvalidInputError, match="Blender") as caught:
            read_gltf(tmp_path / name)
        assert "\n" not in str(caught.value)


# --- accessors


@pytest.mark.parametrize(
    ("dtype", "raw", "expected"),
    [
        ("int8", [-128, -127, 0, 127], [-1, -1, 0, 1]),
        ("uint8", [0, 51, 102, 255], [0, 0.2, 0.4, 1]),
        ("int16", [-32768, -32767, 16384, 32767], [-1, -1, 16384 / 32767, 1]),
        ("uint16", [0, 13107, 32768, 65535], [0, 0.2, 32768 / 65535, 1]),
    ],
)
def test_integers_are_read_plain_and_normalised(
    tmp_path: Path, dtype: str, raw: list[int], expected: list[float]
) -> None:
    file = GltfBuilder()
    plain, normalised = file.accessor([raw], dtype), file.accessor([raw], dtype, normalized=True)
    assert array(file, tmp_path, plain).tolist() == [raw]
    assert array(file, tmp_path, normalised)[0] == pytest.approx(expected, abs=1e-7)


def test_wide_and_fractional_components(tmp_path: Path) -> None:
    file = GltfBuilder()
    file.accessor([0, 2**32 - 1], np.uint32)
    file.accessor([[0.1, -2.5]])
    assert array(file, tmp_path, 0).tolist() == [0, 2**32 - 1]
    assert array(file, tmp_path, 1).tolist() == [[np.float32(0.1), -2.5]]


def test_interleaved_attributes(tmp_path: Path) -> None:
    rows = np.zeros(3, dtype=[("position", "<f4", 3), ("uv", "<u2", 2), ("pad", "u1", 4)])
    rows["position"] = TRIANGLE
    rows["uv"] = [[0, 0], [65535, 0], [0, 65535]]
    file = GltfBuilder()
    # The last element of each attribute ends before a whole stride does.
    view = file.view(rows.tobytes()[:-4], byteStride=20)
    position = file.bare_accessor(bufferView=view, count=3, type="VEC3", componentType=5126)
    uv = file.bare_accessor(bufferView=view, byteOffset=12, count=3, type="VEC2", componentType=5123, normalized=True)
    file.add("meshes", primitives=[{"attributes": {"POSITION": position, "TEXCOORD_0": uv}}])
    file.add("nodes", mesh=0)
    posed = deform(read(file, tmp_path))
    assert posed.vertices.tolist() == TRIANGLE
    assert posed.uvs.tolist() == [[[0, 0], [1, 0], [0, 1]]]


@pytest.mark.parametrize("index_type", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("has_base", [True, False])
def test_sparse_accessors(tmp_path: Path, index_type: str, has_base: bool) -> None:
    file = GltfBuilder()
    code = {"uint8": 5121, "uint16": 5123, "uint32": 5125}[index_type]
    sparse = {
        "count": 2,
        "indices": {"bufferView": file.view(np.array([1, 3], index_type).tobytes()), "componentType": code},
        "values": {"bufferView": file.view(np.array([[9, 8], [7, 6]], np.float32).tobytes())},
    }
    base = {"bufferView": file.view(np.arange(8, dtype=np.float32).tobytes())} if has_base else {}
    index = file.bare_accessor(count=4, type="VEC2", componentType=5126, sparse=sparse, **base)
    kept = [[0, 1], [4, 5]] if has_base else [[0, 0], [0, 0]]
    assert array(file, tmp_path, index).tolist() == [kept[0], [9, 8], kept[1], [7, 6]]


def test_quantised_meshes(tmp_path: Path) -> None:
    file = GltfBuilder(extensionsUsed=["KHR_mesh_quantization"], extensionsRequired=["KHR_mesh_quantization"])
    normals = file.accessor([[0, 0, 127]] * 3, np.int8, normalized=True)
    file.mesh(NORMAL=normals, TEXCOORD_0=file.accessor([[300, 2]] * 3, np.uint16))
    corners = file.accessor([[0, 0, 0], [32767, 0, 0], [0, -32767, 0]], np.int16, normalized=True)
    file.json["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = corners
    file.add("nodes", mesh=0, scale=[3, 3, 3], translation=[1, 1, 1])
    posed = deform(read(file, tmp_path))
    assert posed.vertices.tolist() == [[1, 1, 1], [4, 1, 1], [1, -2, 1]]
    assert posed.normals.tolist() == [[0, 0, 1]] * 3
    assert posed.uvs[0].tolist() == [[300, 2]] * 3


def test_small_matrices_have_padded_columns(tmp_path: Path) -> None:
    file = GltfBuilder()
    two = file.view(bytes([1, 2, 99, 99, 3, 4, 99, 99, 5, 6, 99, 99, 7, 8]))
    three = file.view(np.array([1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9], np.int16).tobytes())
    index = file.bare_accessor(bufferView=two, count=2, type="MAT2", componentType=5121)
    assert array(file, tmp_path, index).tolist() == [[[1, 3], [2, 4]], [[5, 7], [6, 8]]]
    index = file.bare_accessor(bufferView=three, count=1, type="MAT3", componentType=5122)
    assert array(file, tmp_path, index).tolist() == [[[1, 4, 7], [2, 5, 8], [3, 6, 9]]]


# --- surfaces


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_triangles_of_all_modes(tmp_path: Path, dtype: type) -> None:
    expected = {
        4: [[0, 1, 2], [2, 1, 3]],
        5: [[0, 1, 2], [1, 3, 2], [2, 3, 4]],
        6: [[1, 2, 0], [2, 3, 0], [3, 4, 0]],
    }
    indices = {4: [0, 1, 2, 2, 1, 3, 4], 5: [0, 1, 2, 3, 4], 6: [0, 1, 2, 3, 4]}
    for mode, faces in expected.items():
        file = GltfBuilder()
        positions = file.accessor(np.random.default_rng(0).random((5, 3)))
        corners = file.accessor(indices[mode], dtype)
        points = {"attributes": {"POSITION": positions}, "mode": 0}
        file.add(
            "meshes", primitives=[points, {"attributes": {"POSITION": positions}, "indices": corners, "mode": mode}]
        )
        file.add("nodes", mesh=0)
        assert deform(read(file, tmp_path)).faces.tolist() == faces


def test_strips_lose_the_triangles_that_only_join_them(tmp_path: Path) -> None:
    file = GltfBuilder()
    positions, strip = (
        file.accessor(np.random.default_rng(0).random((6, 3))),
        file.accessor([0, 1, 2, 2, 3, 3, 4, 5], np.uint8),
    )
    file.add("meshes", primitives=[{"attributes": {"POSITION": positions}, "indices": strip, "mode": 5}])
    file.add("nodes", mesh=0)
    assert deform(read(file, tmp_path)).faces.tolist() == [[0, 1, 2], [3, 5, 4]]


def test_vertex_colours_become_srgb(tmp_path: Path) -> None:
    file = GltfBuilder()
    file.mesh(COLOR_0=file.accessor([[0, 0.5, 1], [0.0031308, 0.2140411, 0.7], [1, 1, 1]]))
    file.mesh(COLOR_0=file.accessor([[0, 55, 255, 51]] * 3, np.uint8, normalized=True))
    for mesh in (0, 1):
        file.add("nodes", mesh=mesh)
    colours = deform(read(file, tmp_path)).colours
    assert colours[0].tolist() == pytest.approx([0, 0.735357, 1, 1], abs=1e-5)
    assert colours[1, :2].tolist() == pytest.approx([0.04045, 0.5], abs=1e-4)
    assert colours[3].tolist() == pytest.approx([0, 1.055 * (55 / 255) ** (1 / 2.4) - 0.055, 1, 0.2], abs=1e-5)


def test_parts_are_merged_in_scene_order_with_their_materials(tmp_path: Path) -> None:
    file = GltfBuilder(scene=1, scenes=[{"nodes": [2]}, {"nodes": [2, 0]}])
    uv = file.accessor([[0.5, 0.25]] * 3)
    file.mesh()
    file.add("materials", name="red", pbrMetallicRoughness={"baseColorFactor": [1, 0, 0, 1]})
    file.json["meshes"][0]["primitives"].append({**file.json["meshes"][0]["primitives"][0], "material": 0})
    file.json["meshes"][0]["primitives"][1]["attributes"] = {
        **file.json["meshes"][0]["primitives"][0]["attributes"],
        "TEXCOORD_1": uv,
    }
    file.add("nodes", mesh=0, translation=[10, 0, 0])
    file.add("nodes", mesh=0, translation=[0, 0, 1])
    file.add("nodes", children=[1], scale=[2, 2, 2])
    file.add("nodes", mesh=0, name="in no scene")
    asset = read(file, tmp_path)
    posed = deform(asset)
    assert [instance.node for instance in asset.instances] == [1, 0]
    assert posed.vertices[[0, 3, 6, 9]].tolist() == [[0, 0, 2], [0, 0, 2], [10, 0, 0], [10, 0, 0]]
    assert posed.faces.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert posed.materials.tolist() == [1, 0, 1, 0]
    assert asset.materials[0].base_colour == (1, 0, 0, 1)
    assert asset.materials[1].name == ""
    assert posed.uvs.shape == (2, 12, 2)
    assert posed.uvs[1, :, 0].tolist() == [0, 0, 0, 0.5, 0.5, 0.5] * 2
    del file.json["scene"]
    assert [instance.node for instance in read(file, tmp_path).instances] == [1]
    del file.json["scenes"]
    assert [instance.node for instance in read(file, tmp_path).instances] == [0, 1, 3]


def test_mirrored_nodes_turn_their_faces_and_keep_normals_outward(tmp_path: Path) -> None:
    file = GltfBuilder()
    file.mesh(NORMAL=file.accessor([[0.6, 0, 0.8]] * 3), TANGENT=file.accessor([[1.0, 0, 0, -1]] * 3))
    file.add("nodes", mesh=0, scale=[-2, 1, 1])
    posed = deform(read(file, tmp_path))
    assert posed.faces.tolist() == [[2, 1, 0]]
    direction = np.array([-0.3, 0, 0.8]) / np.hypot(0.3, 0.8)
    assert posed.normals[0].tolist() == pytest.approx(direction.tolist(), abs=1e-6)
    assert posed.tangents[0].tolist() == [-1, 0, 0, -1]
    assert posed.mesh.face_normals[0].tolist() == [0, 0, 2]


# --- materials


def test_materials_with_textures(tmp_path: Path) -> None:
    file = triangle()
    colour = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
    grey = np.array([[0, 65535], [13107, 0]], dtype=np.uint16)
    file.add("images", bufferView=file.view(png(colour)), mimeType="image/png")
    (tmp_path / "normal map.png").write_bytes(png(grey))
    file.add("images", uri="normal%20map.png")
    file.add("samplers", wrapS=33071, wrapT=33648, magFilter=9728)
    file.add("textures", source=0, sampler=0)
    file.add("textures", source=1)
    transform = {"offset": [0.1, 0.2], "rotation": math.pi / 2, "scale": [2, 3], "texCoord": 1}
    file.add(
        "materials",
        name="paint",
        pbrMetallicRoughness={
            "baseColorFactor": [0.1, 0.2, 0.3, 0.4],
            "baseColorTexture": {"index": 0, "extensions": {"KHR_texture_transform": transform}},
            "metallicFactor": 0.5,
        },
        normalTexture={"index": 1, "scale": 0.7},
        emissiveFactor=[0.5, 0, 1],
        alphaMode="MASK",
        alphaCutoff=0.3,
        doubleSided=True,
        extensions={"KHR_materials_unlit": {}, "KHR_materials_emissive_strength": {"emissiveStrength": 4}},
    )
    material = read(file, tmp_path).materials[0]
    assert (material.name, material.metallic, material.roughness) == ("paint", 0.5, 1.0)
    assert material.base_colour == (0.1, 0.2, 0.3, 0.4)
    assert material.emission == (2, 0, 4)
    assert (material.alpha_mode, material.alpha_cutoff) == ("mask", 0.3)
    assert material.is_double_sided
    assert material.is_unlit
    base, normal = material.base_colour_map, material.normal_map
    assert base is not None
    assert normal is not None
    assert torch.equal((base.image * 255).round().to(torch.uint8), torch.from_numpy(colour))
    assert (base.wrap, base.is_smooth, base.uv_set) == (("clamp", "mirror"), False, 1)
    # Counter-clockwise by a quarter in the upside-down v: u' = 3 v + 0.1, v' = -2 u + 0.2.
    assert torch.allclose(base.transform, torch.tensor([[0, 3, 0.1], [-2, 0, 0.2]]), atol=1e-6)
    assert normal.image[..., 1].flatten().tolist() == pytest.approx([0, 1, 0.2, 0])
    assert (normal.wrap, normal.is_smooth, material.normal_scale) == (("repeat", "repeat"), True, 0.7)


def test_specular_glossiness_is_approximated(tmp_path: Path) -> None:
    file = triangle()
    extension = {"diffuseFactor": [0.1, 0.2, 0.3, 1], "glossinessFactor": 0.75}
    file.add("materials", extensions={"KHR_materials_pbrSpecularGlossiness": extension})
    material = read(file, tmp_path).materials[0]
    assert (material.base_colour, material.metallic, material.roughness) == ((0.1, 0.2, 0.3, 1), 0, 0.25)
