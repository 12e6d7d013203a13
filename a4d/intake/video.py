"""A video from one side taken in: every frame of a shot cut out, one crop for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from a4d.config import plain
from a4d.errors import InvalidInputError
from a4d.framing import crop_around, cut
from a4d.intake.common import as_filmed, naming, write_filmed
from a4d.intake.cutting import Cutter, SubjectCutter
from a4d.intake.followed_subject import GATES, cut_out_together
from a4d.intake.given_masks import GivenMasks
from a4d.intake.person_cutter import PersonCutter
from a4d.intake.settings import VideoSettings
from a4d.intake.shots import chosen_shot
from a4d.io.films.video import Video, read_video, source_frames
from a4d.io.pictures.images import read_image, write_image
from a4d.matting.masks import touches_border
from a4d.matting.matte import Matte, matte, plain_matte
from a4d.pixels import SOLID, Array
from a4d.running.quality import judge
from a4d.workspace.disk_space import require_space
from a4d.workspace.transaction import Transaction

CutOut = Callable[[Array, int], Matte | None]
"""A frame and its place, to its subject; None where it has to be looked for among all frames."""


@dataclass
class _CutFrames:
    """Frames that wait on the disk until it is known where the subject goes: a clip does not fit into memory.

    Args:
        files: of the frames.
        union: (H, W) the largest alpha of all frames.
        waiting: places of frames whose subject has to be looked for.
        unseen: places of frames that show nothing of it.
        touching: places of frames whose border it reaches.
        methods: by which frames were cut out.
        notes: sentences that the user should see.
    """

    files: list[Path] = field(default_factory=list)
    union: Array | None = None
    waiting: list[int] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)
    touching: list[int] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)

    def add(self, index: int, found: Matte) -> None:
        """Keep what is known of a frame that was cut out."""
        alpha = found.rgba[..., 3]
        self.union = alpha if self.union is None else np.maximum(self.union, alpha)
        subject = alpha > SOLID
        self.unseen += [] if subject.any() else [index]
        self.touching += [index] if touches_border(subject) else []
        self.methods.add(found.method)
        self.notes.update(found.notes)


def take_video(
    work: Transaction, config: VideoSettings, subject: SubjectCutter, person: PersonCutter | None = None
) -> dict[str, Any]:
    """Write every frame in one common crop, so that the subject's motion stays.

    A frame that does not show the subject keeps its place, and is transparent. Where neither alpha nor a plain backdrop
    tells the subject, it is followed through the film.

    Args:
        work: takes the frames.
        config: which frames are taken, and how.
        subject: cuts it out of a frame by itself, or follows it through all, where a model is to.
        person: cuts the subject out in place of what the settings say.

    Raises:
        InvalidInputError: the film cannot be read, or no frame shows a subject.
        UsageError: there is no such shot.
    """
    path = work.workspace.source_path()

    def warn(message: str) -> None:
        work.warn(message.replace(str(path), path.name))

    shot, count = chosen_shot(path, config, warn)
    together = subject.follow is not None and person is None
    cut_out = _cutter(path, config, None if together else person or subject, shot, count)
    video = read_video(path, config.start, config.end, config.fps, 2 * config.size)
    # A film that breaks off says so after its last frame.
    stop = None if shot.stop == count else shot.stop
    frames = islice(video.sound_frames(config.strict, warn), shot.start, stop)
    taken = _cut_out(work, path, frames, video, cut_out)
    figures = _follow(work, taken, subject)
    assert taken.union is not None
    with naming(path):
        if person is not None:
            person.require_found()
        if len(taken.unseen) == len(taken.files):
            raise InvalidInputError("no frame shows a subject", "Give masks, or a film whose subject stands out")
        crop = crop_around(taken.union, config.size, config.margin)
    for file in taken.files:
        write_image(file, cut(read_image(file), crop))
    if config.visibility:
        write_filmed(work, crop, len(taken.files))
    if person is not None:
        person.write(work, crop)
    for note in (*sorted(taken.notes), *_remarks(taken)):
        work.warn(note)
    shot_facts = {"first_of_shot": shot.start} if shot.start or work.note("first_of_shot") else {}
    facts = {"crop": plain(crop), "matting": sorted(taken.methods), **shot_facts, **as_filmed(work)}
    work.describe(frame_count=len(taken.files), fps=video.fps, notes=facts)
    return {"frames": len(taken.files), "fps": video.fps, "matting": ", ".join(sorted(taken.methods)), **figures}


def _cutter(path: Path, config: VideoSettings, by_itself: Cutter | None, shot: range, count: int) -> CutOut:
    """What cuts one frame out; without `by_itself`, all frames wait for what follows their subject."""
    if config.masks is not None:
        return GivenMasks(config.masks, source_frames(path, count, config.start, config.end, config.fps).tolist(), shot)
    method = config.method
    if by_itself is None:
        return lambda _, __: None
    if method is None or method == "person":
        return lambda frame, _: by_itself(frame)
    if method == "rembg":
        return lambda frame, _: matte(frame, "rembg", must_show=False)
    return lambda frame, _: plain_matte(frame, method, is_of_film=True)


def _cut_out(work: Transaction, path: Path, frames: Iterator[Array], video: Video, cut_out: CutOut) -> _CutFrames:
    """Write the frames, cut out where each tells its subject by itself."""
    taken, folder = _CutFrames(), work.replace("images")
    for index, frame in enumerate(frames):
        with naming(path, f"frame {index} of those taken"):
            found = cut_out(frame, index)
        taken.files.append(folder / f"{index:05d}.png")
        write_image(taken.files[-1], frame if found is None else found.rgba)
        if index == 0:
            size = (video.count or 1) * taken.files[0].stat().st_size
            require_space(folder, size, "--fps, --start, --end or --size")
        if found is None:
            taken.waiting.append(index)
        else:
            taken.add(index, found)
    return taken


def _follow(work: Transaction, taken: _CutFrames, subject: SubjectCutter) -> dict[str, float]:
    """Cut the frames out that wait for it; the share of them whose masks are in doubt."""
    if not taken.waiting:
        return {}
    doubtful = []
    for index, found, is_sure in cut_out_together(taken.files, taken.waiting, subject):
        taken.add(index, found)
        doubtful += [] if is_sure else [index]
    figures = {"masks_doubtful": len(doubtful) / len(taken.waiting)}
    judge(work, {**figures, "first_doubtful": min(doubtful, default=0)}, GATES)
    return figures


def _remarks(taken: _CutFrames) -> Iterator[str]:
    """What the user should know of frames that do not show all of the subject."""
    for what, frames in (("is not seen in", taken.unseen), ("reaches the border of the picture in", taken.touching)):
        if frames:
            yield f"The subject {what} {len(frames)} of {len(taken.files)} frames, the first of them {min(frames):05d}"
