"""Tensors that are made when they are asked for, of which the last ones used stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import overload

from torch import Tensor

from a4d.runtime import release_freed_memory

LIMIT = 128 * 2**20
"""Bytes that stay in memory: 128 pictures of 512 x 512 with 8 bits per sample."""

RELEASED = LIMIT // 4
"""Bytes that are forgotten between two times that freed memory is given back."""


class Recent:
    """A store of tensors by key that forgets those which were used longest ago.

    Args:
        limit: bytes of all tensors together; one that is larger alone is kept until the next comes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.size = limit, 0
        self._forgotten = 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What a key stands for, made unless it is remembered; not to be changed by whoever asks."""
        if key not in self._kept:
            made = make()
            self._kept[key] = made
            self.size += made.nbytes
            self._forget()
            return made
        self._kept.move_to_end(key)
        return self._kept[key]

    def _forget(self) -> None:
        while self.size > self.limit and len(self._kept) > 1:
            oldest = self._kept.popitem(last=False)[1].nbytes
            self.size -= oldest
            self._forgotten += oldest
        if self._forgotten >= RELEASED:
            release_freed_memory()
            self._forgotten = 0


class Chosen(Sequence[Tensor]):
    """Places of other sequences, none of which is looked at before it is asked for.

    Args:
        places: pairs of a sequence and an index into it.
    """

    def __init__(self, places: Iterable[tuple[Sequence[Tensor], int]]) -> None:
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Chosen: ...

    def __getitem__(self, index: int | slice) -> Tensor | Chosen:
        if isinstance(index, slice):
            return Chosen(self._places[index])
        sequence, place = self._places[index]
        return sequence[place]


class Made(Sequence[Tensor]):
    """Tensors that a function makes anew whenever they are asked for.

    Args:
        count: of them.
        make: the tensor of a place.
    """

    def __init__(self, count: int, make: Callable[[int], Tensor]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Chosen: ...

    def __getitem__(self, index: int | slice) -> Tensor | Chosen:
        if isinstance(index, slice):
            return Chosen((self, place) for place in range(self._count)[index])
        return self._make(range(self._count)[index])
