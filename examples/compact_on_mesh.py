"""Ask the compact prior to move a mesh: four rendered views and a text become a sheet of frames.

    python examples/compact_on_mesh.py fox.glb "an animal is jumping" sheet.png [--weights FOLDER]

One row per view, the picture at rest first. The object is seen as the prior's own training objects are: from a little
above, over white, about as large.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from a4d.geometry.assets.placement import normalising, placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import turntable
from a4d.io.assets.asset_reader import Y_UP_FORMATS, read_asset
from a4d.io.pictures.images import write_image
from a4d.priors.compact.evaluation import Sampler, sample_clip
from a4d.priors.compact.examples import on_white
from a4d.priors.compact.prior import load_compact_prior, package_folder
from a4d.render.asset import AssetRenderer, is_colourless

HALF_EXTENT = 0.62
"""Metres from the middle to the farthest point of the training objects, about."""


def rest_views(path: Path, size: int) -> tuple[torch.Tensor, object]:
    """Pictures (4, 3, H, W) in [-1, 1] of an asset at rest, and their cameras."""
    from a4d.geometry.assets.orientation import guess_orientation
    from a4d.geometry.assets.placement import Orientation

    source = read_asset(path)
    surface = deform(source)
    is_y_up = path.suffix.lower() in Y_UP_FORMATS
    orientation = Orientation() if is_y_up else guess_orientation(surface.mesh, path.suffix.lower())
    asset = placed(source, normalising(orientation, [surface.vertices]))
    # The asset fills the unit ball: a camera farther away sees it as large as a smaller one.
    cameras = turntable(4, 10.0, 3.6 / HALF_EXTENT, 35.0, size)
    renderer = AssetRenderer(asset, "shaded" if is_colourless(asset) else "unlit")
    rgba = torch.stack([renderer.render(deform(asset), cameras[view]).rgba for view in range(4)])
    return on_white(rgba), cameras


def main() -> None:
    """Sample and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--weights", type=Path, default=package_folder())
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--guidance-scale", type=float, default=1.5)
    options = parser.parse_args()
    prior = load_compact_prior(options.weights, "multi-view-video")
    first, cameras = rest_views(options.mesh, prior.network.config.size)
    sampler = Sampler(options.steps, options.guidance_scale)
    clip = sample_clip(prior, first, options.prompt, cameras, options.frames, sampler)
    rows = clip.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    write_image(options.sheet, ((rows + 1) / 2).clamp(0, 1).numpy())
    moved = (clip[:, 1:] - clip[:, :1]).abs().mean() / 2
    print(f"{options.sheet}: {len(first)} views, {options.frames} frames, mean change from rest {float(moved):.4f}")


if __name__ == "__main__":
    main()
