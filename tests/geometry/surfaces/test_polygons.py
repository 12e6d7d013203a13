"""Polygons cut into triangles: whatever their shape and first corner, they are covered once."""

import numpy as np
import pytest

from a4d.geometry.surfaces.polygons import triangulate

U = [(0, 0), (3, 0), (3, 2), (2, 2), (2, 1), (1, 1), (1, 2), (0, 2)]
DART = [(0, 0), (2, 0), (0.4, 0.4), (0, 2)]
SQUARE_WITH_MIDPOINTS = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
FRAME = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]
"""A square with a square hole, cut open between the two."""


def tilted(flat: np.ndarray) -> np.ndarray:
    """(N, 3) the same points in a plane of no particular direction, away from the origin."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0][:2]
    return flat @ axes + 5


def areas(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(F, 3) normals, twice as long as each triangle's area."""
    a, b, c = points[corners].transpose(1, 0, 2)
    return np.cross(b - a, c - a) / 2


@pytest.mark.parametrize(
    ("outline", "area", "count"),
    [(U, 5.0, 6), (DART, 0.8, 2), (SQUARE_WITH_MIDPOINTS, 4.0, 6), (FRAME, 12.0, 8), (np.repeat(U, 2, axis=0), 5.0, 6)],
    ids=["U", "dart", "midpoints", "frame", "doubled"],
)
def test_a_polygon_is_covered_once_from_any_corner_and_side(outline, area, count):
    for start in range(len(outline)):
        for direction in (1, -1):
            points = tilted(np.roll(np.asarray(outline, float), -start, axis=0)[::direction])
            cut = triangulate(points, np.array([len(points)]))
            normals = areas(points, cut.corners)
            assert np.linalg.norm(normals, axis=1).sum() == pytest.approx(area, rel=1e-9)
            # None is turned over, so that none can overlap.
            assert np.linalg.norm(normals.sum(0)) == pytest.approx(area, rel=1e-9)
            assert len(cut.corners) == count


def test_a_corner_in_the_middle_of_a_side_stays_a_corner():
    points = tilted(np.array(SQUARE_WITH_MIDPOINTS, float))
    cut = triangulate(points, np.array([8]))
    assert set(cut.corners.flatten()) == set(range(8))


def test_random_outlines_of_many_corners():
    random = np.random.default_rng(1)
    for count in (5, 8, 40, 300):
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        flat = (0.1 + random.random(count))[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        following = np.roll(flat, -1, axis=0)
        area = (flat[:, 0] * following[:, 1] - following[:, 0] * flat[:, 1]).sum() / 2
        points = tilted(np.roll(flat, count // 3, axis=0))
        cut = triangulate(points, np.array([count]))
        assert np.linalg.norm(areas(points, cut.corners), axis=1).sum() == pytest.approx(area, rel=1e-9)


def test_polygons_keep_their_order_and_their_corners():
    counts = np.array([3, 8, 2, 4, 0, 4, 3])
    outlines = [U[:3], U, U[:2], DART, DART[1:] + DART[:1], U[:3]]
    cut = triangulate(tilted(np.concatenate(outlines).astype(float)), counts)
    assert np.bincount(cut.polygons, minlength=7).tolist() == [1, 6, 0, 2, 0, 2, 1]
    assert (np.diff(cut.polygons) >= 0).all()
    first = np.cumsum(counts) - counts
    assert ((cut.corners >= first[cut.polygons, None]) & (cut.corners < (first + counts)[cut.polygons, None])).all()
    assert cut.corners[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "outline",
    [[(0, 0)] * 5, [(0, 0), (1, 0), (2, 0), (3, 0), (1, 0)], [(0, 0), (2, 2), (2, 0), (0, 2), (1, 1)],
     [(np.nan, 0), (1, 0), (1, 1), (0, 1), (0, 0.5)]],
)  # fmt: skip
def test_what_is_no_polygon_ends_all_the_same(outline):
    cut = triangulate(tilted(np.array(outline, float)), np.array([len(outline)]))
    assert len(cut.corners) <= 3
