"""The surface of Gaussians at rest: fused from their depth, and moved to where their outlines are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.depth_views import DepthView
from a4d.geometry.reconstruction.fusion import FusionSettings, fuse
from a4d.render.footprint import render_layered
from a4d.render.outline_refinement import brought_to_outlines
from a4d.scenes.extraction import cameras_around

STORED, PARTS = "surface_", ("vertices", "faces", "colours")
"""How the names of the surface's tensors begin in a scene's file, and how they go on."""


@torch.no_grad()
def surface_at_rest(gaussians: Gaussians, footprint: float | None, resolution: int) -> Mesh:
    """A closed mesh with vertex colours, its outlines those that the Gaussians show.

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
    return brought_to_outlines(mesh, outlines, cameras)


def stored_surface(surface: Mesh) -> dict[str, Tensor]:
    """Vertices, faces and colours of a surface by the names that they have in a scene's file."""
    assert surface.colours is not None
    parts = (surface.vertices, surface.faces, surface.colours)
    return {f"{STORED}{name}": part for name, part in zip(PARTS, parts, strict=True)}


def taken_surface(tensors: dict[str, Tensor]) -> Mesh:
    """A surface on the CPU, taken out of the tensors of a scene's file."""
    return Mesh(*(tensors.pop(f"{STORED}{name}").cpu() for name in PARTS))
