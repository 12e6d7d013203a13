"""Fit a field to 16 views of generated objects and of a textured one, and score views that were held out.

python tests/bench/field_fit.py [--iterations 600] [--only creature]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from a4d.runtime import Runtime, prepare_process

prepare_process()
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "io"))

import torch  # noqa: E402
import yaml  # noqa: E402
from capture_fit import carve, observe  # noqa: E402
from rich.console import Console  # noqa: E402
from welded_mesh import read_mesh  # noqa: E402

from a4d.evaluation.views import compare_views  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.primitives import creature, torus  # noqa: E402
from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.objectives import build_objectives  # noqa: E402
from a4d.optimise import LoopConfig, Problem, optimise  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.scenes.field.scene import FieldScene  # noqa: E402
from a4d.views import build_views  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "stages" / "profiles" / "fit-static-field.yaml"
SPOT = ROOT.parent / "shared" / "data" / "meshes_misc" / "nvdiffrec" / "spot" / "spot.obj"


def in_unit_ball(mesh: Mesh) -> Mesh:
    """Centred and scaled, so that it fits the views."""
    centre = (mesh.vertices.amax(0) + mesh.vertices.amin(0)) / 2
    vertices = mesh.vertices - centre
    return mesh.with_vertices(vertices * (0.75 / vertices.norm(dim=-1).max()))


def main() -> None:
    """Print a line per object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--only")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    profile = yaml.safe_load(PROFILE.read_text())
    iterations = options.iterations or profile["iterations"]
    config = LoopConfig.model_validate(
        {"iterations": iterations, "optimiser": profile["optimiser"], "preview_seconds": 1000}
    )
    subjects = {"creature": creature(), "torus": torus()}
    if SPOT.is_file():
        subjects["spot"] = in_unit_ball(read_mesh(SPOT))
    for name, mesh in subjects.items():
        if options.only not in (None, name):
            continue
        frames = observe(mesh)
        scene = FieldScene.begin(profile["scene"], carve(frames), generator(0, "begin"))
        views, objectives = build_views(profile["views"]), build_objectives(profile["objectives"])
        began, cpu = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            problem = Problem(scene, views, objectives, frames)
            optimise(problem, config, Path(folder), Runtime(console=Console(quiet=True)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        scores, train = compare_views(scene, frames, "test"), compare_views(scene, frames, "train")
        print(
            f"{name:10s} {iterations} iterations in {seconds:.1f} s ({cpu:.1f} s of CPU time), held-out "
            f"{scores['psnr']:.2f} dB, training {train['psnr']:.2f} dB, occupied {scene.occupancy.share:.3f}",
            flush=True,
        )
        if options.pictures:
            held_out = frames.select("test")[0]
            with torch.no_grad():
                image = scene.render(frames.cameras[held_out]).rgb[0].clamp(0, 1)
            rgba = frames.rgba[held_out]
            write_image(options.pictures / f"{name}.png", torch.cat([rgba[..., :3] * rgba[..., 3:], image], 1).numpy())


if __name__ == "__main__":
    main()
