"""Random numbers as a function of a seed and a key, so that a resumed run draws what an uninterrupted one would."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LARGEST_SEED = 2**63 - 1


def generator(seed: int, *key: str | int) -> torch.Generator:
    """A CPU generator whose whole sequence follows from the seed and the key, such as a purpose and a step."""
    import torch

    text = "/".join(str(part) for part in (seed, *key))
    return torch.Generator().manual_seed(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big"))
