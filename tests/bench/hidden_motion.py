"""Find hidden motions by Animate124's pipeline against ideal priors, and print how well, beside what does not move.

python tests/bench/hidden_motion.py [--only gaussians] [--subject fox] [--pictures FOLDER]

From one picture, a posed-view prior of the first moment, and text priors that take the thing for another as well, which
has the same front. Without the posed-view prior nothing tells them apart. The fox needs the real inputs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "objectives"))

import torch  # noqa: E402
from hidden_motion import (  # noqa: E402
    FOV,
    KINDS,
    MOMENTS,
    POSED,
    RADIUS,
    SIDES,
    SIZE,
    Found,
    Moving,
    Score,
    found,
    score,
    swaying,
    with_other_back,
)  # fmt: skip

from a4d.geometry.assets.posing import deform  # noqa: E402
from a4d.geometry.cameras import orbit  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.primitives import creature, paint  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402
from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.render.surface_colours import surface_colours  # noqa: E402

FOX = Path(__file__).resolve().parents[3] / "shared" / "data" / "gltf_khronos" / "Fox" / "glTF-Binary" / "Fox.glb"
CLIP, SHARE = "Walk", 0.5


def fox() -> list[Moving]:
    """The fox for half of a step of its walk, in the colours of its texture, and the same with another back."""
    asset = read_asset(FOX)
    clip = next(each for each in asset.clips if each.name == CLIP)
    rest = deform(asset, clip, 0.0)
    corners = torch.eye(3).repeat(len(rest.faces), 1)
    faces = torch.arange(len(rest.faces)).repeat_interleave(3)
    radii = torch.full((len(faces),), 1e-3)
    seen = surface_colours(rest, asset.materials, faces, corners, radii)
    colours = torch.zeros_like(rest.vertices).index_copy_(0, rest.faces.flatten(), seen)
    low, high = rest.vertices.amin(0), rest.vertices.amax(0)
    centre, scale = (low + high) / 2, 0.75 / float((high - low).norm() / 2)

    def at(moment: float) -> Mesh:
        moved = deform(asset, clip, moment * SHARE * clip.duration)
        return Mesh((moved.vertices - centre) * scale, moved.faces, colours)

    other = with_other_back(at(0.0)).colours
    return [Moving(at), Moving(lambda moment: Mesh(at(moment).vertices, rest.faces, other))]


def animal() -> list[Moving]:
    """A painted animal that sways, and the same with another back."""
    body = paint(creature(resolution=20))
    return [swaying(body), swaying(with_other_back(body))]


SUBJECTS = {"animal": animal, "fox": fox}


def line(name: str, values: torch.Tensor) -> str:
    """A row of the table."""
    return f"  {name:28s} {float(values.mean()):5.1f}   " + " ".join(f"{value:5.1f}" for value in values.tolist())


def report(kind: str, result: Found, figures: Score) -> str:
    """What a scene of a kind achieved."""
    own, others = figures.by_moment.diagonal(), figures.by_moment + torch.eye(len(MOMENTS))
    numbers = sum(len(parameter.flatten()) for group in result.moving.groups().values() for parameter in group)
    return "\n".join(
        [
            line(kind, figures.psnr) + f"   {result.seconds:.2f} s a step, {numbers:,} parameters",
            f"    error by moment, the own over the least other: {float((own / others.amin(1)).max()):.2f} at most",
            f"    falls short at: {', '.join(figures.shortfalls) or 'nothing'}",
        ]
    )


def draw(path: Path, result: Found, hidden: Moving) -> None:
    """A row per moment: what was found from four sides, and the truth."""
    cameras = orbit(torch.tensor(SIDES), torch.zeros(len(SIDES)), RADIUS, FOV, SIZE, SIZE)
    rows = [
        torch.cat([*shown(cameras, torch.full((len(SIDES),), moment)).rgb.clamp(0, 1)], dim=1)
        for moment in MOMENTS
        for shown in (result, hidden)
    ]
    write_image(path, torch.cat(rows).numpy())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--subject", choices=SUBJECTS, default="animal")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    hidden, other = SUBJECTS[options.subject]()
    still = score(hidden, hidden)
    print(f"dB of the foreground over the clip, mean, then from {', '.join(f'{side:.0f}' for side in SIDES)} degrees")
    print(line("the first moment, held", still.held))
    print(line("the mean picture", still.averaged), flush=True)
    for kind in [options.only] if options.only else KINDS:
        for left_out in ((), (POSED,)):
            result = found(kind, hidden, [other], left_out)
            name = f"{kind}{', without ' + POSED if left_out else ''}"
            print(report(name, result, score(result, hidden)), flush=True)
            if options.pictures:
                draw(options.pictures / f"{options.subject}, {name}.png", result, hidden)


if __name__ == "__main__":
    main()
