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

    for mesh in document["meshes"]:
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
            assert primitive["material"] < len(document["materials"])
    for scene in document["scenes"]:
        assert all(node < len(document["nodes"]) for node in scene["nodes"])
    return document, arrays
