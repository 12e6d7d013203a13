"""Which image of a capture a file is, by its path: rigs name the files of all their cameras alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from a4d.errors import InvalidInputError


def match_images(files: Sequence[PurePosixPath], images: Sequence[Path]) -> list[int | None]:
    """For each file the index of the image that agrees with most of its path, from the end; None where no name agrees.

    Args:
        files: with as many of their folders as are known.
        images: of a capture.

    Raises:
        InvalidInputError: several images agree equally well.
    """
    named: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        named.setdefault(image.name, []).append(index)
    return [_match(file, named.get(file.name, []), images) for file in files]


def _match(file: PurePosixPath, candidates: list[int], images: Sequence[Path]) -> int | None:
    agreement = [_agreement(file, images[index]) for index in candidates]
    best = [index for index, parts in zip(candidates, agreement, strict=True) if parts == max(agreement)]
    alike = list(dict.fromkeys(images[index] for index in best))
    if len(alike) > 1:
        raise InvalidInputError(
            f"the cameras of {len(alike)} images fit {file}: {alike[0]}, {alike[1]}{', ...' if alike[2:] else ''}",
            f"Give cameras of one folder, or take the images in from a folder named {_first_difference(alike)}",
        )
    return best[-1] if best else None


def _agreement(file: PurePosixPath, image: Path) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(file.parts[::-1], image.parts[::-1])))  # noqa: B905


def _first_difference(alike: Sequence[Path]) -> str:
    return " or ".join(image.parent.name for image in alike[:2])
