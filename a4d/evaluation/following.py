"""How well a moving scene follows the frames that it was fitted to, and whether its shape survives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from a4d.evaluation.views import HIGHEST_PSNR
from a4d.geometry.deformation.arap import edge_strains
from a4d.geometry.mesh import enclosed_volumes
from a4d.metrics import foreground, mask_iou
from a4d.render.blur import blurred
from a4d.scenes.extraction import extract_surface
from a4d.scenes.protocols import Articulated, Deforming, Posed, has_mesh
from a4d.scenes.scene import Scene
from a4d.views import Frames, ViewBatch

SOFT = 1.0
"""Pixels of blur before it is asked how much of a motion was followed: what a prior draws is noisy."""

STILL = 1e-4
"""Mean square by which frames must differ from the first moment, over what they show, for a motion to be seen."""

STANDING = 1.5
"""Times as far as a shape that nobody knew is from the first moment, by which the others must be from it to have moved.

A running horse, a dancing robot and a walking cat are 9, 20 and 2.5 times as far; a fox that stands still, .8.
"""

LOOKED_AT = 24
"""Moments of a film at which a body is compared with it."""

HULL_RESOLUTION = 64
"""Cells along a side of the surface whose volume stands for that of Gaussians."""


@torch.no_grad()
def figures_of_motion(scene: Scene, frames: Frames, drawn_over: float | None = None) -> dict[str, Any]:
    """What can be said of a fitted motion without knowing the true one.

    Args:
        scene: on any device.
        frames: that it was fitted to, of several moments.
        drawn_over: grey of the background in [0, 1] of frames whose alpha was only guessed from it; their colours over
            it are then all that counts for what was followed.

    Returns:
        `iou_worst` and `psnr_worst` with `iou_worst_time` and `psnr_worst_time`; `motion_followed`, the share of what
        moves in the frames that the scene shows: 1 is all, 0 as much as a scene that stands still, and it is absent
        where nothing moves, of loose bones also where standing still misses no more than their shape does; of a scene
        whose points can be followed `path_mean`, how far they go over the clip, as a share of the shape's diagonal;
        `volume_change`, of all moments the one farthest from 0; `strain_rms` and `strain_largest`, over edges and over
        moments, as shares of their length; and `moments`, with each one's figures. Empty where points can neither be
        followed nor are moved by joints that learn, or no time passes.
    """
    if not isinstance(scene, Deforming | Posed) or frames.times is None:
        return {}
    seen_at: list[int] = frames.moment_of[frames.select("train")].unique().tolist()
    if len(seen_at) < 2:
        return {}
    if isinstance(scene, Posed):
        # A film has many more moments than a clip that was rendered or drawn by a prior.
        places = torch.linspace(0, len(seen_at) - 1, min(len(seen_at), LOOKED_AT)).round().long()
        seen_at = [seen_at[place] for place in places.tolist()]
    times: list[float] = frames.moments[seen_at].tolist()
    seen = [_Seen.of(scene, frames, moment, times[0], drawn_over) for moment in seen_at[1:]]
    moments = [{"time": time, "iou": each.iou, "psnr": each.psnr} for time, each in zip(times[1:], seen, strict=True)]
    whole: dict[str, float] = {}
    if isinstance(scene, Deforming):
        whole, deformed = _deformation(scene, times)
        moments = [{**moment, **figures} for moment, figures in zip(moments, deformed, strict=True)]
    outline, picture = min(moments, key=lambda each: each["iou"]), min(moments, key=lambda each: each["psnr"])
    moved, missed = (sum(getattr(each, name) for each in seen) for name in ("moved", "missed"))
    still = STILL
    if isinstance(scene, Articulated):
        rest = _Seen.of(scene, frames, seen_at[0], times[0], drawn_over)
        still = max(still, STANDING * rest.missed / max(rest.weight, 1))
    return {
        **whole,
        "iou_worst": outline["iou"],
        "iou_worst_time": outline["time"],
        "psnr_worst": picture["psnr"],
        "psnr_worst_time": picture["time"],
        **({"motion_followed": 1 - missed / moved} if moved > still * sum(each.weight for each in seen) else {}),
        "moments": moments,
    }


def _deformation(scene: Scene, times: Sequence[float]) -> tuple[dict[str, float], list[dict[str, float]]]:
    """What becomes of the shape over the clip, and the change of volume and the strain at each moment but the first."""
    assert isinstance(scene, Deforming)
    paths, faces = _paths(scene, times)
    squares, edges = edge_strains(paths, faces)
    strains = (squares.sum(dim=(1, 2)) / max(edges, 1)).sqrt().tolist()
    volumes = _volumes(scene, [0.0, *times[1:]], paths, faces)
    changes = [float(volume / volumes[0] - 1) if float(volumes[0]) > 0 else 0.0 for volume in volumes[1:]]
    whole = {
        "path_mean": _mean_path(torch.cat([paths, paths[:1]]) if scene.is_periodic else paths),
        "volume_change": max(changes, key=abs),
        "strain_rms": float((squares.sum() / max(edges * len(squares), 1)).sqrt()),
        "strain_largest": float(squares.max().sqrt()) if squares.numel() else 0.0,
    }
    return whole, [{"volume_change": change, "strain": strain} for change, strain in zip(changes, strains, strict=True)]


def _paths(scene: Deforming, times: Sequence[float]) -> tuple[Tensor, Tensor | None]:
    """(1 + T, P, 3) vertices, or else Gaussians, at rest and at the later times, and the faces of the vertices."""
    paths = scene.moved_points("vertices" if has_mesh(scene) else "gaussians", [0.0, *times[1:]])
    return paths, scene.mesh().faces if has_mesh(scene) else None


def _volumes(scene: Scene, times: Sequence[float], paths: Tensor, faces: Tensor | None) -> Tensor:
    """(1 + T,) cubic metres: of the mesh, or of the surface that Gaussians show at rest and take along."""
    if faces is not None:
        return enclosed_volumes(paths, faces)
    assert isinstance(scene, Deforming)
    surface = extract_surface(scene, 0.0, HULL_RESOLUTION).to(paths.device)
    return enclosed_volumes(scene.carried_points(surface.vertices, times), surface.faces)


def _mean_path(paths: Tensor) -> float:
    """How far points (T, P, 3) go in all, on average, as a share of the diagonal of their box at rest."""
    diagonal = float((paths[0].amax(0) - paths[0].amin(0)).norm())
    return float(paths.diff(dim=0).norm(dim=-1).sum(0).mean()) / max(diagonal, 1e-12)


@dataclass(frozen=True)
class _Seen:
    """One moment from all sides.

    Args:
        iou: mean over the views.
        psnr: dB, over what frames or renders cover.
        moved: how far the frames are from the scene at rest: the sum of squares over pixels and channels.
        missed: how far they are from the scene as it moves.
        weight: the sum of coverage that either shows, the measure of both.
    """

    iou: float
    psnr: float
    moved: float
    missed: float
    weight: float

    @classmethod
    def of(cls, scene: Scene, frames: Frames, moment: int, rest: float, drawn_over: float | None) -> _Seen:
        """A moment by its index, and how the scene at another time, that of rest, would do in its place."""
        times = float(frames.moments[moment]), rest
        device, level = next(scene.parameters()).device, drawn_over or 0.0
        channels = 4 if drawn_over is None else 3
        ious: list[float] = []
        totals = torch.zeros(4, dtype=torch.float64)
        for index in frames.select("train"):
            if int(frames.moment_of[index]) != moment:
                continue
            rgba, camera = frames.rgba[index].to(device), frames.cameras[index].to(device)
            truth = torch.cat([rgba[..., :3] * rgba[..., 3:] + level * (1 - rgba[..., 3:]), rgba[..., 3:]], dim=-1)
            background = torch.full((1, 3), level)
            moving, still = (
                _shown(scene, ViewBatch(camera, torch.tensor([at]), background).to(device)) for at in times
            )
            ious.append(mask_iou(moving[..., 3], truth[..., 3]))
            cover = foreground(moving[..., 3], truth[..., 3])
            squares = (moving[..., :3] - truth[..., :3])[cover].square()
            soft = [blurred((image - truth)[None, ..., :channels], SOFT).square().sum() for image in (still, moving)]
            parts = [squares.sum(), cover.sum() * 3, *soft]
            totals += torch.stack([part.double().cpu() for part in parts])
        error, pixels, moved, missed = totals.tolist()
        quality = HIGHEST_PSNR if error == 0 else float(-10 * torch.log10(totals[0] / totals[1]))
        return cls(sum(ious) / max(len(ious), 1), min(quality, HIGHEST_PSNR), moved, missed, pixels / 3)


def _shown(scene: Scene, batch: ViewBatch) -> Tensor:
    """(H, W, 4) what a single camera sees over a background, and its coverage."""
    render = scene.render(batch.cameras, batch.times, batch.background)
    return torch.cat([render.rgb[0].clamp(0, 1), render.alpha[0]], dim=-1)
