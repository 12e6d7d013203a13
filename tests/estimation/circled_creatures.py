"""Films of a jointed creature that moves while a camera goes around it, and how far cameras are from the true ones."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from a4d.datasets.procedural.clips import DISTANCE, FOV_DEGREES, Stage, procedural_scene
from a4d.estimation.objects.courses import angles
from a4d.geometry.cameras import Cameras, orbit

SEED, QUADRUPED = 0, 2


@dataclass(frozen=True)
class CircledCreature:
    """A film of F frames.

    Args:
        rgba: (F, H, W, 4) float32.
        cameras: F.
    """

    rgba: np.ndarray
    cameras: Cameras

    @property
    def lens(self) -> np.ndarray:
        """(4,) of all frames."""
        return self.cameras.intrinsics[0].double().numpy()


def circled_creature(
    turn: float, frames: int = 24, cycles: float = 5.0, size: int = 64, stands: float = 0.0
) -> CircledCreature:
    """A creature that walks so many cycles on the spot, seen from 15 degrees above over so many degrees around it.

    Args:
        turn: degrees.
        frames: F.
        cycles: of the walk.
        size: pixels of a side.
        stands: share of the film in [0, 1) before the camera begins to turn.
    """
    scene = procedural_scene(SEED, QUADRUPED, Stage(size=size), motions=("walk",))
    time = torch.arange(frames) / frames
    turned = turn * ((time - stands) / (1 - stands)).clamp(min=0)
    cameras = orbit(30 + turned, torch.full((frames,), 15.0), DISTANCE, FOV_DEGREES, size, size)
    rgba = [
        replace(scene, cameras=cameras[index]).render(np.array([moment]))[0, 0]
        for index, moment in enumerate((cycles * time % 1).tolist())
    ]
    return CircledCreature(torch.stack(rgba).numpy(), cameras)


def turned_apart(found: np.ndarray, true: np.ndarray) -> float:
    """Degrees by which turns between frames are wrong, in the median of all pairs, of (F, 4, 4) world_from_camera."""
    first, second = np.triu_indices(len(found), 1)
    ways = [poses[second, :3, :3].swapaxes(-1, -2) @ poses[first, :3, :3] for poses in (found, true)]
    return float(np.median(angles(ways[0].swapaxes(-1, -2) @ ways[1])))
