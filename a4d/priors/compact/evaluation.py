"""How good the compact prior is, on procedural objects that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from a4d.datasets.procedural.clips import Scene, Stage, procedural_scene
from a4d.datasets.procedural.named_colours import nearest_colours
from a4d.datasets.procedural.vocabulary import COLOURS, MOTIONS
from a4d.geometry.cameras import Cameras
from a4d.priors.compact.attention import RowAttention
from a4d.priors.compact.examples import on_white
from a4d.priors.compact.network import CompactNetwork
from a4d.priors.compact.prior import CompactPrior
from a4d.priors.protocol import Query
from a4d.priors.sampling import known_first_frames, sample
from a4d.randomness import generator

SEED = 2 * 10**6
"""Neither the training's nor the validation's."""

FOREGROUND = 0.2
"""Distance from white, in [0, 1], above which a pixel is part of an object."""

GATE = {"gain_db": 2.0, "foreground_gain_db": 3.0, "nearest_motion": 0.85, "mirror_iou": 0.8}
"""What must be reached before the weights count as good; image to views must moreover beat copying."""


@dataclass(frozen=True)
class Sampler:
    """How samples are drawn.

    Args:
        steps: of DDIM.
        guidance_scale: of the words.
    """

    steps: int = 4
    guidance_scale: float = 1.5


def evaluate(network: CompactNetwork, objects: int = 32, sampler: Sampler | None = None) -> dict[str, float]:
    """All figures; shares and IoU in [0, 1], PSNR in dB.

    Args:
        network: in evaluation mode.
        objects: of each kind.
        sampler: steps and guidance.
    """
    sampler = sampler or Sampler()
    figures = {**evaluate_video(network, objects, sampler), **evaluate_views(network, objects, sampler)}
    with without_attention(network):
        blind = evaluate_video(network, objects, sampler)
    kept = ("sampled_psnr_foreground", "one_step_psnr_foreground", "nearest_motion")
    return {**figures, **{f"{name}_without_attention": blind[name] for name in kept}}


def passes(figures: dict[str, float]) -> bool:
    """Whether figures reach the gate."""
    return (
        figures["sampled_psnr"] >= figures["repeat_psnr"] + GATE["gain_db"]
        and figures["sampled_psnr_foreground"] >= figures["repeat_psnr_foreground"] + GATE["foreground_gain_db"]
        and figures["nearest_motion"] >= GATE["nearest_motion"]
        and figures["image_to_views_iou"] > figures["copied_view_iou"]
        and figures["mirror_iou"] >= GATE["mirror_iou"]
    )


@torch.no_grad()
def evaluate_video(network: CompactNetwork, objects: int, sampler: Sampler) -> dict[str, float]:
    """Clips of held-out objects at rest and a caption, against their ground truth and against all other motions."""
    prior = CompactPrior(network, "multi-view-video")
    names = list(MOTIONS)
    rows: dict[str, list[float]] = {}
    for index in range(objects):
        motion = names[index % len(names)]
        scene = procedural_scene(SEED, index, Stage(size=network.config.size), (motion,))
        truth = ground_truth(scene, motion)
        for label, settings in (("one_step", Sampler(1, 1.0)), ("sampled", sampler)):
            clip = sample_clip(prior, truth[:, 0], scene.caption, scene.cameras, truth.shape[1], settings, index)
            _append(rows, label, clip[:, 1:], truth[:, 1:])
            if label == "sampled":
                errors = [float((clip - ground_truth(scene, other)).square().mean()) for other in names]
                rows.setdefault("nearest_motion", []).append(float(names[int(np.argmin(errors))] == motion))
                rows.setdefault(f"nearest_{motion}", []).append(rows["nearest_motion"][-1])
                rows.setdefault(f"gain_{motion}", []).append(-psnr(truth[:, :1].expand_as(truth)[:, 1:], truth[:, 1:]))
                rows[f"gain_{motion}"][-1] += psnr(clip[:, 1:], truth[:, 1:])
        _append(rows, "repeat", truth[:, :1].expand_as(truth)[:, 1:], truth[:, 1:])
    return {name: sum(values) / len(values) for name, values in rows.items()}


@torch.no_grad()
def evaluate_views(network: CompactNetwork, objects: int, sampler: Sampler) -> dict[str, float]:
    """Still views from captions, and from one picture."""
    prior = CompactPrior(network, "multi-view")
    rows: dict[str, list[float]] = {}
    for index in range(objects):
        scene = procedural_scene(SEED, index, Stage(size=network.config.size), ("",))
        truth = ground_truth(scene, "")[:, 0]
        for label, images in (
            ("text", sample_views(prior, scene.caption, scene.cameras, None, sampler, index)),
            ("truth", truth),
        ):
            cover, present = colour_shares(images, scene)
            prefix = "" if label == "text" else "truth_"
            rows.setdefault(f"{prefix}body_colour_present", []).append(present)
            rows.setdefault(f"{prefix}named_colours_cover", []).append(cover)
            rows.setdefault(f"{prefix}mirror_iou", []).append(mirror_iou(images))
        made = sample_views(prior, scene.caption, scene.cameras, truth[:1], sampler, index)
        rows.setdefault("image_to_views_iou", []).append(iou(mask(made[1:]), mask(truth[1:])))
        rows.setdefault("image_to_views_psnr_foreground", []).append(foreground_psnr(made[1:, None], truth[1:, None]))
        copied = truth[:1].expand_as(truth[1:])
        rows.setdefault("copied_view_iou", []).append(iou(mask(copied), mask(truth[1:])))
        rows.setdefault("copied_view_psnr_foreground", []).append(foreground_psnr(copied[:, None], truth[1:, None]))
    return {name: sum(values) / len(values) for name, values in rows.items()}


def sample_clip(
    prior: CompactPrior,
    first: Tensor,  # (V, 3, H, W) in [-1, 1]
    caption: str,
    cameras: Cameras,  # V
    frames: int,
    sampler: Sampler,
    seed: int = 0,
) -> Tensor:
    """A clip (V, T, 3, H, W) in [-1, 1] of an object whose views at rest are given."""
    indices = torch.arange(len(first)).repeat_interleave(frames)
    query = Query(prior.condition([caption]), prior.unconditional([""]), cameras[indices])
    known = known_first_frames(first.to(prior.device), frames)
    shape = (1, len(first), frames, *first.shape[1:])
    draws = generator(seed, "clip")
    latents = sample(prior, query, known, shape, sampler.steps, sampler.guidance_scale, draws, spacing="trailing")
    return latents.view(len(first), frames, *first.shape[1:]).clamp(-1, 1).cpu()


def sample_views(
    prior: CompactPrior,
    caption: str,
    cameras: Cameras,  # V
    reference: Tensor | None,  # (1, 3, H, W) in [-1, 1], seen from the first camera
    sampler: Sampler,
    seed: int = 0,
) -> Tensor:
    """Still views (V, 3, H, W) in [-1, 1] of what a caption says, and a reference shows."""
    picture = None if reference is None else (reference.permute(0, 2, 3, 1) + 1) / 2
    seen_from = None if reference is None else cameras[:1]
    query = Query(
        prior.condition([caption], picture, seen_from), prior.unconditional([""], picture, seen_from), cameras
    )
    size = prior.network.config.size
    shape = (1, len(cameras), 1, 3, size, size)
    draws = generator(seed, "views")
    latents = sample(prior, query, None, shape, sampler.steps, sampler.guidance_scale, draws, spacing="trailing")
    return latents.clamp(-1, 1).cpu()


def ground_truth(scene: Scene, motion: str, frames: int = 8) -> Tensor:
    """(V, T, 3, H, W) in [-1, 1] a scene's object in any motion; one frame without."""
    times = np.arange(frames if motion else 1) / frames
    moved = Scene(scene.creature, motion, scene.strength, scene.cameras, scene.caption)
    return on_white(moved.render(times))


@contextmanager
def without_attention(network: CompactNetwork) -> Iterator[None]:
    """The network with what its spatiotemporal attention would add left out."""
    handles = [
        module.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        for module in network.modules()
        if isinstance(module, RowAttention)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def psnr(images: Tensor, truth: Tensor) -> float:
    """DB over all pixels of images in [-1, 1]."""
    return float(-10 * ((images - truth) / 2).square().mean().log10())


def foreground_psnr(
    images: Tensor,  # (V, T, 3, H, W)
    truth: Tensor,  # (V, T, 3, H, W)
) -> float:
    """DB over the pixels near the object in any frame of the truth."""
    union = mask(truth).amax(1).float()[:, None]
    near = max_pool2d(union, 5, 1, 2)[:, None].expand_as(truth) > 0
    return float(-10 * ((images - truth)[near] / 2).square().mean().log10())


def mask(
    images: Tensor,  # (..., 3, H, W) in [-1, 1]
) -> Tensor:
    """(..., H, W) bool, where something is not white."""
    return ((1 - images) / 2).amax(-3) > FOREGROUND


def iou(a: Tensor, b: Tensor) -> float:
    """Intersection over union of masks."""
    return float((a & b).sum() / (a | b).sum().clamp_min(1))


def mirror_iou(
    images: Tensor,  # (4, 3, H, W)
) -> float:
    """How well the outlines of opposite views mirror each other."""
    masks = mask(images)
    return iou(masks[:2], masks[2:].flip(-1))


def colour_shares(
    images: Tensor,  # (V, 3, H, W) in [-1, 1]
    scene: Scene,
) -> tuple[float, float]:
    """Share of the foreground in one of the object's colours, and whether a tenth of it has the body's, as 0 or 1."""
    inside = mask(images)
    if not inside.any():
        return 0.0, 0.0
    pixels = ((images + 1) / 2).permute(0, 2, 3, 1)[inside]
    nearest = nearest_colours(pixels)
    names = list(COLOURS)
    caption = scene.caption.split()
    wanted = [names.index(name) for name in names if name in caption]
    cover = float(torch.isin(nearest, torch.tensor(wanted)).float().mean()) if wanted else 1.0
    body = names.index(scene.creature.colours["body"])
    return cover, float(bool((nearest == body).float().mean() > 0.1) or names[body] not in caption)


def _append(rows: dict[str, list[float]], label: str, images: Tensor, truth: Tensor) -> None:
    rows.setdefault(f"{label}_psnr", []).append(psnr(images, truth))
    rows.setdefault(f"{label}_psnr_foreground", []).append(foreground_psnr(images, truth))
