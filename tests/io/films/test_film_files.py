"""Films as cameras and the web leave them, made by ffmpeg: colours, shapes, transparency, containers, and damage."""

import struct
import subprocess
import zlib
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.io.films.film_probe import probe
from a4d.io.films.video import read_video
from a4d.io.pictures.images import read_image
from a4d.io.recognition import picture_or_film

COLOURS = np.array([(200, 40, 30), (30, 60, 200), (40, 160, 60), (255, 255, 255), (128, 128, 128), (0, 0, 0)], np.uint8)
MOVING = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=1")
SOUND = ("-f", "lavfi", "-i", "sine=d=2")


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bars(tmp_path: Path) -> tuple[object, ...]:
    """The input options of five frames of six coloured bars, 240 x 96 pixels."""
    Image.fromarray(np.repeat(np.repeat(COLOURS[None], 96, 0), 40, 1)).save(tmp_path / "bars.png")
    return ("-loop", 1, "-framerate", 25, "-t", "0.2", "-i", tmp_path / "bars.png")


def seen(path: Path, size: int | None = None) -> np.ndarray:
    """(6, C) the bars of the first frame, 0 to 255."""
    frame = next(read_video(path, size=size).frames)
    columns = ((np.arange(6) + 0.5) * frame.shape[1] / 6).astype(int)
    return frame[frame.shape[0] // 2, columns] * 255


@pytest.mark.parametrize(("transfer", "tolerance"), [("arib-std-b67", 5), ("smpte2084", 5)])
def test_hdr_films_have_the_colours_of_their_sdr(tmp_path: Path, bars, transfer: str, tolerance: int) -> None:
    convert = f"zscale=pin=709:tin=iec61966-2-1:min=gbr:p=2020:t={transfer}:m=2020_ncl:r=tv:npl=203"
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc")
    codec = ("-c:v", "libx265", "-x265-params", "log-level=error:crf=4")
    ffmpeg(*bars, "-vf", f"format=gbrpf32le,{convert},format=yuv420p10le", *tags, *codec, tmp_path / "hdr.mp4")
    np.testing.assert_allclose(seen(tmp_path / "hdr.mp4"), COLOURS, atol=tolerance)
    assert len(list(read_video(tmp_path / "hdr.mp4").frames)) == 5


def test_display_p3_films(tmp_path: Path, bars) -> None:
    convert = "zscale=pin=709:tin=iec61966-2-1:min=gbr:p=smpte432:t=iec61966-2-1:m=709:r=tv"
    tags = ("-color_primaries", "smpte432", "-color_trc", "iec61966-2-1", "-colorspace", "bt709")
    codec = ("-c:v", "libx264", "-crf", 4)
    ffmpeg(*bars, "-vf", f"format=gbrpf32le,{convert},format=yuv444p10le", *tags, *codec, tmp_path / "p3.mp4")
    np.testing.assert_allclose(seen(tmp_path / "p3.mp4"), COLOURS, atol=4)


@pytest.mark.parametrize(("matrix", "tag"), [("bt709", "bt709"), ("bt601", "smpte170m")])
@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_tagged_matrices_and_levels(tmp_path: Path, bars, matrix: str, tag: str, levels: str) -> None:
    convert = f"scale=out_color_matrix={matrix}:out_range={levels}:flags=accurate_rnd+full_chroma_int,format=yuv444p"
    tags = ("-colorspace", tag, "-color_primaries", tag, "-color_trc", "bt709", "-color_range", levels)
    ffmpeg(*bars, "-vf", convert, *tags, "-c:v", "libx264", "-crf", 4, tmp_path / "a.mp4")
    np.testing.assert_allclose(seen(tmp_path / "a.mp4"), COLOURS, atol=3)


@pytest.mark.parametrize(("width", "matrix"), [(240, "bt601"), (1440, "bt709")])
def test_untagged_films_are_taken_as_players_take_them(tmp_path: Path, bars, width: int, matrix: str) -> None:
    convert = f"scale={width}:96:out_color_matrix={matrix}:out_range=tv:flags=neighbor+accurate_rnd,format=yuv444p"
    untagged = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    ffmpeg(*bars, "-vf", f"{convert},{untagged}", "-c:v", "libx264", "-crf", 4, tmp_path / "a.mp4")
    np.testing.assert_allclose(seen(tmp_path / "a.mp4"), COLOURS, atol=3)


@pytest.mark.parametrize(("stored", "aspect", "shown"), [("120:96", "2", (96, 240)), ("240:48", "1/2", (96, 240))])
def test_pixels_become_square_and_none_is_lost(tmp_path: Path, bars, stored: str, aspect: str, shown) -> None:
    ffmpeg(*bars, "-vf", f"scale={stored},setsar={aspect},format=yuv444p", "-c:v", "libx264", tmp_path / "a.mp4")
    assert next(read_video(tmp_path / "a.mp4").frames).shape == (*shown, 3)
    assert next(read_video(tmp_path / "a.mp4", size=120).frames).shape == (48, 120, 3)
    np.testing.assert_allclose(seen(tmp_path / "a.mp4", size=120), COLOURS, atol=6)


def test_a_turned_film_of_wide_pixels(tmp_path: Path, bars) -> None:
    ffmpeg(*bars, "-vf", "scale=120:96,setsar=2,format=yuv444p", "-c:v", "libx264", tmp_path / "a.mp4")
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "turned.mp4")
    frame = next(read_video(tmp_path / "turned.mp4").frames)
    assert frame.shape == (240, 96, 3)
    np.testing.assert_allclose(frame[[20, 60, 220], 48] * 255, COLOURS[[5, 4, 0]], atol=6)


TRANSPARENT = {
    "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "1M", "-speed", 8),
    "vp8.webm": ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-b:v", "1M", "-auto-alt-ref", 0),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "animation.mov": ("-c:v", "qtrle"),
    "png.mov": ("-c:v", "png"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
}


def test_frames_at_an_uneven_rate_are_shown_when_they_are_due(tmp_path: Path) -> None:
    for index in range(8):
        Image.new("RGB", (32, 32), (30 * index,) * 3).save(tmp_path / f"{index}.png")
    due = [0.0, 0.1, 0.2, 0.3, 0.7, 1.1, 1.5, 1.6]
    slower = "setpts='(N+3*clip(N-3,0,3))/10/TB'"
    numbered = ("-framerate", 10, "-i", tmp_path / "%d.png", "-vf", slower, "-fps_mode", "vfr")
    ffmpeg(*numbered, "-pix_fmt", "yuv444p", "-qp", 0, tmp_path / "uneven.mp4")
    video = read_video(tmp_path / "uneven.mp4")
    shown = [round(float(frame.mean()) * 255 / 30) for frame in video.frames]
    assert shown == sorted(shown)
    for index, number in enumerate(shown):
        later = due[number + 1] if number < 7 else 2.0
        assert due[number] - 0.5 / video.fps <= index / video.fps <= later + 0.5 / video.fps
    assert shown.count(4) >= 2


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_of_films(tmp_path: Path, name: str) -> None:
    picture = np.zeros((64, 96, 4), np.uint8)
    picture[16:48, 24:72] = 0, 0, 0, 255
    picture[24:32, 32:48] = 220, 180, 40, 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    ffmpeg("-loop", 1, "-framerate", 6, "-t", "0.5", "-i", tmp_path / "a.png", *TRANSPARENT[name], tmp_path / name)
    frames = list(read_video(tmp_path / name).frames)
    assert [frame.shape for frame in frames] == [(64, 96, 4)] * 3
    assert np.abs(frames[0][..., 3] - picture[..., 3] / 255).mean() < 0.01
    np.testing.assert_allclose(frames[0][[28, 40], [40, 40]] * 255, picture[[28, 40], [40, 40]], atol=12)
    reduced = next(read_video(tmp_path / name, size=24).frames)
    assert reduced.shape == (16, 24, 4)
    np.testing.assert_allclose(reduced[..., 3].mean(), picture[..., 3].mean() / 255, atol=0.01)


def test_interlaced_films_show_one_moment_at_a_time(tmp_path: Path) -> None:
    bar = ("-f", "lavfi", "-i", "color=white:s=96x64:r=50:d=0.4", "-f", "lavfi", "-i", "color=black:s=16x64:r=50:d=0.4")
    graph = "[0][1]overlay=x='n*3':y=0,tinterlace=interleave_top,format=yuv420p"
    codec = ("-c:v", "mpeg2video", "-q:v", 2, "-flags", "+ilme+ildct")
    ffmpeg(*bar, "-filter_complex", graph, *codec, tmp_path / "a.mpg")
    frames = list(read_video(tmp_path / "a.mpg").frames)
    assert len(frames) == 10
    assert max(np.abs(frame[0::2] - frame[1::2]).mean() for frame in frames) < 0.005, "0.08 where lines alternate"


CONTAINERS = {
    "a.mpg": ("-c:v", "mpeg2video"),
    "a.vob": (*SOUND, "-c:v", "mpeg2video"),
    "a.wmv": (*SOUND, "-c:v", "wmv2"),
    "a.flv": (*SOUND, "-c:v", "flv", "-ar", 44100),
    "a.ts": (*SOUND, "-c:v", "libx264"),
    "a.m2ts": ("-c:v", "libx264"),
    "a.3gp": ("-c:v", "mpeg4"),
    "a.ogv": (*SOUND, "-c:v", "libtheora"),
    "a.avi": (*SOUND, "-c:v", "mjpeg"),
    "a.mxf": ("-c:v", "mpeg2video"),
    "a.mjpeg": ("-c:v", "mjpeg"),
    "a.y4m": ("-pix_fmt", "yuv420p"),
    "long-sound.mp4": (*SOUND, "-c:v", "libx264"),
    "long-sound.mkv": (*SOUND, "-c:v", "libx264"),
    "nameless": ("-c:v", "libx264", "-f", "matroska"),
    "picture.png": ("-c:v", "libx264", "-f", "mp4"),
    "-frame%03d http:x,y' [1].mp4": ("-c:v", "libx264"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_whatever_ffmpeg_reads_is_a_film_and_a_name_only_a_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    inner = path.with_name("made" + path.suffix)
    ffmpeg(*MOVING, *CONTAINERS[name], inner)
    inner.rename(path)
    assert picture_or_film(path) == "video"
    frames = [frame for frame in read_video(path).frames if frame.shape == (64, 96, 3)]
    assert abs(len(frames) - 25) <= 1
    assert np.std(frames[0]) > 0.2


def test_animations_are_known_by_their_content(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 12), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.png", "a.webp", "a.gif", "film.bin"):
        form = {"film.bin": "WEBP"}.get(name, name[2:])
        pictures[0].save(
            tmp_path / name, form, save_all=True, append_images=pictures[1:], duration=[100, 300, 200], lossless=True
        )
        assert picture_or_film(tmp_path / name) == "video"
        shown = [int(frame[5, 5, :3].argmax()) for frame in read_video(tmp_path / name, fps=10).frames]
        assert shown == [0, 1, 1, 1, 2, 2], name
        pictures[0].save(tmp_path / name, form)
        assert picture_or_film(tmp_path / name) == "image"
    pictures[0].save(
        tmp_path / "poster.png", save_all=True, append_images=pictures[1:], duration=100, default_image=True
    )
    assert [int(frame[5, 5].argmax()) for frame in read_video(tmp_path / "poster.png").frames] == [1, 2]


LISTS = {
    "concat.mp4": "ffconcat version 1.0\nfile other.mp4\n",
    "playlist.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nother.mp4\n#EXT-X-ENDLIST\n",
    "session.mp4": "v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "subtitles.mkv": "1\n00:00:00,000 --> 00:00:01,000\nHello\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_files_lead_nowhere(tmp_path: Path, name: str) -> None:
    ffmpeg(*MOVING, "-c:v", "libx264", tmp_path / "other.mp4")
    (tmp_path / name).write_text(LISTS[name])
    with pytest.raises(InvalidInputError, match=f"{name} is damaged or not a video: it is a text, such as a playlist$"):
        read_video(tmp_path / name)
    (tmp_path / "nameless").write_text(LISTS[name])
    assert picture_or_film(tmp_path / "nameless") is None


def test_messages_are_about_the_file(tmp_path: Path) -> None:
    ffmpeg(*SOUND, tmp_path / "sound.mp4")
    ffmpeg(*MOVING, "-c:v", "libx264", tmp_path / "cut.mp4")
    whole = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "torn.mp4").write_bytes(whole[: whole.index(b"moov") + 300])
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 20])
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    for name, message in (
        ("sound.mp4", "holds sound and no moving pictures"),
        ("cut.mp4", "is damaged or not a video: its index is missing"),
        ("torn.mp4", "is damaged or not a video"),
        ("noise.mp4", "is damaged or not a video$"),
    ):
        with pytest.raises(InvalidInputError, match=f"{name} {message}"):
            read_video(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.gif", "a.png"])
def test_a_film_that_lacks_frames_says_how_many(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=1,noise=alls=60:allf=t")
    codecs = {
        "a.mp4": ("-c:v", "libx264", "-movflags", "+faststart"),
        "a.png": ("-f", "apng"),
        "a.webm": ("-c:v", "libvpx", "-deadline", "realtime"),
    }
    ffmpeg(*noise, *codecs.get(name, ()), path)
    assert len(list(read_video(path).sound_frames(True, pytest.fail))) == 25
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    told: list[str] = []
    count = len(list(read_video(path).sound_frames(False, told.append)))
    assert 3 < count < 20
    assert len(told) == 1
    promised = rf"{count + 1}" if name == "a.gif" else "25"  # a GIF does not say how many it has
    assert f"{name} is incomplete, with {count} of {promised} frames: " in told[0]
    with pytest.raises(InvalidInputError, match=f"first {count} frames are sound"):
        list(read_video(path).sound_frames(True, pytest.fail))
    assert len(list(read_video(path, end=count - 2).sound_frames(True, pytest.fail))) == count - 2


def test_pages_and_phones_pictures(tmp_path: Path, monkeypatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "pages.tiff", save_all=True, append_images=[noise.rotate(90)] * 2)
    told: list[str] = []
    np.testing.assert_allclose(read_image(tmp_path / "pages.tiff", warn=told.append) * 255, noise, atol=1e-3)
    assert told == ["pages.tiff: it holds 3 pictures, of which the first is taken"]
    assert picture_or_film(tmp_path / "pages.tiff") == "image"
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    monkeypatch.setattr("a4d.io.pictures.images.FORMATS", ("PNG", "JPEG"))
    assert picture_or_film(tmp_path / "phone.heic") == "image"
    with pytest.raises(BackendUnavailableError, match=r"phone\.heic is .*pip install pillow-heif"):
        read_image(tmp_path / "phone.heic")


def tiff(samples: np.ndarray, compressed: bool) -> bytes:
    """A little-endian TIFF whose directory comes before its strips of 8 rows, so that a torn one still opens."""
    height, width, channels = samples.shape
    rows = [samples[start : start + 8].tobytes() for start in range(0, height, 8)]
    strips = [zlib.compress(row) if compressed else row for row in rows]
    bits, count = samples.itemsize * 8, len(strips)
    arrays = 8 + 2 + 11 * 12 + 4
    starts = np.cumsum([0, *map(len, strips)])[:-1] + arrays + 6 + 8 * count
    values = {256: width, 257: height, 259: 8 if compressed else 1, 262: 2, 277: channels, 278: 8, 284: 1}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items()}
    entries[258] = struct.pack("<HHII", 258, 3, 3, arrays)
    entries[273] = struct.pack("<HHII", 273, 4, count, arrays + 6)
    entries[279] = struct.pack("<HHII", 279, 4, count, arrays + 6 + 4 * count)
    entries[339] = struct.pack("<HHII", 339, 3, 1, 1)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    sizes = struct.pack(f"<3H{2 * count}I", bits, bits, bits, *starts, *map(len, strips))
    return head + bytes(4) + sizes + b"".join(strips)


@pytest.mark.parametrize("compression", ["raw", "zlib"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_torn_tiff_is_refused(tmp_path: Path, compression: str, kind: str, share: float) -> None:
    samples = np.random.default_rng(0).integers(0, 200, (64, 64, 3)).astype(kind)
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff(samples, compression == "zlib"))
    most = np.iinfo(kind).max
    np.testing.assert_allclose(read_image(path) * most, samples, atol=1e-2)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InvalidInputError, match=r"a\.tiff is damaged: "):
        read_image(path)


def test_a_title_is_only_a_title(tmp_path: Path) -> None:
    title = "title=Stream #0:0: Video: h264, yuva420p, 9x9, 3 fps"
    ffmpeg(*MOVING, "-c:v", "libx264", "-metadata", title, tmp_path / "a.mkv")
    stream = probe(tmp_path / "a.mkv")
    assert (stream.width, stream.height, stream.fps, stream.has_alpha) == (96, 64, 25, False)


def test_the_probe_knows_what_the_film_says(tmp_path: Path, bars) -> None:
    ffmpeg(*bars, *SOUND, "-vf", "setsar=2,format=yuv420p", "-c:v", "libx264", tmp_path / "a.mkv")
    stream = probe(tmp_path / "a.mkv")
    assert (stream.width, stream.height, stream.fps, stream.count) == (480, 96, 25, 5)
    assert (stream.has_alpha, stream.is_square, stream.matrix) == (False, False, "bt601")
