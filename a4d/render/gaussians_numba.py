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
from a4d.render.gaussians_reference import DILATION, SIGNALS
from a4d.render.kernels.gaussian_binning import bin_splats, gather_pairs, sort_by_depth
from a4d.render.kernels.gaussian_projection import project
from a4d.render.kernels.gaussian_projection_backward import project_backward
from a4d.render.kernels.gaussian_rasterisation import rasterise
from a4d.render.kernels.gaussian_rasterisation_backward import rasterise_backward
from a4d.render.kernels.gaussian_splats import LOG2_E, SPLAT_COLUMNS, SPLAT_GRADIENTS
from a4d.render.kernels.gaussian_tiles import TILE
from a4d.render.render import Render

Array = np.ndarray[Any, np.dtype[Any]]


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor,  # (B, 3) sRGB
    signals: Tensor | None,  # (B, N, C)
    sh_degree: int,
    screen_probe: Tensor | None,  # (B, N, 2) pixels; its gradient alone is used
    dilations: Tensor,  # (B,) square pixels
) -> Render:
    """The backend `numba` of `a4d.render.gaussians.render_gaussians`, where the arguments are described."""
    if sh_degree < gaussians.sh_degree:
        gaussians = replace(gaussians, sh=gaussians.sh[:, : (sh_degree + 1) ** 2])
    gaussians = gaussians.to(torch.float32)
    shown = background.new_zeros(len(cameras), len(gaussians), 0) if signals is None else signals
    leaves = (getattr(gaussians, field.name) for field in fields(gaussians))
    rgb, alpha, depth, image, visible = _Splatting.apply(
        gaussians, cameras, background.float(), shown.float(), screen_probe, dilations, *leaves
    )
    channels = {} if signals is None else {SIGNALS: image}
    return Render(rgb, alpha[..., None], depth[..., None], channels, visible)


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


class _Splatting(torch.autograd.Function):
    """All views of a batch, one after the other."""

    @staticmethod
    def forward(
        ctx: Any,
        gaussians: Gaussians,
        cameras: Cameras,
        background: Tensor,
        signals: Tensor,  # (B, N, C)
        screen_probe: Tensor | None,
        dilations: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Colour, coverage, depth and signals of every view, and which Gaussians reach it."""
        size = (len(cameras), cameras.height, cameras.width)
        rgb, alpha, depth = torch.empty(*size, 3), torch.empty(size), torch.empty(size)
        image = torch.empty(*size, signals.shape[-1])
        visible = torch.empty(len(cameras), len(gaussians), dtype=torch.bool)
        ctx.inputs = tuple(map(_array, (gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.sh)))
        log2_opacities = _array(torch.nn.functional.logsigmoid(gaussians.opacity_logits) * LOG2_E)
        ctx.drawings = []
        for index, camera in enumerate(_numbers(cameras, dilations)):
            drawing = _prepare(camera, cameras, ctx.inputs, log2_opacities)
            images = tuple(part[index].numpy() for part in (rgb, alpha, depth, image))
            rasterise(drawing.pairs, _array(signals[index]), _array(background[index]), images, drawing.pair_ends)
            visible[index] = torch.from_numpy(drawing.tile_counts > 0)
            ctx.drawings.append(drawing)
        ctx.save_for_backward(gaussians.opacity_logits, signals, rgb, alpha, depth, image)
        ctx.mark_non_differentiable(visible)
        ctx.set_materialize_grads(False)
        return rgb, alpha, depth, image, visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients by signals, by projected means in pixels, and by the parameters of the Gaussians."""
        opacity_logits, signals, *images = ctx.saved_tensors
        means, quaternions, scales, sh = ctx.inputs
        shapes = means.shape, quaternions.shape, scales.shape, opacity_logits.shape, sh.shape
        gradients = tuple(np.zeros(shape, np.float32) for shape in shapes)
        grad_probe, grad_signals = torch.zeros(len(ctx.drawings), len(means), 2), torch.zeros_like(signals)
        for index, drawing in enumerate(ctx.drawings):
            drawn = tuple(image[index].numpy() for image in images)
            by_drawn = tuple(
                _zeros(image.shape) if by_image is None else _array(by_image[index])
                for image, by_image in zip(drawn, incoming[:4], strict=True)
            )
            splat_gradients = _gradients_of_splats(drawing, _array(signals[index]), drawn, by_drawn)
            grad_signals[index] = torch.from_numpy(splat_gradients[:, SPLAT_GRADIENTS:])
            project_backward(
                drawing.camera, ctx.inputs, drawing.splats, drawing.tile_counts, splat_gradients, gradients,
                grad_probe[index].numpy(),
            )  # fmt: skip
        grad_means, grad_quaternions, grad_log_scales, grad_log_opacities, grad_sh = map(torch.from_numpy, gradients)
        grad_logits = grad_log_opacities * torch.sigmoid(-opacity_logits)
        leaves = grad_means, grad_quaternions, grad_log_scales, grad_logits, grad_sh
        return None, None, None, grad_signals, grad_probe if ctx.needs_input_grad[4] else None, None, *leaves


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
    drawing: _Drawing, signals: Array, images: tuple[Array, ...], by_images: tuple[Array, ...]
) -> Array:
    """(N, 10 + C) gradients of the loss by the splats and their features, valid until they are next asked for."""
    columns = SPLAT_GRADIENTS + signals.shape[1]
    pair_gradients = _scratch.array("pairs", (len(drawing.pair_splats), columns))
    rasterise_backward(drawing.pairs, signals, images, drawing.pair_ends, by_images, pair_gradients)
    splat_gradients = _scratch.array("splats", (len(drawing.splats), columns))
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
