"""Films of one subject from several sides: read with their cameras, refused as GIFs, and a motion fitted to them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bending import bending_bar
from written_clips import write_dataset

from a4d.contents.frames import load_frames
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import concatenate, orbit
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.obj import write_obj
from a4d.io.captures.multi_view_dataset import MultiViewClip
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.films.video import write_video
from a4d.io.pictures.images import write_image
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

VIEWS, FRAMES, SIZE = 4, 4, 48


@pytest.fixture(scope="module")
def bar():
    return bending_bar(FRAMES, VIEWS, SIZE)


def pictures(bar):
    """(V, T, H, W, 4) of the bar."""
    return torch.stack(bar.frames.rgba).unflatten(0, (VIEWS, FRAMES))


def write_films(folder: Path, rgba: torch.Tensor, suffix: str = ".mp4") -> Path:
    for view, frames in enumerate(rgba):
        over_grey = frames[..., :3] * frames[..., 3:] + 0.5 * (1 - frames[..., 3:])
        write_video(folder / f"view_{view}{suffix}", iter(over_grey.numpy()), 8.0)
    return folder


def write_folders(folder: Path, rgba: torch.Tensor) -> Path:
    for view, frames in enumerate(rgba):
        for index, frame in enumerate(frames):
            (folder / f"view_{view}").mkdir(parents=True, exist_ok=True)
            write_image(folder / f"view_{view}" / f"{index:05d}.png", frame.numpy())
    return folder


def mesh_of(bar, path: Path) -> Path:
    """The bar at rest, in the world that the films show."""
    write_asset(path, static_asset("bar", primitive_from_mesh(bar.meshes[0])))
    return path


def test_films_become_frames_with_alpha_view_by_view(a4d, tmp_path: Path, bar) -> None:
    write_films(tmp_path / "clip", pictures(bar))
    done = a4d("preprocess", "clip", "--radius", 2.5, "--fov", 35, "--azimuth", 30, "--set", "elevations=[10]")
    assert done.code == 0, done.err
    capture = read_transforms(tmp_path / "clip.a4d" / "transforms.json")
    assert len(capture) == VIEWS * FRAMES
    assert capture.views[::FRAMES] == tuple(f"view_{index:02d}" for index in range(VIEWS))
    np.testing.assert_allclose(capture.times, np.tile(np.linspace(0, 1, FRAMES), VIEWS))
    expected = orbit(torch.tensor([30.0, 120, 210, 300]), torch.full((4,), 10.0), 2.5, 35.0, SIZE, SIZE)
    np.testing.assert_allclose(capture.world_from_camera[::FRAMES], expected.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(capture.intrinsics[::FRAMES], expected.intrinsics, rtol=1e-6)
    frames = load_frames(Workspace.open(tmp_path / "clip.a4d"))
    for mine, theirs in zip(frames.rgba, pictures(bar).flatten(0, 1), strict=True):
        overlap = (mine[..., 3] > 0.5) & (theirs[..., 3] > 0.5)
        either = (mine[..., 3] > 0.5) | (theirs[..., 3] > 0.5)
        assert float(overlap.sum() / either.sum()) > 0.85
    assert a4d("validate", "clip.a4d").code == 0


def test_views_are_chosen_evenly_and_others_held_out(a4d, tmp_path: Path, bar) -> None:
    write_folders(tmp_path / "clip", pictures(bar))
    done = a4d("preprocess", "clip", "--views", 2, "--test-views", 1, "--end", 3)
    assert done.code == 0, done.err
    capture = read_transforms(tmp_path / "clip.a4d" / "transforms.json")
    assert capture.splits == ("train",) * 6 + ("test",) * 3
    azimuths = np.rad2deg(np.arctan2(capture.world_from_camera[::3, 0, 3], capture.world_from_camera[::3, 2, 3]))
    np.testing.assert_allclose(azimuths % 360, [0, 180, 270], atol=1e-3)
    refused = a4d("preprocess", "clip", "--views", 3, "--force")
    assert refused.code == 2
    assert "evenly" in refused.err


def test_cameras_may_stand_in_a_file(a4d, tmp_path: Path, bar) -> None:
    """One entry per view, of another size, with +Z up as nerfstudio has it."""
    write_folders(tmp_path / "clip", pictures(bar))
    y_up_from_z_up = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    wanted = torch.cat([bar.frames.cameras[view * FRAMES].world_from_camera for view in range(VIEWS)]).double().numpy()
    stored = np.linalg.inv(y_up_from_z_up) @ wanted @ np.diag([1.0, -1, -1, 1])
    lens = bar.frames.cameras[0].intrinsics[0].tolist()
    values = dict(zip(("fl_x", "fl_y", "cx", "cy"), [2 * value for value in lens], strict=True))
    content = {
        "w": 2 * SIZE,
        "h": 2 * SIZE,
        **values,
        "frames": [{"transform_matrix": pose.tolist()} for pose in stored],
    }
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    assert a4d("preprocess", "clip", "--cameras", "cameras.json").code == 0
    capture = read_transforms(tmp_path / "clip.a4d" / "transforms.json")
    np.testing.assert_allclose(capture.world_from_camera[::FRAMES], wanted, atol=1e-6)
    np.testing.assert_allclose(capture.intrinsics[0], lens, rtol=1e-5)
    (tmp_path / "cameras.json").write_text(json.dumps({**content, "frames": content["frames"][:3]}))
    refused = a4d("preprocess", "clip", "--cameras", "cameras.json", "--force")
    assert refused.code == 3
    assert "3 entries are not 4 views" in refused.err


def mesh_with_cameras(bar, folder: Path, up: str | None) -> tuple[Path, dict]:
    """The bar larger, elsewhere and with +Z up, and the films' cameras in its own coordinates."""
    from a4d.geometry.assets.file_frames import frame_of_files

    own_from_world = frame_of_files("z", 7.0)
    own_from_world[:3, 3] = torch.tensor([5.0, -20.0, 3.0])
    mesh = bar.meshes[0]
    moved = mesh.vertices.double() @ own_from_world[:3, :3].T + own_from_world[:3, 3]
    write_obj(folder / "bar.obj", mesh.with_vertices(moved.float()))
    cameras = concatenate([bar.frames.cameras[view * FRAMES] for view in range(VIEWS)]).moved(own_from_world)
    poses = cameras.world_from_camera.double().numpy() @ np.diag([1.0, -1, -1, 1])
    if up == "+y":
        poses = np.linalg.inv(frame_of_files("z").numpy()) @ poses
    lens = dict(zip(("fl_x", "fl_y", "cx", "cy"), cameras.intrinsics[0].tolist(), strict=True))
    content = {"w": SIZE, "h": SIZE, **lens, "frames": [{"transform_matrix": pose.tolist()} for pose in poses]}
    if up is not None:
        content["up_axis"] = up
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder / "bar.obj", content


@pytest.mark.parametrize("up", [None, "+z", "+y"])
def test_cameras_in_the_mesh_s_coordinates_follow_it_into_the_ball(a4d, tmp_path: Path, bar, up: str | None) -> None:
    write_folders(tmp_path / "clip", pictures(bar))
    mesh, _ = mesh_with_cameras(bar, tmp_path, up)
    growth = 1 / float((bar.meshes[0].vertices - middle(bar)).norm(dim=-1).max())
    options = ("--videos", "clip", "--cameras", "cameras.json", "--up", "z", "--front", "-y")
    for frame in ("mesh", None):
        asked = () if frame is None else ("--cameras-frame", frame)
        done = a4d("preprocess", mesh, *options, *asked, "--force", "--json")
        assert done.code == 0, done.err
        assert done.json["metrics"]["silhouette_iou"] > 0.8  # of a bar that is 8 pixels wide
        assert done.json["warnings"] == []
        capture = read_transforms(tmp_path / "bar.a4d" / "transforms.json")
        expected = torch.cat([bar.frames.cameras[view * FRAMES].positions for view in range(VIEWS)]) - middle(bar)
        np.testing.assert_allclose(capture.world_from_camera[::FRAMES, :3, 3], growth * expected, atol=1e-3)
        assert ("the mesh's own axes are assumed, +z up" in done.err) == (up is None)
        assert ("taken to be in the mesh's own coordinates" in done.err) == (frame is None)
    wrong = a4d("preprocess", mesh, *options, "--cameras-frame", "world", "--force", "--json")
    assert wrong.json["metrics"]["silhouette_iou"] < 0.3
    (warning,) = wrong.json["warnings"]
    assert "the outlines of bar.obj and of the films overlap by" in warning
    assert "least in clip/view_" in warning
    assert ("+z is assumed" in wrong.err) == (up is None)


def middle(bar) -> torch.Tensor:
    """(3,) of the box around the bar at rest."""
    vertices = bar.meshes[0].vertices
    return (vertices.amin(0) + vertices.amax(0)) / 2


def test_a_frame_of_cameras_needs_cameras_and_a_mesh(a4d, tmp_path: Path, bar) -> None:
    write_folders(tmp_path / "clip", pictures(bar))
    refused = a4d("preprocess", "clip", "--cameras-frame", "mesh")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "--cameras-frame" in refused.err


def azimuths(workspace: Path) -> list[float]:
    capture = read_transforms(workspace / "transforms.json")
    angles = np.rad2deg(np.arctan2(capture.world_from_camera[:, 0, 3], capture.world_from_camera[:, 2, 3])) % 360
    return list(dict.fromkeys(angles.round(2).tolist()))


def test_a_missing_film_of_a_ring_leaves_the_others_where_they_are(a4d, tmp_path: Path, bar) -> None:
    write_films(tmp_path / "films", pictures(bar))
    write_folders(tmp_path / "folders", pictures(bar))
    (tmp_path / "films/view_2.mp4").unlink()
    (tmp_path / "folders/view_1").rename(tmp_path / "view_1")
    for name, there, missing in (("films", [0, 90, 270], "view_2"), ("folders", [0, 180, 270], "view_1")):
        done = a4d("preprocess", name, "--json")
        assert done.code == 0, done.err
        assert azimuths(tmp_path / f"{name}.a4d") == there
        assert done.json["metrics"]["views"] == 3
        (warning,) = done.json["warnings"]
        assert warning == f"{name} has 3 views; missing of a ring of 4: {missing}"
    refused = a4d("preprocess", "films", "--views", 2, "--force")
    assert refused.code == 2
    assert "without view_2" in refused.err
    done = a4d("preprocess", "folders", "--views", 2, "--force", "--json")
    assert done.code == 0, done.err
    assert azimuths(tmp_path / "folders.a4d") == [0, 180]


def test_numbers_of_views_that_are_angles_say_an_order_alone(a4d, tmp_path: Path, bar) -> None:
    for view, frames in enumerate(pictures(bar)):
        (tmp_path / "clip" / f"view_{90 * view}").mkdir(parents=True)
        for index, frame in enumerate(frames):
            write_image(tmp_path / "clip" / f"view_{90 * view}" / f"{index}.png", frame.numpy())
    done = a4d("preprocess", "clip", "--json")
    assert (done.code, done.json["warnings"]) == (0, [])
    assert azimuths(tmp_path / "clip.a4d") == [0, 90, 180, 270]
    shutil.move(tmp_path / "clip", tmp_path / "twice")
    (tmp_path / "twice/view_90").rename(tmp_path / "twice/view_00")
    refused = a4d("preprocess", "twice")
    assert refused.code == 3
    assert "are one view" in refused.err


def test_cameras_of_a_whole_ring_serve_the_films_that_are_there(a4d, tmp_path: Path, bar) -> None:
    write_folders(tmp_path / "clip", pictures(bar))
    (tmp_path / "clip/view_1").rename(tmp_path / "view_1")
    cameras = orbit(torch.tensor([5.0, 95, 185, 275]), torch.full((4,), 20.0), 2.0, 40.0, SIZE, SIZE)
    poses = cameras.world_from_camera.double().numpy() @ np.diag([1.0, -1, -1, 1])
    frames = [{"transform_matrix": pose.tolist()} for pose in poses]
    (tmp_path / "cameras.json").write_text(json.dumps({"up_axis": "+y", "camera_angle_x": 0.7, "frames": frames}))
    assert a4d("preprocess", "clip", "--cameras", "cameras.json").code == 0
    assert azimuths(tmp_path / "clip.a4d") == [5, 185, 275]


def test_a_data_set_s_clip_brings_its_cameras(a4d, tmp_path: Path, bar) -> None:
    cameras = orbit(torch.tensor([5.0, 95, 185, 275]), torch.full((4,), 20.0), 2.0, 40.0, SIZE, SIZE)
    clip = MultiViewClip("bar", 0, pictures(bar), cameras, "a bar bends", 20.0, 5.0)
    write_dataset(tmp_path / "set", [clip])
    mesh_of(bar, tmp_path / "bar.glb")
    for given in ("set", "set/videos/bar/00"):
        done = a4d("preprocess", "bar.glb", "--videos", given, "--force")
        assert done.code == 0, done.err
        capture = read_transforms(tmp_path / "bar.a4d" / "transforms.json")
        np.testing.assert_allclose(capture.world_from_camera[::FRAMES], cameras.world_from_camera, atol=1e-5)
    # With pictures beside the films, their alpha is taken.
    write_dataset(tmp_path / "exact", [clip], with_images=True)
    assert a4d("preprocess", "bar.glb", "--videos", "exact", "--force").code == 0
    frames = load_frames(Workspace.open(tmp_path / "bar.a4d"))
    torch.testing.assert_close(
        torch.stack(list(frames.rgba))[..., 3], torch.stack(bar.frames.rgba)[..., 3], atol=3e-3, rtol=0
    )
    # The original has its angles in the index alone.
    for name in ("transforms.json", "clip.json"):
        (tmp_path / "set" / "videos" / "bar" / "00" / name).unlink()
    assert a4d("preprocess", "bar.glb", "--videos", "set/videos/bar/00", "--radius", 2, "--force").code == 0
    capture = read_transforms(tmp_path / "bar.a4d" / "transforms.json")
    np.testing.assert_allclose(capture.world_from_camera[::FRAMES], cameras.world_from_camera, atol=1e-5)


def test_gifs_and_films_that_do_not_belong_together_get_one_line(a4d, tmp_path: Path, bar) -> None:
    rgba = pictures(bar)
    write_films(tmp_path / "gifs", rgba[:2], ".gif")
    write_folders(tmp_path / "uneven", rgba)
    (tmp_path / "uneven" / "view_2" / "00003.png").unlink()
    write_folders(tmp_path / "single", rgba[:1])
    for name, message in (("gifs", "256 colours"), ("uneven", "differ in length"), ("single", "no views of a clip")):
        refused = a4d("preprocess", name)
        assert refused.code == 3, refused.err
        assert message in refused.err
        assert len(refused.err.strip().splitlines()) <= 2
        assert not (tmp_path / f"{name}.a4d").exists()
    mesh_of(bar, tmp_path / "bar.glb")
    assert a4d("preprocess", "bar.glb", "--videos", "uneven", "--clip", "x").code == 2
    assert a4d("preprocess", "uneven", "--videos", "uneven").code == 2


BLUR = "blur={from: 2, to: 0.3, delay: 50, steps: 30}"
MOTION = [
    "--set", "scene.motion.nodes=20", "--set", f"scene.motion.keys={FRAMES}", "--set", "scene.motion.momentum=0.7",
    "--set", "views.clip.unlocked={from: 1, to: 3.01, steps: 50}", "--set", "scene.count=400", "--iterations", 90,
    "--set", f"objectives.0.{BLUR}", "--set", f"objectives.1.{BLUR}", "--set", "objectives.2.weight=0.2",
    "--set", "optimiser.rates={shifts: 1.0e-2, turns: 3.0e-2}", "--set", "optimiser.betas=[0.9, 0.999]",
]  # fmt: skip


def test_a_mesh_moves_as_films_show_it(a4d, tmp_path: Path, bar) -> None:
    """The mesh is brought into the unit ball, and so the cameras are farther away by as much as it grows."""
    write_films(tmp_path / "clip", pictures(bar))
    mesh_of(bar, tmp_path / "bar.glb")
    growth = 1 / float(bar.trajectories[0].norm(dim=-1).max())
    misplaced = a4d("preprocess", "bar.glb", "--videos", "clip")
    assert misplaced.code == 0
    assert "the outlines of bar.glb and of the films overlap by" in misplaced.err
    assert "least in clip/view_" in misplaced.err
    placed = a4d("preprocess", "bar.glb", "--videos", "clip", "--radius", 3 * growth, "--force", "--json")
    assert placed.code == 0, placed.err
    assert placed.json["metrics"]["silhouette_iou"] > 0.8  # of a bar that is 8 pixels wide
    assert placed.json["warnings"] == []
    assert a4d("validate", "bar.a4d").code == 0
    done = a4d("fit-dynamic", "bar.a4d", "--accept", *MOTION)
    assert done.code == 0, done.err
    with torch.no_grad():
        scene = load_scene(tmp_path / "bar.a4d" / "scenes" / "fit-dynamic")
        found = scene.moved_points("vertices", torch.linspace(0, 1, FRAMES).tolist())
    truth = bar.trajectories * growth
    error = (found - truth).norm(dim=-1).mean() / (truth - truth[0]).norm(dim=-1).mean()
    assert float(error) < 0.5


def test_gaussians_move_as_films_show_them(a4d, tmp_path: Path, bar) -> None:
    """Without a mesh: the first moment gives the shape, all others the motion."""
    write_films(tmp_path / "clip", pictures(bar))
    assert a4d("preprocess", "clip").code == 0
    still = a4d("fit-static", "clip.a4d", "--iterations", 40, "--set", "scene.count=400", "--json")
    assert still.code == 0, still.err
    done = a4d("fit-dynamic", "clip.a4d", "--from", "fit-static", *MOTION, "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["psnr"] > 20
    exported = a4d("export", "clip.a4d", "--formats", "glb", "--resolution", 32, "--json")
    assert exported.code == 0, exported.err
    assert "first moment alone" not in exported.err
    (read,) = (read_gltf(path) for path in Path("clip.a4d/exports").glob("*.glb"))
    ends = [deform(read, read.clips[0], moment).vertices for moment in (0.0, read.clips[0].duration)]
    moved = (ends[1] - ends[0]).norm(dim=-1)
    lengths = (bar.trajectories[-1] - bar.trajectories[0]).norm(dim=-1)
    assert float(moved.amax()) == pytest.approx(float(lengths.amax()), rel=0.5)
