"""Signed distances against closed forms and an exhaustive search."""

import numpy as np
import pytest
import torch
import trimesh

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, creature, icosphere, torus
from a4d.geometry.surfaces.signed_distance import distance_to_ellipsoid, distance_to_mesh, nearest_faces


def points(count=3000, half_extent=1.0, seed=0):
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * half_extent


def test_distance_to_a_box():
    queries = points()
    beyond = queries.abs() - torch.tensor([0.5, 0.4, 0.3])
    expected = beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)
    torch.testing.assert_close(distance_to_mesh(queries, box((1.0, 0.8, 0.6))), expected, rtol=0, atol=1e-6)


def test_distance_to_a_torus():
    queries = points()
    expected = torch.hypot(queries[:, :2].norm(dim=-1) - 0.6, queries[:, 2]) - 0.25
    distances = distance_to_mesh(queries, torus(0.6, 0.25, 128))
    torch.testing.assert_close(distances, expected, rtol=0, atol=1e-3)


def test_a_few_triangles_suffice():
    corner = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    queries = torch.tensor([[0.1, 0.1, 0.1], [-1, 0.2, 0.2], [2.0, 0, 0], [0.0, -3, -4]])
    expected = torch.tensor([-0.1, 1.0, 1.0, 5.0])
    torch.testing.assert_close(distance_to_mesh(queries, Mesh(corner, faces)), expected)


def test_the_tree_finds_the_nearest_of_all_triangles():
    mesh = creature(resolution=40)
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(400, 3, generator=generator)
    on_surface = (mesh.vertices[mesh.faces][:400] * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1)
    assert float(distance_to_mesh(on_surface, mesh).abs().max()) < 1e-6
    # No sample of the surface is nearer than the distance, and some are hardly farther.
    samples = torch.cat([mesh.vertices, mesh.vertices[mesh.faces].mean(1)])
    queries = points(500)
    nearest = torch.cdist(queries, samples).amin(1)
    distances = distance_to_mesh(queries, mesh).abs()
    assert bool((distances <= nearest + 1e-6).all())
    assert float((nearest - distances).max()) < 0.03


def test_overlaps_holes_and_an_inverted_winding_keep_the_sign():
    ball = icosphere(0.5, 3)
    queries = points(2000)
    queries = queries[(queries.norm(dim=-1) - 0.5).abs() > 0.05]
    inside = queries.norm(dim=-1) < 0.5
    inverted = Mesh(ball.vertices, ball.faces.flip(1))
    torn = Mesh(ball.vertices, ball.faces[torch.arange(len(ball.faces)) % 40 != 0])
    for mesh in (ball, inverted, torn):
        assert torch.equal(distance_to_mesh(queries, mesh) < 0, inside)
    shift = torch.tensor([0.3, 0.0, 0.0])
    both = Mesh(
        torch.cat([ball.vertices, ball.vertices + shift]), torch.cat([ball.faces, ball.faces + len(ball.vertices)])
    )
    other = queries[((queries - shift).norm(dim=-1) - 0.5).abs() > 0.05]
    union = (other.norm(dim=-1) < 0.5) | ((other - shift).norm(dim=-1) < 0.5)
    assert torch.equal(distance_to_mesh(other, both) < 0, union)


def test_distance_to_a_sphere_is_exact():
    queries = torch.cat([points(), torch.eye(3) * 0.2, torch.zeros(1, 3)])
    torch.testing.assert_close(distance_to_ellipsoid(queries, [0.6] * 3), queries.norm(dim=-1) - 0.6)


@pytest.mark.parametrize("half_axes", [(0.3, 0.8, 0.5), (0.05, 0.8, 0.9), (0.7, 0.7, 0.2)])
def test_distance_to_an_ellipsoid_is_that_to_its_fine_mesh(half_axes):
    fine = icosphere(1.0, 6)
    mesh = fine.with_vertices(fine.vertices * torch.tensor(half_axes))
    on_planes_and_axes = points(1500, seed=1) * (points(1500, seed=2) > 0)
    queries = torch.cat([points(1500), on_planes_and_axes])
    distances = distance_to_ellipsoid(queries, half_axes)
    torch.testing.assert_close(distances, distance_to_mesh(queries, mesh), rtol=0, atol=2e-4)


def test_shapes_without_an_inside_are_refused():
    with pytest.raises(UsageError, match="half axes"):
        distance_to_ellipsoid(points(2), (1.0, 0.0, 1.0))
    with pytest.raises(InvalidInputError, match="without faces"):
        distance_to_mesh(points(2), Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)))
    ball = icosphere(0.5, 1)
    with pytest.raises(InvalidInputError, match="not finite"):
        distance_to_mesh(points(2), ball.with_vertices(ball.vertices * float("inf")))


def test_the_nearest_face_is_that_of_an_exhaustive_search():
    mesh, queries = torus(sections=12), points(200, 0.6)
    distances, faces = nearest_faces(queries, mesh)
    corners, places = mesh.vertices[mesh.faces].double().numpy(), queries.double().numpy()

    def from_faces(chosen, at):
        return np.linalg.norm(trimesh.triangles.closest_point(chosen, at) - at, axis=1)

    expected = [from_faces(corners, np.repeat(place[None], len(corners), 0)).min() for place in places]
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    # Of faces that share the nearest edge either may be named.
    np.testing.assert_allclose(from_faces(corners[faces.numpy()], places), expected, atol=1e-6)
    assert nearest_faces(queries, Mesh(mesh.vertices, mesh.faces[:1]))[1].unique().tolist() == [0]
