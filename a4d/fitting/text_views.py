"""Still views that a prior draws of what words say: the best of several draws, kept as pictures to be fitted."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from a4d.console import progress
from a4d.datasets.procedural.named_colours import colour_lead, main_colour
from a4d.evaluation.views import compare_views
from a4d.fitting.sample_settings import BACKGROUNDS, ViewSampleConfig
from a4d.fitting.sampled_views import without_background
from a4d.geometry.cameras import Cameras, orbit
from a4d.io.pictures.images import read_image, write_image
from a4d.metrics import mask_iou
from a4d.priors.catalogue import find, load_prior
from a4d.priors.compact.words import share_understood
from a4d.priors.placement import Placement
from a4d.priors.protocol import Prior, Query
from a4d.priors.sampling import sample
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.workspace.transaction import Transaction

SOLID = 0.5
"""Coverage from which on a pixel shows the subject."""


def sampled_text_views(
    work: Transaction, config: ViewSampleConfig, prompt: str, placement: Placement, runtime: Runtime
) -> Frames:
    """The views that a prior draws, unless an interrupted run has drawn them.

    They are kept as `previews/sampled/view_V.png`, and read from there: a resumed run sees what the first saw.

    Args:
        work: of the run.
        config: the prior and the cameras.
        prompt: what they show.
        placement: of the prior.
        runtime: device, seed and console.

    Raises:
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
    """
    folder = work.previews / "sampled"
    finished = folder / "done"
    if not finished.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        prior = load_prior(config.prior, placement)
        for view, rgba in enumerate(best_views(prior, config, prompt, runtime)):
            write_image(folder / f"view_{view}.png", rgba.numpy())
        finished.touch()
    return read_text_views(folder, config)


def read_text_views(folder: Path, config: ViewSampleConfig) -> Frames:
    """The pictures that were drawn, with their cameras."""
    paths = [folder / f"view_{view}.png" for view, _ in enumerate(folder.glob("view_*.png"))]
    rgba = [torch.from_numpy(read_image(path)) for path in paths]
    cameras = ring(config, len(rgba))
    names = [path.stem for path in paths]
    return Frames(rgba, [cameras[index] for index in range(len(rgba))], None, names, ["train"] * len(rgba))


def ring(config: ViewSampleConfig, views: int) -> Cameras:
    """The cameras, evenly around the origin from the front on."""
    azimuth, elevation = torch.arange(views) * (360 / views), torch.full((views,), config.elevation)
    return orbit(azimuth, elevation, config.radius, config.fov, config.size, config.size)


@torch.no_grad()
def best_views(prior: Prior, config: ViewSampleConfig, prompt: str, runtime: Runtime) -> Tensor:
    """(V, H, W, 4) straight alpha, of the draw that agrees best with itself and with its words."""
    cameras, level = ring(config, prior.views).to(runtime.device), BACKGROUNDS[config.background]
    nothing = torch.full((prior.views, config.size, config.size, 3), level, device=runtime.device)
    shape = prior.encode(nothing, generator(runtime.seed, "sample", config.prior)).shape
    query = Query(prior.condition([prompt]), prior.unconditional([""]), cameras)
    drawn = []
    with progress(runtime.console) as bar:
        task = bar.add_task("sample", total=config.draws, losses="")
        for draw in range(config.draws):
            latents = sample(
                prior, query, None, (1, prior.views, 1, *shape[1:]), config.steps, config.guidance_scale,
                generator(runtime.seed, "sample", config.prior, draw), spacing=config.spacing,
            )  # fmt: skip
            drawn.append(without_background(prior.decode(latents).clamp(0, 1).cpu(), level))
            bar.update(task, completed=draw + 1)
    return max(drawn, key=lambda rgba: agreement(rgba, prompt))


def agreement(
    rgba: Tensor,  # (V, H, W, 4), evenly around the subject
    prompt: str,
) -> float:
    """How well the outlines of opposite views mirror each other, and how far the colour that is named leads."""
    colour, is_inside = main_colour(prompt), rgba[..., 3] > SOLID
    if not is_inside.any():
        return -1.0
    half = len(rgba) // 2
    mirrored = mask_iou(rgba[:half, ..., 3], rgba[half : 2 * half, ..., 3].flip(-1)) if half else 0.0
    return mirrored + (0.0 if colour is None else colour_lead(rgba[is_inside][:, :3], colour))


@torch.no_grad()
def figures_of_words(scene: Scene, frames: Frames, prompt: str, prior: str) -> dict[str, float]:
    """How far a scene is what was drawn, has the colour that is named, and how far the prior understood the words.

    Args:
        scene: that was fitted.
        frames: that were drawn.
        prompt: what they should show.
        prior: that drew them, in the catalogue.

    Returns:
        `sampled_iou` of its outlines and those drawn, in [0, 1]; where a colour is named `colour_lead`, see there; and
        of a prior of few words `words_understood`, the share of those of the prompt.
    """
    figures = {"sampled_iou": float(compare_views(scene, frames, "train")["iou"])}
    if find(prior).kind == "compact":
        figures["words_understood"] = share_understood(prompt)
    colour, device = main_colour(prompt), next(scene.parameters()).device
    if colour is None:
        return figures
    renders = [scene.render(camera.to(device)) for camera in frames.cameras]
    pixels = torch.cat([(render.rgb / render.alpha)[render.alpha[..., 0] > SOLID].cpu() for render in renders])
    return {**figures, "colour_lead": colour_lead(pixels.clamp(0, 1), colour)}
