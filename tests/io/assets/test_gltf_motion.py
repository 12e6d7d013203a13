import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gltf_files import GltfBuilder, png, read, triangle, two_bones

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform, pose

HALF_ROOT = math.sqrt(0.5)


# --- skins and morph targets


def test_a_skin_of_two_bones_bends_as_calculated(tmp_path: Path) -> None:
    asset = read(two_bones(), tmp_path)
    rest, bent = deform(asset), deform(asset, asset.clips[0], 1.0)
    assert torch.allclose(rest.vertices[:, 0], torch.tensor([5, 5.1, 5, 5.1, 5, 5.1]))
    # About the elbow at (5, 1): (x, y) -> (1 - y, x); the middle row is the mean of the bent and the straight position.
    expected = [[5, 0, 0], [5.1, 0, 0], [5, 1, 0], [5.05, 1.05, 0], [4, 1, 0], [4, 1.1, 0]]
    assert torch.allclose(bent.vertices, torch.tensor(expected), atol=1e-6)
    assert torch.allclose(bent.normals, torch.tensor([0.0, 0, 1]).expand(6, 3), atol=1e-6)
    halfway = deform(asset, asset.clip("rotation clip"), 0.5).vertices[4]
    assert torch.allclose(halfway, torch.tensor([5 - math.sqrt(0.5), 1 + math.sqrt(0.5), 0]), atol=1e-6)
    with pytest.raises(UsageError, match="rotation clip"):
        asset.clip("walk")


def test_the_skeleton_of_a_skin_skips_nodes_that_are_no_joints(tmp_path: Path) -> None:
    asset = read(two_bones(), tmp_path)
    skeleton = asset.skeleton(0)
    assert skeleton.names == ("lower", "upper")
    assert skeleton.parents.tolist() == [-1, 0]
    assert skeleton.rest_world[:, :3, 3].tolist() == [[5, 0, 0], [5, 1, 0]]
    assert pose(asset, asset.clips[0], 1.0).positions[asset.skins[0].joints].tolist() == [[5, 0, 0], [5, 1, 0]]


def test_eight_influences_and_quantised_weights(tmp_path: Path) -> None:
    file = GltfBuilder()
    joints = [file.accessor([[0, 1, 2, 3]] * 3, np.uint16), file.accessor([[4, 5, 6, 7]] * 3, np.uint16)]
    weights = [file.accessor([row] * 3, np.uint8, normalized=True) for row in ([10, 20, 30, 40], [50, 30, 20, 55])]
    file.mesh([[0.0, 0, 0]] * 3, JOINTS_0=joints[0], JOINTS_1=joints[1], WEIGHTS_0=weights[0], WEIGHTS_1=weights[1])
    for number in range(8):
        file.add("nodes", translation=[number, number**2, 1])
    file.add("nodes", mesh=0, skin=0)
    file.add("skins", joints=list(range(8)))
    share = np.array([10, 20, 30, 40, 50, 30, 20, 55]) / 255
    expected = [share @ np.arange(8), share @ np.arange(8) ** 2, 1]
    assert deform(read(file, tmp_path)).vertices[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_shared_skin_and_vertices_without_weights(tmp_path: Path) -> None:
    file = two_bones()
    file.json["nodes"][2]["children"] = [file.add("nodes", mesh=0, skin=0, scale=[7, 7, 7])]
    file.json["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"] = file.accessor([[0.0] * 4] * 6)
    posed = deform(asset := read(file, tmp_path), asset.clips[0], 1.0).vertices
    # Both follow the first joint that each vertex names, and neither follows its own node.
    assert torch.equal(posed[:6], posed[6:])
    assert torch.allclose(posed[:4, 0], torch.tensor([5, 5.1, 5, 5.1]))
    assert torch.allclose(posed[4:6], torch.tensor([[4, 1, 0], [4, 1.1, 0]]))


def test_morph_targets_take_their_weights_from_mesh_node_and_clip(tmp_path: Path) -> None:
    file = GltfBuilder()
    up, turn = file.accessor([[0.0, 0, 2]] * 3), file.accessor([[3.0, 0, 0]] * 3)
    file.mesh(NORMAL=file.accessor([[0.0, 0, 1]] * 3))
    file.json["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": up}, {"POSITION": turn, "NORMAL": turn}]
    file.json["meshes"][0] |= {"weights": [0.5, 0], "extras": {"targetNames": ["up", "turn"]}}
    file.add("nodes", mesh=0)
    file.add("nodes", mesh=0, weights=[1, 0])
    values = [0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0]  # per key: in-tangents, values, out-tangents of both targets
    file.clip(0, "weights", [0, 2], values, "CUBICSPLINE")
    asset = read(file, tmp_path)
    assert asset.meshes[0].morph_names == ("up", "turn")
    assert deform(asset).vertices[[0, 3], 2].tolist() == [1, 2]
    moved = deform(asset, asset.clips[0], 1.0)
    # Half-way between keys 2 seconds apart: 0.5 v0 + 0.25 m0 + 0.5 v1 - 0.25 m1, with v = (0, 1), (1, 1) and no slope.
    assert moved.vertices[0].tolist() == pytest.approx([3, 0, 1])
    assert moved.normals[0].tolist() == pytest.approx([3 / math.sqrt(10), 0, 1 / math.sqrt(10)])
    assert moved.vertices[3].tolist() == [0, 0, 2]


def test_texture_coordinates_beyond_the_given_sets_are_zero(tmp_path: Path) -> None:
    file = triangle()
    file.add("images", bufferView=file.view(png(np.zeros((1, 1, 3), np.uint8))), mimeType="image/png")
    file.add("textures", source=0)
    file.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": 0, "texCoord": 2}})
    file.json["meshes"][0]["primitives"][0]["material"] = 0
    posed = deform(read(file, tmp_path))
    assert posed.uvs.shape == (3, 3, 2)
    assert not posed.uvs.any()


# --- animation


def animated(tmp_path: Path, path: str, times: list[float], values: list[Any], interpolation: str = "LINEAR") -> Asset:
    file = triangle()
    file.clip(0, path, times, values, interpolation)
    return read(file, tmp_path)


def world(asset: Asset, time: float) -> torch.Tensor:
    return pose(asset, asset.clips[0], time).world_from_node[0]


def test_linear_and_step_hold_their_ends(tmp_path: Path) -> None:
    keys = [[0, 0, 0], [2, 4, 6], [0, 0, 8]]
    linear = animated(tmp_path, "translation", [1, 2, 4], keys)
    assert linear.clips[0].duration == 4
    at = {0: keys[0], 1: keys[0], 1.25: [0.5, 1, 1.5], 2: keys[1], 3: [1, 2, 7], 4: keys[2], 9: keys[2]}
    for time, expected in at.items():
        assert world(linear, time)[:3, 3].tolist() == expected
    step = animated(tmp_path, "scale", [1, 2, 4], keys, "STEP")
    at = {0: keys[0], 1.99: keys[0], 2: keys[1], 3.99: keys[1], 4: keys[2], 9: keys[2]}
    for time, expected in at.items():
        assert world(step, time).diagonal()[:3].tolist() == expected


def test_cubic_splines_match_values_computed_by_hand(tmp_path: Path) -> None:
    # One second in-tangent, value, out-tangent; the span of 2 seconds scales the tangents.
    keys = [[9, 9, 9], [1, 0, 0], [1, -1, 0], [2, 0, 3], [5, 0, 0], [9, 9, 9]]
    cubic = animated(tmp_path, "translation", [1, 3], keys, "CUBICSPLINE")
    # At t = 1/4: weights 27/32, 2 * 9/64, 5/32, 2 * -3/64.
    expected = [27 / 32 + 9 / 32 + 25 / 32 - 6 / 32, -9 / 32, -9 / 32]
    assert world(cubic, 1.5)[:3, 3].tolist() == pytest.approx(expected, abs=1e-12)
    assert world(cubic, 0)[:3, 3].tolist() == [1, 0, 0]
    assert world(cubic, 3)[:3, 3].tolist() == [5, 0, 0]


def test_cubic_rotations_have_unit_length(tmp_path: Path) -> None:
    zero = [0, 0, 0, 0]
    keys = [zero, [0, 0, 0, 1], zero, zero, [0, 0, HALF_ROOT, HALF_ROOT], zero]
    asset = animated(tmp_path, "rotation", [0, 1], keys, "CUBICSPLINE")
    # By symmetry the normalised mean is exactly half of the quarter turn.
    eighth = math.sqrt(0.5)
    expected = [[eighth, -eighth, 0], [eighth, eighth, 0], [0, 0, 1]]
    assert torch.allclose(world(asset, 0.5)[:3, :3], torch.tensor(expected, dtype=torch.float64), atol=1e-7)


def test_rotations_take_the_shorter_way_at_constant_speed(tmp_path: Path) -> None:
    angle = math.radians(120)
    end = np.array([math.sin(angle / 2), 0, 0, math.cos(angle / 2)])
    for sign in (1, -1):
        asset = animated(tmp_path, "rotation", [0, 3], [[0, 0, 0, 1], (sign * end).tolist()])
        for second in (0.3, 1, 2):
            turned = world(asset, second)
            assert math.atan2(turned[2, 1], turned[1, 1]) == pytest.approx(angle * second / 3, abs=1e-6)


def test_single_keys_integer_quaternions_and_equal_times(tmp_path: Path) -> None:
    asset = animated(tmp_path, "translation", [2], [[1, 2, 3]])
    assert world(asset, 0)[:3, 3].tolist() == world(asset, 5)[:3, 3].tolist() == [1, 2, 3]
    jump = animated(tmp_path, "translation", [0, 1, 1, 2], [[0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0]])
    assert [float(world(jump, time)[0, 3]) for time in (0.5, 1, 1.5)] == [0.5, 5, 5.5]
    file = triangle()
    file.clip(0, "rotation", [0], [[0, 0, 0, 1]])
    file.json["animations"][0]["samplers"][0]["output"] = file.accessor(
        [[0, 0, 23170, 23170]], np.int16, normalized=True
    )
    quarter = world(read(file, tmp_path), 0)[:2, :2]
    assert torch.allclose(quarter, torch.tensor([[0.0, -1], [1, 0]], dtype=torch.float64), atol=1e-9)


def test_pointers_to_nodes_are_channels_and_others_are_left_out(tmp_path: Path) -> None:
    file = triangle()
    file.clip(0, "translation", [0], [[1, 2, 3]])
    targets = ["/nodes/0/translation", "/materials/0/alphaCutoff", "/nodes/0/matrix"]
    file.json["animations"][0]["channels"] = [
        {"sampler": 0, "target": {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": target}}}}
        for target in targets
    ]
    asset = read(file, tmp_path)
    assert len(asset.clips[0].channels) == 1
    assert world(asset, 0)[:3, 3].tolist() == [1, 2, 3]


def test_a_file_without_triangles_poses_but_does_not_deform(tmp_path: Path) -> None:
    asset = read(GltfBuilder(nodes=[{"translation": [1, 2, 3]}]), tmp_path)
    assert pose(asset).positions.tolist() == [[1, 2, 3]]
    with pytest.raises(InvalidInputError, match=r"asset\.glb shows no triangles"):
        deform(asset)
