"""OBJ meshes in the dialects of the programs that write them."""

import numpy as np
import pytest
from mesh_texts import SQUARE, area, surface_of

from a4d.errors import InvalidInputError
from a4d.io.assets.asset_reader import read_asset

PLACES = "v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\n"


@pytest.mark.parametrize("start", [0, 5])
def test_concave_caps_stay_open(tmp_path, start):
    """A U-shaped prism has 16 square metres of surface and 2.5 cubic metres, whatever corner its caps begin at."""
    outline = [(0, 0), (3, 0), (3, 2), (2, 2), (2, 1), (1, 1), (1, 2), (0, 2)]
    ring = outline[start:] + outline[:start]
    lines = [f"v {x} {y} {z}" for z in (0, 0.5) for x, y in ring]
    faces = [range(8, 16), range(7, -1, -1), *((i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i) for i in range(8))]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces]
    surface = surface_of(tmp_path / "u.obj", "\n".join(lines))
    assert area(surface) == pytest.approx(16)
    assert surface.mesh.volume == pytest.approx(2.5)
    assert surface.mesh.is_closed


@pytest.mark.parametrize(
    "text",
    [
        f"{PLACES}f 1 2 3 4\n",
        f"{PLACES}f -4 -3 -2 -1\n",
        f"{PLACES}v 9 9 9\nf -5 -4 -3 -2\n",
        f"f 1 2 3 4\n{PLACES}",
        f"{PLACES}vn 0 0 1\nf 1//1 2//1 3//1 4//1\n",
        f"{PLACES}vt 0\nvt 1 1 0\nf 1/1 2/2 3 4/\n",
        f"{PLACES}vn 0 0 1\nf 1//-1 2 3 4\n",
        f"\ufeff# caf\xe9\n{PLACES}f 1 2 \\\n  3 4\n".replace(" ", "\t").replace("\n", "\r\n"),
        f"{PLACES}f 1 2 3 4 # the only one\n".replace("\n", "\r"),
        f"  {PLACES}  g a b\n s off\n  f 1 2 3\n f 1 3 4\n",
        f"{PLACES}f 1.0 2 3 4\n".replace("v 2 0 0", "v 2e0 0.0E-5 +0 1.0"),
        f"{PLACES}vt 0 0\nf 1/7/2 2/1 3/1 4/1\n",
    ],
)  # fmt: skip
def test_the_same_rectangle_in_many_ways(tmp_path, text):
    surface = surface_of(tmp_path / "a.obj", text)
    assert sorted(map(tuple, surface.vertices.tolist())) == [(0, 0, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)]
    assert area(surface) == pytest.approx(2)
    assert (surface.normals - surface.normals.new_tensor([0.0, 0, 1])).abs().max() < 1e-6


def test_files_of_other_encodings(tmp_path):
    assert area(surface_of(tmp_path / "a.obj", f"{PLACES}f 1 2 3 4\n".encode("utf-16"))) == pytest.approx(2)
    assert area(surface_of(tmp_path / "a.obj", f"# gr\xfcn\n{PLACES}f 1 2 3 4\n".encode("latin-1"))) == pytest.approx(2)


def test_colours_behind_the_coordinates(tmp_path):
    for scale in (1, 255):
        rows = [f"v {x} {y} 0 {scale} {0.2 * scale} 0" for x, y in ((0, 0), (1, 0), (0, 1))]
        surface = surface_of(tmp_path / "a.obj", "\n".join([*rows, "f 1 2 3"]))
        np.testing.assert_allclose(surface.colours[:, :3], [(1, 0.2, 0)] * 3, atol=1e-6)
    painted = "v 0 0 0\nv 1 0 0\nv 0 1 0\n#MRGB ffff0000ff00ff00\n#MRGB ff0000ff\nf 1 2 3\n"
    surface = surface_of(tmp_path / "a.obj", painted)
    assert surface.colours[:, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_corners_share_a_vertex_where_all_agrees(tmp_path):
    seam = SQUARE.replace("f 1/1 2/2 3/3 4/4", "vt 0.5 0.5\nf 1/1 2/2 3/3\nf 1/5 3/3 4/4")
    assert len(surface_of(tmp_path / "a.obj", seam).vertices) == 5
    assert len(surface_of(tmp_path / "b.obj", SQUARE).vertices) == 4


def test_what_is_left_out_is_counted(tmp_path):
    surface_of(
        tmp_path / "a.obj", f"mtllib gone.mtl\n{PLACES}f 1 2 3 4\nf 1 2\nl 1 2\nl 2 3\np 1\nsurf 0 1 0 1\nwhat\n"
    )
    assert read_asset(tmp_path / "a.obj").left_out == (
        "2 lines",
        "1 point element",
        "1 free-form surface",
        "1 line of an unknown kind",
        "1 face of fewer than three corners",
        "the material library 'gone.mtl', which is missing",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0,5 0 0\nv 1,5 0 0\nv 0 1,5 0\nf 1 2 3\n", "decimal commas: '0,5 0 0'"),
        ("v 0 0 0\nv 1 0 0\nv 0 one 0\nf 1 2 3\n", "no row of numbers: '0 one 0'"),
        ("v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "three coordinates that is no row of numbers: '1 0'"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 b 3\n", "face that is no row of numbers: '1 b 3'"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "vertex 9 of 3"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "vertex 0 of 3"),
        ("v 0 0 0\nv 1 0 0\n", "2 vertices and no faces"),
    ],
)
def test_refusals_quote_the_line(tmp_path, text, words):
    with pytest.raises(InvalidInputError, match=words):
        surface_of(tmp_path / "a.obj", text)
