"""Textures of films: each place has the colours of the frames that see it best, brought to where the model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor
from torch.nn.functional import grid_sample

from a4d.estimation.flow import followed, inverse_search
from a4d.export.projection import ProjectedColours, SurfaceView
from a4d.geometry.assets.unwrapping import UnwrappedMesh
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.pixels import SOLID, WHITE, Array, composite
from a4d.render.baking import SurfaceFunction, bake_texture
from a4d.render.footprint import pixel_sizes
from a4d.render.mesh import rasterise
from a4d.scenes.protocols import Articulated
from a4d.views import Frames

ROUNDS = 2
"""In which frames are aligned: with the model's own colours at first, then with the texture of the round before."""

MOST_FRAMES = 120
"""Of a film, evenly chosen: more would take minutes, and say little more."""

LARGEST_FRAME = 384
"""Pixels of a frame's longer side, at most."""

REACH = 0.016
"""Of a frame's longer side, by which alignment moves what it shows at most: cameras and poses are off by less."""

SMOOTHNESS = 0.01
"""Of a frame's longer side, the deviation of the Gaussian that smooths the alignment."""

COMPARED = 0.008
"""Of a frame's longer side, the deviation of the Gaussian over which frame and model are compared."""

UNLIKE = 0.12
"""Difference of colours at which a frame counts by 1/e: something else lies before the model, or its pose is wrong."""

RIM = (0.002, 0.012)
"""Of a frame's longer side: how far from an outline a pixel begins to count, and counts in full."""

STEP = 0.05
"""Of its distance, by which a surface jumps where one part lies before another."""

FITTING = 4.0
"""Power of the overlap of outlines by which a frame counts: badly fitted moments hardly do."""

TRACE = 0.02
"""How much the model's own colours count beside a frame that faces a place: they fade in where only slants see it."""

DETAIL = 0.02
"""Of a frame's longer side, the deviation of the Gaussian that parts what frames agree on from detail."""

SHARPEST = 6.0
"""Power by which frames count beside each other for detail: nearly the best alone does."""

OFF_SURFACE = 0.02
"""Metres from the nearest surface that a place may be and still count as seen; the subject is a unit ball."""


@dataclass(frozen=True)
class ModelView:
    """What a frame's camera should see of the model.

    Args:
        rgb: (H, W, 3) sRGB, white beside the model.
        depth: (H, W) metres, 0 beside the model.
    """

    rgb: Array
    depth: Array

    @property
    def is_covered(self) -> NDArray[np.bool_]:
        """(H, W) whether the model is seen."""
        return self.depth > 0


def texel_of(frames: Frames) -> float:
    """Metres on the subject that a pixel of a film is wide, as large as its frames are read."""
    camera = frames.reduced(0, LARGEST_FRAME)[1]
    return float(pixel_sizes(camera))


@torch.no_grad()
def film_texture(
    scene: Articulated,
    unwrapped: UnwrappedMesh,
    frames: Frames,
    size: int,
) -> Tensor:
    """The looks of a model as the frames of its film have them.

    Cameras and poses that were found by the film itself are some pixels off, and so is the mean over frames a blur.
    Each frame is aligned with the model by dense optical flow, as far as a frame may be off, before its pixels are
    projected; a second round aligns all with the sharper texture of the first. How far a pixel counts falls off at
    outlines and edges of parts, at a slant, where its colour is not the model's, and in frames whose outline is not.
    Soft colours are the mean over frames, and detail is that of the frame that shows a place best (Baumberg 2002).

    Args:
        scene: fitted to the film.
        unwrapped: its surface at rest, with its own colours at the vertices.
        frames: that show it, with the cameras that the scene has learnt.
        size: pixels of the texture along either side.

    Returns:
        (size, size, 3) sRGB.
    """
    own = unwrapped.mesh.colours
    assert own is not None
    frames = _evenly(frames)
    assert frames.times is not None
    posed = scene.warped(unwrapped.mesh.vertices.to(scene.bones().radii), frames.times.tolist()).cpu()
    meshes = [replace(unwrapped, mesh=unwrapped.mesh.with_vertices(vertices)) for vertices in posed]
    texture = bake_texture(unwrapped, lambda points: points.interpolate(own), size, samples=1)
    for _ in range(ROUNDS):
        views = [_view(*frames.reduced(index, LARGEST_FRAME), mesh, texture) for index, mesh in enumerate(meshes)]
        texture = bake_texture(unwrapped, _blended(views, own), size, samples=1)
    return texture


def _evenly(frames: Frames) -> Frames:
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int)
    return frames.subset(chosen.tolist())


def _view(rgba: Tensor, camera: Cameras, posed: UnwrappedMesh, texture: Tensor) -> SurfaceView:
    """A frame as it would be if the model, posed as it is there, were right: softened, and what it differs by."""
    model = _seen_model(posed, texture, camera)
    colours, weights = aligned(rgba.numpy(), model)
    ground = _smoothed(colours, weights > 0, DETAIL * max(weights.shape))
    layers = np.concatenate([ground, colours - ground, weights[..., None], model.depth[..., None]], axis=-1)
    return SurfaceView(camera, posed.mesh, torch.from_numpy(layers).permute(2, 0, 1).half())


def _blended(views: Sequence[SurfaceView], own: Tensor) -> SurfaceFunction:
    """(N, 3) sRGB at points: what frames agree on, with the detail of the best of them."""
    otherwise = torch.cat([own, torch.zeros_like(own)], dim=-1)
    both = ProjectedColours(views, OFF_SURFACE, otherwise, TRACE, (1.0, SHARPEST))
    return lambda points: both(points).unflatten(1, (2, 3)).sum(1).clamp(0, 1)


def _seen_model(posed: UnwrappedMesh, texture: Tensor, camera: Cameras) -> ModelView:
    fragments = rasterise(Mesh(posed.vertices, posed.faces), camera)
    places = fragments.interpolate(posed.uvs, posed.faces) * 2 - 1
    rgb = grid_sample(texture.permute(2, 0, 1)[None], places, padding_mode="border", align_corners=False)[0]
    shown = rgb.permute(1, 2, 0).where(fragments.is_covered[0, ..., None], 1.0)
    return ModelView(shown.numpy(), fragments.depth[0].numpy())


def aligned(
    rgba: Array,  # (H, W, 4) sRGB in [0, 1], straight alpha
    model: ModelView,
) -> tuple[Array, Array]:
    """(H, W, 3) what a frame shows, moved to where the model shows the same, and (H, W) in [0, 1] how far it counts."""
    size, is_subject = max(rgba.shape[:2]), rgba[..., 3] > SOLID
    covered = model.is_covered
    shown = composite(rgba, WHITE)
    # Outlines that differ are a matter of shape: where one of both is missing, neither shows the flow a step.
    flow = inverse_search(_where(covered, model.rgb, shown), _where(is_subject, shown, model.rgb))
    flow = _bounded(_smoothed(flow, covered, SMOOTHNESS * size), REACH * size)
    inward = followed(_inward(is_subject)[..., None], flow)[..., 0]
    colours, both = followed(rgba[..., :3], flow), covered & (inward > 0)
    before, after = (_smoothed(each, both, COMPARED * size) for each in (model.rgb, colours))
    likeness = np.exp(-np.square(np.abs(before - after).mean(-1) / UNLIKE))
    rims = _from_rim(inward, size) * _from_rim(_inward(covered & ~_is_edge(model.depth)), size)
    overlap = (covered & is_subject).sum() / max((covered | is_subject).sum(), 1)
    return colours, (rims * likeness * both * overlap**FITTING).astype(np.float32)


def _where(is_known: NDArray[np.bool_], values: Array, others: Array) -> Array:
    return np.where(is_known[..., None], values, others)


def _smoothed(values: Array, known: NDArray[np.bool_], sigma: float) -> Array:
    """(H, W, C) means of known values around each pixel."""
    weights = gaussian_filter(known.astype(np.float32), sigma, mode="constant")
    sums = gaussian_filter(values * known[..., None], (sigma, sigma, 0), mode="constant")
    return np.asarray(sums / np.maximum(weights, 1e-4)[..., None], np.float32)


def _bounded(flow: Array, reach: float) -> Array:
    """(H, W, 2) the flow, no longer than `reach` pixels."""
    return flow * np.minimum(1, reach / np.maximum(np.linalg.norm(flow, axis=-1, keepdims=True), 1e-6))


def _inward(inside: NDArray[np.bool_]) -> Array:
    """(H, W) pixels to what is outside, which is all around the picture."""
    return np.asarray(distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1], np.float32)


def _from_rim(distance: Array, size: int) -> Array:
    near, far = RIM
    return np.clip((distance / size - near) / (far - near), 0, 1)


def _is_edge(depth: Array) -> NDArray[np.bool_]:
    """(H, W) where one part of a surface ends before another."""
    window = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(np.where(depth > 0, depth, np.inf).astype(np.float32), window)
    return cv2.dilate(depth, window) - nearest > STEP * depth
