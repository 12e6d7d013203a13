# ruff: noqa: E402
"""Time the CPU kernels of Gaussian splatting and SSIM against the same in plain torch: python tests/bench/rasteriser.py

Forward and backward together, medians. Ratios within a row are what to compare between machines.
"""

import argparse
import math
import statistics
import time

from a4d.runtime import prepare_process

prepare_process()  # before torch loads its threads

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.gaussians import Gaussians
from a4d.render.gaussians import render_gaussians
from a4d.render.gaussians_reference import composite, pixel_centres, project
from a4d.render.ssim import convolved_ssim_map, ssim_map

TILE = 16
ROWS = [(count, size) for count in (5_000, 20_000, 100_000) for size in (128, 256, 512)]


def shell(count: int, degree: int = 0) -> Gaussians:
    """Gaussians about as large as their spacing on a bumpy sphere that covers half of the image."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    spacing = math.sqrt(4 * math.pi * 0.8**2 / count)
    values = [
        directions * (0.8 + 0.05 * torch.randn(count, 1, generator=generator)),
        torch.randn(count, 4, generator=generator),
        (spacing * (0.3 + 0.9 * torch.rand(count, 3, generator=generator))).log(),
        torch.logit(0.1 + 0.85 * torch.rand(count, generator=generator)),
        torch.randn(count, (degree + 1) ** 2, 3, generator=generator) * 0.3,
    ]
    return Gaussians(*(value.requires_grad_() for value in values))


def tiled_torch(gaussians: Gaussians, camera: Cameras) -> Tensor:
    """The reference, with each tile meeting only the splats that overlap it."""
    splats = project(gaussians, camera, 0)
    pixels = pixel_centres(camera, splats.means).view(camera.height, camera.width, 2)
    low, high = splats.means - splats.extents, splats.means + splats.extents
    rows = []
    for y in range(0, camera.height, TILE):
        in_row = ((high[:, 1] > y) & (low[:, 1] < y + TILE)).nonzero().squeeze(1)
        blocks = []
        for x in range(0, camera.width, TILE):
            chosen = in_row[(high[in_row, 0] > x) & (low[in_row, 0] < x + TILE)]
            block = pixels[y : y + TILE, x : x + TILE]
            local = splats[chosen]
            image, _ = composite(local, local.colours, block.flatten(0, 1))
            blocks.append(image.view(*block.shape[:2], 3))
        rows.append(torch.cat(blocks, dim=1))
    return torch.cat(rows)[None]


def milliseconds(function, leaves: list[Tensor], repeats: int) -> float:
    weights = torch.randn_like(function())
    seconds = []
    for _ in range(repeats + 1):
        for leaf in leaves:
            leaf.grad = None
        began = time.perf_counter()
        (function() * weights).sum().backward()
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only 20k Gaussians at 256 x 256")
    options = parser.parse_args()
    print(f"{'Gaussians':>9} {'size':>5} {'numba ms':>9} {'torch ms':>9} {'ratio':>6} {'SH 3 ms':>8}")
    for count, size in [(20_000, 256)] if options.quick else ROWS:
        gaussians, detailed, camera = shell(count), shell(count, 3), turntable(1, 10.0, 3.0, 45.0, size)
        leaves = list(vars(gaussians).values())
        fast = milliseconds(lambda: render_gaussians(gaussians, camera).rgb, leaves, 15)  # noqa: B023
        harmonic = milliseconds(lambda: render_gaussians(detailed, camera).rgb, list(vars(detailed).values()), 9)  # noqa: B023
        slow = milliseconds(lambda: tiled_torch(gaussians, camera), leaves, 2)  # noqa: B023
        print(f"{count:>9} {size:>5} {fast:>9.2f} {slow:>9.1f} {slow / fast:>6.1f} {harmonic:>8.2f}", flush=True)
    print(f"\n{'SSIM':>9} {'size':>5} {'numba ms':>9} {'torch ms':>9} {'ratio':>6}")
    for size in (128, 256, 512):
        image, target = torch.rand(1, size, size, 3, requires_grad=True), torch.rand(1, size, size, 3)
        fast = milliseconds(lambda: ssim_map(image, target), [image], 15)  # noqa: B023
        slow = milliseconds(lambda: convolved_ssim_map(image, target), [image], 5)  # noqa: B023
        print(f"{'':>9} {size:>5} {fast:>9.2f} {slow:>9.1f} {slow / fast:>6.1f}", flush=True)


if __name__ == "__main__":
    main()
