"""A kernel that holds every silhouette against every other."""

import numpy as np
from numpy.typing import NDArray

from a4d.kernel_cache import njit


@njit(cache=True, error_model="numpy", nogil=True)
def uncovered(
    inside: NDArray[np.bool_], pixel: NDArray[np.int32], masks: NDArray[np.bool_], missed: NDArray[np.float64]
) -> None:
    """Say how much of each frame's silhouette the hull of it and of one other frame leaves bare.

    Args:
        inside: (F, V) bool, whether a voxel lies on the subject.
        pixel: (F, V) int32 the pixel that shows it, or -1 where none does.
        masks: (F, P) bool.
        missed: (F, F) float64, filled: of each frame (row), beside each other (column), a share of its pixels.
    """
    last = np.full(masks.shape[1], -1)
    for frame in range(len(inside)):
        own, area = np.flatnonzero(inside[frame]), max(masks[frame].sum(), 1)
        for other in range(len(inside)):
            pair, covered = frame * len(inside) + other, 0
            for voxel in own:
                if inside[other, voxel] and last[pixel[frame, voxel]] != pair:
                    last[pixel[frame, voxel]] = pair
                    covered += 1
            missed[frame, other] = 1 - covered / area
