"""Values that are no numbers, in files of every format."""

import math

import numpy as np
import pytest
from gltf_files import GltfBuilder
from mesh_texts import CORNERS, area, ply, surface_of

from a4d.errors import InvalidInputError
from a4d.geometry.assets.posing import deform
from a4d.geometry.primitives import icosphere
from a4d.io.assets.asset_reader import read_asset

BALL = icosphere(1.0, 1)


def ball_text(spoilt: str) -> str:
    """An OBJ ball of 42 vertices with normals, of which the first is another one."""
    normals = [spoilt, *(f"{x} {y} {z}" for x, y, z in BALL.vertices[1:].tolist())]
    lines = [f"v {x} {y} {z}" for x, y, z in BALL.vertices.tolist()] + [f"vn {normal}" for normal in normals]
    return "\n".join(lines + [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (BALL.faces + 1).tolist()])


@pytest.mark.parametrize("spoilt", ["0 0 0", "nan 0 0", "1.#IND 1.#QNAN 0", "-nan(ind) 0 0", "inf 0 0", "1e-30 0 0"])
def test_a_spoilt_normal_in_obj(tmp_path, spoilt):
    surface = surface_of(tmp_path / "a.obj", ball_text(spoilt))
    assert (surface.normals * surface.vertices).sum(1).min() > 0.9
    assert read_asset(tmp_path / "a.obj").left_out == ("1 normal without a direction, replaced by that of its faces",)


def test_all_normals_zero_in_ply(tmp_path):
    properties = dict.fromkeys(("x", "y", "z", "nx", "ny", "nz"), "float")
    surface = surface_of(
        tmp_path / "a.ply", ply("little", properties, [(*corner, 0, 0, 0) for corner in CORNERS], [(0, 1, 2, 3)])
    )
    assert (surface.normals[:, 2] == 1).all()
    assert "4 normals" in read_asset(tmp_path / "a.ply").left_out[0]


@pytest.mark.parametrize("bad", [0.0, 1e-30, math.nan])
def test_normals_texture_coordinates_and_colours_in_gltf(tmp_path, bad):
    file = GltfBuilder()
    normals, uvs = BALL.vertices.clone(), BALL.vertices[:, :2].clone()
    normals[:3], uvs[5] = bad, math.inf
    mesh = file.mesh(BALL.vertices, NORMAL=file.accessor(normals), TEXCOORD_0=file.accessor(uvs))
    file.json["meshes"][mesh]["primitives"][0]["indices"] = file.accessor(BALL.faces.flatten(), np.uint16)
    file.add("nodes", mesh=mesh)
    path = file.write(tmp_path / "a.glb")
    asset = read_asset(path)
    surface = deform(asset)
    assert (surface.normals * surface.vertices).sum(1).min() > 0.9
    assert surface.uvs.isfinite().all()
    assert asset.left_out == (
        "3 normals without a direction, replaced by those of their faces",
        "1 texture coordinate that is not finite",
    )


def test_places_that_are_none(tmp_path):
    lines = [f"v {x} {y} {z}" for x, y, z in BALL.vertices.tolist()]
    lines[7] = "v nan 1e999 0"
    faces = [f"f {a} {b} {c}" for a, b, c in (BALL.faces + 1).tolist()]
    lost = int((BALL.faces == 7).any(1).sum())
    surface = surface_of(tmp_path / "a.obj", "\n".join(lines + faces))
    assert len(surface.faces) == len(faces) - lost
    assert (surface.normals * surface.vertices).sum(1).min() > 0.7
    assert read_asset(tmp_path / "a.obj").left_out == (f"{lost} faces with a corner at no finite place",)
    with pytest.raises(InvalidInputError, match=f"not finite numbers, in {len(faces)} of its {len(faces)} faces"):
        surface_of(tmp_path / "a.obj", "\n".join(["v nan 0 0"] * 42 + faces))


def test_vertices_without_faces_do_not_matter(tmp_path):
    content = ply("ascii", {"x": "float", "y": "float", "z": "float"}, [*CORNERS, ("nan", 0, 0)], [(0, 1, 2, 3)])
    surface = surface_of(tmp_path / "a.ply", content)
    assert area(surface) == pytest.approx(4)
    assert np.isfinite(surface.vertices.numpy()).all()
    assert read_asset(tmp_path / "a.ply").left_out == ()
