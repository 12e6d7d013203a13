"""Films and pictures of strangers through the command: what is taken, what the user is told, and what it costs."""

import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from a4d.io.films.video import write_video
from a4d.io.pictures.images import read_image


def moving_disc(count: int, size: tuple[int, int] = (96, 64)) -> list[Image.Image]:
    pictures = []
    for index in range(count):
        pictures.append(Image.new("RGBA", size, (0, 0, 0, 0)))
        ImageDraw.Draw(pictures[-1]).ellipse([8 + 5 * index, 16, 38 + 5 * index, 46], (220, 60, 20, 255))
    return pictures


def noisy_film(path: Path, count: int = 20) -> None:
    frames = np.ones((count, 64, 96, 3), np.float32)
    frames[:, 16:48, 32:64] = np.random.default_rng(0).random((count, 32, 32, 3)) * 0.6
    write_video(path, iter(frames), 20)


@pytest.mark.parametrize("name", ["moving.webp", "moving.png", "moving.gif"])
def test_animations_are_films_whatever_their_name(a4d, name: str) -> None:
    first, *others = moving_disc(5)
    first.save(name, save_all=True, append_images=others, duration=100, disposal=2)
    result = a4d("preprocess", name, "--size", 64, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"] == {"frames": 5, "fps": 10.0, "matting": "alpha"}
    assert result.json["warnings"] == []
    columns = [np.flatnonzero(read_image(f"moving.a4d/images/0000{index}.png")[..., 3].max(0))[0] for index in (0, 4)]
    assert columns[1] - columns[0] > 15
    first.save("still.webp")
    assert a4d("preprocess", "still.webp", "--size", 64, "--json").json["metrics"]["frames"] == 1


def test_an_incomplete_film_is_taken_with_a_word_or_refused(a4d) -> None:
    noisy_film(Path("whole.mp4"))
    content = Path("whole.mp4").read_bytes()
    Path("cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    result = a4d("preprocess", "cut.mp4", "--size", 64, "--strict")
    assert (result.code, len(result.err.splitlines())) == (3, 1)
    assert "cut.mp4 is incomplete, with " in result.err
    assert " of 20 frames" in result.err
    assert ".partial" not in result.err
    assert not Path("cut.a4d").exists()
    result = a4d("preprocess", "cut.mp4", "--size", 64, "--json")
    assert result.code == 0, result.err
    taken = result.json["metrics"]["frames"]
    assert 5 < taken < 20
    (warning,) = result.json["warnings"]
    assert warning.startswith(f"cut.mp4 is incomplete, with {taken} of 20 frames: ")
    whole = a4d("preprocess", "whole.mp4", "--size", 64, "--strict", "--json")
    assert (whole.code, whole.json["warnings"]) == (0, [])


def test_what_does_not_fit_on_the_disk_is_refused_at_its_first_frame(a4d, monkeypatch) -> None:
    noisy_film(Path("a.mp4"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30_000))
    result = a4d("preprocess", "a.mp4", "--size", 64)
    assert (result.code, len(result.err.splitlines())) == (3, 1)
    assert "--fps, --start, --end or --size" in result.err
    assert not Path("a.a4d").exists()
    assert a4d("preprocess", "a.mp4", "--size", 64, "--end", 1).code == 0


def test_a_films_frames_are_not_held_in_memory(a4d) -> None:
    peaks = []
    for count in (2, 14):
        first, *others = moving_disc(count, (200, 150))
        first.save(f"{count}.webp", save_all=True, append_images=others, duration=100)
        tracemalloc.start()
        assert a4d("preprocess", f"{count}.webp", "--size", 100).code == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3 * 200 * 150 * 4, "12 more frames in bytes are four times as much"


def test_a_damaged_profile_is_a_warning(a4d) -> None:
    picture = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(picture).rectangle([24, 12, 72, 52], (200, 40, 30))
    picture.save("a.png", icc_profile=b"noise" * 50)
    result = a4d("preprocess", "a.png", "--size", 64, "--json")
    assert result.code == 0, result.err
    assert result.json["warnings"] == ["a.png: its colour profile is damaged, and its colours are taken for sRGB"]
    np.testing.assert_allclose(read_image("a.a4d/images/00000.png")[32, 32, :3] * 255, (200, 40, 30), atol=2)


CASES = {
    "p3": ("icc_profiles/p3.png", [(218, 0, 4), (17, 61, 208)], 2),
    "hlg": ("video_hdr/hlg.mp4", [(200, 40, 30), (30, 60, 200)], 6),
}


def test_the_cases_of_others(a4d, real_data: Path) -> None:
    cases = real_data / "cases"
    for name, (file, colours, tolerance) in CASES.items():
        assert a4d("preprocess", cases / file, "--size", 128, "-q").code == 0
        frame = read_image(f"{name}.a4d/images/00000.png") * 255
        opaque = frame[frame[..., 3] == 255][:, :3]
        for colour in colours:
            assert (np.abs(opaque - colour).max(axis=1) <= tolerance).mean() > 0.2, name
    assert a4d("preprocess", cases / "video_pixel_aspect/wide.mp4", "--size", 128, "-q").code == 0
    inside = read_image("wide.a4d/images/00000.png")[..., 3] > 0.5
    assert inside.any(0).sum() == pytest.approx(inside.any(1).sum(), abs=3)
    assert a4d("preprocess", cases / "video_vp9_alpha/dark.webm", "--size", 128, "-q").code == 0
    dark = read_image("dark.a4d/images/00000.png")
    opaque = dark[dark[..., 3] > 0.98][:, :3]
    assert ((opaque < 0.08).all(1).mean(), (opaque[:, 0] > 0.7).mean()) == pytest.approx((0.875, 0.125), abs=0.03)
    result = a4d("preprocess", cases / "truncated/v_mkv_cut75.mkv", "--size", 64, "--json")
    assert "with 3 of 15 frames" in result.json["warnings"][0]
    assert a4d("preprocess", cases / "silent_first_frame/moving.webp", "--json").json["metrics"]["frames"] == 5
