"""X-Dreamer's stages against exact priors of a hidden object, and texts by the package's own prior.

python tests/bench/x_dreamer.py [geometry] [appearance] [texts]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("objectives", "io")]

from hidden_surface import LIGHTS, found_material, found_surface  # noqa: E402
from test_hidden_surface import ELLIPSOID, WRONG  # noqa: E402

from a4d.geometry.primitives import creature  # noqa: E402
from a4d.scenes.seed import Seed  # noqa: E402

COMPACT = Path(__file__).resolve().parents[2] / "recipes" / "x_dreamer" / "compact.yaml"
TEXTS = ("a red robot with blue legs", "a green horse", "a yellow snowman", "a purple tower", "an orange dog")


def geometry() -> None:
    """A line for each start and extraction."""
    for extraction in ("tetrahedra", "flexicubes"):
        for name, seed in (("ellipsoid", ELLIPSOID), ("ring", WRONG), ("other animal", Seed(mesh=creature()))):
            found = found_surface(seed, extraction)
            print(
                f"{extraction:10s} from {name:12s} Chamfer {found.chamfer:.2f} %, normals "
                f"{found.normal_consistency:.3f}, IoU {found.iou:.3f}, {len(found.scene.mesh().faces)} faces, "
                f"{found.seconds:.1f} s of processor time",
                flush=True,
            )


def appearance() -> None:
    """A line for a material and one for colours without light."""
    print(f"distilled in the light of {LIGHTS[0]}, relit by {LIGHTS[1]}")
    for shading in ("shaded", "albedo"):
        found = found_material(shading)
        print(
            f"{shading:10s} {found.psnr:.1f} dB, relit {found.relit:.1f} dB; metalness and roughness "
            f"{found.metal[0]:.2f} {found.metal[1]:.2f} on metal, {found.matt[0]:.2f} {found.matt[1]:.2f} beside, "
            f"{found.seconds:.1f} s of processor time",
            flush=True,
        )


def texts() -> None:
    """A line for each text: outlines against those that were drawn, and how far the colour that is named leads."""
    with tempfile.TemporaryDirectory() as folder:
        for text in TEXTS:
            before = _seconds_of_children()
            command = [sys.executable, "-m", "a4d", "distill", text, "--name", "geometry", "--config", COMPACT]
            done = subprocess.run(
                [*command, "--accept", "--json"], cwd=folder, capture_output=True, text=True, check=True
            )
            figures = json.loads(done.stdout)["metrics"]
            print(
                f"{text:28s} IoU {figures['sampled_iou']:.3f}, colour leads by {figures['colour_lead']:.2f}, "
                f"{_seconds_of_children() - before:.1f} s of processor time",
                flush=True,
            )


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    for part in sys.argv[1:] or ["geometry", "appearance", "texts"]:
        {"geometry": geometry, "appearance": appearance, "texts": texts}[part]()
