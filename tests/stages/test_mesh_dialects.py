"""Mesh files as other programs write them, through the command line: what their pictures show."""

from pathlib import Path

import numpy as np
import pytest
from gltf_files import GltfBuilder
from mesh_texts import CORNERS, SQUARE, ply
from PIL import Image

from a4d.datasets.asset_clips import Recording, record
from a4d.geometry.primitives import icosphere

ONE_VIEW = (
    "--size", 24, "--views", 1, "--test-views", 0, "--up", "+y", "--front", "+z",
)  # fmt: skip


def picture(workspace: Path) -> np.ndarray:
    """(H, W, 4) uint8 from straight ahead."""
    with Image.open(workspace / "images" / "00000.png") as image:
        return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ("map_Kd -s 1 1 1 -clamp on tex.png", (230, 30, 30, 255)),
        ("map_Kd C:\\maps\\TEX.PNG", (230, 30, 30, 255)),
        ("Kd 1 0 0\nd 0.3", (255, 0, 0, 76)),
        ("Kd 0 0 0\nKe 0 1 0", (0, 255, 0, 255)),
    ],
)
def test_what_a_material_library_says_is_seen(a4d, tmp_path, look, expected):
    Image.fromarray(np.full((4, 4, 3), (230, 30, 30), np.uint8)).save(tmp_path / "tex.png")
    (tmp_path / "a.mtl").write_text(f"newmtl m\nKd 0.9 0.9 0.9\n{look}\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}")
    result = a4d("preprocess", tmp_path / "a.obj", *ONE_VIEW, "--lighting", "unlit")
    assert result.code == 0, result.err
    assert np.abs(picture(tmp_path / "a.a4d")[12, 12].astype(int) - expected).max() <= 1


def test_colours_of_16_bits_are_seen(a4d, tmp_path):
    properties = dict.fromkeys("xyz", "float") | dict.fromkeys(("red", "green", "blue"), "ushort")
    rows = [(*corner, 60000, 20000, 300) for corner in CORNERS]
    (tmp_path / "a.ply").write_bytes(ply("little", properties, rows, [(0, 1, 2, 3), (3, 2, 4)]))
    assert a4d("preprocess", tmp_path / "a.ply", *ONE_VIEW, "--lighting", "unlit").code == 0
    assert picture(tmp_path / "a.a4d")[12, 12].tolist() == [233, 78, 1, 255]


def test_zero_normals_give_no_black_picture(a4d, tmp_path):
    ball, file = icosphere(1.0, 1), GltfBuilder()
    mesh = file.mesh(ball.vertices, NORMAL=file.accessor(np.zeros((len(ball.vertices), 3))))
    file.json["meshes"][mesh]["primitives"][0]["indices"] = file.accessor(ball.faces.flatten(), np.uint16)
    file.add("nodes", mesh=mesh)
    path = file.write(tmp_path / "ball.glb")
    result = a4d("preprocess", path, *ONE_VIEW, "--lighting", "shaded")
    assert result.code == 0, result.err
    seen = picture(tmp_path / "ball.a4d")
    assert seen[seen[..., 3] == 255][:, :3].max(axis=1).min() > 40
    clip = record(path, "ball", 0, Recording(views=2, size=24))
    assert clip is not None
    assert clip.rgba[clip.rgba[..., 3] == 255][:, :3].amax(1).min() > 40, "as make-dataset takes it"


@pytest.mark.parametrize("name", ["cut.ply", "cut.off", "splat.ply", "cloud.splat"])
def test_what_is_no_whole_mesh_is_refused_in_one_line(a4d, tmp_path, name):
    xyz = dict.fromkeys("xyz", "float")
    contents = {
        "cut.ply": ply("ascii", xyz, CORNERS, [(0, 1, 2)] * 40)[:-99],
        "cut.off": b"OFF\n3 9 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        "splat.ply": ply("little", xyz | dict.fromkeys(("f_dc_0", "opacity"), "float"), [(0.0,) * 5] * 3, []),
        "cloud.splat": bytes(64),
    }
    (tmp_path / name).write_bytes(contents[name])
    result = a4d("preprocess", tmp_path / name)
    assert (result.code, len(result.err.strip().splitlines())) == (3, 1)
    assert name in result.err
    assert ("promises" if "cut" in name else "Gaussian splat") in result.err
    assert not list(tmp_path.glob("*.a4d*"))
