"""A video from one side taken in: every frame cut out, one crop for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from a4d.config import plain
from a4d.framing import crop_around, cut
from a4d.intake.common import naming, write_filmed
from a4d.intake.settings import VideoSettings
from a4d.io.films.video import read_video
from a4d.io.pictures.images import read_image, write_image
from a4d.matting.matte import matte
from a4d.pixels import Array
from a4d.workspace.disk_space import require_space
from a4d.workspace.transaction import Transaction


def take_video(work: Transaction, config: VideoSettings) -> dict[str, Any]:
    """Write every frame in one common crop, so that the subject's motion stays.

    Raises:
        InvalidInputError: the film cannot be read, or a frame shows no subject.
    """
    path = work.workspace.source_path()
    video = read_video(path, config.start, config.end, config.fps, 2 * config.size)
    folder, files, methods, notes = work.replace("images"), list[Path](), set[str](), set[str]()
    union: Array | None = None

    def warn(message: str) -> None:
        work.warn(message.replace(str(path), path.name))

    # A clip does not fit into memory: it waits on the disk until it is known where the subject goes.
    for frame in video.sound_frames(config.strict, warn):
        with naming(path, f"frame {len(files)} of those taken"):
            found = matte(frame, config.matting)
        files.append(folder / f"{len(files):05d}.png")
        write_image(files[-1], found.rgba)
        if union is None:
            require_space(folder, (video.count or 1) * files[-1].stat().st_size, "--fps, --start, --end or --size")
            union = found.rgba[..., 3]
        union = np.maximum(union, found.rgba[..., 3])
        methods.add(found.method)
        notes.update(found.notes)
    assert union is not None
    crop = crop_around(union, config.size, config.margin)
    for file in files:
        write_image(file, cut(read_image(file), crop))
    if config.visibility:
        write_filmed(work, crop, len(files))
    for note in sorted(notes):
        work.warn(note)
    work.describe(frame_count=len(files), fps=video.fps, notes={"crop": plain(crop), "matting": sorted(methods)})
    return {"frames": len(files), "fps": video.fps, "matting": ", ".join(sorted(methods))}
