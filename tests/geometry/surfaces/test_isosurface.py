"""Marching tetrahedra and FlexiCubes against closed forms, on all their cases, and by their gradients."""

import math

import numpy as np
import pytest
import torch
from implicit_shapes import SHAPES, area, chamfer, random_distances, random_weights, sphere
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from a4d.errors import InvalidInputError, SurfaceVanishedError, UsageError
from a4d.geometry.surfaces.isosurface import flexicubes as flexicubes_module
from a4d.geometry.surfaces.isosurface.cube_patches import EDGE_ENDS, CubePatches, cube_patches
from a4d.geometry.surfaces.isosurface.flexicubes import CubeGrid, CubeWeights, cube_grid, flexicubes
from a4d.geometry.surfaces.isosurface.marching_tetrahedra import case_table, marching_tetrahedra
from a4d.geometry.surfaces.isosurface.signs import kept_in_grid
from a4d.geometry.surfaces.isosurface.tetrahedral_grid import TetrahedralGrid, grid_from_tetrahedra, tetrahedral_grid


def tetrahedral(resolution, distance):
    grid = tetrahedral_grid(resolution)
    return marching_tetrahedra(grid, distance(grid.vertices)).mesh


def dual(resolution, distance, split_at_centre=False):
    grid = cube_grid(resolution)
    return flexicubes(grid, distance(grid.vertices), split_at_centre=split_at_centre).mesh


def dual_split(resolution, distance):
    return dual(resolution, distance, split_at_centre=True)


def is_manifold(mesh):
    """Whether the mesh is closed and the faces around each vertex form a single fan."""
    if not mesh.is_closed:
        return False
    faces = mesh.faces.numpy()
    corner = np.arange(faces.size).reshape(-1, 3)
    start = dict(zip(zip(faces.ravel(), np.roll(faces, -1, 1).ravel(), strict=True), corner.ravel(), strict=True))
    # The face across the edge that enters a corner leaves the same vertex.
    across = [start[a, b] for a, b in zip(faces.ravel(), np.roll(faces, 1, 1).ravel(), strict=True)]
    graph = coo_array((np.ones(faces.size), (corner.ravel(), across)), shape=(faces.size, faces.size))
    return connected_components(graph, directed=False)[0] == len(np.unique(faces))


@pytest.mark.parametrize("resolution", [1, 2, 5])
def test_the_lattice_fills_its_cube_without_cracks(resolution):
    grid = tetrahedral_grid(resolution, half_extent=0.5)
    assert len(grid.vertices) == (resolution + 1) ** 3 + resolution**3 + 6 * resolution**2
    assert len(grid.tetrahedra) == 12 * resolution**2 * (resolution + 1)
    assert len(grid.vertices.unique(dim=0)) == len(grid.vertices)
    assert float(grid.volumes.min()) > 0
    assert float(grid.volumes.sum()) == pytest.approx(1, rel=1e-5)
    # Were two tetrahedra not to share a whole face, vertices inside the cube would count as border.
    assert torch.equal(grid_from_tetrahedra(grid.vertices, grid.tetrahedra).is_boundary, grid.is_boundary)
    assert torch.equal(grid.is_boundary, grid.vertices.abs().amax(1) == 0.5)


def test_lattice_edges_and_angles_are_those_of_the_body_centred_cubic_lattice():
    grid = tetrahedral_grid(6)
    inner = grid.tetrahedra[~grid.is_boundary[grid.tetrahedra].any(1)]
    corners = grid.vertices[inner].double() * 3
    lengths = torch.stack([(corners[:, i] - corners[:, j]).norm(dim=-1) for i in range(4) for j in range(i)])
    is_cell = (lengths - 1).abs() < 1e-5
    assert bool((is_cell | ((lengths - math.sqrt(0.75)).abs() < 1e-5)).all())
    assert bool((is_cell.sum(0) == 2).all())


def test_grids_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="no cells"):
        tetrahedral_grid(0)
    with pytest.raises(UsageError, match="no cells"):
        cube_grid(0)
    grid = tetrahedral_grid(1)
    with pytest.raises(InvalidInputError, match="positive volume"):
        grid_from_tetrahedra(grid.vertices, grid.tetrahedra[:, [1, 0, 2, 3]])
    with pytest.raises(InvalidInputError, match="share"):
        grid_from_tetrahedra(grid.vertices, grid.tetrahedra.repeat(3, 1))


@pytest.mark.parametrize("case", range(1, 15))
def test_each_tetrahedron_case_cuts_along_the_plane(case):
    generator = torch.Generator().manual_seed(case)
    vertices = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    if torch.linalg.det(vertices[1:] - vertices[0]) < 0:
        vertices = vertices * torch.tensor([-1.0, 1, 1])
    grid = TetrahedralGrid(vertices, torch.tensor([[0, 1, 2, 3]]), torch.zeros(4, dtype=torch.bool))
    magnitude = 0.2 + torch.rand(4, generator=generator, dtype=torch.float64)
    sdf = torch.tensor([-1.0 if case >> corner & 1 else 1.0 for corner in range(4)]) * magnitude
    surface = marching_tetrahedra(grid, sdf)
    # The distance is linear in the tetrahedron: the surface is a plane with its gradient as the normal.
    gradient = torch.linalg.solve(vertices[1:] - vertices[0], sdf[1:] - sdf[0])
    heights = (surface.mesh.vertices - vertices[0]) @ gradient + sdf[0]
    torch.testing.assert_close(heights, torch.zeros_like(heights), atol=1e-12, rtol=0)
    directions = torch.nn.functional.normalize(surface.mesh.face_normals, dim=-1)
    torch.testing.assert_close(directions, (gradient / gradient.norm()).expand_as(directions))
    frame = torch.linalg.qr(gradient[:, None], mode="complete").Q[:, 1:]
    outline = ConvexHull((surface.mesh.vertices @ frame).numpy())
    assert float(area(surface.mesh)) == pytest.approx(outline.volume)
    assert len(surface.mesh.faces) == int(case_table()[1][case])
    assert bool((sdf[surface.edges[:, 0]] < 0).all() and (sdf[surface.edges[:, 1]] > 0).all())


def test_cube_cases_have_the_known_numbers_of_patches():
    patches = cube_patches()
    # Corners cut off one by one give as many patches as there are corners of one sign without a common edge.
    assert patches.counts[0, 0b10010110] == 4
    assert patches.counts[1, 0b01101001] == 4
    assert int(patches.counts.max()) == 4
    assert int((patches.doubled_face >= 0).sum()) == 36  # cases 3 and 6 of marching cubes, with signs exchanged
    opposite = torch.arange(255, -1, -1)
    assert torch.equal(patches.counts[0], patches.counts[1, opposite])
    for case in range(256):
        crosses = torch.tensor([(case >> low & 1) != (case >> high & 1) for low, high in EDGE_ENDS])
        assert torch.equal(patches.patch[0, case] >= 0, crosses)
        sizes = torch.bincount(patches.patch[0, case][crosses])
        assert bool((sizes >= 3).all())


def test_a_case_with_a_doubled_face_has_no_other_alternating_face():
    faces = [[c for c in range(8) if c >> axis & 1 == side] for axis in range(3) for side in range(2)]
    for case in (cube_patches().doubled_face >= 0).nonzero()[:, 0].tolist():
        alternating = [
            index
            for index, (a, b, c, d) in enumerate(faces)  # b and c are the diagonal's other ends
            if (case >> a & 1) == (case >> d & 1) != (case >> b & 1) == (case >> c & 1)
        ]
        assert alternating == [int(cube_patches().doubled_face[case])]


@pytest.mark.parametrize("share_inside", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("split_at_centre", [False, True])
def test_every_dual_surface_is_a_closed_manifold(share_inside, split_at_centre):
    grid, seen = cube_grid(12), set()
    for seed in range(4):
        sdf = random_distances(grid, seed, share_inside)
        weights = CubeWeights.from_logits(random_weights(12, seed))
        assert is_manifold(flexicubes(grid, sdf, None, weights, split_at_centre).mesh)
        _, cases, inverted = flexicubes_module._crossed_cells(sdf < 0, 12)
        seen.update(zip(cases.tolist(), inverted.tolist(), strict=True))
    expected = set(range(1, 255)) if share_inside == 0.5 else set()
    assert expected <= {case for case, _ in seen}
    if share_inside == 0.8:
        doubled = (cube_patches().doubled_face >= 0).nonzero()[:, 0].tolist()
        assert {(case, turned) for case in doubled for turned in (0, 1)} <= seen


def test_without_the_inverted_cases_dual_edges_coincide(monkeypatch):
    known = cube_patches()
    never = CubePatches(known.patch, known.counts, torch.full_like(known.doubled_face, -1))
    grid = cube_grid(12)
    sdf = random_distances(grid, 0, 0.8)
    assert flexicubes(grid, sdf).mesh.is_closed
    monkeypatch.setattr(flexicubes_module, "cube_patches", lambda: never)
    assert not flexicubes(grid, sdf).mesh.is_closed


@pytest.mark.parametrize("seed", range(3))
def test_every_surface_of_tetrahedra_is_a_closed_manifold(seed):
    grid = tetrahedral_grid(8)
    assert is_manifold(marching_tetrahedra(grid, random_distances(grid, seed)).mesh)


@pytest.mark.parametrize("extract", [tetrahedral, dual, dual_split])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_volume_and_area_converge_with_the_square_of_the_cell(extract, shape):
    distance, true_volume, true_area = SHAPES[shape]
    errors = []
    for resolution in (15, 30):
        mesh = extract(resolution, distance)
        assert mesh.is_closed
        errors.append([abs(mesh.volume / true_volume - 1), abs(float(area(mesh)) / true_area - 1)])
    coarse, fine = np.array(errors)
    assert (fine < 0.04).all()
    assert (np.log2(coarse / fine) > 1.7).all()


@pytest.mark.parametrize("extract", [tetrahedral, dual, dual_split])
def test_faces_look_outward(extract):
    mesh = extract(16, sphere)
    assert bool(((mesh.face_normals * mesh.vertices[mesh.faces].mean(1)).sum(-1) >= 0).all())


def test_a_single_inside_vertex_gives_the_surface_that_can_be_worked_out_by_hand():
    grid = cube_grid(2)
    sdf = torch.ones(27, dtype=torch.float64)
    sdf[13] = -1
    grid = CubeGrid(grid.vertices.double(), 2)
    plain = flexicubes(grid, sdf)
    # Crossings half a cell from the centre along each axis: dual vertices at a sixth.
    torch.testing.assert_close(plain.mesh.vertices.abs(), torch.full((8, 3), 1 / 6, dtype=torch.float64))
    assert plain.mesh.volume == pytest.approx(1 / 27)
    assert float(plain.deviation) == pytest.approx(0)
    assert set(map(tuple, plain.edges.tolist())) == {(13, 13 + step) for step in (-9, -3, -1, 1, 3, 9)}

    alpha = torch.ones(8, 8, dtype=torch.float64)
    alpha[torch.arange(8), [int(sum(bit << k for k, bit in enumerate(c))) for c in _inner_corners()]] = 3
    beta = torch.ones(8, 12, dtype=torch.float64)
    scaled = flexicubes(grid, sdf, None, CubeWeights(alpha, beta, torch.ones(8, dtype=torch.float64)))
    torch.testing.assert_close(scaled.mesh.vertices.abs(), torch.full((8, 3), 0.25, dtype=torch.float64))

    beta[:, :4] = 2  # the edges along x
    pulled = flexicubes(grid, sdf, None, CubeWeights(torch.ones_like(alpha), beta, torch.ones(8, dtype=torch.float64)))
    expected = torch.tensor([0.25, 0.125, 0.125], dtype=torch.float64).expand(8, 3)
    torch.testing.assert_close(pulled.mesh.vertices.abs(), expected)
    assert float(pulled.deviation) > 0.05


def _inner_corners():
    """For each cell of a 2³ grid, z running fastest, the bits of its corner at the centre."""
    return [(1 - x, 1 - y, 1 - z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def test_gamma_chooses_the_diagonal_and_places_the_centre():
    grid = cube_grid(2)
    sdf = torch.ones(27)
    sdf[13] = -1
    # The cells on one diagonal of each face of the little cube pull more.
    gamma = torch.tensor([4.0 if (x + y + z) % 2 else 1.0 for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    weights = CubeWeights(torch.ones(8, 8), torch.ones(8, 12), gamma)
    mesh = flexicubes(grid, sdf, None, weights).mesh
    strong = (gamma == 4).nonzero()[:, 0]
    diagonals = {
        frozenset(pair) for face in mesh.faces.tolist() for pair in zip(face, face[1:] + face[:1], strict=True)
    }
    assert all(frozenset((int(a), int(b))) in diagonals for a in strong for b in strong if a < b)

    alpha = torch.ones(8, 8)
    alpha[strong] = alpha[strong] * torch.where(torch.arange(8) == 0, 1.0, 2.0)
    bent = flexicubes(grid, sdf, None, CubeWeights(alpha, torch.ones(8, 12), gamma), split_at_centre=True).mesh
    quads = bent.faces.view(4, 6, 3)[:, :, 0].T
    corners = bent.vertices[quads]
    pull = gamma[quads]
    shares = pull * pull.roll(2, 1)
    torch.testing.assert_close(bent.vertices[8:], (corners * shares[..., None]).sum(1) / shares.sum(1, keepdim=True))


def test_weights_from_logits_are_even_at_zero_and_positive_everywhere():
    even = CubeWeights.from_logits(torch.zeros(2, 21))
    assert bool((even.alpha == 1).all() and (even.beta == 1).all() and (even.gamma == 0.5).all())
    for extreme in (-1e4, 1e4):
        weights = CubeWeights.from_logits(torch.full((2, 21), extreme))
        assert all(float(part.min()) > 0 and float(part.max()) < 2 for part in vars(weights).values())


def test_attributes_are_interpolated_as_positions_are():
    grid = tetrahedral_grid(6)
    surface = marching_tetrahedra(grid, sphere(grid.vertices), 0.05 * torch.sin(7 * grid.vertices))
    moved = grid.vertices + 0.05 * torch.sin(7 * grid.vertices)
    torch.testing.assert_close(surface.interpolate(moved), surface.mesh.vertices)
    torch.testing.assert_close(surface.weights.sum(1), torch.ones(len(surface.weights)))


def test_a_shape_beyond_the_grid_is_cut_off_at_its_border():
    for grid, extract in ((tetrahedral_grid(8), marching_tetrahedra), (cube_grid(8), flexicubes)):
        mesh = extract(grid, kept_in_grid(sphere(grid.vertices, 1.2), grid.is_boundary)).mesh
        assert mesh.is_closed
        assert float(mesh.vertices.abs().max()) <= 1
        assert 5.5 < mesh.volume < 4 / 3 * math.pi * 1.2**3


@pytest.mark.parametrize(("grid", "extract"), [(tetrahedral_grid(4), marching_tetrahedra), (cube_grid(4), flexicubes)])
def test_a_surface_that_vanishes_or_leaves_the_grid_is_a_clear_error(grid, extract):
    ones = torch.ones(len(grid.vertices))
    with pytest.raises(SurfaceVanishedError, match="vanished"):
        extract(grid, ones)
    with pytest.raises(SurfaceVanishedError, match=r"leaves its grid.*kept_in_grid"):
        extract(grid, -ones)
    with pytest.raises(SurfaceVanishedError, match="not finite"):
        extract(grid, ones * math.nan)


@pytest.mark.parametrize(("name", "tolerance"), [("32_tets", 0.05), ("64_tets", 0.015)])
def test_grids_of_others_give_the_same_surface(name, tolerance, real_data):
    with np.load(real_data / "tets" / f"{name}.npz") as file:
        vertices, tetrahedra = torch.from_numpy(file["vertices"]) * 2, torch.from_numpy(file["indices"])
    theirs = grid_from_tetrahedra(vertices, tetrahedra)
    for distance, true_volume, true_area in SHAPES.values():
        mesh = marching_tetrahedra(theirs, distance(theirs.vertices)).mesh
        ours = tetrahedral(26, distance)
        assert is_manifold(mesh)
        assert mesh.volume == pytest.approx(true_volume, rel=tolerance)
        assert float(area(mesh)) == pytest.approx(true_area, rel=tolerance)
        assert chamfer(mesh, ours) < 0.08 * tolerance
        assert float(distance(mesh.vertices).abs().max()) < tolerance / 2
