"""Photographs with known cameras: from their files to a scene that predicts the views it has not seen."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from blender_capture import write_blender_capture

from a4d.contents.frames import training_cameras
from a4d.contents.subjects import SubjectRequest, load_subject
from a4d.export.surface_options import SurfaceOptions
from a4d.io.captures.colmap import write_colmap
from a4d.io.captures.transforms_json import read_transforms
from a4d.scenes import load_scene
from a4d.scenes.extraction import extract_surface
from a4d.views import observed
from a4d.workspace.workspace import Workspace

QUICK = ("--iterations", 400, "--set", "scene.count=4000", "--set", "scene.density=null", "--set", "scene.sh_degree=0")


@pytest.fixture(scope="module")
def finished(a4d_in, creature_capture: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    result = a4d_in(folder, "fit-static", creature_capture, *QUICK, "--json")
    assert result.code == 0, result.err
    return folder / "creature.a4d"


@pytest.fixture
def fitted(finished: Path, a4d) -> Path:
    """A copy of a finished workspace in the current folder."""
    return Path(shutil.copytree(finished, "creature.a4d"))


@pytest.mark.usefixtures("fitted")
def test_held_out_views_are_predicted(a4d) -> None:
    figures = a4d("evaluate", "creature.a4d", "--json").json
    assert figures["split"] == "test"
    assert len(figures["views"]) == 4
    assert figures["psnr"] > 26
    assert figures["iou"] > 0.95
    train = a4d("evaluate", "creature.a4d", "--split", "train", "--json").json
    assert train["psnr"] > figures["psnr"] - 1


def test_a_field_predicts_held_out_views_and_has_a_surface(a4d, creature_capture: Path) -> None:
    quick = ("--iterations", 150, "--set", "scene.surface_resolution=64")
    result = a4d("fit-static", creature_capture, "--profile", "fit-static-field", *quick, "--json")
    assert result.code == 0, result.err
    figures = a4d("evaluate", "creature.a4d", "--json").json
    assert figures["psnr"] > 24
    assert figures["iou"] > 0.9
    surface = load_scene(Path("creature.a4d/scenes/fit-static")).mesh()
    assert surface is not None
    assert surface.is_closed
    result = a4d("export", "creature.a4d", "--size", 32, "--frames", 2, "--json")
    assert result.code == 0, result.err
    assert sorted(path.suffix for path in Path("creature.a4d/exports").iterdir()) == [".glb", ".mp4"]


def test_a_surface_with_a_texture_predicts_held_out_views(a4d, creature_capture: Path) -> None:
    quick = ("--iterations", 60, "--set", "scene.surface.resolution={0: 16, 30: 24}")
    result = a4d("fit-static", creature_capture, "--profile", "fit-static-tetmesh", *quick, "--json")
    assert result.code == 0, result.err
    figures = a4d("evaluate", "creature.a4d", "--json").json
    assert figures["psnr"] > 25
    assert figures["iou"] > 0.95
    scene = load_scene(Path("creature.a4d/scenes/fit-static"))
    assert scene.mesh().is_closed
    assert scene.facts()["resolution"] == 24
    result = a4d("export", "creature.a4d", "--formats", "glb", "--json")
    assert result.code == 0, result.err
    exported = trimesh.load_scene(Path("creature.a4d/exports/creature.glb"))
    (surface,) = exported.geometry.values()
    assert len(surface.faces) == scene.facts()["faces"]
    assert surface.visual.material.baseColorTexture.size == (1024, 1024)


def test_a_fit_that_ends_before_it_sees_whole_pictures_says_so(a4d, creature_capture: Path, monkeypatch) -> None:
    monkeypatch.setattr(observed, "LEAST_REDUCED", 32)
    said = "photographs: the fit ends before it sees images as large as they are"
    quick = ("fit-static", creature_capture, "--set", "scene.count=100", "--set", "scene.density=null", "--force")
    assert said in a4d(*quick, "--iterations", 2).err
    reduce = "views.photographs.reduce={from: 2.0, to: 2.0, steps: 1, then: {from: 1.0, to: 1.0, steps: 1}}"
    assert said not in a4d(*quick, "--iterations", 2, "--set", reduce).err


def test_an_environment_that_does_not_exist_is_named(a4d, creature_capture: Path) -> None:
    light = ("--set", "scene.light.environment=nowhere.hdr")
    result = a4d("fit-static", creature_capture, "--profile", "fit-static-tetmesh", *light)
    assert result.code == 4
    assert "nowhere.hdr does not exist" in result.err
    assert "Traceback" not in result.err


def test_the_subject_comes_into_the_unit_ball_upright(a4d, creature_capture: Path) -> None:
    assert a4d("preprocess", creature_capture).code == 0
    capture = read_transforms(Path("creature.a4d/transforms.json"))
    assert len(capture) == 20
    assert capture.up_axis == "+y"
    assert capture.splits.count("test") == 4
    heights = capture.world_from_camera[:16, 1, 3]
    elevation = np.array([-20.0, 10.0, 40.0])[np.arange(16) % 3]
    assert np.corrcoef(heights, elevation)[0, 1] > 0.99
    assert a4d("fit-static", "creature.a4d", "--iterations", 0).code == 0
    means = load_scene(Path("creature.a4d/scenes/fit-static")).gaussians().means.detach()
    assert float(means.norm(dim=-1).max()) < 1.1
    assert float(means.norm(dim=-1).max()) > 0.8


@pytest.mark.usefixtures("fitted")
def test_the_surface_is_that_of_the_known_mesh() -> None:
    from a4d.geometry.mesh import Mesh
    from a4d.geometry.primitives import creature
    from a4d.metrics import surface_distances

    document = json.loads(Path("creature.a4d/transforms.json").read_text())
    world_from_source = torch.tensor(document["world_from_source"], dtype=torch.float32)
    truth = creature()
    # The data set was written with Blender's axes.
    in_source = torch.stack([truth.vertices[:, 0], -truth.vertices[:, 2], truth.vertices[:, 1]], dim=-1)
    in_world = in_source @ world_from_source[:3, :3].T + world_from_source[:3, 3]
    surface = extract_surface(load_scene(Path("creature.a4d/scenes/fit-static")), resolution=96)
    assert surface.is_closed
    distances = surface_distances(surface, Mesh(in_world, truth.faces), threshold=0.03)
    assert distances.chamfer < 0.03
    assert distances.f_score > 0.85


@pytest.mark.parametrize("binary", [True, False])
def test_cameras_are_imported_from_colmap(a4d, creature_capture: Path, tmp_path: Path, binary: bool) -> None:
    train = read_transforms(creature_capture / "transforms_train.json")
    write_colmap(tmp_path / "sparse" / "0", train, creature_capture / "train", is_binary=binary)
    photos = creature_capture / "train"
    assert a4d("preprocess", photos).code == 0
    assert a4d("estimate-pose", "train.a4d", "--cameras", tmp_path / "sparse" / "0").code == 0
    imported = read_transforms(Path("train.a4d/transforms.json"))
    assert len(imported) == 16
    original, found = train.world_from_camera[:, :3, 3], imported.world_from_camera[:, :3, 3]
    ratio = np.linalg.norm(found - found[:1], axis=1)[1:] / np.linalg.norm(original - original[:1], axis=1)[1:]
    assert ratio.std() / ratio.mean() < 1e-3
    assert a4d("fit-static", "train.a4d", "--iterations", 0, "--set", "scene.count=300").code == 0


def test_too_few_cameras_are_a_question_of_quality(a4d, creature_capture: Path, tmp_path: Path) -> None:
    train = read_transforms(creature_capture / "transforms_train.json")
    write_colmap(tmp_path / "sparse", train.subset(range(4)), creature_capture / "train")
    assert a4d("preprocess", creature_capture / "train").code == 0
    result = a4d("estimate-pose", "train.a4d", "--cameras", tmp_path / "sparse")
    assert result.code == 7
    assert "4 of 16" in result.err
    assert a4d("estimate-pose", "train.a4d", "--cameras", tmp_path / "sparse", "--registered", 0.2).code == 0


def test_photographs_of_nearly_one_side_are_not_gone_on_with_unasked(a4d, tmp_path: Path) -> None:
    from a4d.geometry.cameras import orbit
    from a4d.geometry.primitives import creature

    cameras = orbit(torch.tensor([0.0, 8.0]), torch.full((2,), 10.0), 2.8, 40.0, 48, 48)
    write_blender_capture(tmp_path / "beside", creature(resolution=24), {"train": cameras})
    sets = ("scene.count=200", "scene.density=null", "seed.resolution=24")
    quick = ("--iterations", 1, *(part for each in sets for part in ("--set", each)))
    result = a4d("fit-static", "beside", *quick, "--json")
    assert result.code == 7
    assert result.json["metrics"]["degrees_unseen"] > 160
    assert "nearly the same side" in " ".join(result.json["missed"])
    assert a4d("fit-static", "beside.a4d", *quick, "--accept").code == 0


def test_a_fit_starts_from_given_points_or_from_nothing(a4d, creature_capture: Path, tmp_path: Path) -> None:
    from a4d.geometry.mesh import sample_surface
    from a4d.geometry.primitives import creature
    from a4d.io.assets.ply import PointCloud, write_point_cloud

    shutil.copytree(creature_capture, tmp_path / "dotted")
    points, _, _ = sample_surface(creature(), 900, torch.Generator().manual_seed(0))
    in_source = torch.stack([points[:, 0], -points[:, 2], points[:, 1]], dim=-1).double().numpy()
    red = np.tile(np.array([[1.0, 0.0, 0.0]], np.float32), (900, 1))
    write_point_cloud(tmp_path / "dotted" / "dots.ply", PointCloud(in_source, red))
    train = tmp_path / "dotted" / "transforms_train.json"
    train.write_text(json.dumps({**json.loads(train.read_text()), "ply_file_path": "dots.ply"}))
    starts = {}
    for kind in ("capture", "ball"):
        result = a4d("fit-static", "dotted", "--iterations", 0, "--set", f"seed.kind={kind}", "--name", kind)
        assert result.code == 0, result.err
        starts[kind] = load_scene(Path(f"dotted.a4d/scenes/{kind}")).gaussians().detach()
    assert len(starts["capture"]) == 900
    assert float(starts["capture"].colours[:, 0].min()) > 0.99
    assert float(starts["capture"].means.norm(dim=-1).max()) < 1.1
    radius = starts["ball"].means.norm(dim=-1)
    assert float((radius < 0.5 ** (1 / 3)).float().mean()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.usefixtures("fitted")
def test_an_exported_surface_looks_like_its_scene(a4d) -> None:
    result = a4d("export", "creature.a4d", "--formats", "glb", "--resolution", 64, "--json")
    assert result.json["metrics"]["glb_psnr"] > 28, "24 as it is fused"


@pytest.mark.usefixtures("fitted")
def test_the_size_of_its_picture_leaves_a_surface_as_it_is() -> None:
    workspace = Workspace.open(Path("creature.a4d"))
    unsaid = load_subject(workspace, SubjectRequest(is_textured=True)).surface_options
    said = load_subject(workspace, SubjectRequest(surface=SurfaceOptions(texture=2048))).surface_options
    assert said == replace(unsaid, texture=2048)
    assert said.cells == unsaid.cells >= 160


@pytest.mark.usefixtures("fitted")
def test_a_scene_is_scored_against_a_mesh_and_against_another_workspace(a4d, monkeypatch) -> None:
    for name in ("surface_options.USUAL_CELLS", "surface_options.MOST_CELLS", "made_surface.USUAL_CELLS"):
        monkeypatch.setattr(f"a4d.export.{name}", 48)
    assert a4d("export", "creature.a4d", "--formats", "glb", "--texture", 0).code == 0
    itself = a4d("evaluate", "creature.a4d", "--against", "creature.a4d/exports/creature.glb", "--json").json
    assert itself["chamfer"] < 1e-5, "export writes the surface that is judged"
    assert itself["f_score"] == 1
    other = a4d("evaluate", "creature.a4d", "--against", "creature.a4d", "--split", "train", "--json").json
    assert len(other["views"]) == 16
    table = a4d("evaluate", "creature.a4d")
    assert "mean" in table.out
    assert a4d("evaluate", "creature.a4d", "--split", "tset").code == 2
    assert a4d("evaluate", "creature.a4d", "--against", "missing.obj").code == 4


def test_where_a_scene_was_seen_from_is_known_without_the_pictures(four_views: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(four_views, tmp_path / "copy.a4d"))
    before = training_cameras(Workspace.open(folder), 3)
    shutil.rmtree(folder / "images")
    after = training_cameras(Workspace.open(folder), 3)
    assert len(before) == len(after) == 3
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.world_from_camera, other.world_from_camera)
        assert (one.width, one.height) == (other.width, other.height)
