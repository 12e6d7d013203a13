"""Batches of procedural objects as the compact network learns from them: a pure function of a seed and an index."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from a4d.config import Config
from a4d.datasets.procedural.clips import Flow, Scene, Stage, procedural_scene
from a4d.datasets.procedural.vocabulary import MOTIONS
from a4d.priors.camera_codes import spherical
from a4d.priors.compact.words import encode_prompts
from a4d.randomness import generator

Batch = dict[str, Tensor]
"""`clean` (S, V, F, 3, H, W), the fields of `Task`, and where the flow to the pictures at rest is known, `way`

(S, V, F, 4, 2, H/2, W/2) in half image widths and `visible` (S, V, F, 4, H/2, W/2), by name. Numbers are of half
precision, so that they travel from process to process at half the cost.
"""


WAY_STRIDE = 2
"""Every second pixel along each side says where it comes from; those between say no more."""

LARGE = ("clean", "still", "way")


Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(Config):
    """What batches are made of.

    Args:
        images: per batch, shared among samples, views and frames.
        size: pixels.
        moving_share: share of batches with moving objects.
        frames: numbers of frames besides the first that are drawn from each clip, one of them for each batch.
        period: frames of a whole period.
        known_share: share of still samples of which one view is known.
        pair_share: share of still batches with two of the four views.
        text_dropout: share of samples without a caption.
        free_share: share of samples with free azimuth and elevation.
        text_length: words.
    """

    images: int = Field(default=64, ge=1, le=16_384)
    size: int = Field(default=64, ge=8, le=1024)
    moving_share: Share = 0.75
    frames: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(1, 1, 2, 4), min_length=1, max_length=64)
    period: int = Field(default=8, ge=1, le=1024)
    known_share: Share = 0.5
    pair_share: Share = 0.1
    text_dropout: Share = 0.1
    free_share: Share = 0.0
    text_length: int = Field(default=16, ge=1, le=1024)


class ProceduralBatches:
    """A sequence of batches, as long as anybody wants.

    Args:
        recipe: sizes and shares.
        seed: of all random numbers.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed

    def __getitem__(self, index: int) -> Batch:
        recipe = self.recipe
        draws = generator(self.seed, "batch", index)
        random = np.random.default_rng(int(torch.randint(2**62, (), generator=draws)))
        is_moving = bool(random.random() < recipe.moving_share)
        frames = int(random.choice(recipe.frames)) if is_moving else 1
        count = max(recipe.images // (4 * frames), 1)
        samples = [self._sample(index * recipe.images + n, is_moving, frames, random) for n in range(count)]
        if not is_moving and random.random() < recipe.pair_share:
            other = int(random.integers(1, 4))
            samples = [_views(sample, [0, other]) for sample in samples]
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        return {name: value.half() if name in LARGE else value for name, value in batch.items()}

    def _sample(self, number: int, is_moving: bool, frames: int, random: np.random.Generator) -> Batch:
        recipe = self.recipe
        stage = Stage(size=recipe.size, free_share=recipe.free_share)
        scene = procedural_scene(self.seed, number, stage, tuple(MOTIONS) if is_moving else ("",))
        caption = "" if random.random() < recipe.text_dropout else scene.caption
        if not is_moving:
            known = int(random.integers(stage.views)) if random.random() < 0.25 else 0
            shown = [known] if random.random() < recipe.known_share else []
            return still_sample(scene, caption, shown, recipe.text_length)
        chosen = 1 + np.sort(random.permutation(recipe.period - 1)[:frames])
        return moving_sample(scene, caption, chosen / recipe.period, recipe.text_length)


def moving_sample(
    scene: Scene,
    caption: str,
    phases: np.ndarray,  # (F,) periods
    text_length: int,
) -> Batch:
    """One object whose views at rest are known, at some times of its motion."""
    rgba, flow = scene.render_with_flow(np.concatenate([[0.0], phases]))
    images = on_white(rgba)
    views = len(images)
    return {
        "clean": images[:, 1:],
        **_flow(flow, images.shape[-1]),
        "still": images[:, 0],
        "known": torch.ones(views),
        **_viewed(scene),
        "phase": torch.from_numpy(phases).float(),
        "moving": torch.ones(()),
        "words": encode_prompts([caption], text_length)[0],
    }


def still_sample(scene: Scene, caption: str, shown: list[int], text_length: int) -> Batch:
    """One object at rest of which some views are known."""
    rgba, flow = scene.render_with_flow(np.zeros(2))
    images = on_white(rgba[:, :1])
    known = torch.zeros(len(images))
    known[shown] = 1
    return {
        "clean": images,
        **_flow(flow, images.shape[-1]),
        "still": images[:, 0],
        "known": known,
        **_viewed(scene),
        "phase": torch.zeros(1),
        "moving": torch.zeros(()),
        "words": encode_prompts([caption], text_length)[0],
    }


def _flow(flow: Flow, size: int) -> Batch:
    return {
        "way": (flow.way * (2 / size))[..., ::WAY_STRIDE, ::WAY_STRIDE],
        "visible": flow.visible[..., ::WAY_STRIDE, ::WAY_STRIDE],
    }


def _views(sample: Batch, chosen: list[int]) -> Batch:
    """Some views of a sample."""
    names = ("clean", "way", "visible", "still", "known", "azimuth", "elevation")
    return {name: value[chosen] if name in names else value for name, value in sample.items()}


def _viewed(scene: Scene) -> Batch:
    azimuth, elevation, _ = spherical(scene.cameras).unbind(-1)
    return {"azimuth": azimuth, "elevation": elevation}


def on_white(
    rgba: Tensor,  # (..., H, W, 4) in [0, 1], straight alpha
) -> Tensor:
    """(..., 3, H, W) in [-1, 1] over white."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    return ((rgb * alpha + 1 - alpha) * 2 - 1).movedim(-1, -3)
