"""Time 500 iterations of Gaussians on 16 views of a generated object, and score views that were held out.

python tests/bench/capture_fit.py [--count 10000] [--iterations 500]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from a4d.runtime import Runtime, prepare_process

prepare_process()

import torch  # noqa: E402
from rich.console import Console  # noqa: E402

from a4d.evaluation.views import compare_views  # noqa: E402
from a4d.geometry.cameras import Cameras, concatenate, orbit  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.primitives import creature, icosphere, torus  # noqa: E402
from a4d.geometry.reconstruction.visual_hull import surface_colours, visual_hull  # noqa: E402
from a4d.objectives import build_objectives  # noqa: E402
from a4d.optimise import LoopConfig, Problem, optimise  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.render.gaussians_numba import warm_up  # noqa: E402
from a4d.render.mesh import render_mesh  # noqa: E402
from a4d.scenes.gaussians.scene import GaussianScene  # noqa: E402
from a4d.scenes.seed import Seed  # noqa: E402
from a4d.views import Frames, build_views  # noqa: E402

SIZE, VIEWS, HELD_OUT = 128, 16, 4
RATES = {"means": 3e-3, "quaternions": 2e-2, "log_scales": 4e-2, "opacity_logits": 1e-1, "sh_base": 1e-1}


def observe(mesh: Mesh) -> Frames:
    """Views at three elevations, the held-out ones between the others."""
    index = torch.arange(VIEWS + HELD_OUT)
    azimuth = torch.where(index < VIEWS, index * 360.0 / VIEWS, (index - VIEWS) * 360.0 / HELD_OUT + 11)
    cameras = orbit(azimuth, torch.tensor([-20.0, 10.0, 40.0])[index % 3], 2.8, 40.0, SIZE, SIZE)
    render = render_mesh(mesh, cameras)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)
    splits = ["train"] * VIEWS + ["test"] * HELD_OUT
    return Frames(
        list(rgba), [cameras[i] for i in range(len(index))], None, [str(i) for i in range(len(index))], splits
    )


def carve(frames: Frames) -> Seed:
    """Points on the visual hull of the training views."""
    train = frames.select("train")
    rgba = torch.stack([frames.rgba[i] for i in train])
    cameras: Cameras = concatenate([frames.cameras[i] for i in train])
    hull = visual_hull(rgba[..., 3], cameras, torch.tensor([[-1.0] * 3, [1.0] * 3]), 128)
    points, normals = hull.surface()
    colours = surface_colours(points, normals, rgba[..., :3], cameras, hull.spacing)
    return Seed(points=points, colours=colours, solid=hull)


def main() -> None:
    """Print a line per object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--iterations", type=int, default=500)
    options = parser.parse_args()
    warm_up()
    final = options.iterations
    rates = {
        name: {"from": rate, "to": rate / 30, "steps": final, "curve": "exponential"} for name, rate in RATES.items()
    }
    config = LoopConfig.model_validate({"iterations": final, "optimiser": {"rates": rates}, "preview_seconds": 1000})
    print(f"{options.count} Gaussians, {VIEWS} views of {SIZE}x{SIZE}, {final} iterations")
    for name, mesh in {"creature": creature(), "torus": torus(), "sphere": icosphere(0.7)}.items():
        frames = observe(mesh)
        began = time.perf_counter()
        spec = {"kind": "gaussians", "count": options.count, "opacity": 0.7}
        scene = GaussianScene.begin(spec, carve(frames), generator(0, "begin"))
        seeded = time.perf_counter()
        views = build_views({"seen": {"kind": "observed", "background": "black"}})
        objectives = build_objectives([{"kind": "photometric", "views": "seen", "ssim": 0}])
        with tempfile.TemporaryDirectory() as folder:
            optimise(
                Problem(scene, views, objectives, frames), config, Path(folder), Runtime(console=Console(quiet=True))
            )
        ended = time.perf_counter()
        scores = compare_views(scene, frames, "test")
        train = compare_views(scene, frames, "train")
        print(
            f"{name:10s} seed {seeded - began:5.2f} s, fit {ended - seeded:5.2f} s "
            f"({1000 * (ended - seeded) / final:.2f} ms/iteration), {len(scene.means)} Gaussians, "
            f"held-out {scores['psnr']:.1f} dB, training {train['psnr']:.1f} dB"
        )


if __name__ == "__main__":
    main()
