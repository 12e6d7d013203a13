"""Names for files and folders out of what users give: legible, of bounded length, and different where that differs.

python -m a4d.naming file|text VALUE        for scripts: the name of a file's workspace, or of a text's results
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
import unicodedata
from pathlib import Path

MOST_BYTES = 200
"""File systems take 255 bytes, of which suffixes need some."""
TEXT_BYTES = 48


def readable_name(name: str) -> str:
    """A name as text: bytes that are not UTF-8 are read as Windows' Western letters, which old archives have."""
    stored = os.fsencode(name)
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return stored.decode("cp1252", errors="replace")


def bounded(name: str) -> str:
    """The name itself; one longer than `MOST_BYTES` is cut to that and ends in a digest of it all."""
    return name if len(os.fsencode(name)) <= MOST_BYTES else f"{_cut(name, MOST_BYTES - 9)}-{_digest(name)}"


def name_of_text(text: str) -> str:
    """A text's letters and digits, of any script, up to `TEXT_BYTES` of them, with `-` between words.

    A digest of the text follows unless the name says it all, as it does of a few words in lower case.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).lower())
    name = _cut("-".join(words), TEXT_BYTES).rstrip("-")
    return name if name.replace("-", " ") == text else "-".join(filter(None, (name, _digest(text))))


def _cut(name: str, most: int) -> str:
    name = name[:most]
    while len(os.fsencode(name)) > most:
        name = name[:-1]
    return name


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def as_argument(path: Path | str) -> str:
    """A path as a shell and a command take it, also where it has blanks or begins like an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


if __name__ == "__main__":
    kind, value = sys.argv[1:]
    name = bounded(Path(readable_name(value)).stem) if kind == "file" else name_of_text(value)
    sys.stdout.buffer.write(os.fsencode(name) + b"\n")
