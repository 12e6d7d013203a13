"""Numbers in the text of files, parsed many at a time."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from a4d.errors import InvalidInputError
from a4d.io.complaints import quoted

NOT_A_NUMBER = re.compile(rb"[+-]?(?:1\.#\w*|s?nan(?:\(\w*\))?)", re.IGNORECASE)
"""How C libraries print what is no number; `1.#INF` is none that a mesh could use either."""
COMMENT = re.compile(rb"[ \t]#[^\n]*")
DECIMAL_COMMA = re.compile(rb"[+-]?\d+,\d+")


def leading_numbers(text: bytes) -> tuple[NDArray[np.float64], bool]:
    """Numbers separated by white space, up to the first word that is none, and whether that is the end of the text."""
    numbers = _parsed(text, np.float64)
    if numbers is not None:
        return numbers, True
    found, words = list[float](), text.split()
    for word in words:
        number = _number(word)
        if number is None:
            break
        found.append(number)
    return np.array(found, np.float64), len(found) == len(words)


def leading_indices(text: bytes) -> tuple[NDArray, bool]:
    """The same for numbers that should be whole, which are parsed faster and come as int64 if they are."""
    numbers = _parsed(text, np.int64)
    return (numbers, True) if numbers is not None else leading_numbers(text)


def _parsed(text: bytes, kind: DTypeLike) -> NDArray | None:
    """All numbers of a text, or None where it holds something else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            return np.fromstring(text, kind, sep=" ")
    except (ValueError, DeprecationWarning):
        return None


def _number(word: bytes) -> float | None:
    if NOT_A_NUMBER.fullmatch(word):
        return np.nan
    try:
        return None if b"_" in word else float(word)
    except ValueError:
        return None


@dataclass(frozen=True)
class NumberRows:
    """Lines of numbers.

    Args:
        values: of all lines, one after the other.
        counts: (N,) int64 how many each line has.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """(N,) where the values of each line begin."""
        return np.cumsum(self.counts) - self.counts

    def column(self, index: int, missing: float = np.nan) -> NDArray[np.float64]:
        """(N,) the number at that place of each line."""
        has_it = self.counts > index
        if has_it.all():
            return self.values[self.first + index]
        column = np.full(len(self.counts), missing)
        column[has_it] = self.values[self.first[has_it] + index]
        return column

    def columns(self, start: int, stop: int, missing: float = np.nan) -> NDArray[np.float64]:
        """(N, stop - start) the numbers at those places of each line."""
        return np.stack([self.column(index, missing) for index in range(start, stop)], axis=1)


def word_counts(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the words of a text begin, and (N,) how many of them each of its lines has."""
    characters = np.frombuffer(text + b"\n", np.uint8)
    is_space = characters <= ord(" ")
    starts = np.flatnonzero(~is_space & np.concatenate([[True], is_space[:-1]]))
    ends = np.flatnonzero(characters == ord("\n"))
    return starts, np.diff(np.searchsorted(starts, ends), prepend=0)


def number_rows(
    path: Path,
    what: str,
    text: bytes,  # of one line or more; none where it is empty
) -> NumberRows:
    """The numbers of lines that hold nothing else but comments; any may be infinite or not a number.

    Raises:
        InvalidInputError: names the file, what the lines hold, and the first that holds something else.
    """
    if not text:
        return NumberRows(np.zeros(0), np.zeros(0, np.int64))
    text = without_comments(text)
    _, counts = word_counts(text)
    values, is_whole = leading_numbers(text)
    if not is_whole or len(values) != counts.sum():
        culprit = min(int(np.searchsorted(np.cumsum(counts), len(values), "right")), len(counts) - 1)
        raise no_numbers(path, what, text.split(b"\n")[culprit])
    return NumberRows(values, counts)


def without_comments(text: bytes) -> bytes:
    """Lines of numbers without what is said behind them."""
    return COMMENT.sub(b"", text) if b"#" in text else text


def no_numbers(path: Path, what: str, line: bytes) -> InvalidInputError:
    """The refusal of a line that should hold numbers."""
    words = quoted(line.decode("utf-8", errors="replace").strip())
    if DECIMAL_COMMA.search(line):
        return InvalidInputError(f"{path} has a {what} with decimal commas: {words}", "Write decimals with a point")
    return InvalidInputError(f"{path} has a {what} that is no row of numbers: {words}", "Export it again")
