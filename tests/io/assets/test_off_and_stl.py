"""OFF and STL meshes in the dialects of the programs that write them."""

import struct

import numpy as np
import pytest
from mesh_texts import area, surface_of

from a4d.errors import InvalidInputError
from a4d.io.assets.asset_reader import read_asset

ROWS = "-1 -1 0\n1 -1 0\n1 1 0\n-1 1 0\n0 2 0\n"
FACET = "facet normal 0 0 0\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 1 0\n endloop\nendfacet\n"


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n5 2 0\n{ROWS}4 0 1 2 3\n3 3 2 4\n",
        f"OFF 5 2 0\n# corners\n\n{ROWS}\n4 0 1 2 3 # a square\n3 3 2 4\n".replace("\n", "\r\n"),
        "NOFF\n5 2\n" + ROWS.replace(" 0\n", " 0 0 0 1\n") + "4 0 1 2 3\n3 3 2 4\n",
        "STCOFF\n5 2 0\n" + ROWS.replace(" 0\n", " 0 255 255 255 255 0.5 0.5\n") + "4 0 1 2 3\n3 3 2 4\n",
    ],
)
def test_off(tmp_path, text):
    surface = surface_of(tmp_path / "a.off", text)
    assert (len(surface.vertices), area(surface)) == (5, pytest.approx(5))
    assert (surface.normals[:, 2] == 1).all()
    assert len(surface.uvs) == text.startswith("ST")


def test_off_colours(tmp_path):
    by_vertex = "COFF\n5 1 0\n" + ROWS.replace(" 0\n", " 0 255 51 0 255\n") + "4 0 1 2 3\n"
    np.testing.assert_allclose(surface_of(tmp_path / "a.off", by_vertex).colours[:, :3], [(1, 0.2, 0)] * 4, atol=1e-6)
    by_face = f"OFF\n5 2 0\n{ROWS}4 0 1 2 3 1.0 0.2 0\n3 3 2 4\n"
    surface = surface_of(tmp_path / "a.off", by_face)
    np.testing.assert_allclose(surface.colours[surface.faces[0], :3], [(1, 0.2, 0)] * 3, atol=1e-6)
    assert surface.colours[surface.faces[2]].tolist() == [[1, 1, 1, 1]] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"OFF\n5 9 0\n{ROWS}4 0 1 2 3\n", "promises 5 vertices and 9 faces, the file holds 5 and 1"),
        (f"OFF\n7 1 0\n{ROWS}", "the file holds 5 and 0"),
        (f"OFF\n5 1 0\n{ROWS}4 0 1\n", "face of 4 corners that names 2"),
        (f"OFF\n5 1 0\n{ROWS}3 0 1 5\n", "vertex 5, of 5"),
        ("OFF BINARY\n\0\0", "a kind that is not read"),
        ("OFF\nfive 1 0\n", "no row of numbers: 'five 1 0'"),
        ("mesh\n", "not an OFF file"),
    ],
)
def test_off_refusals(tmp_path, text, words):
    with pytest.raises(InvalidInputError, match=words):
        surface_of(tmp_path / "a.off", text)


def binary_stl(count: int, promised: int, header: bytes = b"solid but binary", attribute: int = 0) -> bytes:
    facet = struct.pack("<12fH", 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, attribute)
    return header.ljust(80, b" ") + struct.pack("<I", promised) + facet * count


def test_stl_in_text_and_binary(tmp_path):
    for content in (f"solid a b\n{FACET}endsolid\n", FACET.join(("SOLID\n", "")).upper(), binary_stl(1, 1)):
        surface = surface_of(tmp_path / "a.stl", content)
        assert (len(surface.vertices), area(surface)) == (3, pytest.approx(0.5))
        assert (surface.normals[:, 2] == 1).all()
    assert len(surface_of(tmp_path / "a.stl", binary_stl(3, 2, attribute=7)).faces) == 2
    assert read_asset(tmp_path / "a.stl").left_out == ("2 attributes of triangles",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (binary_stl(3, 8, b"exported"), "promises 8 triangles, the file holds 3"),
        (f"solid a\n{FACET}{FACET[:50]}", "begins 2 triangles and holds 1"),
        ("solid a\nendsolid a\n", "no triangles"),
        ("solid a\n" + FACET.replace("1 0 0", "1,5 0 0"), "decimal commas"),
        (b"short", "not an STL file"),
    ],
)
def test_stl_refusals(tmp_path, content, words):
    with pytest.raises(InvalidInputError, match=words):
        surface_of(tmp_path / "a.stl", content)
