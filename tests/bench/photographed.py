"""Captures of intricate subjects made here: a truck of studded bricks, and a potted plant.

Both have what makes few views hard: parts that hide each other, thin rods, shadows, and highlights that move with the
camera. Files are those of Blender's NeRF sets: `transforms_train.json`, `transforms_test.json`, and RGBA pictures.

python tests/bench/photographed.py truck|plant FOLDER [--views 16] [--size 800]
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
import trimesh  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import grid_sample, normalize  # noqa: E402

from a4d.geometry.cameras import Cameras, opencv_from_opengl, orbit  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.render.mesh import rasterise  # noqa: E402
from a4d.render.shading import encode_srgb  # noqa: E402

FOV_DEGREES, DISTANCE, RADIUS = 39.6, 4.03, 1.15
LIGHT = (0.5, 0.8, 0.35)
SHADOW_SIZE, SHADOW_BIAS = 2048, 0.02
HELD_OUT = 8
STUD, PITCH = 0.036, 0.12

Colour = tuple[float, float, float]
Part = tuple[trimesh.Trimesh, Colour]

YELLOW, GREY, DARK, RED = (0.80, 0.50, 0.03), (0.32, 0.33, 0.34), (0.05, 0.05, 0.06), (0.55, 0.04, 0.03)
GREEN, BROWN, SAND = (0.10, 0.32, 0.06), (0.25, 0.12, 0.05), (0.60, 0.45, 0.28)


def rod(start: tuple[float, ...], end: tuple[float, ...], radius: float, sides: int = 12) -> trimesh.Trimesh:
    """A cylinder between two points."""
    return trimesh.creation.cylinder(radius, segment=[start, end], sections=sides)


def brick(low: tuple[float, float, float], studs: tuple[int, int], height: float, colour: Colour) -> list[Part]:
    """A box with its lowest corner there, and studs on it."""
    x, y, z = low
    across, along = studs[0] * PITCH, studs[1] * PITCH
    body = trimesh.creation.box((across * 0.98, height * 0.98, along * 0.98))
    body.apply_translation((x + across / 2, y + height / 2, z + along / 2))
    parts = [(body, colour)]
    for column in range(studs[0]):
        for row in range(studs[1]):
            place = x + (column + 0.5) * PITCH, z + (row + 0.5) * PITCH
            top = y + height
            parts.append((rod((place[0], top, place[1]), (place[0], top + STUD, place[1]), STUD), colour))
    return parts


def truck() -> list[Part]:
    """Bricks on wheels with a crane of thin rods and a shovel, on a studded plate."""
    parts = brick((-0.84, -0.62, -0.96), (14, 16), 0.05, SAND)
    parts += brick((-0.36, -0.38, -0.72), (6, 12), 0.12, GREY)
    parts += brick((-0.36, -0.26, -0.72), (6, 5), 0.24, YELLOW) + brick((-0.24, -0.02, -0.60), (4, 3), 0.22, YELLOW)
    parts += brick((-0.36, -0.26, 0.24), (2, 4), 0.16, DARK) + brick((0.12, -0.26, 0.24), (2, 4), 0.16, RED)
    for side in (-0.47, 0.47):
        for z in (-0.6, -0.3, 0.0, 0.3, 0.6):
            parts.append((rod((side - 0.07, -0.42, z), (side + 0.07, -0.42, z), 0.15, 24), DARK))
            parts.append((rod((side - 0.08, -0.42, z), (side + 0.08, -0.42, z), 0.06, 16), YELLOW))
    for x in (-0.14, 0.14):
        parts.append((rod((x, 0.0, 0.0), (x, 0.72, 0.45), 0.022), YELLOW))
        parts.append((rod((x, 0.72, 0.45), (x, 0.20, 0.92), 0.022), YELLOW))
        parts.append((rod((x, 0.22, -0.1), (x, 0.72, 0.45), 0.014), GREY))
    for share in np.linspace(0.1, 0.9, 7):
        height, z = 0.72 * share, 0.45 * share
        parts.append((rod((-0.14, height, z), (0.14, height, z), 0.012), RED))
    shovel = trimesh.creation.box((0.5, 0.22, 0.03))
    shovel.apply_translation((0.0, 0.12, 0.93))
    return [
        *parts,
        (shovel, RED),
        *((rod((x, 0.0, 0.94), (x, 0.0, 1.0), 0.02), GREY) for x in np.linspace(-0.22, 0.22, 7)),
    ]


def leaf(draws: np.random.Generator) -> trimesh.Trimesh:
    """A thin ellipse, turned at random."""
    shape = trimesh.creation.icosphere(2, 1.0)
    shape.apply_scale((draws.uniform(0.05, 0.1), 0.008, draws.uniform(0.1, 0.2)))
    shape.apply_transform(trimesh.transformations.euler_matrix(*draws.uniform(-1.0, 1.0, 3) * (0.9, 3.1, 0.9)))
    return shape


def plant() -> list[Part]:
    """A pot with stems and leaves of many sizes, all different."""
    draws = np.random.default_rng(3)
    pot = trimesh.creation.revolve(np.array([[0.0, -0.55], [0.34, -0.55], [0.5, 0.0], [0.0, 0.0]]), sections=40)
    pot.apply_transform(trimesh.transformations.rotation_matrix(-math.pi / 2, (1, 0, 0)))
    pot.apply_translation((0, -0.25, 0))
    parts: list[Part] = [(pot, BROWN), (rod((0, -0.3, 0), (0, -0.24, 0), 0.54, 40), SAND)]
    for stem in range(14):
        angle, lean = 2 * math.pi * stem / 14 + draws.uniform(-0.2, 0.2), draws.uniform(0.1, 0.75)
        top = np.array([lean * math.cos(angle), draws.uniform(0.1, 0.9), lean * math.sin(angle)])
        root = np.array([0.2 * math.cos(angle), -0.28, 0.2 * math.sin(angle)])
        parts.append((rod(tuple(root), tuple(top), 0.014), GREEN))
        for share in np.linspace(0.35, 1.0, 6):
            shape = leaf(draws)
            shape.apply_translation(root + share * (top - root))
            tint = draws.uniform(0.6, 1.6)
            is_flower = draws.random() < 0.12
            parts.append((shape, RED if is_flower else (tint * GREEN[0], tint * GREEN[1], tint * GREEN[2])))
    return parts


SUBJECTS = {"truck": truck, "plant": plant}


def assembled(parts: list[Part]) -> Mesh:
    """One mesh whose faces share no vertices, with the linear colours of its parts, in a ball of `RADIUS`."""
    corners = [np.asarray(shape.vertices)[np.asarray(shape.faces)].reshape(-1, 3) for shape, _ in parts]
    colours = np.concatenate(
        [np.tile(colour, (len(each), 1)) for each, (_, colour) in zip(corners, parts, strict=True)]
    )
    points = np.concatenate(corners)
    points -= (points.min(0) + points.max(0)) / 2
    points *= RADIUS / np.linalg.norm(points, axis=1).max()
    faces = torch.arange(len(points)).view(-1, 3)
    return Mesh(torch.from_numpy(points).float(), faces, torch.from_numpy(colours).float())


class Studio:
    """A mesh under one lamp that throws shadows, and light from everywhere."""

    def __init__(self, mesh: Mesh) -> None:
        self.corners, self.mesh = mesh.vertices[mesh.faces], mesh
        edges = self.corners[:, 1:] - self.corners[:, :1]
        self.normals = normalize(torch.linalg.cross(edges[:, 0], edges[:, 1], dim=-1), dim=-1)
        self.light = normalize(torch.tensor(LIGHT), dim=0)
        up = torch.rad2deg(torch.asin(self.light[1:2]))
        around = torch.rad2deg(torch.atan2(self.light[:1], self.light[2:]))
        self.lamp = orbit(around, up, 20.0, 7.0, SHADOW_SIZE, SHADOW_SIZE)
        reached = rasterise(mesh, self.lamp).depth[0]
        self.reached = torch.where(reached > 0, reached, torch.inf)[None, None]

    def photograph(self, camera: Cameras) -> Tensor:
        """(H, W, 4) sRGB and straight alpha, the mean of 2 x 2 samples."""
        fine = camera.resized(2 * camera.width, 2 * camera.height)
        seen = rasterise(self.mesh, fine)
        hit = seen.is_covered[0]
        face = seen.face[0][hit]
        points = (self.corners[face] * seen.barycentric[0][hit][..., None]).sum(1)
        image = torch.zeros(fine.height, fine.width, 4)
        colours = self._colours(face, points, normalize(camera.positions - points, dim=-1))
        image[hit] = torch.cat([colours, torch.ones(len(colours), 1)], dim=-1)
        mean = image.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).mean(dim=(1, 3))
        mean[..., :3] /= mean[..., 3:].clamp_min(1e-6)
        return mean

    def _colours(self, face: Tensor, points: Tensor, toward: Tensor) -> Tensor:
        """(N, 3) sRGB of places on faces seen from a direction: grained, dull under the sky, glossy under the lamp."""
        assert self.mesh.colours is not None
        normals = self.normals[face] * (self.normals[face] * toward).sum(-1, keepdim=True).sign()
        grain = torch.sin(points * 23).sum(-1) * torch.sin(points.flip(-1) * 61 + 1).sum(-1) / 3
        base = self.mesh.colours[self.mesh.faces[face, 0]] * (1 + 0.12 * grain[:, None])
        lit, cosine = self._share_of_lamp(points), (normals @ self.light).clamp_min(0)
        halfway = normalize(self.light + toward, dim=-1)
        gloss = 0.35 * (normals * halfway).sum(-1).clamp_min(0) ** 40 * lit * (cosine > 0)
        light = 0.35 + 0.15 * normals[:, 1] + 0.9 * lit * cosine
        return encode_srgb((base * light[:, None] + gloss[:, None]).clamp(0, 1))

    def _share_of_lamp(self, points: Tensor) -> Tensor:
        """(N,) of its light, between 0 and 1 along the borders of shadows."""
        pixels, depth = self.lamp.project(points)
        places = (pixels[0] / SHADOW_SIZE * 2 - 1)[None, None]
        steps = torch.tensor([[x, y] for x in (-1.5, 0.0, 1.5) for y in (-1.5, 0.0, 1.5)]) * 2 / SHADOW_SIZE
        nearest = torch.stack(
            [grid_sample(self.reached, places + step, mode="nearest", align_corners=False)[0, 0, 0] for step in steps]
        )
        return (depth[0] <= nearest + SHADOW_BIAS).float().mean(0)


def hemisphere(count: int, size: int) -> Cameras:
    """Cameras all over the upper half, as evenly as a golden spiral is."""
    index = torch.arange(count)
    elevation = torch.rad2deg(torch.asin((index + 0.5) / count * 0.98))
    return orbit((index * 137.508) % 360, elevation, DISTANCE, FOV_DEGREES, size, size)


def held_out(count: int, size: int) -> Cameras:
    """Cameras on a turn that rises and falls."""
    share = torch.arange(count) / count
    return orbit(360 * share + 17, 30 + 25 * torch.sin(4 * math.pi * share), DISTANCE, FOV_DEGREES, size, size)


def write_capture(folder: Path, mesh: Mesh, cameras: dict[str, Cameras]) -> None:
    """Photographs of a mesh from the cameras of each split."""
    studio = Studio(mesh)
    # Blender's sets have +Z up.
    upright = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    for split, views in cameras.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for index in range(len(views)):
            write_image(folder / split / f"r_{index}.png", studio.photograph(views[index]).numpy())
            matrix = upright @ opencv_from_opengl(views[index].world_from_camera)[0]
            frames.append({"file_path": f"./{split}/r_{index}", "transform_matrix": matrix.tolist()})
        angle = 2 * math.atan(views.width / 2 / float(views.intrinsics[0, 0]))
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))


def main() -> None:
    """Write a capture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--size", type=int, default=800)
    options = parser.parse_args()
    cameras = {"train": hemisphere(options.views, options.size), "test": held_out(HELD_OUT, options.size)}
    write_capture(options.folder, assembled(SUBJECTS[options.subject]()), cameras)


if __name__ == "__main__":
    main()
