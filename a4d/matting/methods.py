"""How a subject is told from what is around it."""

from __future__ import annotations

from typing import Literal

Method = Literal["auto", "alpha", "drawing", "uniform", "grabcut", "rembg", "mask", "person"]
