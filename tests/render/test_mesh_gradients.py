"""Differentiable mesh views against finite differences of finely sampled images."""

import math
from dataclasses import replace

import pytest
import torch
from welded_mesh import read_mesh

from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere, torus
from a4d.geometry.transforms import transform_points
from a4d.render.kernels.silhouette_edges import edge_table
from a4d.render.mesh import rasterise, render_mesh
from a4d.render.mesh_gradients import MeshView, interpolate_reference, render_surface, view_mesh

SIZE, FINE = 256, 4
CAMERA = orbit(torch.tensor([20.0]), torch.tensor([25.0]), 2.5, 35.0, SIZE, SIZE)
DIRECTION = torch.tensor([1.0, 0.3, 0.0])


def ramp(size):
    """A weight per pixel, so that a shift in any direction changes the sum."""
    along = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return (2 * along[None, :] + along[:, None])[..., None]


def sampled_sum(mesh):
    """Weighted sum of a mesh's image from 16 samples per pixel."""
    fragments = rasterise(mesh, CAMERA.resized(SIZE * FINE, SIZE * FINE))
    image = fragments.interpolate(mesh.colours, mesh.faces)[0].double()
    return float((image * ramp(SIZE * FINE)).sum() / FINE**2)


def gradient_ratio(move):
    """Analytic derivative of the weighted sum by the motion's amount over the finite difference."""
    amount = torch.zeros((), requires_grad=True)
    (render_surface(move(amount), CAMERA).rgb[0].double() * ramp(SIZE)).sum().backward()
    step = 0.012
    difference = (sampled_sum(move(torch.tensor(step))) - sampled_sum(move(torch.tensor(-step)))) / (2 * step)
    return float(amount.grad) / difference


def white(mesh):
    return Mesh(mesh.vertices, mesh.faces, torch.ones_like(mesh.vertices))


def scaled(mesh):
    return lambda amount: mesh.with_vertices(mesh.vertices * (1 + amount))


def shifted(mesh):
    return lambda amount: mesh.with_vertices(mesh.vertices + amount * DIRECTION)


def turned(mesh, start):
    def move(amount):
        cosine, sine, zero, one = (start + amount).cos(), (start + amount).sin(), amount * 0, amount * 0 + 1
        rows = [torch.stack(row) for row in ([cosine, zero, sine], [zero, one, zero], [-sine, zero, cosine])]
        return mesh.with_vertices(mesh.vertices @ torch.stack(rows).T)

    return move


def pair(front_moves):
    """A sphere before a ring of another colour, one of them moving."""
    front, back = icosphere(0.35, 4), torus(0.4, 0.12, 64)
    faces = torch.cat([front.faces, back.faces + len(front.vertices)])
    colours = torch.ones(len(front.vertices) + len(back.vertices), 3)
    colours[len(front.vertices) :] = torch.tensor([0.2, 0.6, 0.0])

    def move(amount):
        vertices = torch.cat([front.vertices + torch.tensor([0.1, 0.0, 0.5]), back.vertices])
        moving = (torch.arange(len(vertices)) < len(front.vertices)) == front_moves
        return Mesh(vertices + amount * moving[:, None] * DIRECTION, faces, colours)

    return move


@pytest.mark.parametrize("motion", [scaled, shifted])
@pytest.mark.parametrize("subdivisions", [2, 3, 4, 5, 6])
def test_the_outline_of_a_sphere_has_the_right_gradient_at_every_tessellation(subdivisions, motion):
    assert gradient_ratio(motion(white(icosphere(0.5, subdivisions)))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "move",
    [scaled(white(torus())), shifted(white(torus())), turned(white(torus()), 1.2)],
    ids=["scaled", "shifted", "turned until it hides its hole"],
)
def test_the_outline_of_a_ring_and_its_hole(move):
    assert gradient_ratio(move) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("front_moves", [True, False])
def test_two_objects_that_occlude_each_other(front_moves):
    assert gradient_ratio(pair(front_moves)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("motion", [scaled, shifted])
def test_an_open_boundary_is_an_outline(motion):
    sphere = icosphere(0.5, 4)
    kept = sphere.vertices[sphere.faces].mean(1)[:, 2] < 0.2
    opened = Mesh(sphere.vertices, sphere.faces[kept], (sphere.vertices[:, :1] * 0.6 + 0.5).expand(-1, 3))
    assert gradient_ratio(motion(opened)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("motion", [scaled, shifted])
def test_spot(real_data, motion):
    mesh = read_mesh(real_data / "meshes_misc" / "nvdiffrec" / "spot" / "spot.obj")
    centred = (mesh.vertices - mesh.vertices.mean(0)) * (0.5 / mesh.vertices.abs().max())
    assert gradient_ratio(motion(white(Mesh(centred, mesh.faces)))) == pytest.approx(1, abs=0.02)


def test_a_surface_cut_by_the_near_plane_keeps_finite_gradients():
    mesh = white(icosphere(2.5, 2))
    vertices = mesh.vertices.clone().requires_grad_()
    image = render_surface(mesh.with_vertices(vertices), CAMERA)
    (image.rgb * ramp(SIZE)).sum().backward()
    assert image.alpha.min() == 1
    assert vertices.grad.isfinite().all()


def test_the_antialiased_image_is_the_finely_sampled_one():
    mesh = torus()
    smooth, fine, coarse = render_surface(mesh, CAMERA), render_mesh(mesh, CAMERA, None, 8), rasterise(mesh, CAMERA)
    error = (smooth.alpha - fine.alpha).abs().mean()
    assert error < 0.15 * (coarse.is_covered[..., None] * 1.0 - fine.alpha).abs().mean()
    inside = fine.alpha[..., 0] == 1
    assert (smooth.depth - fine.depth)[inside].abs().mean() < 1e-3
    assert (smooth.rgb - fine.rgb)[inside].abs().mean() < 2e-3
    assert torch.nn.functional.cosine_similarity(smooth.normal, fine.normal, dim=-1)[inside].min() > 0.99


def small_view(vertices, faces):
    camera = orbit(torch.tensor([10.0, 100.0]), torch.tensor([20.0, -10.0]), 2.5, 35.0, 12, 12)
    return view_mesh(vertices, faces, camera)


def test_interpolation_has_the_gradients_of_finite_differences():
    mesh = icosphere(0.6, 0)
    start = small_view(mesh.vertices, mesh.faces)
    attributes = torch.randn(len(mesh.vertices), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def image(in_camera, values):
        return MeshView(in_camera, start.faces, start.cameras, start.fragments, start.near).interpolate(values)

    inputs = (start.in_camera.clone().requires_grad_(), attributes.requires_grad_())
    assert torch.autograd.gradcheck(image, inputs, eps=1e-6, atol=1e-6)


def test_kernels_and_plain_torch_agree():
    mesh = icosphere(0.6, 3)
    corners = mesh.faces.flatten()
    attributes = torch.rand(len(corners), 5, generator=torch.Generator().manual_seed(1))
    attribute_faces = torch.arange(len(corners)).view(-1, 3)
    outcomes = []
    for function in (MeshView.interpolate, lambda v, a, f: interpolate_reference(v, a.expand(2, -1, -1), f)):
        vertices, values = mesh.vertices.clone().requires_grad_(), attributes.clone().requires_grad_()
        image = function(small_view(vertices, mesh.faces), values, attribute_faces)
        (image * ramp(12)).sin().sum().backward()
        outcomes.append((image.detach(), vertices.grad, values.grad))
    for kernel, reference in zip(*outcomes, strict=True):
        torch.testing.assert_close(kernel, reference, rtol=1e-5, atol=1e-5 * float(reference.abs().max()))


def test_interpolated_positions_are_where_the_rays_meet_the_surface():
    mesh = box()
    view = small_view(mesh.vertices, mesh.faces)
    seen = view.fragments.is_covered
    points = view.interpolate(mesh.vertices.double())
    in_camera = transform_points(view.cameras.camera_from_world.double(), points.flatten(1, 2)).view_as(points)
    torch.testing.assert_close(in_camera[seen][:, 2].float(), view.fragments.depth[seen], rtol=1e-6, atol=0)
    origins, directions = view.cameras.rays()
    expected = origins + view.fragments.depth[..., None] * directions
    torch.testing.assert_close(points[seen].float(), expected[seen], rtol=0, atol=2e-6)


def test_the_edge_table_is_complete():
    mesh = torus(sections=7)
    edges, start, third = edge_table(mesh.faces.numpy(), len(mesh.vertices))
    assert len(edges) == len(mesh.faces) * 3 // 2
    assert (start[1:] - start[:-1] == 2).all()
    triangles = {tuple(sorted(face)) for face in mesh.faces.tolist()}
    found = {tuple(sorted((*edges[e], third[k]))) for e in range(len(edges)) for k in range(start[e], start[e + 1])}
    assert found == triangles
    fan = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4]]).numpy()
    edges, start, _ = edge_table(fan, 5)
    assert {tuple(edge): n for edge, n in zip(edges.tolist(), (start[1:] - start[:-1]).tolist(), strict=True)} == {
        (0, 1): 3, (0, 2): 1, (0, 3): 1, (0, 4): 1, (1, 2): 1, (1, 3): 1, (1, 4): 1,
    }  # fmt: skip


def test_fitting_a_radius_to_a_mask_recovers_it():
    sphere, camera = white(icosphere(1.0, 3)), CAMERA.resized(64, 64)
    wanted = render_mesh(sphere.with_vertices(sphere.vertices * 0.45), camera, None, 4).alpha
    radius = torch.tensor(0.3, requires_grad=True)
    optimiser = torch.optim.Adam([radius], lr=0.01)
    for _ in range(80):
        optimiser.zero_grad()
        ((render_surface(sphere.with_vertices(sphere.vertices * radius), camera).alpha - wanted) ** 2).mean().backward()
        optimiser.step()
    assert math.isclose(radius.item(), 0.45, abs_tol=2e-3)


def test_signals_of_vertices_have_the_images_and_the_gradients_of_colours():
    mesh = icosphere(0.6, 2)
    draws = torch.Generator().manual_seed(2)
    values = torch.rand(len(mesh.vertices), 3, generator=draws)
    found = []
    for signals in (None, {"features": torch.cat([values, values[:, :2]], dim=1)}):
        vertices = mesh.vertices.clone().requires_grad_()
        shape = replace(mesh, vertices=vertices, colours=values)
        render = render_surface(shape, CAMERA, None, signals)
        image = render.rgb if signals is None else render.channels["features"][..., :3]
        (image[0].double() * ramp(SIZE)[..., :3]).sum().backward()
        found.append((image.detach(), vertices.grad))
    torch.testing.assert_close(found[1][0], found[0][0])
    assert render.channels["features"].shape[-1] == 5
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)
