"""The ffmpeg program: how it is started on files of strangers, and what its complaints mean for the user's film."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from a4d.errors import BackendUnavailableError

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,asf_o,flv,live_flv,kux,swf,mpeg,mpegts,mpegtsraw,mpegvideo,ogg,"
    "mxf,gxf,dv,rm,ivr,nut,nuv,nsv,wtv,pva,ty,ivf,obu,av1,h261,h263,h264,hevc,vvc,evc,apv,vc1,vc1test,m4v,mjpeg,jpeg_pipe,dirac,"
    "dnxhd,cavsvideo,avs2,avs3,yuv4mpegpipe,apng,gif,webp_anim,jpegxl_anim,flic,smk,bink,roq,film_cpk,rpl,mlv,cine,r3d,"
    "ser,dhav,thp,vivo,vividas,xmv,pmp,mtv"
)
"""What ffmpeg may take a file for: containers and streams that hold their film themselves.

Playlists, scripts, session descriptions and patterns of file names are left out: they lead to other files.
"""

NO_INDEX = "its index is missing, as where a recording was not finished or not copied whole"

_WRAPPERS = re.compile(r"Error (opening|during|while opening|marking)|At least one output file|Conversion failed|Task ")
"""Lines that repeat that something failed, without saying what."""

_LEVEL = re.compile(r"^(?:\[[^\]]* @ [^\]]*\] )*\[(\w+)\] ?(.*)")


def start_ffmpeg(arguments: list[str], **pipes: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start ffmpeg; each line of its log is marked with its level.

    Args:
        arguments: of its command line.
        pipes: `stdin`, `stdout` and `stderr` of the process.

    Raises:
        BackendUnavailableError: there is none, or it does not start.
    """
    try:
        executable = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise BackendUnavailableError(
            "there is no ffmpeg on this machine", "Install imageio-ffmpeg, or name one in IMAGEIO_FFMPEG_EXE"
        ) from None
    try:
        return subprocess.Popen([executable, "-hide_banner", *arguments], **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise BackendUnavailableError(
            f"ffmpeg at {executable} does not start: {error.strerror}", "Correct or unset IMAGEIO_FFMPEG_EXE"
        ) from None


def input_options(path: Path) -> list[str]:
    """The options that open a film: it leads to no other file and no network, and its name is never an option."""
    return ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", f"file:{path}"]


def report_lines(log: bytes, levels: tuple[str, ...]) -> list[str]:
    """The lines of a log that have one of some levels, such as "error", without their marks."""
    found = (_LEVEL.match(line) for line in log.decode(errors="replace").splitlines())
    return [line[2] for line in found if line and line[1] in levels]


def complaint(log: bytes, path: Path) -> str:
    """What is wrong with a file in ffmpeg's opinion; empty where it does not complain."""
    lines = [line.strip() for line in report_lines(log, ("error", "fatal", "panic"))]
    lines = [line for line in lines if line and not _WRAPPERS.search(line)]
    for words, meaning in _MEANINGS.items():
        if any(words in line for line in lines):
            return meaning
    return lines[0].replace(f"file:{path}", path.name).rstrip(".") if lines else ""


_MEANINGS = {
    "not on whitelist": "it is a list of other files, or a picture",
    "moov atom not found": NO_INDEX,
    "error reading header": "its index is damaged or cut off",
    "ended prematurely": "the file is cut off",
    "partial file": "the file is cut off",
    "corrupt input packet": "the data of a frame is corrupt or cut off",
    "Invalid NAL unit size": "the data of a frame is corrupt or cut off",
    "Permission denied": "this user may not read it",
}
