"""Draw the generated creature from the front: an input for the quickstart that belongs to nobody.

python examples/make_creature.py creature.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh


def main(path: Path) -> None:
    """Render the creature over transparency and write it as a PNG."""
    camera = orbit(torch.tensor([15.0]), torch.tensor([8.0]), 2.8, 40.0, 512, 512)
    render = render_mesh(creature(), camera, shaded=True)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0].clamp(0, 1)
    write_image(path, rgba.numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "creature.png"))
