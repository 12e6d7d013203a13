"""A surface brought to images of what it was extracted from, by the gradients of its own images.

Fusion and simplification place a surface within a cell or so. Outlines and colours in images tell where it belongs more
exactly: it goes to its outlines first, and then each vertex moves, held by its neighbours, until colours agree as well.
Munkberg et al. 2022 (nvdiffrec) do so from a shape that is to be found; here it is nearly right, and its faces stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR

from a4d.geometry.cameras import Cameras, concatenate
from a4d.geometry.mesh import Mesh
from a4d.geometry.rows import rows
from a4d.randomness import generator
from a4d.render.footprint import pixel_sizes
from a4d.render.mesh_gradients import view_mesh
from a4d.render.outline_refinement import brought_to_outlines

ROUNDS = 3
"""How often every image is looked at."""

STEP, COLOUR_STEP = 0.2, 0.03
"""By which a vertex moves at a time, in pixels, and its colour changes, at first."""

LAST = 0.05
"""Of these, in the end."""

STIFFNESS = 0.1
"""Weight of the mean square of how much farther than a neighbour a vertex moves, in pixels, against that of colours.

A fifth of it lets vertices make up for what their colours are too coarse to show: a smooth head looks hammered.
"""


@dataclass(frozen=True)
class WantedView:
    """What a camera is to see of a surface.

    Args:
        image: (H, W, 4) sRGB over black, and coverage.
        camera: one view of the image's size.
    """

    image: Tensor
    camera: Cameras


@torch.enable_grad()
def refined(mesh: Mesh, views: Sequence[WantedView]) -> Mesh:
    """The same faces with vertices and colours whose images agree better with those that are wanted.

    Args:
        mesh: with colours, nearly right: within a few pixels.
        views: from all sides, of pixels that are equally wide where the surface is.
    """
    cameras = concatenate([view.camera for view in views])
    mesh = brought_to_outlines(mesh, [view.image[..., 3] for view in views], cameras)
    assert mesh.colours is not None
    pixel = float(pixel_sizes(views[0].camera))
    moves = torch.zeros_like(mesh.vertices).requires_grad_()
    colours = mesh.colours.detach().clone().requires_grad_()
    groups = [{"params": [moves], "lr": STEP * pixel}, {"params": [colours], "lr": COLOUR_STEP}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)
    slowing = ExponentialLR(optimiser, LAST ** (1 / (ROUNDS * len(views))))
    draws = generator(0, "surface refinement")
    for index in torch.cat([torch.randperm(len(views), generator=draws) for _ in range(ROUNDS)]).tolist():
        shown = _image(Mesh(mesh.vertices + moves, mesh.faces, colours), views[index].camera)
        loss = (shown - views[index].image).abs().mean() + STIFFNESS * _strain(moves, mesh.faces) / pixel**2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        slowing.step()
    return Mesh(mesh.vertices + moves.detach(), mesh.faces, colours.detach().clamp(0, 1))


def _image(mesh: Mesh, camera: Cameras) -> Tensor:
    """(H, W, 4) colours over black, and coverage."""
    assert mesh.colours is not None
    view = view_mesh(mesh.vertices, mesh.faces, camera)
    whole = torch.ones_like(mesh.colours[:, :1])
    return view.antialias(view.interpolate(torch.cat([mesh.colours, whole], dim=-1)))[0]


def _strain(moves: Tensor, faces: Tensor) -> Tensor:
    """Mean square of the difference between the moves of neighbours, over the sides of all faces."""
    corners = rows(moves, faces)
    return (corners - corners.roll(1, dims=1)).square().sum(-1).mean()
