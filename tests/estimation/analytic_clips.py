"""Clips whose optical flow is known: a textured bar of two bones that bends while it travels, seen flat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 128
BONE = 44.0
"""Pixels from joint to joint."""

WIDTH = 14.0
"""Pixels from the axis of a bone to its side."""


def angles(moment: int) -> tuple[float, float]:
    """Radians of both bones against the horizontal; the second turns faster."""
    return 0.02 * moment, 0.02 * moment + 0.035 * moment


def root(moment: int) -> NDArray[np.float64]:
    """(2,) pixels of the first joint."""
    return np.array([22.0 + 0.8 * moment, 60.0 - 0.5 * moment])


def _frames(moment: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Origin (2,) and axes (2, 2) of each bone, in pixels."""
    first, second = angles(moment)
    axes = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in (first, second)]
    joint = root(moment)
    return [(joint, axes[0]), (joint + axes[0] @ [BONE, 0], axes[1])]


def _inside(local: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (np.abs(local[..., 1]) < WIDTH) & (local[..., 0] > 0) & (local[..., 0] < BONE)


def _texture(local: NDArray[np.float64], bone: int) -> NDArray[np.float64]:
    """(..., 3) in [0, 1], of waves that no frame shows twice."""
    x, y = local[..., 0] + 61.0 * bone, local[..., 1]
    waves = [
        np.sin(0.9 * x + 0.3 * y) * np.sin(0.23 * x - 0.7 * y + bone),
        np.sin(0.37 * x + 0.81 * y + 1) * np.cos(0.51 * x - 0.2 * y),
        np.sin(0.17 * x * (1 + 0.01 * x) - 0.45 * y),
    ]
    return 0.5 + 0.4 * np.stack(waves, axis=-1)


def picture(moment: int) -> NDArray[np.float32]:
    """(H, W, 4) straight RGBA, the mean of 3x3 samples a pixel."""
    steps = (np.arange(3 * SIZE) + 0.5) / 3
    places = np.stack(np.meshgrid(steps, steps), axis=-1)
    rgba = np.zeros((3 * SIZE, 3 * SIZE, 4))
    for bone, (origin, axes) in enumerate(_frames(moment)):
        local = (places - origin) @ axes
        inside = _inside(local)
        rgba[inside, :3], rgba[inside, 3] = _texture(local, bone)[inside], 1
    fine = rgba.reshape(SIZE, 3, SIZE, 3, 4)
    alpha = fine[..., 3:].mean((1, 3))
    colour = (fine[..., :3] * fine[..., 3:]).mean((1, 3)) / np.maximum(alpha, 1e-6)
    return np.concatenate([colour, alpha], axis=-1).astype(np.float32)


def true_flow(moment: int, other: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(H, W, 2) pixels right and down to where each pixel's point is at another moment, and (H, W) where it is seen."""
    steps = np.arange(SIZE) + 0.5
    places = np.stack(np.meshgrid(steps, steps), axis=-1)
    flow, shown = np.zeros((SIZE, SIZE, 2)), np.zeros((SIZE, SIZE), np.bool_)
    for bone, ((origin, axes), (target, turned)) in enumerate(zip(_frames(moment), _frames(other), strict=True)):
        local = (places - origin) @ axes
        inside = _inside(local)
        moved = local @ turned.T + target
        # The second bone lies over the first.
        (next_origin, next_axes) = _frames(other)[1]
        covered = _inside((moved - next_origin) @ next_axes) if bone == 0 else np.zeros_like(inside)
        flow[inside] = (moved - places)[inside]
        shown = np.where(inside, ~covered, shown)
    return flow, shown
