"""Films as they come: shots, masks by number, subjects that have to be followed, and frames that do not show them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from a4d.framing import Crop, place_back
from a4d.intake.shots import find_shots
from a4d.intake.taken_images import film_frames
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.films.video import write_video
from a4d.io.pictures.images import read_image, write_image
from a4d.workspace.workspace import Workspace

HEIGHT, WIDTH = 72, 96


def scene(seed: int, moment: int) -> np.ndarray:
    """A pattern of a shot's own colours, that moves by a pixel a moment."""
    generator = np.random.default_rng(seed)
    colour = generator.random(3)
    noise = cv2.GaussianBlur(generator.normal(size=(HEIGHT, WIDTH + 40, 3)), (0, 0), 2)
    return np.clip(colour + 0.8 * noise, 0, 1)[:, moment : moment + WIDTH].astype(np.float32)


def mask(moment: int) -> np.ndarray:
    disc = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.circle(disc, (36 + 2 * moment, 36), 16, 1, -1)
    return disc


def filmed(seed: int, moment: int) -> np.ndarray:
    return np.where(mask(moment)[..., None] > 0, [0.95, 0.35, 0.1], scene(seed, moment)).astype(np.float32)


def in_source(workspace: str, index: int) -> np.ndarray:
    """(H, W) alpha of a frame in the film's own pixels."""
    crop = Crop(**yaml.safe_load(Path(workspace, "workspace.yaml").read_text())["notes"]["crop"])
    frame = read_image(Path(workspace) / f"images/{index:05d}.png")
    return place_back(frame, crop, np.zeros((HEIGHT, WIDTH, 4), np.float32))[..., 3]


def overlap(alpha: np.ndarray, true: np.ndarray) -> float:
    found, shown = alpha > 0.5, true > 0.5
    return float((found & shown).sum() / (found | shown).sum())


def test_the_longest_shot_is_taken_or_the_one_that_is_named(a4d) -> None:
    shots = [(3, 8), (4, 12)]
    write_video("film.mp4", (filmed(seed, moment) for seed, count in shots for moment in range(count)), 10)
    made = a4d("preprocess", "film.mp4", "--size", 64, "--json")
    assert made.code == 0, made.err
    assert "2 shots, 0-7, 8-19 of the frames" in made.err
    assert "number 2, is used: choose another with --shot" in made.err
    assert made.json["metrics"]["frames"] == 12
    assert made.json["metrics"]["masks_doubtful"] == 0
    assert min(overlap(in_source("film.a4d", moment), mask(moment)) for moment in range(12)) > 0.9
    assert film_frames(Workspace.open(Path("film.a4d")), 12).tolist() == list(range(8, 20))
    first = a4d("preprocess", "film.a4d", "--size", 64, "--shot", 1, "--force", "--json")
    assert (first.code, first.json["metrics"]["frames"], "shots" in first.err) == (0, 8, False)
    assert film_frames(Workspace.open(Path("film.a4d")), 8).tolist() == list(range(8))
    refused = a4d("preprocess", "film.a4d", "--size", 64, "--shot", 3, "--force")
    assert (refused.code, "has 2 shots: 0-7, 8-19" in refused.err) == (2, True)
    refused = a4d("preprocess", "film.a4d", "--size", 64, "--end", 8, "--shot", 3, "--force")
    assert (refused.code, "has 1 shot: 0-7" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("frames", "shots"),
    [
        ([(1, m) for m in range(20)], [20]),
        ([(1, 8 * m) for m in range(5)], [5]),
        ([(1, m) for m in range(9)] + [(2, m) for m in range(9)] + [(1, m) for m in range(9)], [9, 9, 9]),
        ([(1, m) for m in range(9)] + [(2, 0)] + [(1, m) for m in range(9, 18)], [19]),
        ([(1, 0)], [1]),
    ],
)
def test_shots_end_where_the_picture_changes_for_good(frames: list, shots: list[int]) -> None:
    assert [len(shot) for shot in find_shots(scene(seed, moment) for seed, moment in frames)] == shots


def test_masks_are_matched_by_order_or_by_the_films_frames(a4d) -> None:
    write_video("film.mp4", (filmed(3, moment) for moment in range(9)), 9)
    Path("masks").mkdir()
    for moment in range(9):
        write_image(Path(f"masks/cut_{moment:04d}.png"), mask(moment))
    asked = ("preprocess", "film.mp4", "--size", 64, "--masks", "masks", "--force")
    for options, frames in (((), range(9)), (("--fps", 3), (1, 4, 7)), (("--start", 4, "--end", 6), (4, 5))):
        made = a4d(*asked, *options)
        assert made.code == 0, made.err
        for index, frame in enumerate(frames):
            assert overlap(in_source("film.a4d", index), mask(frame)) > 0.97
    Path("masks/cut_0004.png").unlink()
    refused = a4d(*asked, "--fps", 3)
    assert (refused.code, "holds 8 masks, and 3 frames are taken" in refused.err) == (3, True)
    write_image(Path("masks/cut_0004.png"), mask(4)[:, : WIDTH // 2])
    refused = a4d(*asked, "--fps", 3)
    assert (refused.code, "in the same proportions" in refused.err) == (2, True)


def test_cameras_of_the_film_see_through_its_crop_where_the_subject_is(a4d) -> None:
    write_video("film.mp4", (filmed(3, moment) for moment in range(3)), 9)
    Path("masks").mkdir()
    points = torch.tensor([[(36 + 2 * moment) / 100 - 0.48, 0.36 - 0.36, 1.0] for moment in range(3)])
    frames = []
    for moment in range(3):
        write_image(Path(f"masks/{moment}.png"), mask(moment))
        frames.append({"file_path": f"{moment:05d}.png", "transform_matrix": np.diag([1.0, -1.0, -1.0, 1.0]).tolist()})
    lens = {"fl_x": 100, "fl_y": 100, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}
    Path("cameras.json").write_text(json.dumps({**lens, "frames": frames}))
    assert a4d("preprocess", "film.mp4", "--size", 50, "--masks", "masks").code == 0
    assert a4d("estimate-pose", "film.a4d", "--cameras", "cameras.json").code == 0
    capture = read_transforms(Path("film.a4d/transforms.json"))
    world = torch.from_numpy(capture.world_from_source).float()
    seen = capture.cameras().project(points @ world[:3, :3].T + world[:3, 3])[0]
    for moment in range(3):
        alpha = read_image(f"film.a4d/images/{moment:05d}.png")[..., 3]
        rows, columns = np.nonzero(alpha > 0.5)
        middle = np.array([columns.mean(), rows.mean()]) + 0.5
        pixel = 0.5 * Crop(**yaml.safe_load(Path("film.a4d/workspace.yaml").read_text())["notes"]["crop"]).scale
        assert seen[moment, moment].numpy() + pixel == pytest.approx(middle, abs=0.4), "discs lie half a pixel off"


def test_where_the_subject_is_cut_off_or_alone_is_said(a4d) -> None:
    write_video("film.mp4", (np.roll(filmed(3, 0), -30, axis=1) for _ in range(2)), 9)
    Path("masks").mkdir()
    for moment in range(2):
        write_image(Path(f"masks/{moment}.png"), np.roll(mask(0), -30, axis=1))
    assert a4d("preprocess", "film.mp4", "--size", 64, "--masks", "masks", "--end", 1).code == 0
    assert len(list(Path("film.a4d/images").iterdir())) == 1
    made = a4d("preprocess", "film.mp4", "--size", 64, "--masks", "masks", "--force")
    assert "reaches the border of the picture in 2 of 2 frames, the first of them 00000" in made.err


def test_a_subject_that_cannot_be_followed_is_kept_but_not_gone_on_with(a4d) -> None:
    generator = np.random.default_rng(0)
    write_video("noise.mp4", (generator.random((HEIGHT, WIDTH, 3)).astype(np.float32) for _ in range(5)), 9)
    made = a4d("preprocess", "noise.mp4", "--size", 64, "--json")
    assert made.code == 7, made.err
    assert "hard to follow: its mask is in doubt in 100% of the frames" in made.out + made.err
    assert Path("noise.a4d/images/00004.png").exists()
