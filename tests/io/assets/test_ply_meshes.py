"""Polygon meshes in PLY files, in the dialects of the programs that write them."""

import struct

import numpy as np
import pytest
from mesh_texts import CORNERS, area, ply, surface_of
from PIL import Image

from a4d.errors import InvalidInputError
from a4d.io.assets.asset_reader import read_asset

XYZ = {"x": "float", "y": "float", "z": "float"}
FACES = [(0, 1, 2, 3), (3, 2, 4)]


@pytest.mark.parametrize("kind", ["ascii", "little", "big"])
def test_faces_of_different_numbers_of_corners(tmp_path, kind):
    surface = surface_of(tmp_path / "a.ply", ply(kind, XYZ, CORNERS, FACES))
    assert (len(surface.vertices), len(surface.faces)) == (5, 3)
    assert area(surface) == pytest.approx(5)
    assert (surface.normals[:, 2] == 1).all()


@pytest.mark.parametrize("kind", ["ascii", "little"])
@pytest.mark.parametrize(
    ("names", "type_", "stored", "expected"),
    [
        (("red", "green", "blue"), "ushort", (60000, 20000, 300), (60000 / 65535, 20000 / 65535, 300 / 65535)),
        (("red", "green", "blue"), "ushort", (200, 40, 30), (200 / 255, 40 / 255, 30 / 255)),
        (("diffuse_red", "diffuse_green", "diffuse_blue"), "uchar", (200, 40, 30), (200 / 255, 40 / 255, 30 / 255)),
        (("r", "g", "b"), "float", (0.5, 0.25, 1.0), (0.5, 0.25, 1.0)),
        (("red", "green", "blue"), "double", (200.0, 40.0, 30.0), (200 / 255, 40 / 255, 30 / 255)),
    ],
)
def test_colours_under_all_their_names_and_types(tmp_path, kind, names, type_, stored, expected):
    properties = dict.fromkeys(names, type_) | XYZ
    surface = surface_of(tmp_path / "a.ply", ply(kind, properties, [(*stored, *p) for p in CORNERS], FACES))
    np.testing.assert_allclose(surface.colours[:, :3], [expected] * 5, atol=1e-6)
    assert (surface.vertices.numpy() == CORNERS).all()


def test_a_picture_on_texture_coordinates_of_corners(tmp_path):
    """MeshLab's: a list of coordinates for each face, and a picture in a comment."""
    Image.fromarray(np.full((2, 2, 3), (255, 128, 0), np.uint8)).save(tmp_path / "My Paint.png")
    lines = ["ply", "format ascii 1.0", "comment VCGLIB generated", "comment TextureFile My Paint.png", "obj_info x"]
    lines += ["element vertex 4", *(f"property float {axis}" for axis in "xyz"), "element face 2"]
    lines += ["property list uchar int vertex_index", "property list uchar float texcoord", "end_header"]
    lines += [*(" ".join(map(str, corner)) for corner in CORNERS[:4])]
    lines += ["3 0 1 2 6 0 0 .5 0 .5 1", "3 0 2 3 6 0 0 1 1 0 1"]
    surface = surface_of(tmp_path / "a.ply", "\r\n".join(lines) + "\r\n")
    # Corner 2 has two places on the picture, corner 0 one; v runs down.
    assert len(surface.vertices) == 5
    assert sorted(map(tuple, surface.uvs[0].tolist())) == [(0.0, 0.0), (0.0, 1.0), (0.5, 0.0), (0.5, 1.0), (1.0, 0.0)]
    picture = read_asset(tmp_path / "a.ply").materials[0].base_colour_map.image
    np.testing.assert_allclose(picture[0, 0], (1, 128 / 255, 0), atol=1e-6)


def test_triangle_strips_and_elements_of_no_use(tmp_path):
    head = (
        "ply\nformat binary_little_endian 1.0\nelement material 1\nproperty list uchar uchar name\n"
        "element vertex 5\nproperty double z\nproperty list uchar ushort tags\nproperty float y\nproperty float x\n"
        "element tristrips 1\nproperty list int int vertex_indices\nelement edge 1\nproperty int vertex1\nend_header\n"
    )
    body = struct.pack("<B3s", 3, b"abc")
    for number, (x, y, z) in enumerate(CORNERS):
        body += struct.pack(f"<dB{number}H2f", z, number, *range(number), y, x)
    body += struct.pack("<9i", 8, 0, 1, 3, 2, -1, 3, 2, 4) + struct.pack("<i", 7)
    surface = surface_of(tmp_path / "a.ply", head.encode() + body)
    assert (len(surface.faces), area(surface)) == (3, pytest.approx(5))
    assert (surface.normals[:, 2] == 1).all(), "every second triangle of a strip is wound the other way round"
    assert read_asset(tmp_path / "a.ply").left_out == (
        "1 record of the element 'material'",
        "1 record of the element 'edge'",
    )


@pytest.mark.parametrize("kind", ["ascii", "little", "big"])
def test_a_file_cut_short_says_what_it_promised_and_what_it_holds(tmp_path, kind):
    content = ply(kind, XYZ, CORNERS, [(0, 1, 2, 3), *[(3, 2, 4)] * 9])
    with pytest.raises(InvalidInputError, match=r"promises 10 records of 'face', the file holds [678]"):
        surface_of(tmp_path / "a.ply", content[: -36 if kind != "ascii" else -24])
    assert area(surface_of(tmp_path / "a.ply", content + b"\n0 0 0\n")) == pytest.approx(13), "more is no less"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (("f_dc_0", "opacity", "rot_0", "scale_0"), "Gaussian splat of 2 Gaussians"),
        (("packed_position",), "Gaussian splat"),
        (("confidence",), "point cloud: it holds 2 points and no faces"),
    ],
)
def test_splats_and_point_clouds_are_called_by_their_names(tmp_path, properties, words):
    row = (0.0,) * (3 + len(properties))
    content = ply("little", XYZ | dict.fromkeys(properties, "float"), [row, row], [])
    with pytest.raises(InvalidInputError, match=words) as caught:
        surface_of(tmp_path / "a.ply", content)
    assert caught.value.remedy


def test_what_cannot_be_right_is_refused_in_words(tmp_path):
    for faces, words in (([(0, 1, 9)], "vertex 9, of 5"), ([(0, 0, 0)], "positive area")):
        with pytest.raises(InvalidInputError, match=words):
            surface_of(tmp_path / "a.ply", ply("big", XYZ, CORNERS, faces))
    huge = ply("little", XYZ, CORNERS, FACES).replace(b"vertex 5", b"vertex 999999999999")
    with pytest.raises(InvalidInputError, match="promises 999999999999"):
        surface_of(tmp_path / "a.ply", huge)
