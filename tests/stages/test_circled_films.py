"""estimate-pose --method object on films in workspaces, and given cameras of films whose subject moves."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from circled_creatures import CircledCreature, circled_creature, turned_apart
from PIL import Image

from a4d.estimation.objects.fit import find_cameras
from a4d.estimation.objects.search import Effort
from a4d.geometry.cameras import opencv_from_opengl
from a4d.intake import circled_object
from a4d.io.captures.transforms_json import read_transforms


@pytest.fixture
def film(a4d: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CircledCreature:
    """A creature that a camera circles, in `film.a4d`, found with little effort; a frame in the middle is empty."""
    coarse = partial(find_cameras, efforts=(Effort(24, 24, 16, 5, 3),))
    monkeypatch.setattr(circled_object, "find_cameras", coarse)
    circled = circled_creature(360.0)
    circled.rgba[7, ..., 3] = 0
    (tmp_path / "film").mkdir()
    for index, picture in enumerate(circled.rgba):
        stored = (255 * picture).round().astype(np.uint8)
        stored[0, 0, 3] = 255  # a picture without a subject is no photograph
        Image.fromarray(stored).save(tmp_path / f"film/{index:02d}.png")
    assert a4d("preprocess", "film").code == 0
    return circled


def test_cameras_around_a_film_are_written_with_times_and_figures(a4d, tmp_path: Path, film: CircledCreature) -> None:
    asked = ("estimate-pose", "film.a4d", "--method", "object", "--fov", 35, "--azimuth", 90)
    result = a4d(*asked, "--json")
    assert result.code == 0, result.err
    figures = result.json["metrics"]
    assert figures["turns"]
    assert figures["confidence"] > 0.8
    cameras = read_transforms(tmp_path / "film.a4d/transforms.json")
    assert turned_apart(cameras.world_from_camera, film.cameras.world_from_camera.double().numpy()) < 12
    assert cameras.times.tolist() == pytest.approx(np.linspace(0, 1, 24).tolist())
    assert cameras.are_approximate
    position = cameras.world_from_camera[0, :3, 3]
    assert np.degrees(np.arctan2(position[0], position[2])) == pytest.approx(90, abs=8)
    assert len(list((tmp_path / "film.a4d/stages/estimate-pose/previews").glob("object_*.png"))) == 6
    assert "up to date" in a4d(*asked).out


def test_cameras_that_others_rival_are_kept_but_not_gone_on_with(
    a4d, tmp_path: Path, film: CircledCreature, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = circled_object.find_cameras
    monkeypatch.setattr(circled_object, "find_cameras", lambda *asked: replace(coarse(*asked), confidence=0.1))
    result = a4d("estimate-pose", "film.a4d", "--method", "object", "--fov", 35)
    assert result.code == 7
    assert "(0.10)" in result.err
    assert "--cameras" in result.err
    assert "--still" in result.err
    assert len(read_transforms(tmp_path / "film.a4d/transforms.json")) == 24


def test_a_camera_that_is_said_to_stand_still_does_and_its_silhouettes_are_judged(
    a4d, tmp_path: Path, film: CircledCreature, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = circled_object.find_cameras
    monkeypatch.setattr(circled_object, "find_cameras", lambda *asked: replace(coarse(*asked), overlap=0.45))
    result = a4d("estimate-pose", "film.a4d", "--method", "object", "--fov", 35, "--still", "--json")
    assert result.code == 0, result.err
    figures = result.json["metrics"]
    assert (figures["turns"], figures["turn_degrees"]) == (False, 0)
    assert "confidence" not in figures
    assert "(0.45)" in result.err
    assert "Leave --still out" in result.err
    cameras = read_transforms(tmp_path / "film.a4d/transforms.json")
    assert not cameras.are_approximate
    ahead = cameras.world_from_camera[:, :3, 2]
    assert (ahead @ ahead[0]).min() > np.cos(np.radians(10))


def test_frames_whose_border_cuts_the_subject_off_are_said_and_left_out(
    a4d, tmp_path: Path, film: CircledCreature
) -> None:
    path = tmp_path / "film.a4d/images/00012.png"
    picture = np.array(Image.open(path))
    picture[0] = 255
    Image.fromarray(picture).save(path)
    result = a4d("estimate-pose", "film.a4d", "--method", "object", "--fov", 35, "--elevation", 40, "--json")
    assert result.code == 0, result.err
    assert "cuts the subject off in 2 of 24 frames, the first of them 00007" in result.err
    cameras = read_transforms(tmp_path / "film.a4d/transforms.json")
    assert [index for index, split in enumerate(cameras.splits) if split == "unseen"] == [7, 12]
    assert result.json["metrics"]["turns"]
    assert result.json["metrics"]["elevation_degrees"] == pytest.approx(40)


def test_what_cannot_be_circled_is_refused(a4d, tmp_path: Path, film: CircledCreature) -> None:
    assert a4d("estimate-pose", "film.a4d", "--azimuth", 30).code == 2
    both = a4d("estimate-pose", "film.a4d", "--method", "object", "--cameras", "film")
    assert both.code == 2
    assert "--cameras" in both.err
    for option, *value in (("--elevation", 20), ("--radius", 20), ("--still",)):
        refused = a4d("estimate-pose", "film.a4d", "--method", "colmap", option, *value)
        assert (refused.code, option in refused.err) == (2, True)
    for path in sorted((tmp_path / "film.a4d/images").glob("*.png"))[6:]:
        path.unlink()
    refused = a4d("estimate-pose", "film.a4d", "--method", "object")
    assert refused.code == 7
    assert "--cameras" in refused.err


def test_cameras_without_times_get_those_of_a_film_whose_subject_moves(a4d, tmp_path: Path, film) -> None:
    poses = opencv_from_opengl(film.cameras.world_from_camera).tolist()
    focal = float(film.lens[0])
    frames = [
        {"file_path": f"film/{index:02d}.png", "transform_matrix": pose}
        for index, pose in enumerate(poses)
        if index != 3
    ]
    lens = {"fl_x": focal, "fl_y": focal, "cx": 32, "cy": 32, "w": 64, "h": 64}
    (tmp_path / "given.json").write_text(json.dumps({**lens, "frames": frames}))
    path = tmp_path / "film.a4d/transforms.json"
    assert a4d("estimate-pose", "film.a4d", "--cameras", "given.json").code == 0
    assert read_transforms(path).times is None
    assert not read_transforms(path).are_approximate
    assert a4d("estimate-pose", "film.a4d", "--cameras", "given.json", "--moving", "--force").code == 0
    times = np.delete(np.arange(24) / 23, 3)
    assert read_transforms(path).times.tolist() == pytest.approx(times.tolist())
    for frame, time in zip(frames, times[::-1], strict=True):
        frame["time"] = float(time)
    (tmp_path / "given.json").write_text(json.dumps({**lens, "frames": frames}))
    assert a4d("estimate-pose", "film.a4d", "--cameras", "given.json", "--moving", "--force").code == 0
    assert read_transforms(path).times.tolist() == pytest.approx(times[::-1].tolist())
    begun = a4d("fit-dynamic", "film.a4d", "--dry-run")
    assert begun.code == 0, begun.err
