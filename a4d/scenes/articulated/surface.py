"""The surface of Gaussians at rest: fused from their depth, and moved outward to where their outlines are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.depth_views import DepthView
from a4d.geometry.reconstruction.fusion import FusionSettings, fuse
from a4d.render.footprint import render_layered
from a4d.render.mesh import render_mesh
from a4d.scenes.extraction import cameras_around

OUTLINED = 3
"""Every so many of the views by which outlines are compared: they say the same of one number."""

STORED, PARTS = "surface_", ("vertices", "faces", "colours")
"""How the names of the surface's tensors begin in a scene's file, and how they go on."""

ROUNDS = 3
"""In which the surface moves outward; each leaves about a tenth of what is left."""


@torch.no_grad()
def surface_at_rest(gaussians: Gaussians, footprint: float | None, resolution: int) -> Mesh:
    """A closed mesh with vertex colours, its outlines as large as those that the Gaussians show.

    Depth of Gaussians is that of their centres, which lie inside of what they cover: a fused surface is too small by
    about a deviation, all around. Outlines are what they were fitted to, so that a fit tells by itself how much.

    Args:
        gaussians: at rest, on any device.
        footprint: metres that a pixel was wide with which they were fitted, or None.
        resolution: cells along each side of the volume.

    Raises:
        InvalidInputError: the Gaussians show no surface.
    """
    radius = float((gaussians.means.norm(dim=-1) + gaussians.scales.amax(-1)).quantile(0.99))
    cameras = cameras_around(radius, size=2 * resolution)
    outlines: list[Tensor] = []

    def views() -> Iterator[DepthView]:
        for index in range(len(cameras)):
            render = render_layered(gaussians, cameras[index].to(gaussians.means.device), footprint)
            outlines.append(render.alpha[0, ..., 0].cpu())
            yield DepthView(render.depth[0, ..., 0], render.alpha[0, ..., 0], render.rgb[0], cameras[index])

    bounds = torch.tensor([[-radius] * 3, [radius] * 3])
    mesh = fuse(views(), bounds, FusionSettings(resolution=resolution))
    chosen = torch.arange(0, len(cameras), OUTLINED)
    seen = torch.stack([outlines[index] for index in chosen.tolist()])
    for _ in range(ROUNDS):
        mesh = mesh.with_vertices(mesh.vertices + missing_margin(mesh, seen, cameras[chosen]) * mesh.vertex_normals)
    return mesh


def missing_margin(
    mesh: Mesh,
    outlines: Tensor,  # (B, H, W) coverage in [0, 1]
    cameras: Cameras,
) -> float:
    """Metres by which a surface must grow for its outlines to be as large as given ones, on average over B views."""
    shown = render_mesh(mesh, cameras, supersampling=2).alpha[..., 0]
    slopes = [torch.diff(shown, dim=axis, append=shown.narrow(axis, -1, 1)) for axis in (1, 2)]
    border = float(torch.stack(slopes).square().sum(0).sqrt().sum())
    pixels = float(((outlines > 0.5).double().sum() - (shown > 0.5).double().sum()) / max(border, 1e-12))
    distances = cameras.positions.norm(dim=-1) / cameras.intrinsics[:, 0]
    return pixels * float(distances.mean())


def stored_surface(surface: Mesh) -> dict[str, Tensor]:
    """Vertices, faces and colours of a surface by the names that they have in a scene's file."""
    assert surface.colours is not None
    parts = (surface.vertices, surface.faces, surface.colours)
    return {f"{STORED}{name}": part for name, part in zip(PARTS, parts, strict=True)}


def taken_surface(tensors: dict[str, Tensor]) -> Mesh:
    """A surface on the CPU, taken out of the tensors of a scene's file."""
    return Mesh(*(tensors.pop(f"{STORED}{name}").cpu() for name in PARTS))
