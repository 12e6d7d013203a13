"""Data sets of people: frames, masks, splits, and a body that the cameras see where it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import people_folders
import pytest
from people_folders import COLOURS, mask
from synthetic_smpl import posed
from tracker_files import FRAMES, Filmed

from a4d.contents.bodies import load_tracked_body
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.pictures.images import read_image
from a4d.workspace.workspace import Workspace

ALL = list(range(FRAMES))
LAYOUTS = {
    "instant_avatar": (people_folders.instant_avatar, ALL, ["train"] * 5),
    "gaussian_avatar": (people_folders.gaussian_avatar, ALL, ["train"] * 3 + ["test"] * 2),
    "neuman": (people_folders.neuman, [0, 1, 2, 4], ["train", "test", "train", "train"]),
    "hugs": (lambda folder, filmed: people_folders.neuman(folder, filmed, refit=True), [0, 1, 2, 4], None),
    "people_snapshot": (people_folders.people_snapshot, ALL, ["train"] * 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sequence_is_taken_in_whole(a4d, tmp_path: Path, layout: str) -> None:
    if layout == "people_snapshot":
        pytest.importorskip("h5py")
    write, frames, splits = LAYOUTS[layout]
    filmed = Filmed(is_moving=layout != "instant_avatar")
    filmed.betas *= 0.2
    write(tmp_path / "person", filmed)
    result = a4d("preprocess", "person")
    assert result.code == 0, result.err
    workspace = tmp_path / "person.a4d"
    for place, frame in enumerate(frames):
        picture = read_image(workspace / f"images/{place:05d}.png")
        assert np.array_equal(picture[..., 3] > 0.5, mask(frame))
        colour = picture[mask(frame)][:, :3].mean(0) * 255
        assert np.abs(colour - COLOURS[frame]).max() < 6
    capture = read_transforms(workspace / "transforms.json")
    assert list(capture.splits or ()) == (splits or list(capture.splits))
    assert json.loads((workspace / "transforms.json").read_text())["frames"][0]["time"] == 0.0
    np.savez(tmp_path / "smpl.npz", **filmed.arrays)
    result = a4d("estimate-pose", workspace, "--body", "smpl.npz")
    assert result.code == 0, result.err
    body = load_tracked_body(Workspace.open(workspace))
    assert len(body) == len(frames)
    cameras = capture.cameras()
    vertices = body.animated.posed().vertices
    for place, frame in enumerate(frames):
        pixels = cameras[place].project(vertices[place])[0][0].numpy()
        assert np.abs(pixels - filmed.pixels(frame)).max() < 0.02
    # In metres whatever the unit of the source, and with the feet at the ground.
    truth = posed(filmed.arrays, filmed.pose[0], filmed.betas, filmed.translation[0])
    assert float((vertices[0] - vertices[0].mean(0)).norm()) == pytest.approx(
        np.linalg.norm(truth - truth.mean(0)), rel=1e-4
    )
    assert float(vertices[..., 1].min()) == pytest.approx(0.0, abs=0.2)
    again = a4d("estimate-pose", workspace, "--body", "smpl.npz")
    assert "up to date" in again.out


def test_the_open_body_takes_the_poses_of_a_sequence(a4d, tmp_path: Path) -> None:
    people_folders.instant_avatar(tmp_path / "person", Filmed(is_moving=False))
    assert a4d("estimate-pose", "person").code == 0
    body = load_tracked_body(Workspace.open(tmp_path / "person.a4d"))
    assert (body.model, len(body)) == ("open", FRAMES)
    assert a4d("validate", "person.a4d").code == 0


def test_cameras_that_came_with_a_sequence_do_not_stand_for_its_body(a4d, tmp_path: Path) -> None:
    people_folders.instant_avatar(tmp_path / "person", Filmed(is_moving=False))
    assert a4d("preprocess", "person").code == 0
    assert "run estimate-pose first" in a4d("fit-static", "person", "--dry-run", "--json").json["reason"]
    assert a4d("estimate-pose", "person", "--name", "mine").code == 0
    assert "first" not in a4d("fit-static", "person", "--dry-run", "--json").json["reason"]


def test_subjects_of_people_snapshot_have_the_splits_of_the_papers(tmp_path: Path) -> None:
    from a4d.io.people.splits import named_splits, snapshot_splits

    chosen = snapshot_splits(Path("male-3-casual"), 676)
    assert [split for _, split in chosen].count("train") == 114
    assert [split for _, split in chosen].count("test") == 55
    assert chosen[1] == (4, "train")
    assert chosen[-1] == (672, "test")
    by_rule = named_splits(tmp_path, [f"{frame}.png" for frame in range(50)])
    assert [frame for frame, split in by_rule if split == "test"] == [2, 7, 12, 17, 22]
    assert len(by_rule) == 45


def test_a_bent_lens_is_straightened_with_its_masks(a4d, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    people_folders.people_snapshot(tmp_path / "person", Filmed(), lens=(-0.3, 0.1, 0.0, 0.0, 0.0))
    assert a4d("preprocess", "person").code == 0
    alpha = read_image(tmp_path / "person.a4d/images/00000.png")[..., 3]
    assert 0.8 < alpha.sum() / mask(0).sum() < 1.4
    assert not np.array_equal(alpha > 0.5, mask(0))


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda folder: (folder / "masks/mask_0003.npy").unlink(), 3, "5 images"),
        (lambda folder: (folder / "cameras.npz").write_bytes(b"no archive"), 3, "cameras.npz"),
        (lambda folder: people_folders.write_poses(folder / "poses.npz", Filmed(), [0, 1], np.zeros(10)), 3, "as many"),
        (lambda folder: np.save(folder / "masks/mask_0000.npy", np.full((64, 96), -1)), 3, "no mask"),
    ],
)
def test_what_does_not_belong_together_is_one_line(a4d, tmp_path: Path, change, code: int, said: str) -> None:
    change(people_folders.instant_avatar(tmp_path / "person", Filmed(is_moving=False)))
    result = a4d("preprocess", "person")
    assert (result.code, len(result.err.strip().splitlines())) == (code, 1), result.err
    assert said in result.err


def test_hdf5_needs_its_package(a4d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "person"
    folder.mkdir()
    for name in ("camera.pkl", "masks.hdf5", "reconstructed_poses.hdf5", "person.mp4"):
        (folder / name).write_bytes(b"\x80\x02}.")
    monkeypatch.setitem(sys.modules, "h5py", None)
    result = a4d("preprocess", "person")
    assert (result.code, "a4d[person]" in result.err) == (5, True), result.err
