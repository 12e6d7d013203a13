"""People as other programs followed them: the posed body is seen by the workspace's cameras where it truly was."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import tracker_files
from pickled_attack import Attack
from PIL import Image
from synthetic_smpl import PARENTS_X, posed
from tracker_files import FRAMES, HEIGHT, WIDTH, Filmed

from a4d.contents.bodies import load_tracked_body
from a4d.contents.frames import load_frames
from a4d.framing import Crop
from a4d.geometry.deformation.retargeting import body_parts
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.films.video import write_video
from a4d.workspace.workspace import Workspace


@pytest.fixture
def workspace(a4d, tmp_path: Path) -> Path:
    """Pictures of something, as many as the person was filmed for, and the person's model."""
    (tmp_path / "film").mkdir()
    for frame in range(FRAMES):
        picture = Image.new("RGBA", (WIDTH, HEIGHT), (200, 0, 0, 0))
        picture.paste((0, 120, 0, 255), (30, 10, 60, 50))
        picture.save(tmp_path / f"film/{frame:02d}.png")
    assert a4d("preprocess", "film").code == 0
    np.savez(tmp_path / "smpl.npz", **Filmed().arrays)
    return tmp_path / "film.a4d"


def seen(path: Path) -> np.ndarray:
    """(F, V, 2) pixels of the posed vertices of `body.npz` in the cameras of `transforms.json`."""
    body = load_tracked_body(Workspace.open(path))
    cameras = read_transforms(path / "transforms.json").cameras()
    vertices = body.animated.posed().vertices
    return torch.cat([cameras[frame].project(vertices[frame])[0] for frame in range(len(body))]).numpy()


def misses(path: Path, filmed: Filmed, focal: float | None = None) -> float:
    """Pixels by which the farthest vertex is beside its place."""
    expected = np.stack([filmed.pixels(frame, focal) for frame in range(FRAMES)])
    return float(np.abs(seen(path) - expected).max())


def limbs_apart(path: Path, filmed: Filmed) -> float:
    """Mean pixels from the joints of the open body's limbs to those of the truth."""
    body = load_tracked_body(Workspace.open(path))
    cameras = read_transforms(path / "transforms.json").cameras()
    joints, own = body.animated.posed().joints, body.animated.body.names
    names = {"wrist.L": 20, "wrist.R": 21, "foot.L": 7, "foot.R": 8, "lowerarm01.L": 18, "lowerleg01.R": 5}
    apart = []
    for frame in range(FRAMES):
        pixels = cameras[frame].project(joints[frame])[0][0].numpy()[[own.index(name) for name in names]]
        apart.append(np.linalg.norm(pixels - filmed.pixels(frame)[list(names.values())], axis=1))
    return float(np.mean(apart))


LAYOUTS = {
    "instant_avatar": lambda folder, filmed: tracker_files.instant_avatar(folder / "tracks", filmed),
    "thetas": lambda folder, filmed: tracker_files.instant_avatar(folder / "tracks", filmed, thetas=True),
    "gaussian_avatar": lambda folder, filmed: tracker_files.gaussian_avatar(folder / "tracks", filmed),
    "phalp": lambda folder, filmed: tracker_files.phalp(folder / "tracks.pkl", filmed),
    "wham": lambda folder, filmed: tracker_files.wham(folder / "wham_output.pkl", filmed),
    "gvhmr": lambda folder, filmed: tracker_files.gvhmr(folder / "hmr4d_results.pt", filmed),
    "tram": lambda folder, filmed: tracker_files.tram(folder / "tracks", filmed),
}
FOCALS = {"phalp": 5000 / 256 * WIDTH, "wham": float(np.hypot(WIDTH, HEIGHT))}
"""Of layouts that do not store one."""

MANNEQUIN = "rigged_kaykit/sketchpunk/models/mannequin_v2/manny_med_mod.gltf"

STATIC = {"instant_avatar", "thetas"}


def filmed_for(layout: str) -> Filmed:
    """What a layout can tell: GVHMR's has 22 joints, and its betas, of SMPL-X, mean nothing to SMPL."""
    filmed = Filmed(is_moving=layout not in STATIC)
    if layout == "gvhmr":
        filmed.pose[:, 22:] = 0.0
        filmed.betas[:] = 0.0
    return filmed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tracked_body_is_seen_where_it_was(a4d, workspace, layout) -> None:
    filmed = filmed_for(layout)
    tracks = LAYOUTS[layout](workspace.parent, filmed)
    who = ["--person", "1"] if layout == "phalp" else []
    result = a4d("estimate-pose", workspace, "--method", "tracker", "--tracks", tracks, "--body", "smpl.npz", *who)
    assert result.code == 0, result.err
    assert misses(workspace, filmed, FOCALS.get(layout)) < 0.02
    body = load_tracked_body(Workspace.open(workspace))
    assert bool(body.is_tracked.all())
    vertices = body.animated.posed().vertices
    assert float(vertices[..., 1].min()) == pytest.approx(0.0, abs=0.02)
    # The truth's own world has +Y up: gravity where it is told, else the axis of the body.
    cameras = read_transforms(workspace / "transforms.json").world_from_camera
    up = cameras[0, :3, :3] @ filmed.camera_from_world[0, :3, :3] @ np.array([0.0, 1.0, 0.0])
    assert np.degrees(np.arccos(min(up[1], 1.0))) < (0.1 if layout in ("gvhmr", "wham") else 15.0)


def test_betas_of_smpl_x_shape_its_body(a4d, workspace) -> None:
    arrays = tracker_files.person_model(PARENTS_X)
    np.savez(workspace.parent / "smplx.npz", **arrays)
    filmed = Filmed(arrays=arrays)
    filmed.pose = np.concatenate([filmed.pose[:, :22], np.zeros((FRAMES, 33, 3))], axis=1)
    tracks = LAYOUTS["gvhmr"](workspace.parent, filmed)
    assert a4d("estimate-pose", workspace, "--tracks", tracks, "--body", "smplx.npz").code == 0
    assert misses(workspace, filmed) < 0.02
    assert load_tracked_body(Workspace.open(workspace)).model == "smplx"
    assert a4d("validate", workspace).code == 0


@pytest.mark.parametrize(
    ("options", "frames"),
    [(("--start", 1), [1, 2, 3, 4]), (("--fps", 12.5), [0, 2, 4]), (("--fps", 8), [1, 4])],
    ids=["start", "every-second", "every-third"],
)
def test_a_crop_of_a_film_has_its_own_lens_and_frames(a4d, tmp_path: Path, options, frames) -> None:
    """Frames that were left out are not counted, and the camera is that of the square around the subject."""
    pictures = np.ones((FRAMES, HEIGHT, WIDTH, 3), np.float32)
    pictures[:, 12:52, 30:60] = (0.1, 0.5, 0.1)
    write_video(tmp_path / "film.mp4", pictures, 25.0)
    result = a4d("preprocess", "film.mp4", "--matting", "uniform", "--size", 128, *options)
    assert result.code == 0, result.err
    filmed = Filmed()
    np.savez(tmp_path / "smpl.npz", **filmed.arrays)
    tracks = tracker_files.gvhmr(tmp_path / "hmr4d_results.pt", filmed_for("gvhmr"))
    assert a4d("estimate-pose", "film.a4d", "--tracks", tracks, "--body", "smpl.npz").code == 0
    crop = Crop.model_validate(Workspace.open(tmp_path / "film.a4d").metadata.notes["crop"])
    assert crop.scale > 1.5
    expected = [crop.frame_from_source(filmed_for("gvhmr").pixels(frame)) for frame in frames]
    found = seen(tmp_path / "film.a4d")
    assert found.shape[0] == len(expected)
    assert np.abs(found - np.stack(expected)).max() < 0.05
    body = load_tracked_body(Workspace.open(tmp_path / "film.a4d"))
    assert body.animated.seconds_per_frame == pytest.approx(1 / (25.0 if options[0] == "--start" else options[1]))


def test_without_a_model_the_open_body_takes_the_pose(a4d, workspace) -> None:
    filmed = Filmed()
    filmed.betas[:] = 0.0
    tracks = LAYOUTS["gaussian_avatar"](workspace.parent, filmed)
    result = a4d("estimate-pose", workspace, "--tracks", tracks)
    assert result.code == 0, result.err
    body = load_tracked_body(Workspace.open(workspace))
    assert body.model == "open"
    assert limbs_apart(workspace, filmed) < 0.05 * np.ptp(filmed.pixels(0)[:, 1])


def test_a_rigged_character_takes_the_pose(a4d, workspace, real_data) -> None:
    filmed = Filmed()
    tracks = LAYOUTS["gaussian_avatar"](workspace.parent, filmed)
    result = a4d("estimate-pose", workspace, "--tracks", tracks, "--body", real_data / MANNEQUIN, "--smpl", "smpl.npz")
    assert result.code == 0, result.err
    body = load_tracked_body(Workspace.open(workspace))
    assert body.model == "rig"
    # Its limbs, of other lengths, point where the person's do.
    joints, parts = body.animated.posed().joints.numpy(), body_parts(body.animated.skeleton)
    cameras = read_transforms(workspace / "transforms.json").world_from_camera
    for frame in range(FRAMES):
        vertices = posed(filmed.arrays, filmed.pose[frame], filmed.betas, filmed.translation[frame])
        places = filmed.arrays["J_regressor"] @ vertices @ filmed.camera_from_world[frame, :3, :3].T
        for begin, end, own in (("upperarm", "forearm", (16, 18)), ("thigh", "shin", (1, 4))):
            limb = joints[frame, parts.index(("left", end))] - joints[frame, parts.index(("left", begin))]
            found, truth = cameras[frame, :3, :3].T @ limb, places[own[1]] - places[own[0]]
            assert found @ truth / np.linalg.norm(found) / np.linalg.norm(truth) > 0.999
    assert a4d("estimate-pose", workspace, "--tracks", tracks, "--body", "absent.glb", "--force").code == 4


def test_a_model_tells_another_body_how_long_its_limbs_are(a4d, workspace) -> None:
    """Of a person an eighth smaller than the mean shape."""
    filmed = Filmed()
    filmed.arrays["v_template"] *= 0.88
    filmed.arrays["shapedirs"] *= 0.0
    np.savez(workspace.parent / "small.npz", **filmed.arrays)
    tracks = LAYOUTS["gaussian_avatar"](workspace.parent, filmed)
    apart = []
    for options in ((), ("--smpl", "small.npz")):
        assert a4d("estimate-pose", workspace, "--tracks", tracks, *options, "--force").code == 0
        apart.append(limbs_apart(workspace, filmed))
    assert apart[1] < 0.6 * apart[0]
    assert load_tracked_body(Workspace.open(workspace)).model == "open"


def test_keypoints_of_another_body_pose_the_open_one(a4d, workspace) -> None:
    """SAM 3D Body, of a person a tenth larger than the mean shape."""
    filmed = Filmed()
    filmed.betas[:] = 0.0
    filmed.arrays["v_template"] *= 1.1
    tracks = tracker_files.sam_3d_body(workspace.parent / "bodies", filmed)
    result = a4d("estimate-pose", workspace, "--tracks", tracks)
    assert result.code == 0, result.err
    assert "00 (5 frames), 01 (2 frames)" in result.err + result.out
    assert limbs_apart(workspace, filmed) < 0.05 * np.ptp(filmed.pixels(0)[:, 1])


def test_moments_without_the_person_are_filled_and_marked(a4d, workspace) -> None:
    filmed = Filmed()
    tracks = LAYOUTS["phalp"](workspace.parent, filmed)
    result = a4d("estimate-pose", workspace, "--tracks", tracks, "--person", "3", "--test-every", 4)
    assert result.code == 0, result.err
    body = load_tracked_body(Workspace.open(workspace))
    assert body.is_tracked.tolist() == [True, True, False, False, True]
    # No fit learns from a frame of which it is not known where the body is, and none is judged by it.
    frames = load_frames(Workspace.open(workspace))
    assert [frames.select(split) for split in ("train", "test", "all")] == [[0, 1, 4], [], [0, 1, 4]]
    path = body.animated.translation
    torch.testing.assert_close(path[2], torch.lerp(path[1], path[4], 1 / 3), atol=1e-4, rtol=0)


def test_tracks_of_another_film_are_told(a4d, workspace) -> None:
    """The subject is where the body's joints are, or elsewhere in the picture."""
    filmed = Filmed()
    tracks = LAYOUTS["gaussian_avatar"](workspace.parent, filmed)
    for frame in range(FRAMES):
        low, high = filmed.pixels(frame).min(0) - 2, filmed.pixels(frame).max(0) + 2
        picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        picture[max(int(low[1]), 0) : int(high[1]), max(int(low[0]), 0) : int(high[0])] = 255
        Image.fromarray(picture).save(workspace / f"images/{frame:05d}.png")
    result = a4d("estimate-pose", workspace, "--tracks", tracks, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["joints_on_subject"] > 0.85
    assert "may be of another film" not in result.err
    for image in sorted((workspace / "images").iterdir()):
        picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        picture[:8, :8] = 255
        Image.fromarray(picture).save(image)
    result = a4d("estimate-pose", workspace, "--tracks", tracks, "--force")
    assert "may be of another film" in result.err + result.out


def test_of_several_people_the_longest_seen_is_taken_and_the_others_named(a4d, workspace) -> None:
    tracks = LAYOUTS["wham"](workspace.parent, Filmed())
    result = a4d("estimate-pose", workspace, "--tracks", tracks)
    assert result.code == 0, result.err
    assert "4 (5 frames), 0 (2 frames)" in result.err + result.out
    wrong = a4d("estimate-pose", workspace, "--tracks", tracks, "--person", "9", "--force")
    assert wrong.code == 2
    assert "no person '9'" in wrong.err


@pytest.mark.parametrize(
    ("options", "helps"),
    [
        (("--body", "smpl.npz"), "--matting person"),
        (("--gender", "male"), "--tracks"),
        (("--person", "2"), "preprocess FILM --matting person --person 2"),
        (("--method", "body", "--tracks", "tracks"), "Leave one of them out"),
    ],
)
def test_what_nothing_would_hear_is_refused(a4d, workspace, options, helps) -> None:
    method = () if "--method" in options else ("--method", "canonical")
    refused = a4d("estimate-pose", workspace, *options, *method)
    assert (refused.code, len(refused.err.splitlines()), helps in refused.err) == (2, 1, True), refused.err
    assert not (workspace / "transforms.json").exists()


def test_motion_without_a_film_says_what_it_is_for(a4d, workspace) -> None:
    tracks = tracker_files.amass(workspace.parent / "walk.npz", Filmed())
    result = a4d("estimate-pose", workspace, "--tracks", tracks)
    assert (result.code, "--motion" in result.err) == (2, True)


@pytest.mark.parametrize("name", ["track.pkl", "track.npy", "track.pt"])
def test_a_file_that_would_run_something_is_refused_and_runs_nothing(a4d, workspace, name) -> None:
    sentinel, path = workspace.parent / "sentinel", workspace.parent / name
    attack = {"smpl": Attack(os.system, f"touch {sentinel}")}
    if name.endswith(".npy"):
        np.save(path, attack, allow_pickle=True)
    elif name.endswith(".pt"):
        torch.save(attack, path)
    else:
        path.write_bytes(zlib.compress(pickle.dumps(attack)))
    result = a4d("estimate-pose", workspace, "--tracks", path)
    assert (result.code, len(result.err.splitlines())) == (3, 1), result.err
    assert not sentinel.exists()


def test_other_files_are_refused(a4d, workspace) -> None:
    (workspace.parent / "else.pkl").write_bytes(b"\x80\x02}q\x00.")
    result = a4d("estimate-pose", workspace, "--tracks", workspace.parent / "else.pkl")
    assert (result.code, len(result.err.splitlines())) == (3, 1)
    assert a4d("estimate-pose", workspace, "--tracks", "absent.pkl").code == 4
    assert a4d("estimate-pose", workspace, "--method", "tracker").code == 2
