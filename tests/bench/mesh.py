"""Time a differentiable mesh frame, forward and backward, against interpolation in plain torch in the same run.

    python tests/bench/mesh.py

Rows interleave the two and take the fastest of a few frames of each. A frame is visibility, interpolation of colours,
normals, depth and coverage, the edge table, the outline, and the gradients by vertices and colours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402

from a4d.geometry.cameras import Cameras, orbit  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.primitives import icosphere  # noqa: E402
from a4d.render.mesh import rasterise_in_camera  # noqa: E402
from a4d.render.mesh_gradients import MeshView, interpolate_reference, view_mesh  # noqa: E402


def plain_torch(view: MeshView, attributes: torch.Tensor) -> torch.Tensor:
    return interpolate_reference(view, attributes[None], view.faces)


def subject(subdivisions: int, size: int) -> tuple[Mesh, Cameras]:
    return icosphere(0.5, subdivisions), orbit(torch.zeros(1), torch.tensor([15.0]), 2.2, 35.0, size, size)


def frame(
    subdivisions: int, size: int, interpolate: Callable[[MeshView, torch.Tensor], torch.Tensor]
) -> Callable[[], None]:
    """A function that renders one frame and takes its gradients."""
    mesh, camera = subject(subdivisions, size)
    attributes = torch.cat([mesh.colours, mesh.vertex_normals, torch.ones(len(mesh.vertices), 2)], dim=-1)
    vertices, values = mesh.vertices.clone().requires_grad_(), attributes.requires_grad_()
    cotangent = torch.rand(1, size, size, attributes.shape[-1])

    def run() -> None:
        view = view_mesh(vertices, mesh.faces, camera)
        view.antialias(interpolate(view, values)).backward(cotangent)

    return run


def fastest(calls: list[Callable[[], None]], repeats: int = 12) -> list[float]:
    """Milliseconds of the fastest call of each, interleaved, after one to warm up."""
    best = [float("inf")] * len(calls)
    for turn in range(repeats + 1):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if turn:
                best[index] = min(best[index], 1000 * (time.perf_counter() - start))
    return best


def main() -> None:
    for subdivisions, size in ((4, 256), (5, 256), (5, 512), (6, 512)):
        calls = [frame(subdivisions, size, function) for function in (MeshView.interpolate, plain_torch)]
        mesh, camera = subject(subdivisions, size)
        view = view_mesh(mesh.vertices, mesh.faces, camera)
        calls.append(lambda v=view: rasterise_in_camera(v.in_camera, v.faces, v.cameras, v.near))
        kernels, plain, visibility = fastest(calls)
        print(
            f"{20 * 4**subdivisions:6d} faces at {size}x{size}: {kernels:6.2f} ms (visibility {visibility:5.2f}), "
            f"plain torch {plain:7.2f} ms, {plain / kernels:.1f} x"
        )


if __name__ == "__main__":
    main()
