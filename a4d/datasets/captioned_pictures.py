"""Folders of pictures with captions, as Animate124's benchmark has them.

    FOLDER/benchmark.json        [{"name": "panda-dance", "caption": "a panda is dancing"}, ...]
    FOLDER/panda-dance/image.jpg     or rgba.png, which is taken first; processed ones lie in FOLDER/data/panda-dance

Without benchmark.json each picture's folder holds its `caption.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from a4d.documents import parse_json
from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.containment import contained

LIST = "benchmark.json"
CAPTION = "caption.txt"
PICTURES = ("rgba.png", "image.png", "image.jpg", "image.jpeg", "image.webp")
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture, and what it should do.

    Args:
        name: of its folder.
        path: of the picture.
        caption: one line.
    """

    name: str
    path: Path
    caption: str


def pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures of a folder that is laid out so, whether or not they have captions."""
    for root in (folder, folder / "data"):
        for below in sorted(root.iterdir()) if root.is_dir() else ():
            found = next((below / name for name in PICTURES if (below / name).is_file()), None)
            if found is not None:
                yield found


def captioned_pictures(folder: Path) -> list[CaptionedPicture]:
    """The pictures of a folder that are there, in the order of its list, else of their names.

    Raises:
        MissingInputError: there is no such folder, or it holds no captioned picture.
        InvalidInputError: the list, or a caption, cannot be read.
        OutsideError: a name leads out of the folder.
    """
    if not folder.is_dir():
        raise MissingInputError(
            f"{folder} is no folder", "Give a folder with benchmark.json, or with a folder per picture"
        )
    listed = _listed(folder / LIST) if (folder / LIST).is_file() else list(_beside(folder))
    found = [
        CaptionedPicture(name, path, caption)
        for name, caption in listed
        for path in [_picture(folder, name)]
        if path is not None
    ]
    if not found:
        raise MissingInputError(
            f"{folder} holds no picture with a caption", f"Put {PICTURES[2]} and {CAPTION} into a folder per picture"
        )
    return found


def _listed(path: Path) -> list[tuple[str, str]]:
    if path.stat().st_size > MOST_BYTES:
        raise InvalidInputError(f"{path} is too long for a list of captions")
    entries = parse_json(path.read_text("utf-8", errors="replace"), str(path))
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("name", "caption"))
        for entry in entries
    ):
        raise InvalidInputError(f"{path} is no list of entries with `name` and `caption`")
    return [(entry["name"], _one_line(entry["caption"])) for entry in entries]


def _beside(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob(f"*/{CAPTION}")):
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(f"{path} is too long for a caption")
        yield path.parent.name, _one_line(path.read_text("utf-8", errors="replace"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _picture(folder: Path, name: str) -> Path | None:
    places = (contained(folder, name), contained(folder, f"data/{name}"))
    paths = (place / picture for place in places for picture in PICTURES)
    return next((path for path in paths if path.is_file()), None)
