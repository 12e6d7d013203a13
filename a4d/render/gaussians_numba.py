"""The CPU backend of Gaussian splatting: compiled tile kernels with an analytic backward pass."""

from __future__ import annotations

import functools
import math
import threading
from dataclasses import dataclass, fields, replace
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from a4d.errors import OutOfMemoryError
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.gaussians import Gaussians
from a4d.render.gaussians_reference import DILATION
from a4d.render.kernels.gaussian_binning import bin_splats, gather_pairs, sort_by_depth
from a4d.render.kernels.gaussian_projection import (
    DEPTH,
    LOG2_E,
    RED,
    SPLAT_COLUMNS,
    SPLAT_GRADIENTS,
    SUM_RED,
    project,
    project_backward,
)
from a4d.render.kernels.gaussian_rasterisation import TILE, rasterise, rasterise_backward
from a4d.render.render import Render

Array = np.ndarray[Any, np.dtype[Any]]


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor,  # (B, 3) sRGB
    normals: Tensor | None,  # (B, N, 3) world, unit length
    sh_degree: int,
    screen_probe: Tensor | None,  # (B, N, 2) pixels; its gradient alone is used
    dilations: Tensor,  # (B,) square pixels
) -> Render:
    """The backend `numba` of `a4d.render.gaussians.render_gaussians`, where the arguments are described."""
    if sh_degree < gaussians.sh_degree:
        gaussians = replace(gaussians, sh=gaussians.sh[:, : (sh_degree + 1) ** 2])
    gaussians = gaussians.to(torch.float32)
    normals = None if normals is None else normals.float()
    leaves = (getattr(gaussians, field.name) for field in fields(gaussians))
    rgb, alpha, depth, normal, visible = _Splatting.apply(
        gaussians, cameras, background.float(), normals, screen_probe, dilations, *leaves
    )
    return Render(rgb, alpha[..., None], depth[..., None], normal, visible)


def warm_up() -> None:
    """Compile every kernel, or load it from the cache."""
    shapes = (3,), (4,), (3,), (), (1, 3)
    gaussians = Gaussians(*(torch.ones(2, *shape, requires_grad=True) for shape in shapes))
    dilations = torch.full((1,), DILATION, dtype=torch.float64)
    render(
        gaussians, turntable(1, 0.0, 9.0, 40.0, TILE), torch.zeros(1, 3), None, 0, None, dilations
    ).rgb.sum().backward()


@dataclass(frozen=True)
class _Drawing:
    """What the backward pass needs to know of how one view was drawn."""

    camera: Array
    splats: Array
    tile_counts: Array
    tile_starts: Array
    pair_splats: Array
    splat_starts: Array
    splat_pairs: Array
    tile_order: Array
    pair_ends: Array

    @property
    def pairs(self) -> tuple[Array, Array, Array, Array, int]:
        """What the rasterisation's kernels take as `pairs`."""
        return self.splats, self.tile_starts, self.pair_splats, self.tile_order, numba.get_num_threads()

    def showing(self, features: Array) -> _Drawing:
        """The same splats with other features, (N, 3), in the place of colours, and none in that of depth."""
        splats = self.splats.copy()
        splats[:, RED : RED + 3] = features
        splats[:, DEPTH] = 0
        return replace(self, splats=splats)


class _Splatting(torch.autograd.Function):
    """All views of a batch, one after the other."""

    @staticmethod
    def forward(
        ctx: Any,
        gaussians: Gaussians,
        cameras: Cameras,
        background: Tensor,
        normals: Tensor | None,
        screen_probe: Tensor | None,
        dilations: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor | None, ...]:
        size = (len(cameras), cameras.height, cameras.width)
        rgb, alpha, depth = torch.empty(*size, 3), torch.empty(size), torch.empty(size)
        normal = None if normals is None else torch.empty_like(rgb)
        visible = torch.empty(len(cameras), len(gaussians), dtype=torch.bool)
        ctx.inputs = tuple(map(_array, (gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.sh)))
        log2_opacities = _array(torch.nn.functional.logsigmoid(gaussians.opacity_logits) * LOG2_E)
        ctx.drawings = []
        for index, camera in enumerate(_numbers(cameras, dilations)):
            drawing = _prepare(camera, cameras, ctx.inputs, log2_opacities)
            images = rgb[index].numpy(), alpha[index].numpy(), depth[index].numpy()
            rasterise(drawing.pairs, _array(background[index]), images, drawing.pair_ends)
            if normals is not None and normal is not None:
                shown = drawing.showing(_array(normals[index]))
                again = normal[index].numpy(), np.empty(size[1:], np.float32), np.empty(size[1:], np.float32)
                rasterise(shown.pairs, np.zeros(3, np.float32), again, drawing.pair_ends)
            visible[index] = torch.from_numpy(drawing.tile_counts > 0)
            ctx.drawings.append(drawing)
        ctx.save_for_backward(gaussians.opacity_logits, normals, rgb, alpha, depth, normal)
        ctx.mark_non_differentiable(visible)
        ctx.set_materialize_grads(False)
        return rgb, alpha, depth, normal, visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        opacity_logits, normals, rgb, alpha, depth, normal = ctx.saved_tensors
        means, quaternions, scales, sh = ctx.inputs
        shapes = means.shape, quaternions.shape, scales.shape, opacity_logits.shape, sh.shape
        gradients = tuple(np.zeros(shape, np.float32) for shape in shapes)
        by_rgb, by_alpha, by_depth, by_normal, _ = incoming
        grad_probe = torch.zeros(len(ctx.drawings), len(means), 2)
        grad_normals = None if by_normal is None else torch.zeros_like(normals)
        for index, drawing in enumerate(ctx.drawings):
            images = rgb[index].numpy(), alpha[index].numpy(), depth[index].numpy()
            by_images = tuple(
                _zeros(image.shape) if by_image is None else _array(by_image[index])
                for image, by_image in zip(images, (by_rgb, by_alpha, by_depth), strict=True)
            )
            splat_gradients = _gradients_of_splats(drawing, images, by_images, "splats")
            if by_normal is not None and grad_normals is not None:
                nothing = _zeros(images[1].shape)
                shown = drawing.showing(_array(normals[index]))
                images = normal[index].numpy(), images[1], nothing
                by_again = _array(by_normal[index]), nothing, nothing
                by_splats = _gradients_of_splats(shown, images, by_again, "splats with normals")
                splat_gradients[:, :SUM_RED] += by_splats[:, :SUM_RED]
                grad_normals[index] = torch.from_numpy(by_splats[:, SUM_RED : SUM_RED + 3])
            project_backward(
                drawing.camera, ctx.inputs, drawing.splats, drawing.tile_counts, splat_gradients, gradients,
                grad_probe[index].numpy(),
            )  # fmt: skip
        grad_means, grad_quaternions, grad_log_scales, grad_log_opacities, grad_sh = map(torch.from_numpy, gradients)
        grad_logits = grad_log_opacities * torch.sigmoid(-opacity_logits)
        leaves = grad_means, grad_quaternions, grad_log_scales, grad_logits, grad_sh
        return None, None, None, grad_normals, grad_probe if ctx.needs_input_grad[4] else None, None, *leaves


def _numbers(cameras: Cameras, dilations: Tensor) -> Array:
    """(B, 19) float64 what the kernels know of each camera."""
    parts = [
        cameras.world_from_camera[:, :3, :3].transpose(1, 2).flatten(1),
        cameras.positions,
        cameras.intrinsics,
        cameras.intrinsics.new_tensor([[cameras.width, cameras.height]]).expand(len(cameras), 2),
        dilations[:, None],
    ]
    return _array(torch.cat([part.double() for part in parts], dim=1))


def _prepare(camera: Array, size: Cameras, inputs: tuple[Array, ...], log2_opacities: Array) -> _Drawing:
    """Project, sort and bin."""
    number = len(log2_opacities)
    splats = np.empty((number, SPLAT_COLUMNS), np.float32)
    rectangles, tile_counts = np.empty((number, 4), np.int32), np.empty(number, np.int32)
    project(camera, inputs, log2_opacities, splats, rectangles, tile_counts)
    pairs = int(tile_counts.sum(dtype=np.int64))
    if pairs > np.iinfo(np.int32).max:
        raise OutOfMemoryError(
            f"{number} Gaussians cover {pairs} tiles of the image",
            "Render fewer or smaller Gaussians, or fewer pixels",
        )
    columns, rows = -(-size.width // TILE), -(-size.height // TILE)
    order = sort_by_depth(splats, tile_counts)
    tile_starts, pair_splats, splat_starts, splat_pairs = bin_splats(
        order, rectangles, tile_counts, columns, rows, numba.get_num_threads()
    )
    tile_order = np.argsort(-np.diff(tile_starts), kind="stable")
    pair_ends = np.empty(columns * rows, np.int64)
    return _Drawing(
        camera, splats, tile_counts, tile_starts, pair_splats, splat_starts, splat_pairs, tile_order, pair_ends
    )


def _gradients_of_splats(
    drawing: _Drawing, images: tuple[Array, ...], by_images: tuple[Array, ...], name: str
) -> Array:
    """(N, 10) gradients of the loss by the splats and the features they show, valid until the next of that name."""
    pair_gradients = _scratch.array("pairs", (len(drawing.pair_splats), SPLAT_GRADIENTS))
    rasterise_backward(drawing.pairs, images, drawing.pair_ends, by_images, pair_gradients)
    splat_gradients = _scratch.array(name, (len(drawing.splats), SPLAT_GRADIENTS))
    gather_pairs(drawing.splat_starts, drawing.splat_pairs, pair_gradients, splat_gradients)
    return splat_gradients


class _Scratch(threading.local):
    """Memory that outlives a call: the first touch of fresh memory costs more than the work done in it."""

    def __init__(self) -> None:
        self.memory: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        """An uninitialised float32 array, valid until the next request of the same name on this thread."""
        size = math.prod(shape)
        memory = self.memory.get(name)
        if memory is None or memory.size < size:
            memory = self.memory[name] = np.empty(size + size // 4, np.float32)
        return memory[:size].reshape(shape)


_scratch = _Scratch()


@functools.lru_cache(maxsize=4)
def _zeros(shape: tuple[int, ...]) -> Array:
    """The gradient of an image that does not enter the loss; never written to."""
    return np.zeros(shape, np.float32)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().contiguous().numpy()
