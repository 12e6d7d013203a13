"""Gradients of isosurfaces: against finite differences, by what they must sum to, and by descending along them."""

import math

import pytest
import torch
from implicit_shapes import area, chamfer, random_distances, random_weights, sphere, volume
from scipy.spatial import cKDTree

from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.primitives import box, creature
from a4d.geometry.surfaces.isosurface.flexicubes import CubeGrid, CubeWeights, cube_grid, flexicubes
from a4d.geometry.surfaces.isosurface.marching_tetrahedra import marching_tetrahedra
from a4d.geometry.surfaces.isosurface.signs import kept_in_grid, sign_change_loss
from a4d.geometry.surfaces.isosurface.tetrahedral_grid import tetrahedral_grid
from a4d.geometry.surfaces.signed_distance import distance_to_mesh


def smooth_distances(grid, seed):
    """A bumpy sphere without values near zero, in float64."""
    points = grid.vertices.double()
    noise = torch.rand(len(points), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sdf = sphere(points, 0.6) + 0.3 * (noise - 0.5)
    return torch.where(sdf.abs() < 0.05, sdf.sign() * 0.05, sdf).clamp(min=-0.5)


def test_gradients_of_marching_tetrahedra():
    grid = tetrahedral_grid(2)
    grid = grid.with_vertices(grid.vertices.double())
    sdf = kept_in_grid(smooth_distances(grid, 0), grid.is_boundary, 0.1).requires_grad_()
    deformation = (0.1 * torch.sin(9 * grid.vertices)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *inputs: marching_tetrahedra(grid, *inputs).mesh.vertices, (sdf, deformation)
    )


def test_gradients_of_flexicubes():
    grid = CubeGrid(cube_grid(3).vertices.double(), 3)
    sdf = kept_in_grid(smooth_distances(grid, 1), grid.is_boundary, 0.1).requires_grad_()
    deformation = (0.05 * torch.sin(9 * grid.vertices)).requires_grad_()
    logits = random_weights(3, 0, torch.float64).requires_grad_()

    def extract(sdf, deformation, logits):
        surface = flexicubes(grid, sdf, deformation, CubeWeights.from_logits(logits), split_at_centre=True)
        return surface.mesh.vertices, surface.deviation

    assert torch.autograd.gradcheck(extract, (sdf, deformation, logits))


@pytest.mark.parametrize(
    ("grid", "extract"), [(tetrahedral_grid(16), marching_tetrahedra), (cube_grid(16), flexicubes)]
)
def test_volume_shrinks_by_the_area_when_all_distances_grow(grid, extract):
    sdf = sphere(grid.vertices).requires_grad_()
    mesh = extract(grid, sdf).mesh
    (gradient,) = torch.autograd.grad(volume(mesh), sdf)
    assert float(gradient.sum()) == pytest.approx(-float(area(mesh).detach()), rel=0.03)
    assert float(gradient.max()) <= 1e-6


@pytest.mark.parametrize(
    ("grid", "extract"), [(tetrahedral_grid(10), marching_tetrahedra), (cube_grid(14), flexicubes)]
)
def test_descent_through_the_surface_turns_a_sphere_into_an_ellipsoid(grid, extract):
    axes = torch.tensor([0.5, 0.8, 0.65])
    sdf = sphere(grid.vertices, 0.6).requires_grad_()
    deformation = torch.zeros_like(grid.vertices, requires_grad=True)
    optimiser = torch.optim.Adam([sdf, deformation], 5e-3)
    errors = []
    for _ in range(80):
        mesh = extract(grid, sdf, deformation * 0.2).mesh
        error = ((mesh.vertices / axes).norm(dim=-1) - 1).square().mean()
        errors.append(float(error.detach()) ** 0.5)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert mesh.is_closed
    assert errors[-1] < 0.08 * errors[0]
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * float(axes.prod()), rel=0.05)


@pytest.mark.parametrize(
    ("grid", "extract"), [(tetrahedral_grid(40), marching_tetrahedra), (cube_grid(50), flexicubes)]
)
def test_distances_to_a_mesh_give_the_mesh_back(grid, extract):
    target = creature(resolution=64)
    mesh = extract(grid, distance_to_mesh(grid.vertices, target)).mesh
    diagonal = float((target.vertices.amax(0) - target.vertices.amin(0)).norm())
    assert mesh.is_closed
    assert chamfer(mesh, target) < 0.003 * diagonal
    assert mesh.volume == pytest.approx(target.volume, rel=0.04)


def test_weights_let_flexicubes_follow_sharp_edges():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3))).Q
    upright = box((1.0, 0.8, 0.9))
    target = upright.with_vertices(upright.vertices @ turn.T)
    wanted = sample_surface(target, 1500, torch.Generator().manual_seed(0))[0]
    grid = cube_grid(8)
    start = distance_to_mesh(grid.vertices, target)

    def error_of_fit(with_weights):
        sdf, logits = start.clone().requires_grad_(), torch.zeros(8**3, 21, requires_grad=with_weights)
        deformation = torch.zeros_like(grid.vertices, requires_grad=True)
        rates = [(sdf, 5e-3), (deformation, 5e-2)] + ([(logits, 5e-2)] if with_weights else [])
        optimiser = torch.optim.Adam([{"params": [parameter], "lr": rate} for parameter, rate in rates])
        for step in range(60):
            weights = CubeWeights.from_logits(logits)
            mesh = flexicubes(grid, sdf, deformation.tanh() / 16, weights, split_at_centre=True).mesh
            points = sample_surface(mesh, 1500, torch.Generator().manual_seed(step))[0]
            there, back = (cKDTree(a).query(b)[1] for a, b in ((wanted, points.detach()), (points.detach(), wanted)))
            loss = (points - wanted[there]).square().mean() + (points[back] - wanted).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return chamfer(mesh.with_vertices(mesh.vertices.detach()), target)

    errors = error_of_fit(with_weights=True), error_of_fit(with_weights=False)
    assert errors[0] < 0.5 * errors[1], errors


def test_the_sign_change_loss_is_the_cross_entropy_with_the_other_ends_sign():
    sdf = torch.tensor([-0.3, 0.8], requires_grad=True)
    loss = sign_change_loss(sdf, torch.tensor([[0, 1]]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.3)) + math.log1p(math.exp(0.8)))
    (gradient,) = torch.autograd.grad(loss, sdf)
    assert gradient[0] < 0 < gradient[1]


def test_the_sign_change_loss_takes_a_speck_away():
    grid = cube_grid(8)
    sdf = sphere(grid.vertices, 0.4)
    speck = (grid.vertices - 0.75).norm(dim=-1).argmin()
    sdf[speck] = -0.05
    sdf.requires_grad_()
    sdf_optimiser = torch.optim.SGD([sdf], 0.5)
    for _ in range(5):
        sdf_optimiser.zero_grad()
        sign_change_loss(sdf, flexicubes(grid, sdf).edges).backward()
        sdf_optimiser.step()
    assert float(sdf[speck].detach()) > 0
    assert flexicubes(grid, sdf).mesh.volume > 0.05


@pytest.mark.gpu
def test_a_card_agrees_with_the_cpu(card, within):
    size = 12 if card == "cuda" else 6
    lattice, cubes = tetrahedral_grid(size), cube_grid(size)
    weights = CubeWeights.from_logits(random_weights(size, 0))
    moved = CubeWeights(*(part.to(card) for part in vars(weights).values()))
    for grid, extract, extra in ((lattice, marching_tetrahedra, []), (cubes, flexicubes, [weights, True])):
        there = [moved, True] if extra else []
        sdf = random_distances(grid, 0)
        inputs = [sdf.clone().requires_grad_(), sdf.to(card).requires_grad_()]
        meshes = [extract(grid, inputs[0], None, *extra).mesh, extract(grid.to(card), inputs[1], None, *there).mesh]
        for mesh in meshes:
            mesh.vertices.square().sum().backward()
        name = extract.__name__
        within(f"faces of {name}", int((meshes[0].faces != meshes[1].faces.cpu()).sum()), 0)
        within(f"vertices of {name}", (meshes[0].vertices - meshes[1].vertices.cpu()).abs().max(), 1e-5)
        slope = inputs[0].grad
        within(f"gradient through {name}", (slope - inputs[1].grad.cpu()).norm() / slope.norm(), 1e-4)


def test_a_mesh_of_the_surface_carries_gradients_and_no_colours():
    grid = tetrahedral_grid(4)
    mesh = marching_tetrahedra(grid, sphere(grid.vertices).requires_grad_()).mesh
    assert isinstance(mesh, Mesh)
    assert mesh.vertices.requires_grad
    assert mesh.colours is None
