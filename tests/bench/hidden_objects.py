"""Distil each kind of scene against exact priors, right ones and wrong ones, and print how much of the object is found.

python tests/bench/hidden_objects.py [--only field] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("objectives", "io")]

import torch  # noqa: E402
from hidden_object import HELD_OUT, START, Asked, distilled, subjects  # noqa: E402

from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.render.mesh import render_mesh  # noqa: E402

CASES = {
    "24 posed views": Asked(),
    "24 posed views, noise form": Asked(form="noise"),
    "6 rings of 4 views": Asked(views=4),
    "any camera": Asked(cameras="continuous"),
    "any camera, a text chooses": Asked(cameras="continuous", prompt="a ring"),
    "any ring, a text chooses": Asked(cameras="continuous", prompt="an animal", views=4),
    "WRONG azimuth sign": Asked(mistake="sign"),
    "WRONG order of views": Asked(views=4, mistake="order"),
    "WRONG schedule": Asked(mistake="schedule"),
}


def main() -> None:
    """Print a line per kind of scene and prior; write a picture of each, truth below."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=START)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    hidden = next(iter(subjects()))
    print(f"hidden: {hidden}; held-out views: {len(HELD_OUT)} of {HELD_OUT.width} pixels")
    for kind in [options.only] if options.only else START:
        for name, asked in CASES.items():
            found = distilled(kind, asked)
            print(
                f"{kind:10s} {name:28s} {found.psnr:5.1f} dB  IoU {found.iou:.3f}  {found.seconds:4.0f} s of CPU time"
            )
            sys.stdout.flush()
            if options.pictures:
                with torch.no_grad():
                    mine = found.scene.render(HELD_OUT, None, torch.zeros(len(HELD_OUT), 3)).rgb.clamp(0, 1)
                true = render_mesh(subjects()[asked.prompt or hidden], HELD_OUT).rgb
                rows = [torch.cat(list(images[::3]), dim=1) for images in (mine, true)]
                write_image(options.pictures / f"{kind}, {name}.png", torch.cat(rows).numpy())


if __name__ == "__main__":
    main()
