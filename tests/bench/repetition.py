"""How often rigged animals repeat their clips, counted with true cameras and with those that are found.

python tests/bench/repetition.py DATA [--frames 120] [--size 128]

DATA holds the rigged animals. Each film is of an animal and a clip, so many cycles in so many turns, or in swings to
either side. Printed are the cycles that are found, 0 where none are, and the evidence for the best number. Constants
were chosen on the fox that runs and the horse that gallops; the films of `FRESH` were looked at once they stood.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from object_pose import DISTANCE, FOV, filmed
from torch import Tensor

from a4d.estimation.objects.courses import Known
from a4d.estimation.objects.fit import find_cameras
from a4d.estimation.repetition import find_cycles
from a4d.geometry.cameras import Cameras, orbit
from a4d.views import Frames

FOX, HORSE = "gltf_khronos/Fox/glTF-Binary/Fox.glb", "rigged_quaternius/animals_pack/Horse.glb"
OTHER_FOX, SHARK = "rigged_quaternius/animals_pack/Fox.glb", "rigged_quaternius/fish_pack/Shark.glb"
RADIUS = 1.3


@dataclass(frozen=True)
class Case:
    """A film: of what, how often it repeats, and how the camera goes.

    Args:
        animal: file and clip.
        cycles: 1 or 0 do not repeat.
        turns: or swings, where there are degrees.
        swing: degrees to either side.
    """

    animal: tuple[str, str]
    cycles: float
    turns: float
    swing: float = 0.0

    def azimuths(self, times: Tensor) -> Tensor:
        """(F,) degrees."""
        return self.swing * (2 * torch.pi * self.turns * times).sin() if self.swing else 360 * self.turns * times


CHOSEN = [Case(animal, 5, 2) for animal in ((FOX, "Run"), (HORSE, "|Gallop"))]
KNOWN = [
    Case((OTHER_FOX, "|Gallop"), 5, 2), Case((SHARK, "Swim"), 5, 2), Case((FOX, "Run"), 3.6, 1),
    Case((HORSE, "|Gallop"), 7.3, 2), Case((HORSE, "|Gallop"), 5, 2, 60), Case((FOX, "Walk"), 4, 3),
    Case((FOX, "Walk"), 5, 2), Case((HORSE, "|Walk"), 6, 1), Case((OTHER_FOX, "|Walk"), 6, 2),
    Case((OTHER_FOX, "|Walk"), 4.4, 1), Case((OTHER_FOX, "|Gallop"), 7, 1), Case((FOX, "Run"), 4, 2),
    Case((FOX, "Run"), 5, 1), Case((SHARK, "Swim"), 3.6, 3), Case((SHARK, "Swim"), 6.4, 2),
    Case((SHARK, "Swim"), 8, 1), Case((FOX, "Run"), 0, 2), Case((SHARK, "Swim"), 0, 2), Case((FOX, "Walk"), 0, 2),
    Case((HORSE, "|Gallop"), 1, 2), Case((FOX, "Run"), 1, 1), Case((SHARK, "Swim"), 1, 1),
    Case((HORSE, "|Eating"), 1, 2), Case((OTHER_FOX, "|Attack"), 1, 2), Case((OTHER_FOX, "|Walk"), 1, 2),
    Case((OTHER_FOX, "Gallop_Jump"), 1, 2), Case((HORSE, "|Gallop"), 1, 1), Case((SHARK, "Swim"), 1, 2),
]  # fmt: skip
FRESH = [
    Case((OTHER_FOX, "|Gallop"), 6.5, 1), Case((HORSE, "|Gallop"), 4, 1, 45), Case((HORSE, "Gallop_Jump"), 5, 2),
    Case((OTHER_FOX, "|Attack"), 5, 2), Case((SHARK, "Swim"), 4.5, 1), Case((HORSE, "|Attack_Kick"), 4.3, 2),
    Case((OTHER_FOX, "|Death"), 1, 1), Case((HORSE, "|Attack_Kick"), 1, 2), Case((FOX, "Survey"), 1, 2),
    Case((HORSE, "Gallop_Jump"), 1, 1),
]  # fmt: skip


def counted(film: NDArray[np.float32], cameras: Cameras, splits: list[str], *, are_found: bool = False) -> str:
    """What is found, in words."""
    count = len(film)
    frames = Frames(
        list(torch.from_numpy(film)),
        [cameras[index] for index in range(count)],
        torch.arange(count) / count,
        [f"{index}" for index in range(count)],
        splits,
    )
    found = find_cycles(frames, RADIUS, are_cameras_found=are_found)
    return f"{found.cycles:5.2f} (evidence {found.evidence:.2f})"


def line(data: Path, case: Case, count: int, size: int) -> str:
    """The cycles of a film with true cameras and with those that are found."""
    times = torch.arange(count) / count
    cameras = orbit(case.azimuths(times), torch.full((count,), 15.0), DISTANCE, FOV, size, size)
    film = filmed(data, case.animal, cameras, case.cycles)
    box = np.array([0.0, 0.0, size, size])
    found = find_cameras(film, cameras.intrinsics[0].double().numpy(), box, Known(), lambda share: None)
    placed = Cameras(torch.from_numpy(found.world_from_camera).float(), cameras.intrinsics, size, size)
    splits = ["train" if whole else "unseen" for whole in found.is_whole.tolist()]
    return f"given {counted(film, cameras, ['train'] * count)}, found {counted(film, placed, splits, are_found=True)}"


def main() -> None:
    """Print a line per film."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    for name, cases in (("chosen", CHOSEN), ("known", KNOWN), ("fresh", FRESH)):
        for case in cases:
            way = f"{case.turns:g} turns" if not case.swing else f"{case.turns:g} swings by {case.swing:g}"
            title = f"{Path(case.animal[0]).stem} {case.animal[1].lstrip('|')}"
            figures = line(options.data, case, options.frames, options.size)
            print(f"{name:6s} {title:18s} {case.cycles:4g} in {way:15s} {figures}", flush=True)


if __name__ == "__main__":
    main()
