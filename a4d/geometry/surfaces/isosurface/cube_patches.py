"""Which surface patches a cube holds for each set of inside corners: the cases of manifold dual marching cubes.

The corners of a cube are numbered x + 2y + 4z. Edge 4 axis + slot runs along the axis from the corner whose other two
coordinates, those of the next axes in cyclic order, are SLOTS[slot]. Face 2 axis + side is the one at that side.

An edge whose ends differ in sign carries one surface vertex. Each face joins the two vertices on its edges by a
segment; where its signs alternate it has four vertices and cuts off either its two inside or its two outside corners.
The segments of a cube form closed loops, and each loop bounds one patch. Dual marching cubes (Nielson 2004) puts one
vertex in each patch and one quad around each grid edge. The result is a manifold unless both segments of a face belong
to one patch in each of the two cubes that share it: then two dual edges coincide (Wenger 2013, Isosurfaces,
section 3.3.5; Shen et al. 2023, FlexiCubes).

By default faces cut off inside corners. In 36 cases this leaves a face with both segments in one patch; none of them
has another alternating face. Hence, where such a face meets such a face, both cubes can cut off its outside corners
instead, which parts the segments in both and touches no other cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

SLOTS = ((0, 0), (1, 0), (1, 1), (0, 1))
"""Where an edge lies in a cube, counter-clockwise about its axis."""


def _edge_ends(edge: int) -> tuple[int, int]:
    axis, (second, third) = edge // 4, SLOTS[edge % 4]
    low = second << (axis + 1) % 3 | third << (axis + 2) % 3
    return low, low | 1 << axis


EDGE_ENDS = tuple(_edge_ends(edge) for edge in range(12))
"""The corners at the low and high end of each edge."""


@dataclass(frozen=True)
class CubePatches:
    """The patches of the 256 cases, a case being the sum of 2^k over the inside corners k; by default and inverted.

    Args:
        patch: (2, 256, 12) int64, the patch through each edge, -1 where the edge does not cross the surface.
        counts: (2, 256) int64, the number of patches, at most 4.
        doubled_face: (256,) int64, the face whose two segments lie in one patch by default, or -1.
    """

    patch: Tensor
    counts: Tensor
    doubled_face: Tensor

    def to(self, device: torch.device) -> CubePatches:
        """The same tables on another device."""
        return CubePatches(self.patch.to(device), self.counts.to(device), self.doubled_face.to(device))


@cache
def cube_patches() -> CubePatches:
    """Derive the patches of all cases, with the alternating faces cutting off inside (0) and outside (1) corners."""
    patch = torch.full((2, 256, 12), -1, dtype=torch.int64)
    doubled_face = torch.full((256,), -1, dtype=torch.int64)
    for cut_off in (0, 1):
        for case in range(256):
            segments = [_segments(face, case, bool(cut_off)) for face in range(6)]
            loop_of_edge = _loops([segment for on_face in segments for segment in on_face])
            for edge, loop in loop_of_edge.items():
                patch[cut_off, case, edge] = loop
            for face, on_face in enumerate(segments):
                if cut_off == 0 and len(on_face) == 2 and len({loop_of_edge[edge] for edge, _ in on_face}) == 1:
                    doubled_face[case] = face
    return CubePatches(patch, patch.amax(-1) + 1, doubled_face)


def _segments(face: int, case: int, cut_off_outside: bool) -> list[tuple[int, int]]:
    """Pairs of edges that the surface joins across a face."""
    axis, side = divmod(face, 2)
    ring = [side << axis | u << (axis + 1) % 3 | v << (axis + 2) % 3 for u, v in SLOTS]
    inside = [bool(case >> corner & 1) for corner in ring]
    edges = [EDGE_ENDS.index((min(a, b), max(a, b))) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    crossing = [edges[i] for i in range(4) if inside[i] != inside[(i + 1) % 4]]
    if len(crossing) < 4:
        return [(crossing[0], crossing[1])] if crossing else []
    # Corner i lies between the edges i - 1 and i.
    return [(edges[i - 1], edges[i]) for i in range(4) if inside[i] != cut_off_outside]


def _loops(segments: list[tuple[int, int]]) -> dict[int, int]:
    """The loop that each edge belongs to, numbered in the order of their lowest edges."""
    neighbours: dict[int, list[int]] = {}
    for a, b in segments:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    loop_of_edge: dict[int, int] = {}
    count = 0
    for start in sorted(neighbours):
        if start in loop_of_edge:
            continue
        pending = [start]
        while pending:
            edge = pending.pop()
            if edge not in loop_of_edge:
                loop_of_edge[edge] = count
                pending += neighbours[edge]
        count += 1
    return loop_of_edge
