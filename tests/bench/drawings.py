"""Cut-outs of line drawings on paper, and of the same subjects in colour on the same paper.

    python tests/bench/drawings.py [DATA] [--chosen] [--views N] [--frame] [--save FOLDER]

Meshes become drawings: their outlines, creases and edges of what covers another part, by a trembling pen that leaves
gaps, on paper with grain, uneven light and the traces of compression. What a drawing's outline encloses is the truth;
in colour, what shows through a ring or between legs is none of it. The constants were chosen on the meshes that
`inflation.py` names in `CHOSEN_ON`; the others are reported, or, with --chosen, these. Real drawings with their masks
follow where DATA has them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from inflation import CHOSEN_ON, DISTANCE, FOV, Subject, framed, subjects
from numpy.typing import NDArray

from a4d.geometry.cameras import Cameras, orbit
from a4d.io.pictures.images import read_image, write_image
from a4d.matting.matte import matte
from a4d.pixels import Array
from a4d.render.mesh import render_mesh

SIZE = 448
PAPERS = {"white": (0.97, 0.97, 0.96), "cream": (0.9, 0.87, 0.8), "grey": (0.68, 0.68, 0.67)}
INKS = ((0.1, 0.1, 0.12), (0.25, 0.2, 0.6), (0.4, 0.4, 0.42), (0.6, 0.15, 0.1))
BODIES = ((0.9, 0.5, 0.3), (0.35, 0.6, 0.3), (0.55, 0.55, 0.6), (0.95, 0.9, 0.35))
CREASE, JUMP = 0.6, 0.06
"""Change of the normal, and of the depth in metres, across which a line is drawn."""

GAPS = 3
"""Places at which the pen leaves the paper, in every other drawing."""

FRAMES = (0.02, 0.04, 0.06)
"""How far from the border a frame is drawn, of the picture's side."""

Random = np.random.Generator


def cameras() -> Cameras:
    return orbit(torch.zeros(1), torch.zeros(1), DISTANCE, FOV, SIZE, SIZE)


def smooth_noise(random: Random, scale: float, channels: int = 1) -> Array:
    """(N, N, C) noise of unit deviation that changes over so many pixels."""
    coarse = random.normal(size=(max(3, round(SIZE / scale)),) * 2 + (channels,)).astype(np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).reshape(SIZE, SIZE, channels)


def paper(random: Random, colour: tuple[float, ...]) -> Array:
    """(N, N, 3) a sheet in uneven light."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    slope, fall = random.uniform(-0.12, 0.12, 2), random.uniform(0, 0.25)
    light = 1 + slope[0] * x + slope[1] * y - fall * (x**2 + y**2)
    light = light + random.uniform(0.002, 0.012) * smooth_noise(random, 40)[..., 0]
    grain = random.uniform(0.002, 0.012) * random.normal(size=(SIZE, SIZE))
    return np.asarray(np.array(colour) * (light + grain)[..., None], np.float32)


def lines(normal: Array, depth: Array, covered: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H, W) the outline, and where else a line is drawn."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = covered & (cv2.erode(covered.astype(np.uint8), cross) == 0)
    bent = (cv2.dilate(normal, cross) - cv2.erode(normal, cross)).max(-1) > CREASE
    steep = cv2.dilate(depth, cross) - cv2.erode(depth, cross) > JUMP
    inner = covered & ~outline & (bent | steep) & (cv2.erode(covered.astype(np.uint8), cross, iterations=3) > 0)
    return outline.astype(np.uint8), inner.astype(np.uint8)


def trembling(image: NDArray[np.uint8], bend: Array) -> Array:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return cv2.remap(image.astype(np.float32), x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR)


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with what it encloses."""
    padded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return padded[1:-1, 1:-1] != 2


def drawn(
    subject: Subject, azimuth: float, elevation: float, index: int, *, has_frame: bool = False
) -> Iterator[tuple[str, Array, Array]]:
    """The kind of picture, the picture (N, N, 3) and its true alpha (N, N): a drawing, and the same in colour."""
    random = np.random.default_rng(index)
    render = render_mesh(framed(subject.mesh, azimuth, elevation), cameras(), shaded=True)
    covered = render.alpha[0, ..., 0].numpy() > 0.5
    outline, inner = lines(render.channels["normal"][0].numpy(), render.depth[0, ..., 0].numpy(), covered)
    for place in random.permutation(np.argwhere(outline))[: GAPS * (index % 2)]:
        cv2.circle(outline, (int(place[1]), int(place[0])), int(random.integers(2, 6)), 0, -1)
    if has_frame:
        first = round(FRAMES[index % len(FRAMES)] * SIZE)
        cv2.rectangle(inner, (first, first), (SIZE - 1 - first, SIZE - 1 - first), 1)
    pen, bend = int(random.integers(2, 8)), 1.5 * smooth_noise(random, 30, 2)
    nib = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    stroke = trembling(cv2.dilate(outline | inner, nib), bend)[..., None]
    truth = filled(trembling((covered | (cv2.dilate(outline, nib) > 0)).astype(np.uint8), bend) > 0.5)
    sheet = paper(random, list(PAPERS.values())[index % len(PAPERS)])
    ink, body = (np.array(each[index % len(each)], np.float32) for each in (INKS, BODIES))
    yield "drawn", photographed(sheet * (1 - stroke) + stroke * ink, random), truth.astype(np.float32)
    alpha = render.alpha[0].numpy()
    shading = render.rgb[0].numpy() / np.maximum(alpha, 1e-6)
    yield "in colour", photographed(sheet * (1 - alpha) + alpha * shading * body, random), alpha[..., 0]


def photographed(rgb: Array, random: Random) -> Array:
    """A picture, a little blurred and compressed."""
    picture = cv2.GaussianBlur(np.clip(rgb, 0, 1), (0, 0), 0.8)
    coded = cv2.imencode(".jpg", np.rint(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.float32) / 255


def overlap(found: Array, truth: Array) -> float:
    return float(np.minimum(found, truth).sum() / max(np.maximum(found, truth).sum(), 1e-6))


def real(data: Path) -> Iterator[tuple[str, Array, Array]]:
    for mask in sorted(data.glob("drawn_characters/characters/*/mask.png")):
        yield mask.parent.name, read_image(mask.with_name("texture.png"))[..., :3], read_image(mask)[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=beside)
    parser.add_argument("--chosen", action="store_true", help="the meshes that the constants were chosen on")
    parser.add_argument("--views", type=int, default=3, help="of each mesh")
    parser.add_argument("--frame", action="store_true", help="draw a frame around each, too")
    parser.add_argument("--save", type=Path, help="folder of the pictures with their cut-outs")
    options = parser.parse_args()
    scores: dict[str, list[tuple[float, bool]]] = {"drawn": [], "in colour": []}
    index = 0
    for subject in subjects(options.data, []):
        if (subject.name in CHOSEN_ON) != options.chosen:
            continue
        for view in range(options.views):
            index += 1
            azimuth, elevation = 360 * view / options.views + 25, (0, 20, 40)[index % 3]
            shown = drawn(subject, azimuth, elevation, index, has_frame=options.frame)
            for kind, picture, truth in shown:
                found = matte(picture, must_show=False)
                scores[kind].append((overlap(found.rgba[..., 3], truth), found.method == "drawing"))
                print(f"{subject.name:20s}{view:3d} {kind:12s}{scores[kind][-1][0]:8.3f}  {found.method}", flush=True)
                if options.save:
                    both = np.concatenate([picture, found.rgba[..., :3] * found.rgba[..., 3:]], axis=1)
                    write_image(options.save / f"{index:03d}_{kind[:2]}.png", both)
    for kind, pairs in scores.items():
        overlaps, taken = np.array(pairs).T
        print(
            f"{kind:12s}IoU median {np.median(overlaps):.3f}, worst decile {np.quantile(overlaps, 0.1):.3f}; "
            f"taken for drawings {int(taken.sum())} of {len(taken)}"
        )
    for name, picture, truth in real(options.data):
        found = matte(picture)
        print(f"{name:12s}IoU {overlap(found.rgba[..., 3], truth):.3f}  {found.method}")


if __name__ == "__main__":
    main()
