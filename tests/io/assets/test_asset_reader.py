"""Assets and what belongs to them, from every kind of mesh file."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gltf_files import triangle
from PIL import Image

from a4d.errors import A4DError, InvalidInputError
from a4d.geometry.assets.posing import deform
from a4d.geometry.primitives import icosphere
from a4d.io.assets.asset_files import asset_files
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.ply import write_ply_mesh
from a4d.io.ground_truth import GroundTruth, ground_truth, read_ground_truth, write_ground_truth

QUAD = """mtllib looks/quad.mtl
v 0 0 0
v 2 0 0
v 2 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl paint
f 1/1 2/2 3/3 4/4
"""


def write_quad(folder: Path) -> Path:
    (folder / "looks").mkdir(parents=True)
    (folder / "quad.obj").write_text(QUAD)
    (folder / "looks/quad.mtl").write_text("newmtl paint\nKd 0.2 0.3 0.4\nmap_Kd paint.png\nnorm dents.png\n")
    for place in (folder / "looks", folder):
        Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)).save(place / "paint.png")
        Image.fromarray(np.full((2, 2, 3), (128, 128, 255), np.uint8)).save(place / "dents.png")
    return folder / "quad.obj"


def test_an_obj_file_brings_its_materials_and_pictures(tmp_path: Path) -> None:
    path = write_quad(tmp_path / "in")
    names = {file.relative_to(tmp_path / "in").as_posix() for file in asset_files(path)}
    assert names == {"quad.obj", "looks/quad.mtl", "looks/paint.png", "looks/dents.png"}, (
        "a library's own folder comes first"
    )
    asset = read_asset(path)
    surface = deform(asset)
    assert (len(surface.vertices), len(surface.faces)) == (4, 2)
    corner = (surface.vertices == torch.tensor([2.0, 1.0, 0.0])).all(1)
    assert surface.uvs[0][corner].tolist() == [[1.0, 0.0]], "v runs down from the upper edge"
    assert (surface.normals - torch.tensor([0.0, 0, 1])).abs().max() < 1e-6
    material = asset.materials[0]
    assert material.base_colour_map is not None
    assert material.base_colour_map.image.tolist() == [[[1, 0, 0], [0, 1, 0]]]


def test_files_outside_the_folder_do_not_belong_to_a_mesh(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.obj").write_text("mtllib a.mtl\nv 0 0 0\n")
    (tmp_path / "in/a.mtl").write_text("newmtl a\nmap_Kd ../secret.png\nmap_Ks /etc/passwd\n")
    assert [file.name for file in asset_files(tmp_path / "in/a.obj")] == ["a.obj", "a.mtl"]
    gltf = triangle()
    gltf.json["images"] = [{"uri": "../secret.png"}, {"uri": "missing.png"}]
    assert asset_files(gltf.write(tmp_path / "in/b.gltf")) == [tmp_path / "in/b.gltf"]


def test_corners_that_stl_repeats_become_one_vertex(tmp_path: Path) -> None:
    trimesh.creation.icosphere(2).export(tmp_path / "ball.stl")
    surface = deform(read_asset(tmp_path / "ball.stl"))
    assert (len(surface.vertices), len(surface.faces)) == (162, 320)
    assert (surface.normals - surface.vertices).norm(dim=1).max() < 0.03


def test_vertex_colours_survive(tmp_path: Path) -> None:
    ball = icosphere(0.5, 2)
    write_ply_mesh(tmp_path / "ball.ply", ball)
    surface = deform(read_asset(tmp_path / "ball.ply"))
    order = torch.cdist(ball.vertices, surface.vertices).argmin(1)
    assert (surface.colours[order, :3] - ball.colours).abs().max() < 1 / 255


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("far.obj", "v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n"),
        ("flat.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n"),
        ("points.obj", "v 0 0 0\nv 1 0 0\n"),
        ("scene.fbx", "Kaydara FBX Binary"),
        ("cut.bvh", "HIERARCHY\nROOT a\n{"),
    ],
)
def test_what_is_no_surface_is_refused_with_its_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=name):
        read_asset(tmp_path / name)


def test_every_file_of_a_corpus_is_read_or_refused_in_one_line(real_data: Path) -> None:
    read, reasons = 0, list[str]()
    for path in sorted((real_data / "meshes_trimesh_models").iterdir()):
        try:
            surface = deform(read_asset(path))
        except A4DError as error:
            reasons.append(str(error))
            continue
        assert torch.isfinite(surface.vertices).all()
        assert torch.isfinite(surface.normals).all()
        read += 1
    assert read >= 25
    assert not any("\n" in reason for reason in reasons)


def test_ground_truth_comes_back_and_objects_are_refused(tmp_path: Path, real_data: Path) -> None:
    asset = read_asset(real_data / "gltf_khronos/RiggedFigure/glTF-Binary/RiggedFigure.glb")
    truth = ground_truth(asset, asset.clips[0], torch.tensor([0.0, 0.5], dtype=torch.float64))
    write_ground_truth(tmp_path / "t.npz", truth)
    back = read_ground_truth(tmp_path / "t.npz")
    for name in ("seconds", "vertices", "faces", "joint_names", "joint_parents", "world_from_joint"):
        assert np.array_equal(getattr(back, name), getattr(truth, name)), name
    assert len(back.joint_names) == 19
    np.savez(tmp_path / "bad.npz", vertices=np.array([object()]))
    with pytest.raises(InvalidInputError, match=r"bad\.npz"):
        read_ground_truth(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match=r"expected vertices"):
        GroundTruth(truth.seconds[:1], *(getattr(truth, n) for n in (
            "vertices", "faces", "joint_names", "joint_parents", "world_from_joint")))  # fmt: skip
