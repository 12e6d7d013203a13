"""What libraries say of damaged files, in words that mean something to the owner of one."""

from __future__ import annotations

import re

CHUNK = re.compile(r"b'([ -&(-\[\]-~]*)'")
"""A name out of a file as Python writes bytes, where it can be read."""

PROGRAM = re.compile(
    r"\bb['\"]|\\x|invalid literal|could not convert|not enough values|too many values|unpack|out of range|"
    r"reshape|broadcast|buffer|dtype|codec|attribute|subscriptable|NoneType|object|argument|struct|errno|expected str",
    re.IGNORECASE,
)
"""Words about a program's own values rather than about a file."""

LONGEST = 120
"""Characters of a complaint."""


def complaint(error: Exception) -> str:
    """Why a file cannot be read: what a library says where that is about the file, else that it breaks its format."""
    words = CHUNK.sub(r"\1", " ".join(str(error).split()))
    if not words or not words.isprintable() or PROGRAM.search(words):
        return "its content breaks the format"
    return words[:LONGEST]


def quoted(text: str) -> str:
    """A word out of a file in quotation marks, cut to a readable length and without what cannot be printed."""
    return "'" + "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:60]) + "'"
