"""What the URIs of a glTF file refer to: data inside the file, or files in its folder and nowhere else."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, unquote_to_bytes

from a4d.errors import InvalidInputError, OutsideError
from a4d.io.containment import contained
from a4d.io.files import read_bytes

DATA_HEADER = re.compile(r"[\w.+/-]*(;[\w.+-]+=[^;,]*)*(?P<base64>;base64)?", re.ASCII)
"""What stands between `data:` and the comma (RFC 2397)."""

FOREIGN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|.*\0", re.DOTALL)
"""A scheme or drive, or a character that ends paths."""


def read_resource(path: Path, uri: str) -> bytes:
    """The bytes that a URI stands for.

    Args:
        path: of the glTF file.
        uri: a data URI, or a percent-encoded path relative to the file's folder, be it with backslashes.

    Raises:
        MissingInputError: the file does not exist.
        InvalidInputError: the URI is malformed.
        OutsideError: it is absolute, or leads out of the folder, be it by a link.
    """
    if uri[:5].lower() == "data:":
        return _embedded(path, uri)
    relative = unquote(uri).replace("\\", "/")
    try:
        if not relative or FOREIGN.match(relative):
            raise OutsideError("no relative path")
        target = contained(path.parent, normpath(relative))
    except OutsideError as error:
        raise OutsideError(
            f"{path}: the resource {shortened(uri)} is no file in the asset's folder", "Copy it there, or embed it"
        ) from error
    return read_bytes(target)


def _embedded(path: Path, uri: str) -> bytes:
    header, comma, body = uri[5:].partition(",")
    match = DATA_HEADER.fullmatch(header)
    if not comma or match is None:
        raise InvalidInputError(f"{path}: the data URI {shortened(uri)} is malformed", "Export it again")
    if not match["base64"]:
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote(body), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(
            f"{path}: the data URI {shortened(uri)} is not valid base64", "Export it again"
        ) from error


def shortened(text: str) -> str:
    """The text quoted, for a message, with its end left out where it is long."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
