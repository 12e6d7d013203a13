"""Data sets of multi-view videos, written and read back, and the layout of the original."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from written_clips import write_dataset

from a4d.errors import A4DError, InvalidInputError, MissingInputError
from a4d.geometry.cameras import orbit
from a4d.io.captures.multi_view_dataset import (
    FrameChoice,
    MultiViewClip,
    is_written,
    read_clip,
    read_entries,
    write_clip,
    write_index,
)
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.films.video import read_video, write_video

VIEWS, MOMENTS, SIZE = 3, 4, 32


def make_clip(uid: str = "ball", number: int = 0) -> MultiViewClip:
    """A disc that wanders differently in each view, smooth enough for a video codec."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    frames = torch.empty(VIEWS, MOMENTS, SIZE, SIZE, 4)
    for view in range(VIEWS):
        for moment in range(MOMENTS):
            distance = torch.hypot(x - 12 - 2 * moment, y - 12 - 3 * view)
            frames[view, moment, ..., :3] = torch.tensor([0.8, 0.2 + 0.2 * view, 0.3 + 0.1 * number])
            frames[view, moment, ..., 3] = (7 - distance).clamp(0, 1)
    frames[frames[..., 3] == 0] = 0
    cameras = orbit(torch.tensor([7.0, 127, 247]), torch.full((VIEWS,), 12.0), 3.0, 40.0, SIZE, SIZE)
    depth = frames[..., 3] * 2.5
    rgba = (frames * 255).round().to(torch.uint8)
    return MultiViewClip(uid, number, rgba, cameras, f"a ball, {number}", 12.0, 7.0, 8.0, depth=depth)


def test_pictures_come_back_exactly_and_films_within_the_codec_s_error(tmp_path: Path) -> None:
    clip = make_clip()
    films = replace(make_clip("film", 3), depth=None)
    assert write_dataset(tmp_path, [clip], with_images=True) == 1
    write_dataset(tmp_path, [films])
    entries = read_entries(tmp_path)
    assert [(entry.uid, entry.number) for entry in entries] == [("ball", 0), ("film", 3)]
    back = read_clip(entries[0])
    assert torch.equal(back.rgba, clip.rgba)
    assert (back.depth - clip.depth).abs().max() <= 0.51e-4
    assert (back.caption, back.elevation, back.azimuth, back.fps) == ("a ball, 0", 12.0, 7.0, 8.0)
    film = read_clip(entries[1])
    values = films.rgba.float() / 255
    grey = values[..., :3] * values[..., 3:] + 0.5 * (1 - values[..., 3:])
    error = (film.rgba[..., :3].float() / 255 - grey).abs()
    # Films halve the resolution of colour: edges blur, areas stay.
    assert float(error.mean()) < 0.015
    assert (film.rgba[..., 3] == 255).all()
    for read in (back, film):
        assert torch.allclose(read.cameras.world_from_camera, clip.cameras.world_from_camera, atol=1e-6)
        assert torch.allclose(read.cameras.intrinsics, clip.cameras.intrinsics)


def test_a_part_of_a_clip_is_read_as_training_wants_it(tmp_path: Path) -> None:
    clip = make_clip()
    write_dataset(tmp_path, [clip], with_images=True)
    part = read_clip(read_entries(tmp_path)[0], FrameChoice(views=(2, 0), start=1, stride=2, count=2))
    assert torch.equal(part.rgba, clip.rgba[[2, 0]][:, [1, 3]])
    assert torch.allclose(part.cameras.positions, clip.cameras.positions[[2, 0]], atol=1e-6)
    assert part.depth is None
    with pytest.raises(MissingInputError, match="3 views"):
        read_clip(read_entries(tmp_path)[0], FrameChoice(views=(3,)))


def test_pictures_and_cameras_are_a_capture_that_other_programs_read(tmp_path: Path) -> None:
    folder = write_clip(tmp_path, make_clip(), with_images=True)
    capture = read_transforms(folder / "transforms.json")
    assert len(capture) == VIEWS * MOMENTS
    assert capture.views[MOMENTS] == "view_1"
    assert capture.times[:MOMENTS].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert capture.depth_unit == 1e-4


def test_the_original_s_layout_is_written_and_read(tmp_path: Path) -> None:
    write_dataset(tmp_path, [make_clip("a", 0), make_clip("a", 1)])
    index = json.loads((tmp_path / "uid_info_dict.json").read_text())
    assert index == {
        "a": {f"0{n}": {"angle": {"elv": 12.0, "azi_start": 7.0}, "text_prompt": f"a ball, {n}"} for n in (0, 1)}
    }
    for name in ("clip.json", "transforms.json"):
        (tmp_path / "videos/a/01" / name).unlink()
    for view in range(VIEWS, 16):
        (tmp_path / f"videos/a/01/view_{view}.mp4").write_bytes((tmp_path / "videos/a/01/view_0.mp4").read_bytes())
    original = read_clip(read_entries(tmp_path)[1])
    assert original.rgba.shape == (16, MOMENTS, SIZE, SIZE, 4)
    position = original.cameras.positions
    azimuth = torch.rad2deg(torch.atan2(position[:, 0], position[:, 2])) % 360
    assert torch.allclose(azimuth, (7 + 22.5 * torch.arange(16)) % 360, atol=1e-3)
    assert torch.allclose(torch.rad2deg(torch.asin(position[:, 1] / 3)), torch.tensor(12.0), atol=1e-3)


def test_half_a_clip_is_none_and_the_index_keeps_what_it_does_not_know(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "a4d.io.captures.multi_view_dataset._write_cameras", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        write_clip(tmp_path, make_clip())
    assert not is_written(tmp_path, "ball", 0)
    monkeypatch.undo()
    (tmp_path / "uid_info_dict.json").write_text('{"old": {"00": {"angle": {"elv": 1, "azi_start": 2}}}}')
    write_clip(tmp_path, make_clip())
    assert is_written(tmp_path, "ball", 0)
    assert write_index(tmp_path) == 1
    assert set(json.loads((tmp_path / "uid_info_dict.json").read_text())) == {"ball", "old"}
    assert [entry.uid for entry in read_entries(tmp_path)] == ["ball"], "clips that were not unpacked are left out"


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="uid_info_dict"):
        read_entries(tmp_path)
    folder = write_clip(tmp_path, make_clip())
    write_index(tmp_path)
    short = list(read_video(folder / "view_1.mp4").frames)[:2]
    write_video(folder / "view_1.mp4", short, 8.0)
    with pytest.raises(InvalidInputError, match="differ"):
        read_clip(read_entries(tmp_path)[0])
    (tmp_path / "uid_info_dict.json").write_text('{"ball": {"00": {"text_prompt": "x"}}}')
    with pytest.raises(A4DError, match="angle"):
        read_entries(tmp_path)


def test_frames_in_floating_point_are_written_alike(tmp_path: Path) -> None:
    clip = make_clip()
    write_dataset(tmp_path, [replace(clip, rgba=clip.rgba.float() / 255)], with_images=True)
    assert torch.equal(read_clip(read_entries(tmp_path)[0]).rgba, clip.rgba)
    assert np.isfinite(clip.frame(0, 0)).all()
