"""Measure the memory that a fit of Gaussians takes for many large pictures, beside one of few small ones.

python tests/bench/frames_memory.py [--frames 366] [--size 512] [--iterations 48]

Each figure is the largest resident size of a process of its own. The two fits differ by the pictures alone; their seed,
a visual hull, looks at all of them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh

FEW, SMALL, PLACES = 8, 64, 24
MEGA = 1e6
COMMAND = "from a4d.__main__ import main; code = main(sys.argv[1:]); assert code == 0, code"


def write_capture(folder: Path, count: int, size: int) -> None:
    """Pictures of an object from a few places around it, taken again and again, with their cameras."""
    index = torch.arange(count) % PLACES
    cameras = orbit(index * 360.0 / PLACES, torch.tensor([-20.0, 10.0, 40.0])[index % 3], 2.8, 40.0, size, size)
    subject = creature()
    images = [folder / f"{number:05d}.png" for number in range(count)]
    for number, image in enumerate(images):
        if number >= PLACES:
            shutil.copy(images[number - PLACES], image)
            continue
        render = render_mesh(subject, cameras[number])
        rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0]
        write_image(image, rgba.clamp(0, 1).numpy())
    capture = PosedCapture(
        images,
        cameras.world_from_camera.double().numpy(),
        cameras.intrinsics.double().numpy(),
        torch.full((count, 2), size).numpy(),
    )
    write_transforms(folder / "transforms.json", capture)


def peak(folder: Path, statement: str, *arguments: object) -> float:
    """Megabytes that a process had resident at most, which ran a statement with arguments; on Linux."""
    # The largest size in `getrusage` is never below that of the process which started this one.
    script = f"import sys, torch; {statement}; print(open('/proc/self/status').read())"
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, check=True, text=True
    )
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", ended.stdout)
    return int(kilobytes) * 1024 / MEGA


def main() -> None:
    """Print a line per process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=366)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=48)
    options = parser.parse_args()
    print(f"{'an interpreter with torch':40s} {peak(Path.cwd(), 'pass'):6.0f} MB")
    few = 0.0
    for count, size in ((FEW, SMALL), (options.frames, options.size)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_capture(folder / "capture", count, size)
            peak(folder, COMMAND, "preprocess", "capture", "-q")
            # The first one compiles kernels, unless they are in the cache.
            fit = ("fit-static", "capture.a4d", "--iterations", options.iterations, "-q", "--force")
            figure = [peak(folder, COMMAND, *fit) for _ in range(2 if count == FEW else 1)][-1]
        few = few or figure
        print(f"{f'a fit to {count} frames of {size}x{size}':40s} {figure:6.0f} MB, {figure - few:+.0f} MB", flush=True)


if __name__ == "__main__":
    main()
