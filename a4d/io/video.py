"""Moving pictures: films through ffmpeg, frame by frame; GIF and WebP through `a4d.io.animation`."""

from __future__ import annotations

import itertools
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from a4d.errors import A4DError, BackendUnavailableError, InvalidInputError, UsageError, WorkspaceError
from a4d.io.animation import ANIMATION_SUFFIXES, read_animation, write_animation
from a4d.io.files import atomic_path, require_file
from a4d.io.images import check_size, to_bytes
from a4d.pixels import Array, composite, shrink

FILM_RATES = {23.98: 24000 / 1001, 29.97: 30000 / 1001, 59.94: 60000 / 1001, 119.88: 120000 / 1001}
"""Rates that ffmpeg prints rounded, and what they are."""


@dataclass(frozen=True)
class Video:
    """Frames at a constant rate, to be taken once.

    Args:
        frames: (H, W, 3) or (H, W, 4) float32 sRGB in [0, 1] each; taking one may raise InvalidInputError where the
            file is damaged from there on.
        fps: frames per second.
    """

    frames: Iterator[Array]
    fps: float


def read_video(
    path: Path | str, start: int = 0, end: int | None = None, fps: float | None = None, size: int | None = None
) -> Video:
    """Read a film or an animated GIF, WebP or PNG, one frame in memory at a time; a variable rate becomes its mean.

    Args:
        path: anything that ffmpeg reads.
        start: the first frame, counted from 0 in the source.
        end: the frame after the last one; None is the end of the video.
        fps: frames per second of the result, by taking the nearest frames in time; None keeps the source's.
        size: reduce the longer side to at most this many pixels, antialiased; None keeps the source's.

    Raises:
        UsageError: the range is empty or a number is not positive.
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, not a video, over 100 megapixels, or has no frame in the range.
        BackendUnavailableError: there is no ffmpeg.
    """
    path = Path(path)
    if start < 0 or (end is not None and end <= start):
        raise UsageError(f"there are no frames from {start} to {end}", "Give 0 <= start < end")
    if (fps is not None and fps <= 0) or (size is not None and size < 1):
        raise UsageError("fps and size must be positive")
    require_file(path)
    if path.suffix.lower() in ANIMATION_SUFFIXES:
        frames, rate = read_animation(path, start, end, fps)
        frames = (frame if size is None else shrink(frame, size) for frame in frames)
    else:
        stream = _probe(path)
        rate = fps or stream.fps
        filters = _select_frames(stream, start, end, rate)
        if size is not None:
            bound = f"w='min({size},iw)':h='min({size},ih)'"
            filters.append(f"scale={bound}:force_original_aspect_ratio=decrease:flags=area+accurate_rnd")
        frames = _decode(path, filters, stream.has_alpha)
    first = next(frames, None)
    if first is None:
        raise InvalidInputError(f"{path} has no frame {start} to show", "Give a smaller start, or no end")
    return Video(itertools.chain([first], frames), rate)


def write_video(
    path: Path | str,
    frames: Iterable[Array],
    fps: float,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> None:
    """Write a video, whole or not at all; the suffix decides its kind.

    Args:
        path: `.mp4` is H.264 that plays everywhere, of even size (an odd edge is repeated) and written as the frames
            come; `.gif` and `.webp` loop for ever, keep transparency and are held in memory as 8 bits until written.
        frames: (H, W, 3) or (H, W, 4) each, of one size.
        fps: frames per second; a GIF's durations are whole 1/100 s, spread so that the mean is right.
        background: sRGB behind transparent frames of an MP4.

    Raises:
        UsageError: the suffix is another one.
        BackendUnavailableError: there is no ffmpeg, or it lacks the H.264 encoder.
        WorkspaceError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() in (".gif", ".webp"):
        write_animation(path, frames, fps)
    elif path.suffix.lower() == ".mp4":
        _encode(path, (_even(to_bytes(composite(frame, background))) for frame in frames), fps)
    else:
        raise UsageError(f"{path} is no known kind of video", "Use .mp4, .gif or .webp")


@dataclass(frozen=True)
class _Stream:
    fps: float
    has_alpha: bool


def _ffmpeg() -> str:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise BackendUnavailableError(
            "there is no ffmpeg on this machine", "Install imageio-ffmpeg, or name one in IMAGEIO_FFMPEG_EXE"
        ) from None


def _start(arguments: list[str], **pipes: int | IO[bytes]) -> subprocess.Popen[bytes]:
    executable = _ffmpeg()
    try:
        return subprocess.Popen([executable, "-hide_banner", *arguments], **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise BackendUnavailableError(
            f"ffmpeg at {executable} does not start: {error.strerror}", "Correct or unset IMAGEIO_FFMPEG_EXE"
        ) from None


def _input(path: Path) -> list[str]:
    """The input option; a playlist may not lead ffmpeg out to the network, and a name is never an option."""
    return ["-protocol_whitelist", "file", "-i", f"file:{path}"]


def _probe(path: Path) -> _Stream:
    process = _start(_input(path), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    report = process.communicate()[1].decode(errors="replace")
    line = re.search(r"Stream #0:\d+.*?: Video: (.*)", report)
    size = line and re.search(r", (\d+)x(\d+)\b", line[1])
    rate = line and (re.search(r"([\d.]+) fps", line[1]) or re.search(r"([\d.]+) tbr", line[1]))
    if not line or not size or not rate or float(rate[1]) == 0:
        raise InvalidInputError(f"{path} is damaged or not a video: {_last_line(report, path)}")
    check_size(path, int(size[1]), int(size[2]))
    fps = float(rate[1])
    return _Stream(FILM_RATES.get(fps, fps), bool(re.search(r"\b(yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16)", line[1])))


def _select_frames(stream: _Stream, start: int, end: int | None, fps: float) -> list[str]:
    """Filters that make the rate constant, so that frames can be counted, before they cut and change the rate."""
    last = "" if end is None else f":end_frame={end}"
    return [f"fps={stream.fps}", f"trim=start_frame={start}{last}", "setpts=PTS-STARTPTS", f"fps={fps}"]


def _decode(path: Path, filters: list[str], with_alpha: bool) -> Iterator[Array]:
    form = ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", "rgba" if with_alpha else "rgb24", "-"]
    arguments = ["-v", "error", "-xerror", *_input(path), "-map", "0:v:0", "-vf", ",".join(filters), *form]
    with tempfile.TemporaryFile() as log:
        process = _start(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        count = 0
        try:
            while (frame := _read_pam(process.stdout)) is not None:
                count += 1
                yield frame
            failed = process.wait() != 0
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        if failed:
            log.seek(0)
            reason = _last_line(log.read().decode(errors="replace"), path)
            remedy = f"Its first {count} frames are sound: give an end" if count else ""
            raise InvalidInputError(f"{path} is damaged: {reason}", remedy)


def _read_pam(stream: IO[bytes]) -> Array | None:
    """The next picture of a sequence in the PAM format, or None at the end or in the middle of the last one."""
    header: dict[bytes, bytes] = {}
    while (line := stream.readline().strip()) != b"ENDHDR":
        if not line:
            return None
        key, _, value = line.partition(b" ")
        header[key] = value
    height, width, depth = (int(header[key]) for key in (b"HEIGHT", b"WIDTH", b"DEPTH"))
    content = stream.read(height * width * depth)
    if len(content) < height * width * depth:
        return None
    return np.frombuffer(content, np.uint8).reshape(height, width, depth).astype(np.float32) / np.float32(255)


def _even(samples: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where their number is odd: H.264 halves the resolution of colour."""
    height, width = samples.shape[:2]
    return np.pad(samples, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _encode(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    height, width = first.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}", "-i", "-"]
    # Untagged, a player would guess the colour matrix from the height of the picture.
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int"
    tag = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    colours = ["-vf", f"{convert},format=yuv420p,{tag}"]
    codec = ["-c:v", "libx264", "-crf", "16", "-movflags", "+faststart", "-f", "mp4"]
    with atomic_path(path) as temporary, tempfile.TemporaryFile() as log:
        process = _start(
            ["-v", "error", "-y", *source, *colours, *codec, f"file:{temporary}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        assert process.stdin is not None
        try:
            for frame in itertools.chain([first], frames):
                if frame.shape != first.shape:
                    raise ValueError(f"frames of {frame.shape} and {first.shape} do not fit into one video")
                process.stdin.write(frame.tobytes())
        except BrokenPipeError:
            pass  # ffmpeg gave up; its log says why
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            failed = process.wait() != 0
        if failed:
            log.seek(0)
            raise _encoding_error(path, log.read().decode(errors="replace"))


def _encoding_error(path: Path, report: str) -> A4DError:
    if "Unknown encoder" in report:
        return BackendUnavailableError("this ffmpeg has no H.264 encoder", "Unset IMAGEIO_FFMPEG_EXE to use ours")
    return WorkspaceError(f"cannot write {path}: {_last_line(report, path)}")


def _last_line(report: str, path: Path) -> str:
    """What ffmpeg complained of last, without addresses of its objects and the path it repeats."""
    lines = [re.sub(r"^\[.*?\]\s*", "", line).strip() for line in report.splitlines()]
    lines = [line for line in lines if line and "At least one output file" not in line]
    return lines[-1].replace(f"file:{path}", path.name) if lines else "ffmpeg does not say why"
