"""fit-static of an image: which shape it takes, what it says of it, and how near it comes to a hidden one."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hidden_shape import HiddenModel, about_up, clustered, in_front, photographed, side_views, subject

from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.assets.asset_reader import read_asset
from a4d.io.pictures.images import write_image
from a4d.metrics import surface_distances
from a4d.priors import loading
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

QUICK = ("--iterations", 30, "--set", "scene.count=3000", "--set", "proxies.size=64", "--set", "proxies.count=6")

EXACT = "--iterations", 200, "--set", "scene.count=24000", "--set", "proxies.size=160"
"""What pictures of 192 pixels need."""


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """A machine on which nothing was fetched."""
    monkeypatch.setattr("a4d.priors.hub.cached", lambda sources, components: None)


@pytest.fixture
def weights(tmp_path):
    """A folder that stands for weights."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.ckpt").write_bytes(b"of the hidden model")
    return tmp_path / "weights"


def prepared(a4d, azimuth, size):
    """A workspace of a picture of the hidden shape."""
    photographed(subject(), azimuth, size, "hidden.png")
    succeed(a4d("preprocess", "hidden.png", "--size", size))
    succeed(a4d("estimate-pose", "hidden.a4d"))
    return "hidden.a4d"


def succeed(result):
    """Check that a command did what it was for, or show what it said."""
    assert result.code == 0, result.err


def turned_copy(path, mesh):
    """Write a mesh of fewer faces, of another size and turned, as any program may have saved it."""
    rotation = about_up(70.0) @ rotation_from_axis_angle(torch.tensor([math.pi / 2, 0.0, 0.0]))
    copy = clustered(mesh, 50)
    vertices, colours = 12 * copy.vertices @ rotation.T + 5, (copy.colours * 255).round().byte()
    trimesh.Trimesh(vertices, copy.faces, vertex_colors=colours, process=False).export(path)
    return path


def test_without_weights_one_line_says_what_would_be_better(a4d, no_weights):
    workspace = prepared(a4d, 0.0, 64)
    result = a4d("fit-static", workspace, *QUICK, "--json")
    assert result.code == 0, result.err
    said = " ".join(result.err.split())
    assert said.count("a4d weights fetch triposr") == 1
    assert "--shape FILE" in said
    assert "shape_iou" not in result.json["metrics"]
    config = Workspace.open(Path(workspace)).read_records()["fit-static"].config
    assert (config["profile"], config["seed"]["kind"]) == ("fit-static-image", "inflation")


def test_a_model_that_is_asked_for_and_not_here_names_the_command(a4d, no_weights):
    result = a4d("fit-static", prepared(a4d, 0.0, 64), "--profile", "fit-static-shape")
    assert result.code == 5
    assert "`a4d weights fetch triposr`" in result.err


def test_a_damaged_model_is_one_line(a4d, weights):
    result = a4d("fit-static", prepared(a4d, 0.0, 64), *QUICK, "--weights", f"triposr={weights}")
    assert result.code == 5
    assert "damaged" in result.err
    assert "Traceback" not in result.err


def test_a_shape_that_does_not_exist_is_one_line(a4d, no_weights):
    result = a4d("fit-static", prepared(a4d, 0.0, 64), "--shape", "nowhere.glb")
    assert result.code == 4
    assert "nowhere.glb" in result.err


def test_a_shape_that_does_not_exist_is_seen_before_anything_is_made(a4d, no_weights, tmp_path):
    write_image(tmp_path / "plain.png", np.zeros((8, 8, 4), np.float32))
    assert a4d("fit-static", tmp_path / "plain.png", "--shape", "nowhere.glb").code == 4
    assert not Path("plain.a4d").exists()


def distance_to_truth(a4d, workspace, truth):
    """Chamfer distance of the exported mesh over the true diagonal."""
    succeed(a4d("export", workspace, "--formats", "glb"))
    found = read_asset(Workspace.open(Path(workspace)).path / "exports" / "hidden.glb")
    posed = deform(found)
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    return surface_distances(Mesh(posed.vertices, posed.faces), truth, 0.01).chamfer / diagonal


def require_near(a4d, workspace, result, truth):
    """Check the figures that an exact shape must reach."""
    succeed(result)
    assert "The shape is that of" in result.err
    assert result.json["metrics"]["shape_iou"] > 0.97
    scene = load_scene(Workspace.open(Path(workspace)).scene("fit-static"))
    reference = a4d("evaluate", workspace, "--json").json["foreground_psnr"]
    sides, apart = side_views(scene, truth, 192), distance_to_truth(a4d, workspace, truth)
    assert (reference >= 36, sides >= 25, apart <= 0.01) == (True, True, True), (reference, sides, apart)


@pytest.mark.slow
@pytest.mark.parametrize("azimuth", [0.0, 40.0, 115.0])
def test_a_hidden_shape_behind_the_protocol_is_found(a4d, weights, azimuth, monkeypatch):
    monkeypatch.setitem(loading.SHAPE_LOADERS, "triposr", lambda folder: HiddenModel(subject(), azimuth))
    workspace = prepared(a4d, azimuth, 192)
    result = a4d("fit-static", workspace, *EXACT, "--weights", f"triposr={weights}", "--json")
    require_near(a4d, workspace, result, in_front(subject(), azimuth))


@pytest.mark.slow
@pytest.mark.parametrize("azimuth", [0.0, 40.0, 115.0])
def test_a_decimated_and_turned_copy_is_brought_to_the_picture(a4d, azimuth, tmp_path):
    workspace = prepared(a4d, azimuth, 192)
    shape = turned_copy(tmp_path / "copy.ply", subject())
    result = a4d("fit-static", workspace, *EXACT, "--shape", shape, "--json")
    require_near(a4d, workspace, result, in_front(subject(), azimuth))
