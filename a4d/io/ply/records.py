"""The records of a PLY element: numbers and lists of them in any of the three encodings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.complaints import quoted
from a4d.io.number_text import leading_numbers, word_counts
from a4d.io.ply.header import PlyElement

LONGEST_LIST = 2**53
"""No file holds as much; beyond it not every whole number is a double."""


@dataclass(frozen=True)
class PlyLists:
    """A property whose values differ in number.

    Args:
        counts: (N,) int64 of each record.
        values: (counts.sum(),) one record after the other.
    """

    counts: NDArray[np.int64]
    values: NDArray


@dataclass(frozen=True)
class PlyTable:
    """The records of one element.

    Args:
        element: their description.
        columns: scalar properties, (count,) each; ASCII numbers are float64 whatever type is declared.
        lists: the other properties.
    """

    element: PlyElement
    columns: dict[str, NDArray]
    lists: dict[str, PlyLists]


@dataclass(frozen=True)
class Words:
    """The numbers of an ASCII body; positions count words.

    Args:
        numbers: up to the end, or to the first word that is none.
        is_whole: whether they go to the end.
        lines: (L + 1,) where each line with something in it begins, and the end.
    """

    numbers: NDArray[np.float64]
    is_whole: bool
    lines: NDArray[np.int64]

    @classmethod
    def of(cls, text: bytes) -> Words:
        """Parse a body."""
        numbers, is_whole = leading_numbers(text)
        _, counts = word_counts(text.replace(b"\r", b"\n"))
        return cls(numbers, is_whole, np.concatenate([[0], np.cumsum(counts[counts > 0])]))

    def __len__(self) -> int:
        return len(self.numbers)

    def size(self, kind: str) -> int:
        """Of a value, in words."""
        return 1

    def count(self, position: int, kind: str) -> int:
        """The length that a list states of itself; -1 for one that is no length."""
        value = self.numbers[position]
        return int(value) if 0 <= value < LONGEST_LIST and value == int(value) else -1

    def values(self, positions: NDArray[np.int64], kind: str) -> NDArray:
        """The values that begin at some positions, in the order given."""
        return self.numbers[positions]


@dataclass(frozen=True)
class Bytes:
    """A binary body; positions count bytes."""

    content: bytes
    order: str

    def __len__(self) -> int:
        return len(self.content)

    def size(self, kind: str) -> int:
        """Of a value, in bytes."""
        return np.dtype(kind).itemsize

    def count(self, position: int, kind: str) -> int:
        """The length that a list states of itself; -1 for one that is no length."""
        if kind == "u1":
            return self.content[position]
        value = np.frombuffer(self.content, self.order + kind, 1, position)[0]
        return int(value) if value >= 0 and value == int(value) else -1

    def values(self, positions: NDArray[np.int64], kind: str) -> NDArray:
        """The values that begin at some positions, in the order given, as native numbers."""
        dtype = np.dtype(self.order + kind)
        # Values lie anywhere, so that one may begin at every byte.
        everywhere = np.ndarray((max(len(self.content) - dtype.itemsize + 1, 0),), dtype, self.content, 0, (1,))
        return everywhere[positions].astype(kind)


def read_table(body: Words | Bytes, position: int, element: PlyElement, path: Path) -> tuple[PlyTable, int]:
    """An element's records from a position on, and the position behind them."""
    if not element.count or not element.properties:
        columns = {p.name: np.zeros(0, p.type) for p in element.properties if not p.count_type}
        nothing = PlyLists(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return PlyTable(element, columns, {p.name: nothing for p in element.properties if p.count_type}), position
    starts, counts, end = _Layout.of(element, body).places(body, position, element, path)
    columns, lists, part, offset = dict[str, NDArray](), dict[str, PlyLists](), 0, 0
    for p in element.properties:
        if p.count_type is None:
            columns[p.name] = body.values(starts[:, part] + offset, p.type)
            offset += body.size(p.type)
            continue
        lengths = counts[:, part]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        first = starts[:, part] + offset + body.size(p.count_type)
        lists[p.name] = PlyLists(lengths, body.values(np.repeat(first, lengths) + within * body.size(p.type), p.type))
        part, offset = part + 1, 0
    return PlyTable(element, columns, lists), end


@dataclass(frozen=True)
class _Layout:
    """A record as parts that each end with a list, and a tail of scalars.

    Args:
        lists: of each part: size of the scalars before its list, type of the list's length, its size, that of a value.
        tail: size of the scalars after the last list.
    """

    lists: tuple[tuple[int, str, int, int], ...]
    tail: int

    @classmethod
    def of(cls, element: PlyElement, body: Words | Bytes) -> _Layout:
        """The layout of an element's records."""
        lists, before = list[tuple[int, str, int, int]](), 0
        for p in element.properties:
            if p.count_type is None:
                before += body.size(p.type)
            else:
                lists.append((before, p.count_type, body.size(p.count_type), body.size(p.type)))
                before = 0
        return cls(tuple(lists), before)

    def places(
        self, body: Words | Bytes, position: int, element: PlyElement, path: Path
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """(N, L + 1) where each part of each record begins, (N, L) the lengths of its lists, and where all end."""
        by_lines = self._places_in_lines(body, position, element.count) if isinstance(body, Words) else None
        if by_lines is not None:
            return by_lines
        one = self._lengths(body, position, 1, element, path)
        before = self._starts(position, one)
        if not len(one) or before[0, -1] + self.tail > len(body):
            raise _unreadable(body, path, element, 0)
        size = int(before[0, -1]) + self.tail - position
        available = (len(body) - position) // size
        shifts = np.arange(min(available, element.count))[:, None] * size
        starts, lengths = before + shifts, np.broadcast_to(one, (len(shifts), len(self.lists)))
        # Mostly all lists are of one length.
        is_alike = all(
            (body.values(starts[:, part] + scalars, kind) == one[0, part]).all()
            for part, (scalars, kind, _, _) in enumerate(self.lists)
        )
        if self.lists and not (is_alike and available >= element.count):
            lengths = self._lengths(body, position, element.count, element, path)
            starts = self._starts(position, lengths)
            is_there = starts[:, -1] + self.tail <= len(body)
            starts, lengths = starts[is_there], lengths[is_there]
        if len(starts) < element.count:
            raise _unreadable(body, path, element, len(starts))
        return starts, lengths, int(starts[-1, -1]) + self.tail

    def _places_in_lines(
        self, body: Words, position: int, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int] | None:
        """The places of records that have a line each, as is the custom; more may stand in it than is declared."""
        first = int(np.searchsorted(body.lines, position))
        if first + count >= len(body.lines) or body.lines[first] != position or body.lines[first + count] > len(body):
            return None
        starts, ends = [body.lines[first : first + count]], body.lines[first + 1 : first + count + 1]
        lengths = list[NDArray[np.int64]]()
        for scalars, _, width, size in self.lists:
            place = starts[-1] + scalars
            if (place >= ends).any():
                return None
            stated = body.numbers[place]
            # Compared before they are made whole numbers, which might not hold them.
            if not ((stated >= 0) & (stated < ends - place) & (stated == np.floor(stated))).all():
                return None
            lengths.append(stated.astype(np.int64))
            starts.append(place + width + lengths[-1] * size)
        if (starts[-1] + self.tail > ends).any():
            return None
        return np.stack(starts, axis=1), np.array(lengths, np.int64).reshape(-1, count).T, int(ends[-1])

    def _starts(
        self,
        position: int,
        lengths: NDArray[np.int64],  # (N, L)
    ) -> NDArray[np.int64]:
        """(N, L + 1) where each part of each record begins."""
        sizes = np.stack([np.full(len(lengths), 0), *(
            scalars + width + lengths[:, part] * size for part, (scalars, _, width, size) in enumerate(self.lists)
        )], axis=1)  # fmt: skip
        records = sizes.sum(1) + self.tail
        return position + (np.cumsum(records) - records)[:, None] + np.cumsum(sizes, axis=1)

    def _lengths(
        self, body: Words | Bytes, position: int, records: int, element: PlyElement, path: Path
    ) -> NDArray[np.int64]:
        """(N, L) what the lists of up to so many records state as their lengths, as far as the file goes."""
        lengths, limit = list[int](), len(body)
        for _ in range(records):
            for scalars, kind, width, size in self.lists:
                position += scalars
                if position + width > limit:
                    return self._whole(lengths)
                length = body.count(position, kind)
                if length < 0:
                    raise InvalidInputError(
                        f"{path} has a list in {quoted(element.name)} whose length is no whole number"
                    )
                position += width + length * size
                lengths.append(length)
            position += self.tail
            if position > limit:
                break
        return self._whole(lengths, 1 if not self.lists else 0)

    def _whole(self, lengths: list[int], records: int = 0) -> NDArray[np.int64]:
        """The lengths of those records that all lists are known of."""
        width = len(self.lists)
        count = len(lengths) // width if width else records
        return np.array(lengths[: count * width], np.int64).reshape(count, width)


def _unreadable(body: Words | Bytes, path: Path, element: PlyElement, found: int) -> InvalidInputError:
    if isinstance(body, Words) and not body.is_whole:
        return InvalidInputError(f"{path} holds something that is no number in {quoted(element.name)}")
    return InvalidInputError(
        f"{path} is truncated: its header promises {element.count} records of {quoted(element.name)}, "
        f"the file holds {found}",
        "Copy or download it again",
    )
