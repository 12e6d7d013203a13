"""Moving pictures: films through ffmpeg, frame by frame; GIF and WebP through `a4d.io.films.animation`."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from a4d.errors import A4DError, BackendUnavailableError, InvalidInputError, UsageError, WorkspaceError
from a4d.io.files import atomic_path, require_file
from a4d.io.films.animation import animation_frames, incomplete, is_animation, read_animation, write_animation
from a4d.io.films.ffmpeg import complaint, input_options, start_ffmpeg
from a4d.io.films.film_probe import FilmStream, probe
from a4d.io.pictures.images import PIXEL_LIMIT, to_bytes
from a4d.io.pictures.transfer_functions import Samples
from a4d.pixels import Array, composite, shrink

LOG_LIMIT = 1 << 20
"""Bytes of ffmpeg's log that are read: on a damaged film it may complain of every block of every frame."""

LACKING_FRAMES, LACKING_SHARE = 2, 0.02
"""By which a film may be shorter than it says: lengths are rounded, and the last frame has no next one to end it."""


@dataclass(frozen=True)
class Video:
    """Frames at a constant rate, to be taken once.

    Args:
        frames: (H, W, 3) or (H, W, 4) float32 sRGB in [0, 1] each; taking one may raise InvalidInputError where the
            file is damaged from there on, or at the end where it is shorter than it says.
        fps: frames per second.
        count: of the frames that the file promises; None where it does not say.
    """

    frames: Iterator[Array]
    fps: float
    count: int | None = None

    def sound_frames(self, strict: bool, warn: Callable[[str], None]) -> Iterator[Array]:
        """The frames up to where the film is damaged.

        Args:
            strict: a damaged film is an error.
            warn: told of it otherwise.

        Raises:
            InvalidInputError: no frame is sound, or `strict`.
        """
        taken = 0
        try:
            for frame in self.frames:
                taken += 1
                yield frame
        except InvalidInputError as error:
            if strict or taken == 0:
                raise
            warn(error.problem)


def read_video(
    path: Path | str, start: int = 0, end: int | None = None, fps: float | None = None, size: int | None = None
) -> Video:
    """Read a film or an animated GIF, WebP or PNG, one frame in memory at a time; a variable rate becomes its mean.

    Frames are upright, of square pixels, without interlacing, and sRGB: BT.2020, Display P3, HLG and PQ are converted,
    with white at 203 nits.

    Args:
        path: anything that ffmpeg reads, but for lists of other files.
        start: the first frame, counted from 0 in the source.
        end: the frame after the last one; None is the end of the video.
        fps: frames per second of the result, each the last that is shown before the middle of its time; None keeps the
            source's.
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
    count: int | None
    if is_animation(path):
        frames, rate, count = read_animation(path, start, end, fps)
        frames = (frame if size is None else shrink(frame, size) for frame in frames)
    else:
        stream = probe(path)
        rate = fps or stream.fps
        count = _promised(stream, start, end, rate)
        asked = None if end is None else round((end - start) * rate / stream.fps)
        filters = [*_select_frames(stream, start, end, rate), _shape_frames(stream, size)]
        frames = _decode(path, stream, filters, count, asked)
        # Transparent colours would bleed into the subject in ffmpeg's scaling.
        frames = (shrink(frame, size) if stream.has_alpha and size is not None else frame for frame in frames)
    first = next(frames, None)
    if first is None:
        raise InvalidInputError(f"{path} has no frame {start} to show", "Give a smaller start, or no end")
    return Video(itertools.chain([first], frames), rate, count)


def source_frames(
    path: Path, count: int, start: int = 0, end: int | None = None, fps: float | None = None
) -> NDArray[np.int64]:
    """(count,) which frames of a film the first frames are that `read_video` takes of it; ranges are as given there.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no film.
    """
    require_file(path)
    if is_animation(path):
        return animation_frames(path, start, end, fps)[:count]
    step = 1.0 if fps is None else probe(path).fps / fps
    taken = start + np.ceil((np.arange(count) + 0.5) * step).astype(np.int64) - 1
    return taken if end is None else np.minimum(taken, end - 1)


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


def _promised(stream: FilmStream, start: int, end: int | None, fps: float) -> int | None:
    """Frames that the result should have; None where the film does not say how long it is."""
    if stream.count is None:
        return None
    last = stream.count if end is None else min(end, stream.count)
    return max(0, round((last - start) * fps / stream.fps))


def _select_frames(stream: FilmStream, start: int, end: int | None, fps: float) -> list[str]:
    """Filters that make the rate constant, so that frames can be counted, before they cut and change the rate."""
    # What undoes interlacing looks at the frames before and after, so it comes before any is left out.
    whole = ["bwdif=mode=send_frame:deint=interlaced"] if stream.may_be_interlaced else []
    last = "" if end is None else f":end_frame={end}"
    return [*whole, f"fps={stream.fps}", f"trim=start_frame={start}{last}", "setpts=PTS-STARTPTS", f"fps={fps}"]


def _shape_frames(stream: FilmStream, size: int | None) -> str:
    """The filter to RGB, to square pixels, and to a size where nothing is transparent."""
    width, height = "iw*max(1,sar)", "ih*max(1,1/sar)"  # pixels are drawn out: none is lost
    bound = f"*min(1,{size}/max({width},{height}))" if size is not None and not stream.has_alpha else ""
    # An average is the sharpest way to reduce, but it makes steps where pixels are drawn out.
    kernel = "area" if bound and stream.is_square else "bicubic"
    options = [f"w='max(1,round({width}{bound}))':h='max(1,round({height}{bound}))':flags={kernel}+accurate_rnd"]
    if stream.matrix:
        options.append(f"in_color_matrix={stream.matrix}")
    return f"scale={':'.join(options)}"


def _decode(
    path: Path, stream: FilmStream, filters: list[str], promised: int | None, asked: int | None
) -> Iterator[Array]:
    """Frames as they come.

    Args:
        path: the film.
        stream: in it.
        filters: of ffmpeg.
        promised: frames that the film says it has.
        asked: frames that are wanted and not all that there are; None wants all.

    Raises:
        InvalidInputError: at the end, where ffmpeg complained of the file or frames are missing.
    """
    layouts = ("rgb24", "rgba") if stream.colours.is_srgb else ("rgb48be", "rgba64be")
    form = ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", layouts[stream.has_alpha], "-"]
    decoder = ["-max_pixels", f"{PIXEL_LIMIT}", *(["-c:v", stream.decoder] if stream.decoder else [])]
    arguments = ["-v", "level+error", "-xerror", *decoder, *input_options(path), "-map", "0:V:0"]
    with tempfile.TemporaryFile() as log:
        process = start_ffmpeg(
            [*arguments, "-vf", ",".join(filters), *form], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
        assert process.stdout is not None
        count = 0
        try:
            while (samples := _read_pam(process.stdout)) is not None:
                count += 1
                yield stream.colours.to_srgb(samples)
            failed = process.wait() != 0
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        if count == asked:  # what ffmpeg complains of lies behind them: it reads ahead
            return
        log.seek(0)
        reason = complaint(log.read(LOG_LIMIT), path)
        if failed or reason or _lacks(count, promised):
            raise _damage(path, count, promised, reason)


def _lacks(count: int, promised: int | None) -> bool:
    """Whether a film is shorter than it says by more than rounding."""
    return promised is not None and count < promised - max(LACKING_FRAMES, LACKING_SHARE * promised)


def _damage(path: Path, count: int, promised: int | None, reason: str) -> A4DError:
    """What became of a film of which not every frame could be read as it was written."""
    if re.search(r"Decoder.*not found|Unknown decoder", reason):
        return BackendUnavailableError(f"this ffmpeg cannot decode {path}", "Unset IMAGEIO_FFMPEG_EXE to use ours")
    if promised is not None and _lacks(count, promised):
        return incomplete(path, count, promised, reason)
    remedy = f"Its first {count} frames are read: give an end" if count else ""
    return InvalidInputError(f"{path} is damaged: {reason or 'ffmpeg does not say how'}", remedy)


def _read_pam(stream: IO[bytes]) -> Samples | None:
    """The next picture of a sequence in the PAM format, or None at the end or in the middle of the last one."""
    header: dict[bytes, bytes] = {}
    while (line := stream.readline().strip()) != b"ENDHDR":
        if not line:
            return None
        key, _, value = line.partition(b" ")
        header[key] = value
    shape = tuple(int(header[key]) for key in (b"HEIGHT", b"WIDTH", b"DEPTH"))
    is_deep = header[b"MAXVAL"] != b"255"
    size = math.prod(shape) * (2 if is_deep else 1)
    content = stream.read(size)
    if len(content) < size:
        return None
    if is_deep:
        return np.frombuffer(content, ">u2").reshape(shape).astype(np.uint16)
    return np.frombuffer(content, np.uint8).reshape(shape)


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
        process = start_ffmpeg(
            ["-v", "level+error", "-y", *source, *colours, *codec, f"file:{temporary}"],
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
            raise _encoding_error(path, complaint(log.read(LOG_LIMIT), path))


def _encoding_error(path: Path, reason: str) -> A4DError:
    if "Unknown encoder" in reason:
        return BackendUnavailableError("this ffmpeg has no H.264 encoder", "Unset IMAGEIO_FFMPEG_EXE to use ours")
    return WorkspaceError(f"cannot write {path}: {reason or 'ffmpeg does not say why'}")
