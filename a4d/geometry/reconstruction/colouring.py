"""Vertex colours from a single view: the picture in front, its softened mirror image behind."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh

Image = NDArray[np.float32]

RIM = 2.5
"""Pixels along the outline whose colours are not trusted: they may hold some of the background."""

FACING = (0.2, 0.5)
"""Cosines between a surface and the way to the camera from which and up to which a picture takes over its colour."""

BLURS = (0.0, 0.01, 0.025, 0.06, 0.12)
"""Standard deviations of the softened pictures as fractions of the subject's size, from the front to the far back."""

SOFTENED = ((0.4, 0.0), (0.0, 3.0), (-1.0, 4.0))
"""Cosines between a surface and the way to the camera, and which of the `BLURS` counts there: a pixel on a side covers
so much of it that its own colour would streak."""


def colour_from_view(
    mesh: Mesh,
    image: Tensor,  # (H, W, 4) straight sRGB and alpha in [0, 1]
    camera: Cameras,  # one view of the image's size
    depth: Tensor | None = None,  # (H, W) metres, as the camera sees the mesh; 0 where it does not
) -> Mesh:
    """Paint a mesh with the picture of one view.

    Vertices that the camera sees take the colour of their pixel; along the outline they take it from a few pixels
    further in, and where something hides them from the nearest vertex that is seen. Sides and what faces away take it
    from the same pixel as well, from a picture that is the softer the more they face away: sides fade into the back
    without streaks, and a face does not look out of the back of a head.

    Args:
        mesh: wound outward.
        image: the picture; only pixels with alpha above one half are read.
        camera: where it was taken from.
        depth: the z-buffer that tells hidden vertices from seen ones; without it all vertices that face the camera
            count as seen, which is right for an inflated silhouette.

    Returns:
        The mesh with colours.

    Raises:
        InvalidInputError: the picture does not fit the camera or is empty.
    """
    if image.shape != (camera.height, camera.width, 4):
        raise InvalidInputError(
            f"a picture of shape {tuple(image.shape)} does not fit a camera of {camera.width}x{camera.height} pixels"
        )
    picture = image.detach().float().cpu().numpy()
    if not (picture[..., 3] > 0.5).any():
        raise InvalidInputError("the picture has no opaque pixel", "Check its alpha channel")
    softened = torch.from_numpy(_softened(_without_rim(picture), picture[..., 3] > 0.5)).to(mesh.vertices)

    pixels, depths = camera.project(mesh.vertices.detach())
    toward_camera = normalize(camera.positions - mesh.vertices.detach(), dim=-1)
    facing = (mesh.vertex_normals.detach() * toward_camera).sum(-1)
    level = _softness(facing)
    below = level.floor().long().clamp(max=len(BLURS) - 2)
    stack = torch.stack([_sample(layer, pixels[0], "bilinear").T for layer in softened])
    every = torch.arange(len(level), device=level.device)
    colours = torch.lerp(stack[below, every], stack[below + 1, every], (level - below)[:, None]).clamp(0, 1)
    if depth is not None:
        is_hidden = (facing > 0) & _is_behind(pixels[0], depths[0], depth, camera)
        colours = _from_neighbours(colours, mesh.vertices.detach(), is_hidden, (facing > 0) & ~is_hidden)
    return replace(mesh, colours=colours)


def _softness(facing: Tensor) -> Tensor:
    """(N,) which of the `BLURS` colours surfaces of such cosines (N,); between two of them for what lies between."""
    cosines, levels = np.array(SOFTENED[::-1]).T
    return torch.from_numpy(np.interp(facing.cpu().numpy(), cosines, levels)).to(facing)


def colour_over(
    mesh: Mesh,
    image: Tensor,  # (H, W, 4) straight sRGB and alpha in [0, 1]
    camera: Cameras,  # one view of the image's size
    depth: Tensor,  # (H, W) metres, as the camera sees the mesh; 0 where it does not
) -> Mesh:
    """Paint a mesh with the picture of one view where the view shows it, and leave it as it is elsewhere.

    Between what faces the camera and what it sees from the side, the two are blended.

    Args:
        mesh: wound outward, with colours.
        image: the picture; its colours along the outline are those of a few pixels further in.
        camera: where it was taken from.
        depth: tells what is hidden.

    Returns:
        The mesh with colours.
    """
    assert mesh.colours is not None
    seen, share = SeenColours(image, camera, depth)(mesh.vertices, mesh.vertex_normals)
    return replace(mesh, colours=torch.lerp(mesh.colours, seen, share[:, None]))


class SeenColours:
    """What the picture of one view says of places on a surface.

    Args:
        image: (H, W, 4) straight sRGB and alpha in [0, 1]; its colours along the outline are those of a few pixels
            further in.
        camera: one view of the image's size.
        depth: (H, W) metres, as the camera sees the surface; 0 where it does not. It tells what is hidden.
    """

    def __init__(self, image: Tensor, camera: Cameras, depth: Tensor) -> None:
        self.camera, self.depth, self.alpha = camera, depth, image[None, ..., 3]
        colours = _without_rim(image.detach().float().cpu().numpy())
        self.colours = torch.from_numpy(colours).permute(2, 0, 1)

    def __call__(
        self,
        points: Tensor,  # (N, 3) world, metres
        normals: Tensor,  # (N, 3) unit
    ) -> tuple[Tensor, Tensor]:
        """(N, 3) sRGB, and (N,) how far it counts: 0 where a place is hidden, faces away or lies beside the subject."""
        pixels, depths = self.camera.project(points)
        facing = (normals * normalize(self.camera.positions - points, dim=-1)).sum(-1)
        share = ((facing - FACING[0]) / (FACING[1] - FACING[0])).clamp(0, 1)
        share = share * ~_is_behind(pixels[0], depths[0], self.depth, self.camera)
        share = share * _sample(self.alpha.to(points), pixels[0], "bilinear")[0].clamp(0, 1)
        return _sample(self.colours.to(points), pixels[0], "bilinear").T, share


def _is_behind(pixels: Tensor, depths: Tensor, nearest: Tensor, camera: Cameras) -> Tensor:
    """(N,) whether points (N, 2) at depths (N,) lie behind what a z-buffer (H, W) holds."""
    # One pixel on a slope spans a range of depths, hence the tolerance.
    tolerance = 0.01 * depths.mean() + 2 * depths / camera.intrinsics[0, 0]
    before = _sample(torch.where(nearest > 0, nearest, torch.inf)[None].to(depths), pixels, "nearest")[0]
    return depths > before + tolerance


def _from_neighbours(colours: Tensor, vertices: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """(V, 3) colours in which the wanted vertices take that of the nearest known one."""
    if not (wanted.any() and known.any()):
        return colours
    _, neighbour = cKDTree(vertices[known].cpu().numpy()).query(vertices[wanted].cpu().numpy())
    result = colours.clone()
    result[wanted] = colours[known][torch.from_numpy(neighbour).to(colours.device)]
    return result


def _sample(
    image: Tensor,  # (C, H, W)
    pixels: Tensor,  # (N, 2)
    mode: str,
) -> Tensor:
    """(C, N) values at pixel positions; the border continues outside."""
    size = pixels.new_tensor([image.shape[2], image.shape[1]])
    places = (pixels / size * 2 - 1)[None, None]
    return grid_sample(image[None], places, mode=mode, padding_mode="border", align_corners=False)[0, :, 0]


def _without_rim(picture: Image) -> Image:
    """(H, W, 3) colours of the subject's inside, continued across its outline and over the background."""
    opaque = picture[..., 3] > 0.95
    if not opaque.any():
        opaque = picture[..., 3] >= picture[..., 3].max()
    margin = distance_transform_edt(np.pad(opaque, 1))[1:-1, 1:-1]
    # A part too thin to have an inside is trusted along its middle.
    is_ridge = opaque & (margin >= maximum_filter(margin, size=3))
    trusted = (margin > RIM) | is_ridge
    row, column = distance_transform_edt(~trusted, return_distances=False, return_indices=True)
    return np.ascontiguousarray(picture[row, column, :3])


def _softened(colours: Image, mask: NDArray[np.bool_]) -> Image:
    """(L, 3, H, W) the picture at each of the `BLURS`; means are taken over the subject alone."""
    size = float(np.sqrt(mask.sum()))
    inside = mask.astype(np.float32)
    layers = [colours]
    for fraction in BLURS[1:]:
        sigma = fraction * size
        weight = cv2.GaussianBlur(inside, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        mean = cv2.GaussianBlur(colours * inside[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        known = (weight > 1e-3)[..., None]
        layers.append(np.where(known, mean / np.maximum(weight, 1e-3)[..., None], colours))
    return np.stack(layers).transpose(0, 3, 1, 2)
