"""What meshes hold and results lack, and clips of one name, through the command line."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "io"))

from gltf_files import GltfBuilder, two_bones

from a4d.io.pictures.images import read_image

SMALL = ("--views", 1, "--test-views", 0, "--size", 16, "--lighting", "unlit")


def document(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def write_window(path: Path) -> Path:
    """A red square behind a pane of coated glass, a lamp, a hidden triangle and a curtain of points."""
    file = GltfBuilder(scenes=[{"nodes": [0, 1, 2, 3]}])
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    for number, positions in enumerate((square * 0.6, square + np.array([0, 0, 0.5]))):
        file.mesh(positions, mode=6)
        file.json["meshes"][number]["primitives"][0]["material"] = number
    file.add("nodes", mesh=0)
    file.add("nodes", mesh=1)
    file.add("nodes", extensions={"KHR_lights_punctual": {"light": 0}})
    file.add("nodes", name="veil", mesh=0, extensions={"KHR_node_visibility": {"visible": False}})
    coated = {
        "KHR_materials_transmission": {"transmissionFactor": 1},
        "KHR_materials_clearcoat": {"clearcoatFactor": 1},
    }
    file.add("materials", name="red", pbrMetallicRoughness={"baseColorFactor": [1, 0, 0, 1]})
    file.add("materials", name="pane", pbrMetallicRoughness={"metallicFactor": 0}, extensions=coated)
    return file.write(path)


def test_a_window_is_seen_through_and_keeps_its_glass(a4d, tmp_path: Path) -> None:
    write_window(tmp_path / "window.glb")
    shown = a4d("preprocess", "window.glb", *SMALL, "--json").json
    lost = "left out of window.glb: the hidden node 'veil'; 1 light"
    assert shown["warnings"] == [f"{lost}; KHR_materials_clearcoat of material 'pane'"]
    red, green, blue, alpha = read_image(tmp_path / "window.a4d/images/00000.png")[8, 8]
    assert (red > 0.99, green < 0.01, blue < 0.01, alpha) == (True, True, True, 1.0)
    result = a4d("export", "window.a4d", "--formats", "glb,obj", "--json")
    assert result.json["warnings"] == [
        f"{lost}; KHR_materials_clearcoat of material 'pane' (obj); the transmission of material 'pane' (obj)"
    ]
    assert result.err.count("left out of") == 1
    written = document(tmp_path / "window.a4d/exports/window.glb")
    assert written["materials"][1]["extensions"] == {
        "KHR_materials_transmission": {"transmissionFactor": 1.0},
        "KHR_materials_clearcoat": {"clearcoatFactor": 1},
    }


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A bar with two clips of the same name and one that has none."""
    file = two_bones()
    file.clip(0, "rotation", [0, 1], [[0, 0, 0, 1], [0, 1, 0, 0]])
    file.clip(0, "rotation", [0, 2], [[0, 0, 0, 1], [1, 0, 0, 0]])
    for animation, name in zip(file.json["animations"], ("mixamo.com", "mixamo.com", ""), strict=True):
        animation["name"] = name
    return file.write(tmp_path / "bar.glb")


def test_clips_of_one_name_are_told_apart(a4d, mixed: Path) -> None:
    names = ["mixamo.com", "mixamo.com (2)", "animation 3"]
    result = a4d("preprocess", "bar.glb", "--clip", "all", "--frames", 2, *SMALL, "--json")
    assert result.json["warnings"] == []
    facts = yaml.safe_load(Path("bar.a4d/workspace.yaml").read_text())["asset"]
    assert [clip["name"] for clip in facts["clips"]] == [clip["clip"] for clip in facts["rendered"]] == names
    for wanted, clip in (("mixamo.com (2)", 1), ("2", 1), ("3", 2), ("mixamo.com", 0)):
        assert a4d("preprocess", "bar.a4d", "--clip", wanted, "--frames", 2, *SMALL, "--force").code == 0
        facts = yaml.safe_load(Path("bar.a4d/workspace.yaml").read_text())["asset"]
        assert [entry["clip"] for entry in facts["rendered"]] == [names[clip]]
    result = a4d("preprocess", "bar.a4d", "--clip", "walk", *SMALL, "--force")
    assert result.code == 2
    assert "Its clips: mixamo.com, mixamo.com (2), animation 3; a number counts from 1" in result.err
    evaluated = a4d("evaluate", "bar.glb", "--against", "bar.a4d", "--clip", "1", "--json")
    assert evaluated.code == 0, evaluated.err


def test_clips_that_nobody_chose_to_leave_out_are_listed(a4d, mixed: Path) -> None:
    lost = "left out of bar.glb: the animations 'mixamo.com', 'mixamo.com (2)', 'animation 3'"
    assert a4d("preprocess", "bar.glb", *SMALL, "--json").json["warnings"] == [lost]
    assert a4d("preprocess", "bar.a4d", "--clip", "none", *SMALL, "--force", "--json").json["warnings"] == []
    result = a4d("export", "bar.a4d", "--formats", "glb,obj,obj-sequence", "--clip", "3", "--moments", 2, "--json")
    assert result.json["warnings"] == [
        f"{lost} (obj); the animations 'mixamo.com', 'mixamo.com (2)' (obj-sequence)",
    ]
    assert [clip["name"] for clip in document(Path("bar.a4d/exports/bar.glb"))["animations"]] == [
        "mixamo.com", "mixamo.com (2)", "animation 3",
    ]  # fmt: skip


def test_exports_bear_the_workspace_s_present_name(a4d, mixed: Path) -> None:
    a4d("preprocess", "bar.glb", "--clip", "none", *SMALL)
    assert a4d("export", "bar.a4d", "--formats", "glb", "--json").json["outputs"] == ["bar.a4d/exports/bar.glb"]
    whole = Path("bar.a4d/exports/bar.glb").read_bytes()
    small = a4d("export", "bar.a4d", "--formats", "glb", "--name", "small", "--animation", "bones", "--json").json
    assert small["outputs"] == ["bar.a4d/exports/bar-small.glb"]
    assert Path("bar.a4d/exports/bar.glb").read_bytes() == whole
    assert a4d("export", "bar.a4d", "--formats", "glb", "--json").json["status"] == "up to date"
    Path("bar.a4d/exports/bar-small.glb").unlink()
    Path("bar.a4d").rename("bar_2.5 b.a4d")
    renamed = a4d("export", "bar_2.5 b.a4d", "--formats", "glb", "--json").json
    assert renamed["outputs"] == ["bar_2.5 b.a4d/exports/bar_2.5 b.glb"]
    assert [path.name for path in Path("bar_2.5 b.a4d/exports").iterdir()] == ["bar_2.5 b.glb"]
    assert a4d("export", "bar_2.5 b.a4d", "--formats", "glb", "--json").json["status"] == "up to date"
    assert a4d("info", "bar_2.5 b.a4d", "--json").json["name"] == "bar_2.5 b"
