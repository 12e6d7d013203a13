"""The CUDA backend of Gaussian splatting: gsplat 1.5 or later, under the same rules.

Importing this module fails with an ImportError that gives the reason where gsplat cannot run.
"""

from __future__ import annotations

import contextlib
import sys

import gsplat
import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.render.gaussians_reference import (
    NEAR_DEPTH,
    SIGNALS,
    transparent_where_invalid,
    view_dependent_colours,
)
from a4d.render.render import Render, concatenated


def _check_extension() -> None:
    """Run the smallest of gsplat's kernels: it builds or loads the extension, which `import gsplat` does not."""
    if not torch.cuda.is_available():
        raise ImportError("PyTorch finds no CUDA device")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            gsplat.quat_scale_to_covar_preci(torch.ones(1, 4, device="cuda"), torch.ones(1, 3, device="cuda"))
    except (AttributeError, RuntimeError) as error:
        raise ImportError(f"gsplat has no CUDA extension here: {error}") from error


_check_extension()


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor,  # (B, 3) sRGB
    signals: Tensor | None,  # (B, N, C)
    sh_degree: int,
    screen_probe: Tensor | None,  # (B, N, 2) pixels; its `grad` is filled by `backward()`
    dilations: Tensor,  # (B,) square pixels
) -> Render:
    """The backend `gsplat` of `a4d.render.gaussians.render_gaussians`, where the arguments are described."""
    if len(gaussians) == 0:
        return _empty(cameras, background, signals)
    gaussians = transparent_where_invalid(gaussians.to(torch.float32), sh_degree)
    # One of gsplat's calls knows one dilation.
    parts, order = [], []
    for dilation in dilations.unique().tolist():
        chosen = (dilations == dilation).nonzero()[:, 0].to(background.device)
        shown = None if signals is None else signals[chosen]
        probed = None if screen_probe is None else (screen_probe, chosen)
        parts.append(_rasterise(gaussians, cameras[chosen], background[chosen], shown, sh_degree, probed, dilation))
        order.append(chosen)
    return parts[0] if len(parts) == 1 else concatenated(parts)[torch.cat(order).argsort()]


def _rasterise(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor,  # (B, 3) sRGB
    signals: Tensor | None,  # (B, N, C)
    sh_degree: int,
    probed: tuple[Tensor, Tensor] | None,
    dilation: float,
) -> Render:
    shape = {
        "means": gaussians.means,
        "quats": gaussians.quaternions,
        "scales": gaussians.scales,
        "opacities": gaussians.opacities,
        "viewmats": cameras.camera_from_world.float(),
        "Ks": _matrices(cameras.intrinsics.float()),
        "width": cameras.width,
        "height": cameras.height,
        "near_plane": NEAR_DEPTH,
        "eps2d": dilation,
        "packed": False,
    }
    if signals is None:
        features = {"colors": gaussians.sh, "sh_degree": sh_degree, "backgrounds": background.float()}
    else:
        # gsplat evaluates harmonics of colours alone, so that those of colours with signals beside them come evaluated.
        colours = _colours(gaussians, cameras, sh_degree)
        behind = torch.nn.functional.pad(background.float(), (0, signals.shape[-1]))
        features = {"colors": torch.cat([colours, signals.float()], dim=-1), "backgrounds": behind}
    image, alpha, information = gsplat.rasterization(render_mode="RGB+ED", **features, **shape)
    if probed is not None:
        _report_gradient(information["means2d"], *probed)
    channels = {} if signals is None else {SIGNALS: image[..., 3:-1]}
    return Render(image[..., :3], alpha, image[..., -1:], channels, (information["radii"] > 0).all(-1))


def _colours(gaussians: Gaussians, cameras: Cameras, sh_degree: int) -> Tensor:
    """(B, N, 3) sRGB as each camera sees it."""
    offsets = gaussians.means - cameras.positions.float()[:, None]
    return torch.stack([view_dependent_colours(gaussians.sh, offset, sh_degree) for offset in offsets])


def _report_gradient(means: Tensor, screen_probe: Tensor, views: Tensor) -> None:
    """Add the gradient that arrives at the projected means, which gsplat makes itself, to that of the probe's views."""

    def report(gradient: Tensor) -> None:
        before = torch.zeros_like(screen_probe) if screen_probe.grad is None else screen_probe.grad
        screen_probe.grad = before.index_add(0, views, gradient)

    if means.requires_grad:
        means.register_hook(report)


def _matrices(intrinsics: Tensor) -> Tensor:
    """(B, 4) fx, fy, cx, cy to (B, 3, 3)."""
    matrices = torch.diag_embed(torch.cat([intrinsics[:, :2], torch.ones_like(intrinsics[:, :1])], dim=1))
    matrices[:, :2, 2] = intrinsics[:, 2:]
    return matrices


def _empty(cameras: Cameras, background: Tensor, signals: Tensor | None) -> Render:
    """Nothing but background, for which gsplat has no kernel."""
    size = (len(cameras), cameras.height, cameras.width)
    black = background.new_zeros(*size, 3)
    single = black[..., :1]
    visible = torch.zeros(len(cameras), 0, dtype=torch.bool, device=background.device)
    channels = {} if signals is None else {SIGNALS: black.new_zeros(*size, signals.shape[-1])}
    return Render(black + background[:, None, None], single, single, channels, visible)
