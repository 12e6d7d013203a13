"""What the tests of file readers share."""

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture
def damaged():
    """A function from a file's bytes to many damaged versions: cut short, or with some bytes overwritten."""

    def versions(content: bytes, count: int) -> Iterator[bytes]:
        random = np.random.default_rng(len(content))
        for trial in range(count):
            broken = bytearray(content)
            if trial % 3 == 0:
                del broken[random.integers(1, len(broken)) :]
            else:
                for place in random.integers(0, len(broken), trial % 5 + 1):
                    broken[place] = random.integers(0, 256)
            yield bytes(broken)

    return versions
