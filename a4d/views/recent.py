"""Tensors that are made when they are asked for, of which the last ones used stay in memory."""

from __future__ import annotations

from abc import abstractmethod
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


class OnDemand(Sequence[Tensor]):
    """Tensors that are made when one is asked for by its index; a slice of them makes none."""

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Chosen: ...

    def __getitem__(self, index: int | slice) -> Tensor | Chosen:
        places = range(len(self))[index]
        if isinstance(places, range):
            return Chosen((self, place) for place in places)
        return self.made(places)

    @abstractmethod
    def made(self, place: int) -> Tensor:
        """The tensor of a place among `range(len(self))`."""


class Chosen(OnDemand):
    """Places of other sequences, none of which is looked at before it is asked for.

    Args:
        places: pairs of a sequence and an index into it.
    """

    def __init__(self, places: Iterable[tuple[Sequence[Tensor], int]]) -> None:
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    def made(self, place: int) -> Tensor:
        """The tensor of another sequence that a place stands for."""
        sequence, index = self._places[place]
        return sequence[index]


class Made(OnDemand):
    """Tensors that a function makes anew whenever they are asked for.

    Args:
        count: of them.
        make: the tensor of a place.
    """

    def __init__(self, count: int, make: Callable[[int], Tensor]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def made(self, place: int) -> Tensor:
        """What the function makes of a place."""
        return self._make(place)
