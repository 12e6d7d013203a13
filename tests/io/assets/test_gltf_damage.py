import json
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gltf_files import GltfBuilder, gltf_files, png, read, triangle, two_bones

from a4d.errors import A4DError, InvalidInputError
from a4d.geometry.assets.posing import deform
from a4d.io.assets.gltf.reader import read_gltf


def replaced(*keys: Any, value: Any) -> Callable[[GltfBuilder], None]:
    def change(file: GltfBuilder) -> None:
        place = file.json
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def attributes(file: GltfBuilder) -> dict[str, int]:
    return file.json["meshes"][0]["primitives"][0]["attributes"]


REFUSALS: dict[str, tuple[Callable[[GltfBuilder], Any], str]] = {
    "version": (replaced("asset", "version", value="1.0"), "glTF 1.0"),
    "future": (replaced("asset", "minVersion", value="2.1"), "glTF 2.1"),
    "draco": (replaced("extensionsRequired", value=["KHR_draco_mesh_compression"]), "KHR_draco_mesh_compression"),
    "meshopt": (replaced("extensionsRequired", value=["EXT_meshopt_compression"]), "EXT_meshopt_compression"),
    "type": (replaced("nodes", 0, "mesh", value="0"), "nodes/0/mesh"),
    "boolean": (replaced("nodes", 0, "mesh", value=True), "nodes/0/mesh"),
    "negative": (replaced("accessors", 0, "byteOffset", value=-4), "accessors/0/byteOffset"),
    "huge": (replaced("accessors", 0, "count", value=2**62), "ends at byte"),
    "no data": (
        replaced("accessors", 0, value={"count": 2**40, "type": "MAT4", "componentType": 5126}),
        "no buffer view",
    ),
    "accessor": (replaced("accessors", 0, "count", value=999), "ends at byte"),
    "view": (replaced("bufferViews", 0, "byteLength", value=10**6), "buffer view 0 ends"),
    "view index": (replaced("accessors", 0, "bufferView", value=99), "buffer view 99 does not exist"),
    "buffer index": (replaced("bufferViews", 0, "buffer", value=3), "buffer 3 does not exist"),
    "stride": (replaced("bufferViews", 1, "byteStride", value=4), "4 bytes apart"),
    "mesh": (replaced("nodes", 2, "mesh", value=7), "mesh 7 does not exist"),
    "joint": (replaced("skins", 0, "joints", value=[1, 17]), "node 17 does not exist"),
    "joint number": (replaced("skins", 0, "joints", value=[1]), "joint 1 of 1"),
    "same joint": (replaced("skins", 0, "joints", value=[1, 1]), "names a joint twice"),
    "bind": (replaced("skins", 0, "joints", value=[1, 0, 3]), "2 inverse bind matrices for 3"),
    "loop": (replaced("nodes", 0, "children", value=[3]), "its own ancestor"),
    "parents": (replaced("nodes", 3, "children", value=[1, 0]), "two parents"),
    "scene": (replaced("scene", value=4), "scene 4 does not exist"),
    "root": (replaced("scenes", 0, "nodes", value=[44]), "node 44 does not exist"),
    "material": (replaced("meshes", 0, "primitives", 0, "material", value=0), "material 0 does not exist"),
    "weights": (replaced("nodes", 2, "weights", value=[1.0]), "1 weights for 0 morph targets"),
    "sampler": (replaced("animations", 0, "channels", 0, "sampler", value=5), "sampler 5 does not exist"),
    "target": (replaced("animations", 0, "channels", 0, "target", "path", value="weights"), "morph targets"),
    "matrix": (replaced("nodes", 0, "matrix", value=np.eye(4).ravel().tolist()), "is a matrix"),
    "infinite": (replaced("nodes", 0, "scale", value=[1e999, 1, 1]), "nodes/0/scale"),
    "no weights": (lambda file: attributes(file).pop("WEIGHTS_0"), "without WEIGHTS_0"),
    "lengths": (lambda file: attributes(file).update(NORMAL=file.accessor([[0.0, 0, 1]] * 2)), "2 elements for 6"),
    "kind": (replaced("meshes", 0, "primitives", 0, "attributes", "NORMAL", value=1), "wrong type"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_unusable_files_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    change, reason = REFUSALS[name]
    file = two_bones()
    change(file)
    with pytest.raises(InvalidInputError) as caught:
        read(file, tmp_path)
    assert reason in str(caught.value)
    assert "asset.glb" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_indices_and_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    for indices, reason in (([0, 1, 3], "index 3 for 3 vertices"), ([0, 1, 255], "index 255")):
        file = triangle()
        file.json["meshes"][0]["primitives"][0]["indices"] = file.accessor(indices, np.uint8)
        with pytest.raises(InvalidInputError, match=reason):
            read(file, tmp_path)
    file = triangle()
    file.clip(0, "translation", [0, 1], [[math.nan, 0, 0]] * 2)
    with pytest.raises(InvalidInputError, match="not finite"):
        read(file, tmp_path)
    file = triangle()
    file.clip(0, "translation", [1, 0], [[0, 0, 0]] * 2)
    with pytest.raises(InvalidInputError, match="times decrease"):
        read(file, tmp_path)


def test_counts_that_no_buffer_bounds_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    file = triangle()
    file.json["meshes"][0]["primitives"][0] = {"attributes": {"POSITION": 1}, "targets": [{}] * 100}
    file.bare_accessor(count=2**20, type="VEC3", componentType=5126)
    with pytest.raises(InvalidInputError, match="100 morph targets"):
        read(file, tmp_path)
    file.bare_accessor(count=2**23, type="VEC3", componentType=5126)
    with pytest.raises(InvalidInputError, match="no buffer view"):
        read(file, tmp_path)


def test_huge_pictures_are_refused_by_their_header(tmp_path: Path) -> None:
    file = triangle()
    content = bytearray(png(np.zeros((1, 1), np.uint8)))
    content[16:24] = (40000).to_bytes(4, "big") * 2
    file.add("images", bufferView=file.view(bytes(content)), mimeType="image/png")
    with pytest.raises(InvalidInputError, match="image 0"):
        read(file, tmp_path)


def complaint(path: Path) -> str:
    """What our error says, or nothing where the file reads and poses; any other error and any warning fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asset = read_gltf(path)
            deform(asset, asset.clips[0] if asset.clips else None, 0.3)
    except A4DError as error:
        return str(error)
    return ""


def refused(content: bytes, path: Path, rounds: int) -> int:
    """How many of many damaged versions are refused."""
    generator, complaints = random.Random(0), []
    text_end = 20 + int.from_bytes(content[12:16], "little")
    for number in range(rounds):
        damaged = bytearray(content)
        if number % 3 == 0:
            del damaged[generator.randrange(len(damaged)) :]
        else:
            # Half of the damage goes to the JSON, which is short beside the binary chunk.
            end = text_end if number % 3 == 1 else len(damaged)
            for _ in range(generator.choice([1, 4, 32])):
                damaged[generator.randrange(end)] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        complaints.append(complaint(path))
    assert not any("\n" in text for text in complaints)
    return sum(bool(text) for text in complaints)


def test_damaged_files_raise_our_errors_only(tmp_path: Path) -> None:
    file = two_bones()
    file.add("images", bufferView=file.view(png(np.zeros((4, 4, 3), np.uint8))), mimeType="image/png")
    assert refused(file.glb(), tmp_path / "damaged.glb", 600) > 300


# --- files of others


HARMLESS = {
    # Redundant bounds, names and hints that say nothing that the data does not.
    *("ACCESSOR_ELEMENT_OUT_OF_MAX_BOUND", "ACCESSOR_ELEMENT_OUT_OF_MIN_BOUND", "ACCESSOR_MAX_MISMATCH"),
    *("ACCESSOR_MIN_MISMATCH", "ANIMATION_SAMPLER_INPUT_ACCESSOR_WITHOUT_BOUNDS", "DUPLICATE_ELEMENTS", "EMPTY_ENTITY"),
    *("MESH_PRIMITIVE_POSITION_ACCESSOR_WITHOUT_BOUNDS", "BUFFER_DATA_URI_MIME_TYPE_INVALID", "SKIN_SKELETON_INVALID"),
    # Normalisation that we apply ourselves, or that changes nothing.
    *("ACCESSOR_NORMALIZED_INVALID", "ACCESSOR_ANIMATION_SAMPLER_OUTPUT_NON_NORMALIZED_QUATERNION"),
    *("ACCESSOR_VECTOR3_NON_UNIT", "ACCESSOR_INVALID_SIGN", "ACCESSOR_INVALID_IBM"),
    # Odd, but with one meaning: equal or negative times, sheared nodes, scenes with inner nodes, unaligned chunks.
    *("ACCESSOR_ANIMATION_INPUT_NEGATIVE", "ACCESSOR_ANIMATION_INPUT_NON_INCREASING", "NODE_MATRIX_NON_TRS"),
    *("SCENE_NON_ROOT_NODE", "NODE_SKIN_NO_SCENE", "GLB_CHUNK_LENGTH_UNALIGNED", "MESH_PRIMITIVE_TOO_FEW_TEXCOORDS"),
    *("MESH_PRIMITIVE_MORPH_TARGET_NO_BASE_ACCESSOR", "MESH_PRIMITIVE_NO_TANGENT_SPACE"),
    # Parts that we do not read: cameras, lights, variants, image types, the rest of extensions.
    *("CAMERA_ZFAR_LEQUAL_ZNEAR", "ONE_OF_MISMATCH", "IMAGE_NON_ENABLED_MIME_TYPE", "UNEXPECTED_EXTENSION_OBJECT"),
    *("KHR_LIGHTS_PUNCTUAL_LIGHT_SPOT_ANGLES", "KHR_ANIMATION_POINTER_ANIMATION_CHANNEL_TARGET_PATH"),
    *("UNSATISFIED_DEPENDENCY",),
}
HARMLESS_FILES = {
    "json/bom.gltf": "a byte-order mark before good JSON",
    "node/unresolved_camera.gltf": "cameras are not read",
    "image/invalid_uri_scheme.gltf": "names a picture that does not exist",
    "KHR_lights_punctual": "lights are not read",
    "KHR_materials_variants": "variants are not read",
    "KHR_materials_dispersion": "its values are not read",
    "KHR_materials_ior": "its values are not read",
    "KHR_materials_volume": "its values are not read",
}
UNUSABLE_BUT_VALID = {
    "asset/min_version_valid.gltf": "demands version 2.1",
    "buffer/non_relative_uri.gltf": "lies on the network",
    "root/unused_objects.gltf": "has a buffer without content",
}


def test_the_validators_cases_are_refused_where_unusable(real_data: Path) -> None:
    files = gltf_files(real_data / "gltf_validator_negative")
    assert len(files) >= 160
    reasons = []
    for path in files:
        report = json.loads(path.with_name(path.name + ".report.json").read_text())
        errors = {m["code"] for m in report["issues"]["messages"] if m["severity"] == 0}
        try:
            read_gltf(path)
        except A4DError as error:
            reasons.append(str(error))
            assert errors or any(name in path.as_posix() for name in UNUSABLE_BUT_VALID), (path, reasons[-1])
        else:
            harmless_file = any(name in path.as_posix() for name in HARMLESS_FILES)
            assert errors <= HARMLESS or harmless_file, (path, errors - HARMLESS)
    assert len(reasons) >= 40
    assert not any("\n" in reason for reason in reasons)


@pytest.mark.slow
def test_damaged_files_of_others_raise_our_errors_only(real_data: Path, tmp_path: Path) -> None:
    khronos = real_data / "gltf_khronos"
    for name in ("Fox", "AnimatedMorphCube", "RiggedSimple", "TextureSettingsTest"):
        content = (khronos / name / "glTF-Binary" / f"{name}.glb").read_bytes()
        assert refused(content, tmp_path / "damaged.glb", 300) > 100
