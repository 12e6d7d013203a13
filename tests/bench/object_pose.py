"""Find the camera of films of rigged animals from pictures alone, and compare it with the one that took them.

python tests/bench/object_pose.py DATA [fox horse shark] [--courses orbit swing ...] [--frames 96] [--size 256]

DATA holds the rigged animals. Each repeats its clip five times. Printed are degrees by which turns between two frames
are wrong, in the median of all pairs and of pairs some frames apart, and how far the camera is from its true place over
its distance and after the best turn of the world.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from a4d.errors import QualityError  # noqa: E402
from a4d.estimation.objects.courses import Known, angles  # noqa: E402
from a4d.estimation.objects.fit import find_cameras  # noqa: E402
from a4d.geometry.assets.placement import Orientation, normalising, placed  # noqa: E402
from a4d.geometry.assets.posing import deform  # noqa: E402
from a4d.geometry.cameras import Cameras, orbit  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402
from a4d.render.asset import AssetRenderer  # noqa: E402

ANIMALS = {
    "fox": ("gltf_khronos/Fox/glTF-Binary/Fox.glb", "Run"),
    "horse": ("rigged_quaternius/animals_pack/Horse.glb", "Gallop"),
    "shark": ("rigged_quaternius/fish_pack/Shark.glb", "Swim"),
}
COURSES = {
    "orbit": lambda time: (720 * time, 15 + 0 * time),
    "rising": lambda time: (720 * time, 15 + 20 * (2 * np.pi * time).sin()),
    "swing": lambda time: (60 * (4 * np.pi * time).sin(), 15 + 0 * time),
    "still": lambda time: (30 + 0 * time, 15 + 0 * time),
}
"""Azimuth and elevation in degrees over a film; a thing that turns before a camera looks as one that is circled."""

CYCLES, DISTANCE, FOV = 5, 2.8, 40.0
APART = (1, 4, 16, 48)


def filmed(data: Path, animal: tuple[str, str], cameras: Cameras, cycles: float = CYCLES) -> NDArray[np.float32]:
    """(F, H, W, 4) pictures of an animal, a file and a clip's name, that repeats its clip so often."""
    name, clip_name = animal
    source = read_asset(data / name)
    clip = next(clip for clip in source.clips if clip.name.endswith(clip_name))
    count = len(cameras)
    seconds = [index * cycles / count % 1 * clip.duration for index in range(count)]
    asset = placed(source, normalising(Orientation(), [deform(source, clip, second).vertices for second in seconds]))
    renderer = AssetRenderer(asset)
    pictures = [
        renderer.render(deform(asset, clip, second), cameras[index]).rgba for index, second in enumerate(seconds)
    ]
    return torch.stack(pictures).numpy()


def compared(found: NDArray[np.float64], true: NDArray[np.float64]) -> str:
    """How far (F, 4, 4) world_from_camera are from the true ones, in words."""
    first, second = np.triu_indices(len(found), 1)
    turns = [poses[second, :3, :3].swapaxes(-1, -2) @ poses[first, :3, :3] for poses in (found, true)]
    wrong = angles(turns[0].swapaxes(-1, -2) @ turns[1])
    apart = ", ".join(f"{np.median(wrong[second - first == step]):.1f} at {step}" for step in APART)
    places = [poses[:, :3, 3] / np.linalg.norm(poses[:, :3, 3], axis=1).mean() for poses in (found, true)]
    left, _, right = np.linalg.svd(places[1].T @ places[0])
    turned = places[0] @ (left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right).T
    missed = np.linalg.norm(turned - places[1], axis=1)
    return f"turns {np.median(wrong):.1f} ({apart}), places {100 * np.median(missed):.0f} % of the distance"


def line(film: NDArray[np.float32], cameras: Cameras) -> str:
    """What is found of a film, and how good it is."""
    began = time.process_time()
    lens, filmed_box = cameras.intrinsics[0].double().numpy(), np.array([0.0, 0.0, cameras.width, cameras.height])
    try:
        found = find_cameras(film, lens, filmed_box, Known(), lambda share: None)
    except QualityError as error:
        return str(error)
    turned = "still" if found.is_still else f"{found.turn:.0f} degrees around"
    return (
        f"{compared(found.world_from_camera, cameras.world_from_camera.double().numpy())}; {turned}, overlap "
        f"{found.overlap:.2f}, confidence {found.confidence:.2f}; {time.process_time() - began:.0f} s of processor time"
    )


def main() -> None:
    """Print a line per animal and course."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("animals", nargs="*", default=list(ANIMALS))
    parser.add_argument("--courses", nargs="+", choices=COURSES, default=list(COURSES))
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    moments = torch.arange(options.frames) / options.frames
    for animal in options.animals:
        for course in options.courses:
            cameras = orbit(*COURSES[course](moments), DISTANCE, FOV, options.size, options.size)
            film = filmed(options.data, ANIMALS[animal], cameras)
            print(f"{animal:6s} {course:7s} {line(film, cameras)}", flush=True)


if __name__ == "__main__":
    main()
