"""What cameras around a mesh see of it, written with all that is known: depth, normals, followed points, joints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from a4d.console import progress
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.cameras import Cameras, concatenate
from a4d.geometry.mesh import sample_surface
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.frame_channels import TRACKS_FILE, Tracks, write_normal, write_tracks
from a4d.io.ground_truth import ground_truth, write_ground_truth
from a4d.io.pictures.images import read_depth, write_depth, write_image
from a4d.randomness import generator
from a4d.render.asset import AssetRenderer
from a4d.workspace.source import RenderedClip
from a4d.workspace.transaction import Transaction

DEPTH_UNIT = 1e-4
"""Metres per count: 16 bits reach 6.5 m, twice as far as any camera here looks."""

IN_FRONT = 0.01
"""Share of its depth by which a followed point may lie behind the depth map and still be seen."""


@dataclass(frozen=True)
class Shot:
    """A clip at T moments, or the rest pose at one.

    Args:
        clip: None is the rest pose.
        seconds: (T,) float64 in the clip's own time.
    """

    clip: Clip | None
    seconds: Tensor

    @classmethod
    def at_rest(cls) -> Shot:
        """The rest pose."""
        return cls(None, torch.zeros(1, dtype=torch.float64))


@dataclass(frozen=True)
class MeshRenders:
    """A mesh in the workspace's world, its moments, and the cameras around it.

    Frames come shot by shot; within a shot camera by camera, those to train on first; and time runs fastest.

    Args:
        asset: placed.
        shots: what is shown of it.
        cameras: to train on, and held out.
    """

    asset: Asset
    shots: Sequence[Shot]
    cameras: tuple[Cameras, Cameras]

    @property
    def count(self) -> int:
        """How many frames there are."""
        return sum(len(shot.seconds) for shot in self.shots) * sum(map(len, self.cameras))

    def write_pictures(
        self, work: Transaction, renderer: AssetRenderer, console: Console, *, with_normal: bool
    ) -> list[str]:
        """Write every picture, depth map and, if wanted, normal map; their names in the format's order."""
        images, depths = work.replace("images"), work.replace("depth")
        normals = work.replace("normal") if with_normal else None
        with progress(console) as bar:
            task = bar.add_task("views", total=self.count)
            for surface, seen in self._moments():
                for index, camera in seen:
                    picture = renderer.render(surface, camera, with_normal=with_normal)
                    write_image(images / f"{index:05d}.png", picture.rgba.numpy())
                    write_depth(depths / f"{index:05d}.png", picture.depth.numpy(), DEPTH_UNIT)
                    if normals is not None and picture.normal is not None:
                        write_normal(normals / f"{index:05d}.npz", picture.normal.numpy())
                    bar.advance(task)
        return [f"{index:05d}.png" for index in range(self.count)]

    def write_tracks(self, work: Transaction, count: int, seed: int) -> None:
        """Write where points of the surface are in each frame, and if its depth map, which is there, shows them."""
        rest, depths = deform(self.asset), work.output("depth/00000.png").parent
        _, face, weights = sample_surface(rest.mesh, count, generator(seed, "tracks"))
        corners = rest.faces[face]
        points, visible = np.zeros((self.count, count, 2), np.float32), np.zeros((self.count, count), np.bool_)
        for surface, seen in self._moments():
            positions = (surface.vertices[corners] * weights[..., None]).sum(1)
            for index, camera in seen:
                pixels, depth = (values[0] for values in camera.project(positions))
                shown = torch.from_numpy(read_depth(depths / f"{index:05d}.png", DEPTH_UNIT))
                points[index], visible[index] = pixels.numpy(), _is_seen(pixels, depth, shown).numpy()
        write_tracks(work.output(TRACKS_FILE), Tracks(points, visible))

    def write_truth(self, work: Transaction) -> list[RenderedClip]:
        """Write what is known of each shot's moments; what the frames show."""
        folder, rendered, taken = work.replace("ground_truth"), list[RenderedClip](), set[str]()
        for shot in self.shots:
            name = file_name(shot.clip.name if shot.clip else "rest", taken)
            write_ground_truth(folder / f"{name}.npz", ground_truth(self.asset, shot.clip, shot.seconds))
            clip = shot.clip.name if shot.clip else None
            path = f"ground_truth/{name}.npz"
            rendered.append(RenderedClip(clip=clip, seconds=shot.seconds.tolist(), ground_truth=path))
        return rendered

    def write_cameras(self, work: Transaction, world_from_source: Tensor, files: list[str]) -> None:
        """Write `transforms.json` of the pictures and depth maps of these names."""
        both = concatenate([batch for batch in self.cameras if len(batch)])
        names = [f"{kind}_{index:02d}" for kind, batch in zip(("view", "test"), self.cameras, strict=True)
                 for index in range(len(batch))]  # fmt: skip
        view, times, clips = list[int](), list[float](), list[str]()
        for shot in self.shots:
            count = len(shot.seconds)
            view += [index for index in range(len(both)) for _ in range(count)]
            times += list(np.linspace(0, 1, count)) * len(both)
            clips += [shot.clip.name if shot.clip else ""] * (count * len(both))
        root = work.output("transforms.json").parent
        capture = PosedCapture(
            images=tuple(root / "images" / name for name in files),
            world_from_camera=both.world_from_camera.double().numpy()[view],
            intrinsics=both.intrinsics.double().numpy()[view],
            sizes=np.array([[both.width, both.height]] * len(view), np.int64),
            depths=tuple(root / "depth" / name for name in files),
            splits=tuple("train" if index < len(self.cameras[0]) else "test" for index in view),
            times=np.array(times) if any(shot.clip for shot in self.shots) else None,
            views=tuple(names[index] for index in view),
            clips=tuple(clips) if any(clips) else None,
            up_axis="+y",
            world_from_source=world_from_source.numpy(),
            depth_unit=DEPTH_UNIT,
        )
        write_transforms(root / "transforms.json", capture)

    def _moments(self) -> Iterator[tuple[PosedMesh, list[tuple[int, Cameras]]]]:
        """The surface at one moment after another, and the cameras that see it with their frames' indices."""
        each = [batch[index] for batch in self.cameras for index in range(len(batch))]
        first = 0
        for shot in self.shots:
            count = len(shot.seconds)
            for moment, second in enumerate(shot.seconds.tolist()):
                frames = [(first + view * count + moment, camera) for view, camera in enumerate(each)]
                yield deform(self.asset, shot.clip, second), frames
            first += count * len(each)


def _is_seen(
    pixels: Tensor,  # (N, 2) right and down
    depth: Tensor,  # (N,) metres
    shown: Tensor,  # (H, W) metres, 0 where nothing is
) -> Tensor:
    """(N,) bool, whether points lie in the picture, and on the surface that it shows there."""
    height, width = shown.shape
    column, row = pixels.floor().long().unbind(-1)
    is_inside = (column >= 0) & (row >= 0) & (column < width) & (row < height) & (depth > 0)
    surface = shown[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return is_inside & (surface > 0) & (depth <= (1 + IN_FRONT) * surface)


def file_name(text: str, taken: set[str]) -> str:
    """A name of letters, digits, `-` and `_` that is not yet among those taken, which it joins."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "clip"
    name, number = plain, 2
    while name.lower() in taken:
        name, number = f"{plain}-{number}", number + 1
    taken.add(name.lower())
    return name
