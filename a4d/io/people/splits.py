"""Which frames are for training and which for tests, as the papers have it."""

from __future__ import annotations

from pathlib import Path

PEOPLE_SNAPSHOT = {
    "female-3-casual": ((0, 445, 4), (446, 647, 4)),
    "female-4-casual": ((0, 335, 4), (335, 523, 4)),
    "male-3-casual": ((0, 455, 4), (456, 675, 4)),
    "male-4-casual": ((0, 659, 6), (660, 872, 6)),
}
"""First and last frame and the step of either part, by the subject (InstantAvatar's settings)."""

TRAIN, TEST = "train", "test"


def snapshot_splits(folder: Path, count: int) -> list[tuple[int, str]]:
    """The frames of a subject of People-Snapshot that are used, and what for; of any other all, for training.

    Args:
        folder: called like the subject.
        count: of the frames that there are.
    """
    parts = PEOPLE_SNAPSHOT.get(folder.name)
    if parts is None:
        return [(frame, TRAIN) for frame in range(count)]
    return [
        (frame, split)
        for split, (first, last, step) in zip((TRAIN, TEST), parts, strict=True)
        for frame in range(first, last + 1, step)
        if frame < count
    ]


def named_splits(folder: Path, names: list[str]) -> list[tuple[int, str]]:
    """The frames that NeuMan's `train_split.txt` and `test_split.txt` name; else those of its rule.

    By the rule every fifth frame or so is held out, and of those the first half is for tests; the rest is for choosing
    settings, and used for neither.

    Args:
        folder: of the sequence.
        names: of all its images.
    """
    files = {split: folder / f"{split}_split.txt" for split in (TRAIN, TEST)}
    if all(file.is_file() for file in files.values()):
        split_of = {name.strip(): split for split, file in files.items() for name in file.read_text().splitlines()}
        return [(frame, split_of[name]) for frame, name in enumerate(names) if name in split_of]
    held_out = max(len(names) // 5, 1)
    step = max(len(names) // held_out, 1)
    validation = list(range(step // 2, len(names), step))
    tests = set(validation[: len(validation) // 2])
    others = set(validation) - tests
    return [(frame, TEST if frame in tests else TRAIN) for frame in range(len(names)) if frame not in others]
