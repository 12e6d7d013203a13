"""In which order observed frames are looked at: each once per epoch, and never two sizes at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from a4d.randomness import generator


@dataclass(frozen=True)
class FrameOrder:
    """Runs of frames that stay together, shuffled anew in every epoch; a function of the step and the seed alone.

    Args:
        indices: of the frames, in the workspace's order.
        sizes: of the same frames; a batch holds frames of one size.
        run: frames that follow each other and stay together; those that make no whole run are left out.
        name: of the split, which has an order of its own.
    """

    indices: Sequence[int]
    sizes: Sequence[Hashable]
    run: int
    name: str

    def batch(self, runs: int, step: int, seed: int) -> list[int]:
        """The indices of one step's runs, which are as many as asked for; none where the frames make no whole run."""
        groups: dict[Hashable, list[int]] = {}
        for first in range(0, len(self.indices) - self.run + 1, self.run):
            groups.setdefault(self.sizes[first], []).append(first)
        if len(groups) < 2:
            starts = [start for group in groups.values() for start in group]
            return self._frames(self._drawn(starts, range(step * runs, (step + 1) * runs), seed))
        # Each size fills whole batches of its own, the last one with runs that come first in its next order.
        batches = [(group, number) for group in groups.values() for number in range(-(-len(group) // runs))]
        epoch, place = divmod(step, len(batches))
        order = torch.randperm(len(batches), generator=generator(seed, "sizes", self.name, epoch))
        group, number = batches[int(order[place])]
        count = -(-len(group) // runs) * runs
        first = epoch * count + number * runs
        return self._frames(self._drawn(group, range(first, first + runs), seed))

    def _drawn(self, starts: list[int], positions: range, seed: int) -> list[int]:
        drawn = []
        for position in positions if starts else ():
            epoch, place = divmod(position, len(starts))
            order = torch.randperm(len(starts), generator=generator(seed, "order", self.name, epoch))
            drawn.append(starts[int(order[place])])
        return drawn

    def _frames(self, starts: list[int]) -> list[int]:
        return [self.indices[start + offset] for start in starts for offset in range(self.run)]
