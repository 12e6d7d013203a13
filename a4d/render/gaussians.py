"""Gaussian splatting: one function, three backends that follow the same rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from a4d.errors import BackendUnavailableError
from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.render import backends
from a4d.render.camera_gradients import carrying, detached, is_learnt
from a4d.render.gaussians_reference import DILATION, SIGNALS
from a4d.render.render import Channel, Render, Wants, concatenated, joined_signals, per_view, split_signals

RENDERED_GAUSSIAN = 160
"""Bytes of a Gaussian while one image is drawn, at the least: what it is on the screen, and the gradients of that."""

BACKENDS = {
    "reference": "a4d.render.gaussians_reference:render",
    "numba": "a4d.render.gaussians_numba:render",
    "gsplat": "a4d.render.gaussians_gsplat:render",
}
DEVICES = {"numba": "cpu", "gsplat": "cuda"}
"""Where a backend runs, in single precision; the reference runs anywhere, in any."""

GAUSSIAN_CHANNELS: frozenset[Channel] = frozenset({"normal", "position"})
"""What can be asked for of any Gaussians."""

REMEDIES = {
    "numba": "Install it with: pip install numba",
    "gsplat": "Install it with: pip install 'a4d[cuda]' (it builds with the CUDA toolkit), or use --device cpu",
}


def render_gaussians(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None = None,  # (B, 3) or (3,) sRGB; None is black
    *,
    backend: str = "auto",
    wants: Wants = (),
    signals: Mapping[str, Tensor] | None = None,  # each (N, C) or (B, N, C)
    sh_degree: int | None = None,
    screen_probe: Tensor | None = None,  # (B, N, 2) zeros
    dilations: Tensor | None = None,  # (B,) square pixels
) -> Render:
    """Images of N Gaussians from B cameras, differentiable by the Gaussians (Kerbl et al. 2023, section 4).

    `a4d.render.gaussians_reference` states the rules that every backend follows.

    Gradients reach every tensor of the Gaussians, also through the viewing direction, and the signals; and cameras that
    are part of a graph, as `a4d.render.camera_gradients` says. None reach the background.

    Args:
        gaussians: N may be 0.
        cameras: B cameras; on the CPU they are drawn one after the other.
        background: what shows through where alpha is below 1.
        backend: `reference` (any device and precision, slow), `numba` (CPU, float32), `gsplat` (CUDA, float32), or
            `auto` for the fast one of the Gaussians' device, or the reference where there is none.
        wants: channels of `GAUSSIAN_CHANNELS`.
        signals: what else to render of the Gaussians, as channels of these names; C is any number.
        sh_degree: limit of the degree of spherical harmonics in use; None is all there are.
        screen_probe: receives in its `grad` the gradient of the loss by each projected mean, in pixels.
        dilations: what is added to the screen variances of each view; see `a4d.render.footprint`.

    Returns:
        Images of the Gaussians' device, with `visible` telling which Gaussians reach which image.

    Raises:
        UsageError: there is no such backend.
        BackendUnavailableError: the backend is not installed, or does not serve this device.
    """
    device = gaussians.means.device
    draw, cameras = _backend(backend, device), cameras.to(device)
    if is_learnt(cameras) and torch.is_grad_enabled():
        told = {"backend": backend, "wants": wants, "sh_degree": sh_degree}
        return _camera_by_camera(gaussians, cameras, background, signals or {}, screen_probe, dilations, told)
    degree = gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree)
    colour = gaussians.means.new_zeros(3) if background is None else background.to(gaussians.means)
    shown = per_view(signals or {}, len(cameras), gaussians.means) | _wanted_signals(gaussians, cameras, wants)
    if dilations is None:
        dilations = torch.full((len(cameras),), DILATION, dtype=torch.float64)
    colours = colour.expand(len(cameras), 3)
    drawn = draw(gaussians, cameras, colours, joined_signals(shown), degree, screen_probe, dilations)
    return replace(drawn, channels=split_signals(drawn.channels[SIGNALS], shown)) if shown else drawn


def _camera_by_camera(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None,
    signals: Mapping[str, Tensor],
    screen_probe: Tensor | None,
    dilations: Tensor | None,
    told: Mapping[str, Any],
) -> Render:
    """What each camera of a graph sees, drawn alone of Gaussians that carry its gradients."""

    def part(values: Any, index: int, dimensions: int) -> Any:
        """What of a tensor by camera belongs to one; all of a tensor that is the same for each, and of None."""
        return values if values is None or values.dim() < dimensions else values[index : index + 1]

    drawn = []
    for index in range(len(cameras)):
        shown = {name: part(each, index, 3) for name, each in signals.items()}
        drawn.append(
            render_gaussians(
                carrying(gaussians, cameras[index]),
                detached(cameras[index]),
                part(background, index, 2),
                signals=shown,
                screen_probe=part(screen_probe, index, 3),
                dilations=part(dilations, index, 1),
                **told,
            )
        )
    return concatenated(drawn)


def _backend(name: str, device: torch.device) -> Callable[..., Render]:
    """The renderer of a name, for Gaussians on a device."""
    if name == "auto":
        name = {place: fast for fast, place in DEVICES.items()}.get(device.type, "reference")
    draw = backends.choose(BACKENDS, name, REMEDIES)
    needed = DEVICES.get(name, device.type)
    if device.type != needed:
        raise BackendUnavailableError(
            f"the backend '{name}' needs Gaussians on {needed}, not on {device.type}", "Use the backend 'auto'"
        )
    return draw


def _wanted_signals(gaussians: Gaussians, cameras: Cameras, wants: Wants) -> dict[str, Tensor]:
    """What channels show of each Gaussian, (B, N, 3) by the channel's name."""
    signals = {}
    if "normal" in wants:
        signals["normal"] = facing_normals(gaussians, cameras)
    if "position" in wants:
        signals["position"] = gaussians.means.expand(len(cameras), -1, -1)
    return signals


def facing_normals(gaussians: Gaussians, cameras: Cameras) -> Tensor:
    """The shortest axes of Gaussians, turned toward each camera.

    Returns:
        (B, N, 3) world, unit length; zero for Gaussians whose rotation or position is not finite.
    """
    is_finite = torch.cat([gaussians.means, gaussians.quaternions], dim=1).detach().isfinite().all(dim=1)
    quaternions = gaussians.quaternions.where(is_finite[:, None], 0)
    shortest = gaussians.log_scales.detach().argmin(dim=1)
    axes = rotation_from_quaternion(quaternions).gather(2, shortest[:, None, None].expand(-1, 3, 1)).squeeze(2)
    offsets = gaussians.means.detach() - cameras.positions[:, None].to(gaussians.means)
    towards = torch.where((axes.detach() * offsets).sum(-1, keepdim=True) > 0, -1.0, 1.0).to(axes)
    return torch.where(is_finite[:, None], axes * towards, 0)
