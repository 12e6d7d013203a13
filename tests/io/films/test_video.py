"""Films and animations, written and read back, by us and by others."""

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from a4d.errors import A4DError, BackendUnavailableError, InvalidInputError, MissingInputError, UsageError
from a4d.io.films.video import read_video, source_frames, write_video


def moving_square(count: int = 12, height: int = 49, width: int = 63) -> list[np.ndarray]:
    frames = []
    for index in range(count):
        frame = np.full((height, width, 3), [0.2, 0.5, 0.8], np.float32)
        frame[10:30, 2 + 3 * index : 22 + 3 * index] = 0.9, 0.3, 0.1
        frames.append(frame)
    return frames


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2) + 1e-12))


@pytest.mark.parametrize(("suffix", "quality"), [("mp4", 25), ("gif", 30), ("webp", 27)])
def test_a_video_comes_back(tmp_path, suffix, quality):
    frames, path = moving_square(), tmp_path / f"a b.{suffix}"
    write_video(path, iter(frames), fps=12)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    video = read_video(path)
    read = list(video.frames)
    assert video.fps == pytest.approx(12, rel=0.01)
    assert len(read) == len(frames)
    assert read[0].dtype == np.float32
    for frame, original in zip(read, frames, strict=True):
        assert psnr(frame[:49, :63, :3], original) > quality
    # Flat colours survive the way through the colour matrix.
    np.testing.assert_allclose(read[5][45, 5, :3], [0.2, 0.5, 0.8], atol=0.02)


def test_mp4_is_even_tagged_and_starts_at_once(tmp_path):
    write_video(tmp_path / "a.mp4", moving_square(), fps=24)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 50)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert capture.get(cv2.CAP_PROP_FPS) == 24
    capture.release()
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert content[content.index(b"nclx") + 4 :][:6] == bytes([0, 1, 0, 1, 0, 1])


def test_transparency(tmp_path):
    frames = [np.zeros((20, 24, 4), np.float32) for _ in range(3)]
    for index, frame in enumerate(frames):
        frame[5:15, 4 * index : 4 * index + 8] = 1, 0, 0, 1
    for suffix in ("gif", "webp"):
        write_video(tmp_path / f"a.{suffix}", frames, fps=10)
        for frame, original in zip(read_video(tmp_path / f"a.{suffix}").frames, frames, strict=True):
            np.testing.assert_allclose(frame[..., 3], original[..., 3], atol=0.01)
    write_video(tmp_path / "a.mp4", frames, fps=10, background=(0, 1, 0))
    np.testing.assert_allclose(next(read_video(tmp_path / "a.mp4").frames)[2, 20], [0, 1, 0], atol=0.03)


def numbered_film(folder: Path) -> Path:
    frames = [np.full((16, 16, 3), index / 20, np.float32) for index in range(20)]
    write_video(folder / "numbers.mp4", frames, fps=20)
    return folder / "numbers.mp4"


def numbers(video) -> list[int]:
    return [round(float(frame.mean()) * 20) for frame in video.frames]


def test_frame_range_rate_and_size(tmp_path):
    path = numbered_film(tmp_path)
    assert numbers(read_video(path)) == list(range(20))
    assert numbers(read_video(path, start=3, end=7)) == [3, 4, 5, 6]
    assert numbers(read_video(path, start=18)) == [18, 19]
    halved = read_video(path, fps=10)
    assert halved.fps == 10
    assert len(numbers(halved)) == 10
    assert len(numbers(read_video(path, fps=40))) == 40
    write_video(tmp_path / "wide.mp4", moving_square(3, 50, 100), fps=5)
    assert next(read_video(tmp_path / "wide.mp4", size=40).frames).shape == (20, 40, 3)
    assert next(read_video(tmp_path / "wide.mp4", size=400).frames).shape == (50, 100, 3)


def test_animations_keep_their_timing(tmp_path):
    pictures = [Image.new("RGB", (8, 8), (index * 60, 0, 0)) for index in range(4)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 300])
    video = read_video(path, fps=10)
    assert [round(float(frame[..., 0].mean()) * 255 / 60) for frame in video.frames] == [0, 1, 2, 3, 3, 3]
    assert len(list(read_video(path, start=1, end=3).frames)) == 2


@pytest.mark.parametrize(
    ("start", "end", "fps"),
    [(0, None, None), (5, None, None), (0, None, 10), (0, None, 4), (3, 15, 7), (0, None, 40), (2, None, 17.5)],
)
def test_it_is_known_which_frames_are_taken(tmp_path, start, end, fps):
    path = numbered_film(tmp_path)
    taken = numbers(read_video(path, start, end, fps))
    assert source_frames(path, len(taken), start, end, fps).tolist() == taken


def test_it_is_known_which_frames_of_an_animation_are_taken(tmp_path):
    pictures = [Image.new("RGB", (8, 8), (index * 60, 0, 0)) for index in range(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 300])
    assert source_frames(tmp_path / "a.gif", 5, 1, None, 10).tolist() == [1, 2, 3, 3, 3]


def test_gif_durations_add_up(tmp_path):
    write_video(tmp_path / "a.gif", moving_square(9), fps=30)
    with Image.open(tmp_path / "a.gif") as picture:
        total = 0
        for index in range(picture.n_frames):
            picture.seek(index)
            total += picture.info["duration"]
    assert total == 300


def test_disposal_to_background(tmp_path):
    first, second = np.zeros((2, 10, 10, 4), np.uint8)
    first[:, :5] = second[:, 5:] = 255, 0, 0, 255
    pictures = [Image.fromarray(samples) for samples in (first, second)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], disposal=2, duration=100)
    frames = list(read_video(tmp_path / "a.gif").frames)
    np.testing.assert_array_equal(frames[1][..., 3], second[..., 3] / 255)


def test_mistakes_are_named(tmp_path, monkeypatch):
    path = numbered_film(tmp_path)
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "text.gif").write_text("no film")
    for name in ("text.mp4", "text.gif"):
        with pytest.raises(InvalidInputError, match=name):
            read_video(tmp_path / name)
    with pytest.raises(MissingInputError):
        read_video(tmp_path / "none.mp4")
    with pytest.raises(InvalidInputError, match="no frame 50"):
        read_video(path, start=50)
    with pytest.raises(UsageError):
        read_video(path, start=5, end=5)
    with pytest.raises(UsageError):
        write_video(tmp_path / "a.avi", moving_square(1), fps=5)
    with pytest.raises(ValueError, match="fit"):
        write_video(tmp_path / "new.mp4", [*moving_square(1), *moving_square(1, 20, 20)], fps=5)
    with pytest.raises(A4DError, match="cannot write"):
        write_video(path / "new.mp4", moving_square(1), fps=5)  # below a file
    assert not (tmp_path / "new.mp4").exists()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "no-ffmpeg"))
    with pytest.raises(BackendUnavailableError, match="IMAGEIO_FFMPEG_EXE"):
        read_video(path)


def test_a_film_cut_short_gives_its_sound_frames_and_then_says_so(tmp_path):
    random = np.random.default_rng(0)
    write_video(tmp_path / "whole.mp4", list(random.random((20, 64, 64, 3)).astype(np.float32)), fps=20)
    path = tmp_path / "cut.mp4"
    content = (tmp_path / "whole.mp4").read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    taken = []
    with pytest.raises(InvalidInputError, match=r"cut\.mp4") as caught:
        taken.extend(frame.shape for frame in read_video(path).frames)
    assert 5 < len(taken) < 20
    assert f"first {len(taken)} frames" in str(caught.value)


def test_damage_anywhere_is_refused_or_read_but_never_a_crash(tmp_path, capfd, damaged):
    for suffix, count in (("mp4", 24), ("gif", 60), ("webp", 60)):
        write_video(tmp_path / f"good.{suffix}", moving_square(5), fps=10)
        path = tmp_path / f"broken.{suffix}"
        for broken in damaged((tmp_path / f"good.{suffix}").read_bytes(), count):
            path.write_bytes(broken)
            with suppress(A4DError):  # refused, as it may be
                assert all(np.isfinite(frame).all() for frame in read_video(path, size=32).frames)
    assert capfd.readouterr().err == ""


def test_real_videos(real_data):
    expected = {
        "videos_misc/realshort.mp4": (36, (240, 320, 3)),
        "videos_misc/newtonscradle.gif": (36, (150, 200)),
        "dynamic_l4gm/sighing_frog_fg.mp4": (32, (512, 512, 3)),
    }
    for name, (count, shape) in expected.items():
        frames = list(read_video(real_data / name).frames)
        assert len(frames) == count
        assert frames[-1].shape[: len(shape)] == shape
    capture = cv2.VideoCapture(str(real_data / "dynamic_l4gm/sighing_frog_fg.mp4"))
    other = capture.read()[1][..., ::-1] / 255
    capture.release()
    assert psnr(next(read_video(real_data / "dynamic_l4gm/sighing_frog_fg.mp4").frames), other) > 35
