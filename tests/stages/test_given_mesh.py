"""Meshes through the command line: placed, seen, animated, fitted, and gathered into data sets."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from a4d.contents.assets import load_asset, load_ground_truth, world_from_source
from a4d.contents.frames import load_frames
from a4d.geometry.assets.assembly import MorphMotion, morphing_asset, primitive_from_mesh
from a4d.geometry.assets.placement import Orientation
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature
from a4d.geometry.transforms import transform_points
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.obj import write_obj
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.pictures.images import read_depth, read_image
from a4d.workspace.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "io"))

SHAPE = creature(resolution=32)
NODDING = SHAPE.vertices + torch.tensor([0.0, 0.2, 0.5, 0.2])[:, None, None] * torch.stack(
    [torch.zeros(len(SHAPE.vertices)), SHAPE.vertices[:, 2], torch.zeros(len(SHAPE.vertices))], dim=1
)


def assert_in_the_picture(rgba: torch.Tensor, camera: Cameras, vertices: torch.Tensor) -> None:
    """Every vertex projects onto the mask or beside its edge, and the mask reaches as far as they do, to a pixel."""
    pixels, _ = camera.project(vertices)
    mask = rgba[..., 3] > 0
    near = torch.nn.functional.max_pool2d(mask[None].float(), 3, 1, 1)[0] > 0
    place = pixels[0].floor().long()
    assert bool(near[place[:, 1], place[:, 0]].all())
    rows, columns = mask.nonzero().unbind(1)
    for seen, projected in ((columns, pixels[0, :, 0]), (rows, pixels[0, :, 1])):
        assert abs(float(seen.min()) - float(projected.min())) < 2
        assert abs(float(seen.max()) + 1 - float(projected.max())) < 2


def write_nodding(path: Path) -> Path:
    """An animal 100 units long that tips over its hind legs; two clips, of which the second is held poses."""
    asset = morphing_asset("animal", primitive_from_mesh(SHAPE), MorphMotion(NODDING * 100 + 30, 0.5))
    held = morphing_asset("animal", primitive_from_mesh(SHAPE), MorphMotion(NODDING * 100 + 30, 0.5, 0.0, "step"))
    clips = (replace(asset.clips[0], name="Rig|Nod"), replace(held.clips[0], name="Rig|Hold"))
    write_asset(path, replace(asset, clips=clips))
    return path


def metadata(workspace: str) -> dict:
    return yaml.safe_load((Path(workspace) / "workspace.yaml").read_text())


def test_a_mesh_is_seen_from_all_sides_with_alpha_depth_and_the_way_back(a4d) -> None:
    tipped = SHAPE.vertices.double() @ Orientation("+z", "-y").world_from_source * 7 + 3
    write_obj(Path("animal.obj"), Mesh(tipped.float(), SHAPE.faces, SHAPE.colours))
    axes, views = ("--up", "z", "--front", "-y"), ("--size", 64, "--views", 6, "--test-views", 3)
    result = a4d("preprocess", "animal.obj", *axes, *views, "--json")
    assert result.code == 0, result.err
    metrics = result.json["metrics"]
    assert (metrics["frames"], metrics["faces"], metrics["axes"]) == (9, len(SHAPE.faces), "+z up, -y front (given)")
    facts = metadata("animal.a4d")["asset"]
    assert (facts["axes"], facts["lighting"], facts["clips"]) == ("given", "unlit", [])
    workspace = Workspace.open(Path("animal.a4d"))
    truth = load_ground_truth(workspace)
    vertices = torch.from_numpy(truth.vertices[0])
    assert float(vertices.norm(dim=1).max()) == pytest.approx(1, abs=1e-5)
    back = transform_points(torch.linalg.inv(world_from_source(workspace)), vertices.double())
    assert (back - tipped).abs().max() < 1e-5 * 7
    frames, capture = load_frames(workspace), read_transforms(Path("animal.a4d/transforms.json"))
    assert frames.splits == ["train"] * 6 + ["test"] * 3
    assert frames.times is None
    assert capture.views[0] == "view_00"
    for index, (rgba, camera) in enumerate(zip(frames.rgba, frames.cameras, strict=True)):
        pixels, depth = camera.project(vertices)
        assert float((pixels - 32).abs().max()) < 32, "all of the subject is in the picture"
        assert_in_the_picture(rgba, camera, vertices)
        place = pixels[0].floor().long()
        held = torch.from_numpy(read_depth(f"animal.a4d/depth/{index:05d}.png", capture.depth_unit))
        seen = held[place[:, 1], place[:, 0]]
        # No vertex lies in front of the surface by more than what it slopes within a pixel.
        assert float((seen - depth[0])[seen > 0].quantile(0.9)) < 0.06
    assert a4d("validate", "animal.a4d").code == 0
    assert "up to date" in a4d("preprocess", "animal.a4d", *axes, *views).out


def test_a_clip_becomes_a_multi_view_video_with_ground_truth(a4d, tmp_path: Path) -> None:
    write_nodding(Path("animal.glb"))
    result = a4d(
        "preprocess", "animal.glb", "--clip", "nod", "--frames", 4, "--views", 2, "--test-views", 1, "--size", 48
    )
    assert result.code == 0, result.err
    workspace = Workspace.open(Path("animal.a4d"))
    frames = load_frames(workspace)
    assert frames.splits == ["train"] * 8 + ["test"] * 4
    assert frames.times.view(3, 4).tolist() == [pytest.approx([0, 1 / 3, 2 / 3, 1])] * 3
    for view in range(3):
        poses = torch.cat([camera.world_from_camera for camera in frames.cameras[4 * view : 4 * view + 4]])
        assert torch.equal(poses, poses[:1].expand(4, 4, 4)), "a camera stays where it is"
    truth, matrix = load_ground_truth(workspace), world_from_source(workspace)
    assert truth.seconds.tolist() == pytest.approx([0, 0.5, 1.0, 1.5])
    expected = transform_points(matrix, (NODDING * 100 + 30).double())
    assert np.abs(truth.vertices - expected.numpy()).max() < 2e-6
    assert float(np.linalg.norm(truth.vertices, axis=-1).max()) == pytest.approx(1, abs=1e-6), "of all moments together"
    for moment in range(4):
        shown = torch.from_numpy(truth.vertices[moment])
        assert_in_the_picture(frames.rgba[4 + moment], frames.cameras[4 + moment], shown)
    assert load_asset(workspace).clips[0].name == "Rig|Nod"
    assert metadata("animal.a4d")["fps"] == pytest.approx(2.0)


def test_all_clips_stand_one_after_the_other_and_are_read_by_name(a4d) -> None:
    write_nodding(Path("animal.glb"))
    run = ("preprocess", "animal.glb", "--clip", "all", "--frames", 3, "--views", 2, "--test-views", 0, "--size", 32)
    assert a4d(*run).code == 0
    workspace = Workspace.open(Path("animal.a4d"))
    assert [entry["clip"] for entry in metadata("animal.a4d")["asset"]["rendered"]] == ["Rig|Nod", "Rig|Hold"]
    assert metadata("animal.a4d")["frame_count"] == 12
    first, second = load_frames(workspace), load_frames(workspace, "Rig|Hold")
    assert first.names == [f"{index:05d}" for index in range(6)]
    assert second.names == [f"{index:05d}" for index in range(6, 12)]
    assert load_ground_truth(workspace, "Rig|Hold").seconds.tolist() == pytest.approx([0, 0.75, 1.5])
    assert a4d("validate", "animal.a4d").code == 0
    result = a4d("preprocess", "animal.a4d", "--clip", "Gallop", "--force")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "Rig|Nod, Rig|Hold" in result.err


def test_light_is_studio_panorama_or_none(a4d) -> None:
    import cv2

    write_obj(Path("grey.obj"), Mesh(SHAPE.vertices, SHAPE.faces))
    write_obj(Path("painted.obj"), SHAPE)
    cv2.imwrite("red.hdr", np.broadcast_to(np.array([0, 0, 2], np.float32), (16, 32, 3)).copy())
    shared = ("--size", 32, "--views", 1, "--test-views", 0, "--up", "y", "--front", "z")

    def colours(workspace: str) -> np.ndarray:
        rgba = read_image(f"{workspace}/images/00000.png")
        return rgba[rgba[..., 3] == 1, :3]

    assert a4d("preprocess", "grey.obj", *shared).code == 0
    assert metadata("grey.a4d")["asset"]["lighting"] == "shaded"
    assert colours("grey.a4d").std(axis=0).min() > 0.03, "without light a grey shape would be a silhouette"
    assert a4d("preprocess", "painted.obj", *shared).code == 0
    assert metadata("painted.a4d")["asset"]["lighting"] == "unlit"
    assert a4d("preprocess", "painted.obj", *shared, "--environment", "red.hdr", "--force").code == 0
    assert colours("painted.a4d")[:, 1:].max() < 0.02
    assert colours("painted.a4d")[:, 0].mean() > 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--up", "y", "--front", "-y"), 2, "same line"),
        (("--environment", "missing.hdr", "--up", "y", "--front", "z"), 4, "missing.hdr"),
        (("--clip", "run", "--up", "y", "--front", "z"), 2, "no clip"),
        (("--views", "0"), 3, "views"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(a4d, arguments: tuple[str, ...], code: int, message: str) -> None:
    write_obj(Path("animal.obj"), SHAPE)
    result = a4d("preprocess", "animal.obj", "--size", 32, *arguments)
    assert result.code == code, result.err
    assert message in result.err.splitlines()[-1]
    assert not Path("animal.a4d").exists()


def test_gaussians_begin_faithful_on_a_mesh_and_become_better(a4d) -> None:
    write_obj(Path("animal.obj"), SHAPE)
    assert a4d("preprocess", "animal.obj", "--size", 64, "--views", 8, "--up", "y", "--front", "z").code == 0
    scores = {}
    for iterations in (0, 25):
        name = f"after{iterations}"
        run = a4d("fit-static", "animal.a4d", "--name", name, "--set", "scene.count=4000", "--iterations", iterations)
        assert run.code == 0, run.err
        scores[iterations] = a4d("evaluate", "animal.a4d", "--scene", name, "--json").json
    assert scores[0]["psnr"] > 19
    assert scores[0]["iou"] > 0.85
    assert scores[25]["psnr"] > scores[0]["psnr"] + 1
    run = a4d("fit-static", "animal.a4d", "--name", "corners", "--set", "scene.place=vertices", "--iterations", 0)
    assert run.code == 0, run.err
    assert a4d("evaluate", "animal.a4d", "--scene", "corners", "--json").json["iou"] > 0.8
    printed = a4d("fit-static", "animal.a4d", "--set", "scene.kind=field", "--print-config")
    assert yaml.safe_load(printed.out)["profile"] == "fit-static-field"


def test_a_still_scene_of_a_clip_is_scored_at_the_moment_it_shows(a4d) -> None:
    write_nodding(Path("animal.glb"))
    views = ("--clip", "nod", "--frames", 3, "--views", 4, "--test-views", 2, "--size", 48)
    assert a4d("preprocess", "animal.glb", *views).code == 0
    assert a4d("fit-static", "animal.a4d", "--iterations", 0).code == 0
    scores = a4d("evaluate", "animal.a4d", "--json").json
    assert [view["name"] for view in scores["views"]] == ["00012", "00015"]
    assert scores["iou"] > 0.7


def test_a_data_set_is_made_continued_and_guarded(a4d) -> None:
    from a4d.io.captures.multi_view_dataset import read_clip, read_entries

    Path("in").mkdir()
    write_nodding(Path("in/animal.glb"))
    (Path("in") / "broken.glb").write_bytes(b"glTF")
    Path("words.yaml").write_text("animal: {'Rig|Nod': an animal nods}\n")
    run = ("make-dataset", "in", "--output", "out", "--views", 2, "--frames", 3, "--fps", 2, "--size", 32, "--images",
           "--depth", "--ground-truth", "--workers", 1, "--captions", "words.yaml", "--elevation", 5, 10)  # fmt: skip
    result = a4d(*run, "--json")
    assert result.code == 0, result.err
    assert (result.json["written"], list(result.json["failures"])) == (2, ["broken"])
    nod, hold = (read_clip(entry) for entry in read_entries(Path("out")))
    assert (nod.caption, hold.caption) == ("an animal nods", "animal hold")
    assert nod.rgba.shape == (2, 3, 32, 32, 4)
    assert 5 <= nod.elevation <= 10
    assert nod.truth.seconds.tolist() == pytest.approx([0, 0.5, 1.0])
    for view in range(2):
        assert_in_the_picture(nod.rgba[view, 2], nod.cameras[view], torch.from_numpy(nod.truth.vertices[2]))
        azimuth = math.degrees(math.atan2(*nod.cameras.positions[view, [0, 2]].tolist()))
        assert (azimuth - nod.azimuth - 180 * view + 180) % 360 - 180 == pytest.approx(0, abs=1e-2)
    film = Path("out/videos/animal/01/view_0.mp4")
    before = film.stat().st_mtime_ns
    (Path("out/videos/animal/00") / "clip.json").unlink()
    again = a4d(*run, "--json").json
    assert (again["written"], again["kept"]) == (1, 1)
    assert film.stat().st_mtime_ns == before
    other = a4d(*run, "--fov", 30)
    assert (other.code, "fov: 40.0 -> 30.0" in other.err) == (2, True)
    assert a4d("make-dataset", "in/broken.glb", "--output", "new", "--workers", 1).code == 3
    assert a4d("make-dataset", "nowhere", "--output", "new").code == 4


@pytest.mark.parametrize(
    ("file", "clip"),
    [
        ("Fox/glTF/Fox.gltf", 1),
        ("RiggedFigure/glTF-Binary/RiggedFigure.glb", 0),
        ("SimpleMorph/glTF/SimpleMorph.gltf", 0),
    ],
)
def test_frames_of_real_clips_show_what_an_independent_reader_poses(a4d, real_data: Path, file: str, clip: int) -> None:
    from gltf_reference import Reference

    path = real_data / "gltf_khronos" / file
    run = ("preprocess", path, "--clip", "all", "--frames", 3, "--views", 1, "--test-views", 0, "--size", 64)
    assert a4d(*run).code == 0
    workspace = Workspace.open(Path(f"{path.stem}.a4d"))
    name = metadata(str(workspace.path))["asset"]["rendered"][clip]["clip"]
    truth, matrix = load_ground_truth(workspace, name), world_from_source(workspace)
    frames, reference = load_frames(workspace, name), Reference(path)
    for moment, seconds in enumerate(truth.seconds.tolist()):
        posed = torch.tensor(reference.vertices(clip, seconds), dtype=torch.float64)
        expected = transform_points(matrix, posed)
        assert (torch.from_numpy(truth.vertices[moment]).double() - expected).abs().max() < 1e-5
        shown = expected[torch.from_numpy(truth.faces).unique()].float()
        assert_in_the_picture(frames.rgba[moment], frames.cameras[moment], shown)
    assert set(json.loads((workspace.path / "transforms.json").read_text())["frames"][0]) >= {"clip", "view", "time"}
