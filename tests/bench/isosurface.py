"""Time the extraction of a bumpy sphere by both methods, and the distances that initialise it.

    python tests/bench/isosurface.py [--device cuda] [--resolutions 32 64 96]

A resolution counts the cells along a side; a cell of the tetrahedral lattice holds two vertices and twelve tetrahedra.
"""

import argparse
import time
from collections.abc import Callable

import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.surfaces.isosurface.flexicubes import CubeWeights, cube_grid, flexicubes
from a4d.geometry.surfaces.isosurface.marching_tetrahedra import marching_tetrahedra
from a4d.geometry.surfaces.isosurface.tetrahedral_grid import tetrahedral_grid
from a4d.geometry.surfaces.signed_distance import distance_to_ellipsoid, distance_to_mesh


def milliseconds(call: Callable[[], object], device: str, repeats: int = 5) -> float:
    """The fastest of a few calls, after one to warm up."""
    call()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def row(name: str, parameters: list[torch.Tensor], extract: Callable[[], Mesh], device: str) -> None:
    """Print one line: milliseconds without gradients, and with the backward pass to all parameters."""

    def both() -> None:
        for parameter in parameters:
            parameter.grad = None
        extract().vertices.square().sum().backward()

    def forward() -> None:
        with torch.no_grad():
            extract()

    faces = len(extract().faces)
    times = milliseconds(forward, device), milliseconds(both, device)
    print(f"{name:<28}{faces:>8} faces{times[0]:9.1f} ms forward{times[1]:9.1f} ms with backward", flush=True)


def bumpy(points: torch.Tensor) -> torch.Tensor:
    return (points.norm(dim=-1) - 0.6 + 0.05 * torch.sin(9 * points).prod(-1)).requires_grad_()


def tetrahedra(resolution: int, device: str) -> None:
    grid = tetrahedral_grid(resolution).to(device)
    inputs = [bumpy(grid.vertices), torch.zeros_like(grid.vertices, requires_grad=True)]
    row(f"tetrahedra {resolution}", inputs, lambda: marching_tetrahedra(grid, *inputs).mesh, device)


def dual(resolution: int, device: str) -> None:
    grid = cube_grid(resolution).to(device)
    logits = torch.zeros(resolution**3, 21, device=device, requires_grad=True)
    inputs = [bumpy(grid.vertices), torch.zeros_like(grid.vertices, requires_grad=True)]

    def extract() -> Mesh:
        return flexicubes(grid, *inputs, CubeWeights.from_logits(logits), split_at_centre=True).mesh

    row(f"FlexiCubes {resolution}", [*inputs, logits], extract, device)


def initialisation(resolution: int, device: str) -> None:
    points, ball = cube_grid(resolution).vertices.to(device), icosphere(0.6, 5)
    to_mesh = milliseconds(lambda: distance_to_mesh(points, ball), device, 2)
    to_ellipsoid = milliseconds(lambda: distance_to_ellipsoid(points, (0.5, 0.6, 0.7)), device, 2)
    print(
        f"distances at {len(points)} vertices: {to_mesh:.0f} ms to a mesh of {len(ball.faces)} faces, "
        f"{to_ellipsoid:.0f} ms to an ellipsoid",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64, 96])
    options = parser.parse_args()
    for resolution in options.resolutions:
        tetrahedra(resolution, options.device)
        dual(resolution, options.device)
        initialisation(resolution, options.device)


if __name__ == "__main__":
    main()
