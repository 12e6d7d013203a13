"""A video from one side taken in: every frame cut out, one crop for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from a4d.config import plain
from a4d.errors import InvalidInputError
from a4d.framing import crop_around, cut
from a4d.intake.common import as_filmed, naming, same_size, write_filmed
from a4d.intake.cutting import CutOut
from a4d.intake.person_cutter import PersonCutter
from a4d.intake.settings import VideoSettings
from a4d.io.films.video import read_video
from a4d.io.pictures.images import list_images, read_image, write_image
from a4d.matting.matte import Matte, brightness_or_alpha, matte, nothing_of
from a4d.pixels import Array
from a4d.workspace.disk_space import require_space
from a4d.workspace.transaction import Transaction


class MaskedFrames:
    """Cuts frames out that come one after another, by masks that lie in a folder in their order.

    Args:
        folder: of the masks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._masks, self._taken = folder, list_images(folder), 0

    def __call__(self, frame: Array) -> Matte:
        """The subject alone; nothing where the mask is empty.

        Raises:
            InvalidInputError: there are no more masks, or one is damaged.
            UsageError: a mask is of another aspect ratio.
        """
        if self._taken == len(self._masks):
            raise InvalidInputError(*self._miscounted("more"))
        file = self._masks[self._taken]
        self._taken += 1
        mask = same_size(brightness_or_alpha(read_image(file)), frame.shape[:2], file)
        return matte(frame, mask=mask) if (mask > 0.5).any() else Matte(nothing_of(frame), "mask")

    def require_all_taken(self) -> None:
        """Check that there was a frame for each mask.

        Raises:
            InvalidInputError: there were fewer.
        """
        if self._taken < len(self._masks):
            raise InvalidInputError(*self._miscounted(f"{self._taken}"))

    def _miscounted(self, frames: str) -> tuple[str, str]:
        return (
            f"{self._folder} holds {len(self._masks)} masks, and {frames} frames are taken",
            "Give one for each frame that is taken, as --start, --end and --fps choose them",
        )


def take_video(
    work: Transaction, config: VideoSettings, cut_out: CutOut, person: PersonCutter | None = None
) -> dict[str, Any]:
    """Write every frame in one common crop, so that the subject's motion stays.

    Args:
        work: takes the frames.
        config: which frames are taken.
        cut_out: finds the subject of each, where no masks say it.
        person: cuts the subject out in its place.

    Raises:
        InvalidInputError: the film cannot be read, a frame shows no subject, or no frame shows a person.
    """
    path = work.workspace.source_path()
    video = read_video(path, config.start, config.end, config.fps, 2 * config.size)
    folder, files, methods, notes = work.replace("images"), list[Path](), set[str](), set[str]()
    masked = None if config.masks is None else MaskedFrames(config.masks)
    cut_out = masked or person or cut_out
    union: Array | None = None

    def warn(message: str) -> None:
        work.warn(message.replace(str(path), path.name))

    # A clip does not fit into memory: it waits on the disk until it is known where the subject goes.
    for frame in video.sound_frames(config.strict, warn):
        with naming(path, f"frame {len(files)} of those taken"):
            found = cut_out(frame)
        files.append(folder / f"{len(files):05d}.png")
        write_image(files[-1], found.rgba)
        if union is None:
            require_space(folder, (video.count or 1) * files[-1].stat().st_size, "--fps, --start, --end or --size")
            union = found.rgba[..., 3]
        union = np.maximum(union, found.rgba[..., 3])
        methods.add(found.method)
        notes.update(found.notes)
    assert union is not None
    with naming(path):
        if masked is not None:
            masked.require_all_taken()
        elif person is not None:
            person.require_found()
        crop = crop_around(union, config.size, config.margin)
    for file in files:
        write_image(file, cut(read_image(file), crop))
    if config.visibility:
        write_filmed(work, crop, len(files))
    if person is not None:
        person.write(work, crop)
    for note in sorted(notes):
        work.warn(note)
    facts = {"crop": plain(crop), "matting": sorted(methods), **as_filmed(work)}
    work.describe(frame_count=len(files), fps=video.fps, notes=facts)
    return {"frames": len(files), "fps": video.fps, "matting": ", ".join(sorted(methods))}
