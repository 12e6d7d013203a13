"""What ffmpeg tells of a film before a frame is decoded."""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from a4d.errors import A4DError, InvalidInputError
from a4d.io.films.ffmpeg import NO_INDEX, complaint, input_options, report_lines, start_ffmpeg
from a4d.io.pictures.images import check_size
from a4d.io.pictures.transfer_functions import ColourSpace

FILM_RATES = {23.98: 24000 / 1001, 29.97: 30000 / 1001, 59.94: 60000 / 1001, 119.88: 120000 / 1001}
"""Rates that ffmpeg prints rounded, and what they are."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that know the second picture in which WebM keeps alpha; ffmpeg's own leave it out."""

HD_WIDTH, SD_HEIGHT = 1280, 576
"""From the one on, or beyond the other, players take a film that does not say it for BT.709, else for BT.601."""

LEAST_FIELD = 4
"""Pixels of the shorter side that ffmpeg needs to undo interlacing."""

HEAD = 512
"""Bytes at the beginning of a file that show whether it is a text."""

MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""With which MP4 and QuickTime begin; ffmpeg believes the name and takes other files for damaged ones too."""

_PRINTABLE = frozenset({*b"\t\n\r", *range(32, 127)})

_VIDEO = re.compile(
    r"\s*Stream #0:\d+.*?: Video: (?P<codec>\w+).*?, (?P<pixels>\w+)(?:\((?P<colours>[^)]*)\))?, "
    r"(?P<width>\d+)x(?P<height>\d+)\b(?P<rest>.*)"
)
_COLOURS = re.compile(r"\b(?:([\w-]+)/([\w-]+)/([\w-]+)|(bt709|bt470bg|smpte170m|smpte240m))\b")
"""How colour differences were made, the primaries and the transfer function, or one name for all three."""

_ALPHA = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|yaf|ayuv|vuya|pal8")


@dataclass(frozen=True)
class FilmStream:
    """The first moving picture in a file.

    Args:
        width: pixels as they are shown, before the film is turned upright.
        height: likewise.
        fps: frames per second, on average.
        seconds: its length, where the file states that of the pictures; None where it does not.
        has_alpha: its frames are transparent somewhere, or may be.
        decoder: of ffmpeg, where not the usual one.
        may_be_interlaced: frames may hold two moments, line by line.
        matrix: "bt709" or "bt601" for what does not say how colour differences were made; empty otherwise.
        colours: primaries and transfer function as tagged.
        is_square: its pixels are.
    """

    width: int
    height: int
    fps: float
    seconds: float | None
    has_alpha: bool
    decoder: str
    may_be_interlaced: bool
    matrix: str
    colours: ColourSpace
    is_square: bool

    @property
    def count(self) -> int | None:
        """Frames that the file promises."""
        return None if self.seconds is None else round(self.seconds * self.fps)


def probe(path: Path) -> FilmStream:
    """Look at an existing file.

    Raises:
        InvalidInputError: it is damaged, no film, or over 100 megapixels.
        BackendUnavailableError: there is no ffmpeg.
    """
    arguments = ["-v", "level+info", *input_options(path)]
    process = start_ffmpeg(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = process.communicate()[1]
    lines = report_lines(log, ("info",))
    for index, line in enumerate(lines):
        if (found := _VIDEO.match(line)) and "(attached pic)" not in line:
            stream = _describe(path, found, lines, index)
            # From its size alone ffmpeg guesses the length of what has neither an index nor time stamps.
            return replace(stream, seconds=None) if b"Estimating duration from bitrate" in log else stream
    if {kind for line in lines if (kind := _kind(line))} == {"Audio"}:
        raise InvalidInputError(f"{path} holds sound and no moving pictures")
    raise InvalidInputError(f"{path} is damaged or not a video{_because(path, complaint(log, path))}")


def is_film(path: Path) -> bool:
    """Whether ffmpeg finds moving pictures in a file."""
    try:
        probe(path)
    except A4DError:
        return False
    return True


def _because(path: Path, reason: str) -> str:
    """A clause with what is wrong with a file that ffmpeg does not open, where that can be told."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if all(byte in _PRINTABLE for byte in head):
        reason = "it is a text, such as a playlist"
    elif "Invalid data found" in reason or (reason == NO_INDEX and head[4:8] not in MOV_BOXES):
        return ""
    return f": {reason}" if reason else ""


def _describe(path: Path, found: re.Match[str], lines: list[str], index: int) -> FilmStream:
    rate = re.search(r"([\d.]+) fps", found["rest"]) or re.search(r"([\d.]+)k? tbr", found["rest"])
    if not rate or float(rate[1]) == 0:
        raise InvalidInputError(f"{path} is damaged: it does not say how fast its frames follow")
    own = _block(lines, index)
    aspect = re.search(r"SAR (\d+):(\d+)", found["rest"])
    ratio = int(aspect[1]) / int(aspect[2]) if aspect and int(aspect[1]) and int(aspect[2]) else 1.0
    stored = int(found["width"]), int(found["height"])
    width, height = round(stored[0] * max(1, ratio)), round(stored[1] * max(1, 1 / ratio))
    check_size(path, width, height)
    fps = float(rate[1])
    is_paired = any(re.match(r"alpha_mode\s*: 1", line) for line in own) and found["codec"] in ALPHA_DECODERS
    tags = found["colours"] or ""
    matrix, primaries, transfer = _colour_names(tags)
    is_difference = not re.match(r"rgb|bgr|gbr|argb|abgr|pal|gray|ya|mono|x2", found["pixels"])
    guess = "bt709" if width >= HD_WIDTH or height > SD_HEIGHT else "bt601"
    return FilmStream(
        width=width,
        height=height,
        fps=FILM_RATES.get(fps, fps),
        seconds=_seconds(lines, own, found["rest"]),
        has_alpha=is_paired or bool(_ALPHA.match(found["pixels"])),
        decoder=ALPHA_DECODERS[found["codec"]] if is_paired else "",
        may_be_interlaced=is_difference and "progressive" not in tags and min(stored) >= LEAST_FIELD,
        matrix=guess if is_difference and matrix == "unknown" else "",
        colours=ColourSpace(primaries, transfer),
        is_square=ratio == 1,
    )


def _colour_names(tags: str) -> tuple[str, str, str]:
    """How colour differences were made, the primaries and the transfer function, in ffmpeg's names."""
    found = _COLOURS.search(tags)
    if found is None:
        return "unknown", "unknown", "unknown"
    return (found[4], found[4], found[4]) if found[4] else (found[1], found[2], found[3])


def _kind(line: str) -> str:
    """What a line says that a stream is, such as "Audio"; empty for another line. Titles may say anything."""
    found = re.match(r"\s*Stream #0:.*?: (Video|Audio|Subtitle): ", line)
    return found[1] if found else ""


def _block(lines: list[str], index: int) -> list[str]:
    """What is said of the stream in a line: what is indented below it."""
    below = itertools.takewhile(lambda line: "Stream #" not in line, lines[index + 1 :])
    return [line.strip() for line in below]


def _seconds(lines: list[str], own: list[str], rest: str) -> float | None:
    """The length of the pictures: the stream's own, or the file's where nothing else could have determined that."""
    clock = r"\s*: ?(\d+):(\d\d):(\d\d(?:\.\d+)?)"
    stated = next((found for line in own if (found := re.match(r"DURATION" + clock, line))), None)
    if stated is None and sum(_kind(line) != "" for line in lines) == 1:
        stated = next((found for line in lines if (found := re.match(r"\s*Duration" + clock, line))), None)
    if stated is None:
        return None
    begins = re.search(r", start ([\d.]+)", rest)
    late = float(begins[1]) - _file_start(lines) if begins else 0.0
    return int(stated[1]) * 3600 + int(stated[2]) * 60 + float(stated[3]) - max(0.0, late)


def _file_start(lines: list[str]) -> float:
    found = next((found for line in lines if (found := re.match(r"\s*Duration: .*, start: ([\d.]+)", line))), None)
    return float(found[1]) if found else 0.0
