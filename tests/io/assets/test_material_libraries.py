"""Material libraries in the dialects of the programs that write them, and the pictures that they name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mesh_texts import SQUARE
from PIL import Image

from a4d.geometry.assets.material import Material
from a4d.io.assets.asset_files import asset_files
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.mtl_reader import MapStatement
from a4d.io.assets.named_files import belonging

QUARTERS = np.zeros((4, 4, 3), np.uint8)
QUARTERS[:2, :2], QUARTERS[:2, 2:], QUARTERS[2:, :2], QUARTERS[2:, 2:] = (
    (230, 30, 30),
    (30, 200, 30),
    (30, 30, 230),
    (230, 220, 30),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "maps").mkdir()
    for name in ("tex.png", "maps/tex.png", "maps/My Paint (2).png", "tex.tga"):
        Image.fromarray(QUARTERS).save(tmp_path / name)
    half = np.full((8, 8), 255, np.uint8)
    half[:, :4] = 0
    Image.fromarray(half).save(tmp_path / "half.png")
    return tmp_path


def material_of(folder: Path, statements: str, left_out: tuple[str, ...] = ()) -> Material:
    (folder / "a.mtl").write_text(f"newmtl m\nKd 0.9 0.9 0.9\n{statements}\n")
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}")
    asset = read_asset(folder / "a.obj")
    assert asset.left_out == left_out
    return asset.materials[0]


@pytest.mark.parametrize(
    "statement",
    [
        "map_Kd tex.png",
        "map_Kd -s 1 1 1 -clamp on tex.png",
        "MAP_KD -o 0 0 -mm 0 1 -blendu on -texres 512 -boost 2 -imfchan r -bm 1  tex.png",
        "map_Kd maps\\tex.png",
        "map_Kd .\\maps\\\\tex.png",
        "map_Kd MAPS/TEX.PNG",
        'map_Kd "maps/tex.png"',
        "map_Kd maps/My Paint (2).png",
        "map_Kd C:\\Users\\somebody\\Desktop\\maps\\tex.png",
        "map_Kd /home/somebody/project/tex.png",
        "map_Kd ../../textures/tex.png",
        "map_Kd tex.tga",
        "\tmap_Kd\ttex.png\t",
        "Kd 0 0 0\nmap_Kd tex.png",
    ],
)
def test_the_picture_is_found(folder, statement):
    material = material_of(folder, statement)
    np.testing.assert_allclose(material.base_colour_map.image.numpy(), QUARTERS / 255, atol=1e-6)
    assert material.base_colour == (1, 1, 1, 1), "a picture takes the place of the colour, be it black"
    assert material.base_colour_map.wrap == (("clamp",) * 2 if "-clamp" in statement else ("repeat",) * 2)
    assert any(file.suffix in (".png", ".tga") for file in asset_files(folder / "a.obj"))


def test_scale_and_offset_act_from_the_lower_edge(folder):
    transform = MapStatement.parse("-s 2 4 1 -o 0.25 0.5 0 a.png").transform
    for u, v in ((0.0, 0.0), (0.3, 0.8)):
        right, down = (transform @ torch.tensor([u, 1 - v, 1.0])).tolist()
        assert (right, 1 - down) == pytest.approx((0.25 + 2 * u, 0.5 + 4 * v), abs=1e-6)


def test_opacity(folder):
    assert material_of(folder, "d 0.3").base_colour[3] == pytest.approx(0.3)
    assert material_of(folder, "d 0.3").alpha_mode == "blend"
    assert material_of(folder, "Tr 0.3").base_colour[3] == pytest.approx(0.7)
    assert material_of(folder, "d 0.4\nTr 0.1").base_colour[3] == pytest.approx(0.4)
    assert material_of(folder, "Tr 1.0").alpha_mode == "opaque"
    assert material_of(folder, "d -halo 0.5").base_colour[3] == 0.5
    unseen = material_of(folder, "d 0", ("the opacity of material 'm', at which nothing would be seen",))
    assert (unseen.alpha_mode, unseen.base_colour[3]) == ("opaque", 1)
    cut = material_of(folder, "map_Kd tex.png\nmap_d half.png").base_colour_map.image
    assert cut.shape == (4, 4, 4)
    assert cut[:, [0, 3], 3].unique(dim=0).tolist() == [[0, 1]]
    np.testing.assert_allclose(cut[..., :3].numpy(), QUARTERS / 255, atol=1e-6)
    alone = material_of(folder, "Kd 1 0 0\nmap_d half.png")
    assert alone.base_colour[:3] == (1, 0, 0)
    assert alone.base_colour_map.image[..., :3].unique().tolist() == [1]


def test_light_and_reflection(folder):
    glowing = material_of(folder, "Kd 0 0 0\nKe 0 1 0")
    assert (glowing.base_colour[:3], glowing.emission) == ((0, 0, 0), (0, 1, 0))
    assert material_of(folder, "Ke 0 0 0\nmap_Ke tex.png").emission == (1, 1, 1)
    assert material_of(folder, "Ks 0.5 0.5 0.5\nNs 250\nillum 2").roughness == pytest.approx(0.5)
    assert material_of(folder, "Ks 0 0 0\nNs 250").roughness == pytest.approx(0.9)
    assert material_of(folder, "Ks 1 1 1\nNs 250\nillum 1").roughness == pytest.approx(0.9)
    stated = material_of(folder, "Ns 900\nKs 1 1 1\nPr 0.2\nPm 0.7")
    assert (stated.roughness, stated.metallic) == (0.2, 0.7)
    mapped = material_of(folder, "Pm 0.5\nmap_Pr half.png")
    assert (mapped.roughness, mapped.metallic) == (1, 1)
    assert mapped.metallic_roughness_map.image[0, [0, 7], 1:].tolist() == [[0, 0.5], [1, 0.5]]


def test_what_has_no_place_is_said(folder):
    words = (
        "the map_ks 'tex.png' of material 'm'",
        "the picture 'gone.png', which is missing",
        "the heights 'half.png' of material 'm'",
    )
    material = material_of(folder, "map_Kd gone.png\nmap_Ks tex.png\nbump half.png\nmap_Ka tex.png", words)
    assert material.base_colour[0] == pytest.approx(0.787, abs=1e-3), "without the picture its colour stands"
    assert material.normal_map is None


def test_libraries_with_spaces_several_a_line_and_other_letters(folder):
    (folder / "My Look.mtl").write_text("newmtl Red One\nKd 1 0 0\n")
    (folder / "second.mtl").write_text("newmtl blue\nKd 0 0 1\n")
    faces = "usemtl Red One\nf 1 2 3\nusemtl BLUE\nf 1 3 4\n"
    (folder / "a.obj").write_text(
        "mtllib my look.MTL second.mtl\n" + SQUARE.replace("usemtl m\nf 1/1 2/2 3/3 4/4\n", faces)
    )
    asset = read_asset(folder / "a.obj")
    assert [material.base_colour[:3] for material in asset.materials] == [(1, 0, 0), (0, 0, 1)]
    assert {file.name for file in asset_files(folder / "a.obj")} == {"a.obj", "My Look.mtl", "second.mtl"}


def test_faces_without_a_material_have_the_only_one(folder):
    (folder / "a.mtl").write_text("newmtl m\nmap_Kd tex.png\n")
    (folder / "a.obj").write_text("mtllib a.mtl\n" + SQUARE.replace("usemtl m\n", ""))
    assert read_asset(folder / "a.obj").materials[0].base_colour_map is not None


def test_nothing_outside_the_folder_belongs_to_a_mesh(folder):
    inner = folder / "maps"
    (folder / "secret.png").write_bytes((folder / "tex.png").read_bytes())
    (inner / "link.png").symlink_to(folder / "secret.png")
    for name in ("../secret.png", str(folder / "secret.png"), "..\\secret.png", "link.png", "", "..", "a\0b"):
        assert belonging(inner / "a.obj", name) is None
    (inner / "A.png").write_bytes(b"x")
    (inner / "a.png").write_bytes(b"x")
    assert belonging(inner / "a.obj", "A.PNG") is None, "two files that differ in case alone"
    assert belonging(inner / "a.obj", "a.png") == inner / "a.png"
