"""Procedural clips: an object, a motion, cameras and a caption as a pure function of a seed and an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.datasets.procedural.captions import describe
from a4d.datasets.procedural.creatures import Creature, random_creature
from a4d.datasets.procedural.motions import world_from_parts
from a4d.datasets.procedural.vocabulary import MOTIONS
from a4d.geometry.cameras import Cameras, orbit
from a4d.randomness import generator
from a4d.render.kernels.primitives import draw_primitives, find_correspondences

FOV_DEGREES = 35.0
DISTANCE = 3.6
ELEVATION_DEGREES = 10.0
LIGHT = np.array([0.35, 0.8, 0.5, 0.45]) / np.array([1.01, 1.01, 1.01, 1.0])


SAME_POINT = 0.06
"""Metres within which two surface points, seen by pixels beside each other, are the same."""


@dataclass(frozen=True)
class Flow:
    """Where the surface points that images show are in the images at rest.

    Args:
        way: (V, F, V, 2, H, W) pixels, right and down; the third index counts views on from the image's own.
        visible: (V, F, V, H, W) whether the point is seen there.
    """

    way: Tensor
    visible: Tensor


@dataclass(frozen=True)
class Stage:
    """How objects are seen.

    Args:
        views: cameras, evenly around the object.
        frames: of one period.
        size: pixels.
        samples: rays along each side of a pixel.
        free_share: share of clips whose first azimuth and elevation are random; all others are seen from azimuth 0
            and the canonical elevation.
    """

    views: int = 4
    frames: int = 8
    size: int = 64
    samples: int = 2
    free_share: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What there is to be rendered, before it is.

    Args:
        creature: the object at rest.
        motion: name, empty for a still object.
        strength: of the motion.
        cameras: V.
        caption: about all of it.
    """

    creature: Creature
    motion: str
    strength: float
    cameras: Cameras
    caption: str

    def render(self, times: NDArray[np.float64], samples: int = 2) -> Tensor:
        """(V, T, H, W, 4) float32 straight-alpha images at times (T,) in periods."""
        return torch.from_numpy(self._drawn(self._moved(times), samples)[0])

    def render_with_flow(
        self,
        times: NDArray[np.float64],  # (1 + F,) of which the first is 0
        samples: int = 2,
    ) -> tuple[Tensor, Flow]:
        """Images (V, 1 + F, H, W, 4) as from `render`, and where the points of all but the first are at rest."""
        moved = self._moved(times)
        rgba, surface = self._drawn(moved, samples, with_surface=True)
        views, count, height, width = surface.shape[:4]
        flow = np.zeros((views, count - 1, views, 2, height, width), np.float32)
        visible = np.empty((views, count - 1, views, height, width), np.bool_)
        find_correspondences(
            surface[:, 1:], surface[:, 0], moved[1:], moved[0], camera_rows(self.cameras), SAME_POINT, flow, visible
        )
        return torch.from_numpy(rgba), Flow(torch.from_numpy(flow), torch.from_numpy(visible))

    def _moved(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return world_from_parts(self.creature, self.motion, times, self.strength)

    def _drawn(
        self, moved: NDArray[np.float64], samples: int, with_surface: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        local = np.linalg.inv(moved)
        primitives = np.ascontiguousarray(local[:, :, :3].reshape(*local.shape[:2], 12))
        shape = (len(self.cameras), len(moved), self.cameras.height, self.cameras.width, 4)
        rgba, surface = np.empty(shape, np.float32), np.empty(shape if with_surface else (0,) * 5, np.float32)
        kinds = np.array([part.shape for part in self.creature.parts])
        draw_primitives(
            kinds, primitives, self.creature.looks(), camera_rows(self.cameras), LIGHT, samples, rgba, surface
        )
        return rgba, surface


def camera_rows(cameras: Cameras) -> NDArray[np.float64]:
    """(V, 16) rotation of world_from_camera row by row, position, fx, fy, cx, cy."""
    rotation = cameras.world_from_camera[:, :3, :3].reshape(-1, 9)
    return torch.cat([rotation, cameras.positions, cameras.intrinsics], dim=1).double().numpy()


def procedural_scene(
    seed: int,
    index: int,
    stage: Stage,
    motions: Sequence[str] = tuple(MOTIONS),
) -> Scene:
    """The index-th scene of a seed.

    Args:
        seed: of the whole data set.
        index: any number from 0.
        stage: cameras.
        motions: from which one is drawn; an empty name is a still object.
    """
    draws = generator(seed, "procedural", index)
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=draws)))
    creature = random_creature(random)
    motion = str(random.choice(motions))
    strength = float(random.uniform(0.85, 1.1))
    azimuth, elevation = 0.0, ELEVATION_DEGREES
    if random.random() < stage.free_share:
        azimuth, elevation = float(random.uniform(0, 360)), float(random.uniform(0, 30))
    turn = torch.arange(stage.views) * (360 / stage.views) + azimuth
    cameras = orbit(turn, torch.full((stage.views,), elevation), DISTANCE, FOV_DEGREES, stage.size, stage.size)
    return Scene(creature, motion, strength, cameras, describe(creature, motion, random))
