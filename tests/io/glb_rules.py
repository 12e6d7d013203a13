"""What the glTF 2.0 specification demands of a binary file, checked without any library."""

import json
import struct

import numpy as np

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
ELEMENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def checked_glb(content: bytes) -> tuple[dict, list[np.ndarray]]:
    """The JSON document and all accessors as (count, components) arrays, once every rule below holds."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    assert json_length % 4 == 0
    document = json.loads(content[20 : 20 + json_length])
    assert document["asset"]["version"] == "2.0"
    binary_length, kind = struct.unpack_from("<I4s", content, 20 + json_length)
    assert kind == b"BIN\0"
    assert binary_length % 4 == 0
    binary = content[28 + json_length :]
    assert len(binary) == binary_length
    assert 0 <= binary_length - document["buffers"][0]["byteLength"] < 4

    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        kind = np.dtype(COMPONENTS[accessor["componentType"]])
        width = ELEMENTS[accessor["type"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= document["buffers"][0]["byteLength"]
        assert view["byteLength"] == accessor["count"] * width * kind.itemsize
        if view.get("target") == 34962:
            assert (width * kind.itemsize) % 4 == 0
        data = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"])
        arrays.append(data.reshape(accessor["count"], width))
        if "min" in accessor:
            assert arrays[-1].min(axis=0).tolist() == accessor["min"]
            assert arrays[-1].max(axis=0).tolist() == accessor["max"]

    for mesh in document.get("meshes", []):
        targets = {len(primitive.get("targets", [])) for primitive in mesh["primitives"]}
        assert targets == {len(mesh.get("weights", []))}
        for primitive in mesh["primitives"]:
            positions = document["accessors"][primitive["attributes"]["POSITION"]]
            assert {"min", "max"} <= positions.keys()
            counts = {document["accessors"][index]["count"] for index in primitive["attributes"].values()}
            assert counts == {positions["count"]}
            indices = document["accessors"][primitive["indices"]]
            assert document["bufferViews"][indices["bufferView"]]["target"] == 34963
            assert arrays[primitive["indices"]].max() < positions["count"]
            assert arrays[primitive["indices"]].max() < {5123: 65535, 5125: 2**32 - 1}[indices["componentType"]]
            if "NORMAL" in primitive["attributes"]:
                lengths = np.linalg.norm(arrays[primitive["attributes"]["NORMAL"]], axis=1)
                np.testing.assert_allclose(lengths, 1, atol=1e-5)
            assert primitive.get("material", 0) < len(document.get("materials", [{}]))
            _check_attributes(document, arrays, primitive)
    for scene in document["scenes"]:
        assert all(node < len(document["nodes"]) for node in scene["nodes"])
    _check_nodes_and_skins(document, arrays)
    _check_animations(document, arrays)
    _check_textures(document, binary)
    return document, arrays


def _check_attributes(document, arrays, primitive):
    attributes, accessors = primitive["attributes"], document["accessors"]
    count = accessors[attributes["POSITION"]]["count"]
    for target in primitive.get("targets", []):
        assert target
        assert set(target) <= {"POSITION", "NORMAL", "TANGENT"}
        assert all(
            accessors[index]["count"] == count and accessors[index]["type"] == "VEC3" for index in target.values()
        )
        assert "POSITION" not in target or {"min", "max"} <= accessors[target["POSITION"]].keys()
    if "TANGENT" in attributes:
        assert "NORMAL" in attributes
        tangents = arrays[attributes["TANGENT"]]
        np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-5)
        assert set(np.unique(tangents[:, 3])) <= {-1, 1}
    sets = sum(name.startswith("JOINTS_") for name in attributes)
    if sets:
        joints = np.concatenate([arrays[attributes[f"JOINTS_{n}"]] for n in range(sets)], axis=1)
        weights = np.concatenate([arrays[attributes[f"WEIGHTS_{n}"]] for n in range(sets)], axis=1)
        np.testing.assert_allclose(weights.astype(np.float64).sum(1), 1, atol=2e-7 * weights.shape[1])
        assert (weights >= 0).all()
        assert (joints[weights == 0] == 0).all()
        for row, share in zip(joints, weights, strict=True):
            assert len(set(row[share > 0])) == (share > 0).sum()


def _check_nodes_and_skins(document, arrays):
    nodes, parents = document.get("nodes", []), {}
    for index, node in enumerate(nodes):
        for child in node.get("children", []):
            assert child not in parents
            parents[child] = index
        assert not ("matrix" in node and {"translation", "rotation", "scale"} & node.keys())
        assert abs(np.linalg.norm(node.get("rotation", [1])) - 1) < 1e-6
        if "skin" in node:
            skin = document["skins"][node["skin"]]
            primitives = document["meshes"][node["mesh"]]["primitives"]
            sets = [p["attributes"]["JOINTS_0"] for p in primitives if "JOINTS_0" in p["attributes"]]
            assert sets
            assert max(arrays[index].max() for index in sets) < len(skin["joints"])
    assert all(root not in parents for scene in document["scenes"] for root in scene["nodes"])
    for skin in document.get("skins", []):
        matrices = arrays[skin["inverseBindMatrices"]]
        assert len(matrices) == len(skin["joints"]) == len(set(skin["joints"]))
        assert (matrices[:, 3::4] == [0, 0, 0, 1]).all()


def _check_animations(document, arrays):
    for animation in document.get("animations", []):
        targets = [(c["target"]["node"], c["target"]["path"]) for c in animation["channels"]]
        assert len(set(targets)) == len(targets) > 0
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            node, path = document["nodes"][channel["target"]["node"]], channel["target"]["path"]
            times, values = arrays[sampler["input"]], arrays[sampler["output"]]
            assert {"min", "max"} <= document["accessors"][sampler["input"]].keys()
            assert times[0] >= 0
            assert (np.diff(times[:, 0]) > 0).all()
            assert "matrix" not in node
            keys = len(times) * (3 if sampler["interpolation"] == "CUBICSPLINE" else 1)
            targets = len(document["meshes"][node["mesh"]]["weights"]) if path == "weights" else 1
            assert values.shape == (keys * targets, {"rotation": 4, "weights": 1}.get(path, 3))
            if path == "rotation" and sampler["interpolation"] != "CUBICSPLINE":
                np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)


def _check_textures(document, binary):
    for texture in document.get("textures", []):
        assert texture["source"] < len(document["images"])
        assert texture["sampler"] < len(document["samplers"])
    for image in document.get("images", []):
        view = document["bufferViews"][image["bufferView"]]
        magic = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"}[image["mimeType"]]
        assert "target" not in view
        assert binary[view["byteOffset"] :].startswith(magic)
    used = set(document.get("extensionsUsed", []))
    found = {name for material in document.get("materials", []) for name in _extensions(material)}
    assert found == used


def _extensions(item):
    """The names of all extensions anywhere below."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield from value if key == "extensions" else ()
            yield from _extensions(value)
