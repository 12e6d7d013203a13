"""Whether a camera turns or its subject moves by itself, of films of rigged animals and of clips of a still camera.

python tests/bench/still_cameras.py DATA [fox other-fox horse shark] [--clips FILM.a4d ...]

DATA holds the rigged animals. Workspaces are of clips, cut out, whose camera stands still: they are looked at whole,
and their first 24 and 16 frames. Printed is a line per film. The rule was chosen on the two foxes, a frog and a rose.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from object_pose import DISTANCE, FOV, filmed

from a4d.estimation.objects.courses import Known
from a4d.estimation.objects.fit import find_cameras
from a4d.geometry.cameras import Cameras, orbit
from a4d.intake.circled_object import LONGEST_SIDE
from a4d.io.pictures.images import read_image

FILES = {
    "fox": "gltf_khronos/Fox/glTF-Binary/Fox.glb",
    "other-fox": "rigged_quaternius/animals_pack/Fox.glb",
    "horse": "rigged_quaternius/animals_pack/Horse.glb",
    "shark": "rigged_quaternius/fish_pack/Shark.glb",
}
SIZE, ELEVATION, SHORTENED = 160, 15.0, (24, 16)


@dataclass(frozen=True)
class Way:
    """How a film was taken.

    Args:
        clip: of the animal.
        cycles: of the clip.
        frames: of the film.
        azimuth: degrees where the camera begins.
        turn: degrees that it goes around.
        swing: degrees that it goes to either side once, beside that.
    """

    clip: str
    cycles: float
    frames: int
    azimuth: float = 30.0
    turn: float = 0.0
    swing: float = 0.0

    def __str__(self) -> str:
        way = f"turns {self.turn:g}" if self.turn else f"swings {self.swing:g}" if self.swing else "still"
        return f"{self.clip}, {self.frames} frames, {way}"

    def cameras(self) -> Cameras:
        """One per frame."""
        time = torch.arange(self.frames) / self.frames
        azimuth = self.azimuth + self.turn * time + self.swing * (2 * torch.pi * time).sin()
        return orbit(azimuth, torch.full_like(time, ELEVATION), DISTANCE, FOV, SIZE, SIZE)


WAYS = {
    "fox": (
        Way("Run", 5, 48), Way("Run", 2, 24, 90), Way("Survey", 0.8, 24, 0), Way("Survey", 1, 48, 45),
        Way("Run", 3, 24, turn=60), Way("Run", 3, 24, turn=90), Way("Run", 5, 48, turn=90),
        Way("Run", 3, 24, turn=180), Way("Run", 5, 48, 0, turn=180), Way("Run", 5, 48, turn=360),
        Way("Run", 5, 48, turn=720), Way("Run", 5, 48, swing=60), Way("Run", 3, 24, 60, swing=30),
        Way("Survey", 0.8, 24, turn=180), Way("Survey", 0.8, 24, 0, turn=60),
    ),
    "other-fox": (
        Way("Attack", 1, 24, 60), Way("Death", 0.99, 24), Way("Gallop", 3, 24, 0), Way("Gallop", 3, 24, turn=90),
        Way("Eating", 0.9, 48, turn=60),
    ),
    "horse": (
        Way("Gallop", 5, 48, 60), Way("Attack_Kick", 1, 24, 90), Way("Eating", 0.9, 48), Way("Death", 0.99, 24, 0),
        Way("Gallop_Jump", 1, 24, 45), Way("Gallop", 3, 24, turn=60), Way("Gallop", 5, 48, 60, turn=90),
        Way("Eating", 0.9, 24, turn=90), Way("Gallop", 3, 24, turn=180), Way("Gallop", 5, 48, turn=360),
        Way("Gallop", 5, 48, turn=720), Way("Gallop", 5, 48, swing=60), Way("Attack_Kick", 1, 24, 60, swing=30),
    ),
    "shark": (
        Way("Swim", 5, 48, 60), Way("Swim", 2, 24, 20), Way("Swim", 3, 24, turn=60), Way("Swim", 5, 48, turn=90),
        Way("Swim", 3, 24, turn=180), Way("Swim", 5, 48, turn=360),
    ),
}  # fmt: skip


def verdict(film: NDArray[np.float32], lens: NDArray[np.float64]) -> str:
    """What is found of (F, H, W, 4) pictures."""
    box = np.array([0.0, 0.0, film.shape[2], film.shape[1]])
    found = find_cameras(film, lens, box, Known(), lambda share: None)
    return f"{'still' if found.is_still else f'turns by {found.turn:.0f} degrees'}, confidence {found.confidence:.2f}"


def shortened(workspace: Path) -> Iterator[NDArray[np.float32]]:
    """The pictures of a clip, whole and its beginnings."""
    pictures = [read_image(path, max_size=LONGEST_SIDE) for path in sorted((workspace / "images").glob("*.png"))]
    for count in (len(pictures), *(count for count in SHORTENED if count < len(pictures))):
        yield np.stack(pictures[:count])


def main() -> None:
    """Print a line per film."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("animals", nargs="*", default=list(WAYS))
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    for animal in options.animals:
        for way in WAYS[animal]:
            cameras = way.cameras()
            film = filmed(options.data, (FILES[animal], way.clip), cameras, way.cycles)
            print(f"{animal}: {way}: {verdict(film, cameras.intrinsics[0].double().numpy())}", flush=True)
    for clip in options.clips:
        for film in shortened(clip):
            height, width = film.shape[1:3]
            focal = height / 2 / np.tan(np.radians(FOV) / 2)
            lens = np.array([focal, focal, width / 2, height / 2])
            print(f"{clip.stem}: {len(film)} frames, still: {verdict(film, lens)}", flush=True)


if __name__ == "__main__":
    main()
