"""An evaluation of glTF files that shares nothing with the reader: plain loops, as the specification reads."""

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

Matrix = list[list[float]]

FORMATS = {5120: "b", 5121: "B", 5122: "h", 5123: "H", 5125: "I", 5126: "f"}
FULL = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
IDENTITY = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]


class Reference:
    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        binary = b""
        if content[:4] == b"glTF":
            size = struct.unpack_from("<I", content, 12)[0]
            binary = content[20 + size + 8 :]
            content = content[20 : 20 + size]
        self.json = json.loads(content)
        self.buffers = [self._buffer(path, b, binary) for b in self.json.get("buffers", [])]
        self.nodes = self.json.get("nodes", [])
        self.parents = {child: n for n, node in enumerate(self.nodes) for child in node.get("children", [])}

    @staticmethod
    def _buffer(path: Path, buffer: dict[str, Any], binary: bytes) -> bytes:
        uri = buffer.get("uri")
        if uri is None:
            return binary
        if uri.startswith("data:"):
            return base64.b64decode(uri.split(",", 1)[1])
        return (path.parent / uri).read_bytes()

    def accessor(self, index: int) -> list[list[float]]:
        accessor = self.json["accessors"][index]
        size, kind = COMPONENTS[accessor["type"]], accessor["componentType"]
        if "bufferView" in accessor:
            elements = self._elements(
                accessor["bufferView"], accessor.get("byteOffset", 0), accessor["count"], size, kind
            )
        else:
            elements = [[0.0] * size for _ in range(accessor["count"])]
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            where = sparse["indices"]
            places = self._elements(
                where["bufferView"], where.get("byteOffset", 0), sparse["count"], 1, where["componentType"]
            )
            what = sparse["values"]
            values = self._elements(what["bufferView"], what.get("byteOffset", 0), sparse["count"], size, kind)
            for place, value in zip(places, values, strict=True):
                elements[int(place[0])] = value
        if accessor.get("normalized"):
            elements = [[max(c / FULL[kind], -1.0) for c in element] for element in elements]
        return elements

    def _elements(self, view_index: int, offset: int, count: int, size: int, kind: int) -> list[list[float]]:
        view = self.json["bufferViews"][view_index]
        code = f"<{size}{FORMATS[kind]}"
        stride = view.get("byteStride", struct.calcsize(code))
        start = view.get("byteOffset", 0) + offset
        content = self.buffers[view["buffer"]]
        return [list(struct.unpack_from(code, content, start + stride * n)) for n in range(count)]

    def animated(self, clip: int | None, time: float) -> dict[tuple[int, str], list[float]]:
        if clip is None:
            return {}
        animation, values = self.json["animations"][clip], {}
        for channel in animation["channels"]:
            target = channel["target"]
            node, path = target.get("node"), target["path"]
            if path == "pointer":
                words = target["extensions"]["KHR_animation_pointer"]["pointer"].split("/")
                node, path = (int(words[2]), words[3]) if words[1] == "nodes" and len(words) == 4 else (None, "")
            if node is not None:
                sampler = animation["samplers"][channel["sampler"]]
                values[node, path] = self._sample(sampler, path == "rotation", time)
        return values

    def _sample(self, sampler: dict[str, Any], is_rotation: bool, time: float) -> list[float]:
        times = [t[0] for t in self.accessor(sampler["input"])]
        flat = [c for element in self.accessor(sampler["output"]) for c in element]
        mode = sampler.get("interpolation", "LINEAR")
        parts = 3 if mode == "CUBICSPLINE" else 1
        width = len(flat) // (len(times) * parts)

        def at(key: int, part: int) -> list[float]:
            start = (key * parts + part) * width
            value = flat[start : start + width]
            # Some files round their unit quaternions to three digits.
            length = math.sqrt(sum(v * v for v in value)) if is_rotation and parts == 1 else 1.0
            return [v / length for v in value]

        middle = parts // 2
        if time <= times[0]:
            return at(0, middle)
        if time >= times[-1]:
            return at(len(times) - 1, middle)
        k = max(n for n in range(len(times)) if times[n] <= time)
        span = times[k + 1] - times[k]
        t = (time - times[k]) / span
        if mode == "STEP":
            return at(k, 0)
        if mode == "CUBICSPLINE":
            a = [2 * t**3 - 3 * t**2 + 1, span * (t**3 - 2 * t**2 + t), -2 * t**3 + 3 * t**2, span * (t**3 - t**2)]
            rows = [at(k, 1), at(k, 2), at(k + 1, 1), at(k + 1, 0)]
            value = [sum(a[n] * rows[n][c] for n in range(4)) for c in range(width)]
            length = math.sqrt(sum(v * v for v in value)) if is_rotation else 1.0
            return [v / length for v in value]
        before, after = at(k, 0), at(k + 1, 0)
        if not is_rotation:
            return [(1 - t) * b + t * a for b, a in zip(before, after, strict=True)]
        dot = sum(b * a for b, a in zip(before, after, strict=True))
        angle = math.acos(min(abs(dot), 1.0))
        if angle < 1e-4:
            return [(1 - t) * b + math.copysign(t, dot) * a for b, a in zip(before, after, strict=True)]
        weights = math.sin((1 - t) * angle) / math.sin(angle), math.copysign(math.sin(t * angle) / math.sin(angle), dot)
        return [weights[0] * b + weights[1] * a for b, a in zip(before, after, strict=True)]

    def world(self, node: int, animated: dict[tuple[int, str], list[float]]) -> Matrix:
        values = self.nodes[node]
        if "matrix" in values:
            local = [[values["matrix"][4 * column + row] for column in range(4)] for row in range(4)]
        else:
            t = animated.get((node, "translation"), values.get("translation", [0, 0, 0]))
            q = animated.get((node, "rotation"), values.get("rotation", [0, 0, 0, 1]))
            s = animated.get((node, "scale"), values.get("scale", [1, 1, 1]))
            local = trs(t, q, s)
        return product(self.world(self.parents[node], animated), local) if node in self.parents else local

    def vertices(self, clip: int | None, time: float) -> list[list[float]]:
        animated = self.animated(clip, time)
        if "scenes" in self.json:
            waiting = list(self.json["scenes"][self.json.get("scene", 0)].get("nodes", []))
        else:
            waiting = [n for n in range(len(self.nodes)) if n not in self.parents]
        vertices = []
        while waiting:
            node = waiting.pop(0)
            waiting = self.nodes[node].get("children", []) + waiting
            if "mesh" not in self.nodes[node]:
                continue
            mesh = self.json["meshes"][self.nodes[node]["mesh"]]
            for primitive in mesh["primitives"]:
                if primitive.get("mode", 4) >= 4:
                    vertices += self._primitive(node, mesh, primitive, animated)
        return vertices

    def _primitive(
        self, node: int, mesh: dict[str, Any], primitive: dict[str, Any], animated: dict[tuple[int, str], list[float]]
    ) -> list[list[float]]:
        attributes, targets = primitive["attributes"], primitive.get("targets", [])
        positions = self.accessor(attributes["POSITION"])
        weights = animated.get(
            (node, "weights"), self.nodes[node].get("weights", mesh.get("weights", [0] * len(targets)))
        )
        for weight, target in zip(weights, targets, strict=True):
            if "POSITION" in target:
                deltas = self.accessor(target["POSITION"])
                positions = [
                    [p + weight * d for p, d in zip(*pair, strict=True)] for pair in zip(positions, deltas, strict=True)
                ]
        if "skin" not in self.nodes[node] or "JOINTS_0" not in attributes:
            world = self.world(node, animated)
            return [transformed(world, p) for p in positions]
        skin = self.json["skins"][self.nodes[node]["skin"]]
        bones = [self.world(joint, animated) for joint in skin["joints"]]
        if "inverseBindMatrices" in skin:
            for n, columns in enumerate(self.accessor(skin["inverseBindMatrices"])[: len(bones)]):
                bones[n] = product(bones[n], [[columns[4 * c + r] for c in range(4)] for r in range(4)])
        sets = [n for n in range(9) if f"JOINTS_{n}" in attributes]
        joints = [self.accessor(attributes[f"JOINTS_{n}"]) for n in sets]
        shares = [self.accessor(attributes[f"WEIGHTS_{n}"]) for n in sets]
        vertices = []
        for v, position in enumerate(positions):
            pairs = [(int(j), w) for n in sets for j, w in zip(joints[n][v], shares[n][v], strict=True) if w]
            total = sum(w for _, w in pairs)
            moved = [(w / total, transformed(bones[j], position)) for j, w in pairs]
            vertices.append([sum(w * p[axis] for w, p in moved) for axis in range(3)])
        return vertices


def trs(t: list[float], q: list[float], s: list[float]) -> Matrix:
    length = math.sqrt(sum(c * c for c in q))
    x, y, z, w = (c / length for c in q)
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return [[rotation[r][c] * s[c] for c in range(3)] + [t[r]] for r in range(3)] + [[0.0, 0.0, 0.0, 1.0]]


def product(a: Matrix, b: Matrix) -> Matrix:
    return [[sum(a[r][k] * b[k][c] for k in range(4)) for c in range(4)] for r in range(4)]


def transformed(matrix: Matrix, point: list[float]) -> list[float]:
    return [sum(matrix[r][c] * point[c] for c in range(3)) + matrix[r][3] for r in range(3)]
