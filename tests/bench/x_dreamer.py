"""X-Dreamer's stages against exact priors of a hidden object: shapes from several starts and extractions, materials.

python tests/bench/x_dreamer.py [geometry] [appearance]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("objectives", "io")]

from hidden_surface import LIGHTS, found_material, found_surface  # noqa: E402
from test_hidden_surface import ELLIPSOID, WRONG  # noqa: E402


def geometry() -> None:
    """A line for each start and extraction."""
    for extraction in ("tetrahedra", "flexicubes"):
        for name, seed in (("ellipsoid", ELLIPSOID), ("wrong mesh", WRONG)):
            found = found_surface(seed, extraction)
            print(
                f"{extraction:10s} from {name:10s} Chamfer {found.chamfer:.2f} %, normals "
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


if __name__ == "__main__":
    for part in sys.argv[1:] or ["geometry", "appearance"]:
        {"geometry": geometry, "appearance": appearance}[part]()
