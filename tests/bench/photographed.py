"""Captures with intricate subjects, made here: a truck of studded bricks and a potted plant, photographed with a known light.

Both have what makes captures of few views hard: parts that hide each other, thin rods, shadows, and highlights that move
with the camera. The files are those of Blender's NeRF sets: `transforms_train.json`, `transforms_test.json`, RGBA pictures.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.geometry.cameras import Cameras, concatenate, opencv_from_opengl, orbit
from a4d.geometry.mesh import Mesh
from a4d.io.pictures.images import write_image
from a4d.render.mesh import rasterise
from a4d.render.shading import encode_srgb

FOV_DEGREES, DISTANCE = 39.6, 4.03
LIGHT = (0.5, 0.8, 0.35)
SHADOW_PIXELS = 2048
SHADOW_BIAS = 0.02

Part = tuple[trimesh.Trimesh, tuple[float, float, float]]

YELLOW, GREY, DARK, RED, GREEN, BROWN, SAND = (
    (0.80, 0.50, 0.03), (0.32, 0.33, 0.34), (0.05, 0.05, 0.06), (0.55, 0.04, 0.03), (0.10, 0.32, 0.06),
    (0.25, 0.12, 0.05), (0.60, 0.45, 0.28),
)  # fmt: skip


def _rod(start: tuple[float, ...], end: tuple[float, ...], radius: float, sides: int = 12) -> trimesh.Trimesh:
    return trimesh.creation.cylinder(radius, segment=[start, end], sections=sides)


def _brick(
    low: tuple[float, float, float], studs: tuple[int, int], height: float, pitch: float = 0.12
) -> list[trimesh.Trimesh]:
    """A box with its lowest corner there, and studs on it."""
    x, y, z = low
    across, along = studs[0] * pitch, studs[1] * pitch
    body = trimesh.creation.box((across * 0.98, height * 0.98, along * 0.98))
    body.apply_translation((x + across / 2, y + height / 2, z + along / 2))
    tops = [
        _rod((x + (i + 0.5) * pitch, y + height, z + (j + 0.5) * pitch), (x + (i + 0.5) * pitch, y + height + 0.035, z + (j + 0.5) * pitch), 0.036)
        for i in range(studs[0]) for j in range(studs[1])
    ]  # fmt: skip
    return [body, *tops]


def truck() -> list[Part]:
    """A truck of bricks with wheels, a crane of thin rods and a shovel, on a studded plate."""
    parts: list[Part] = [(each, SAND) for each in _brick((-0.84, -0.62, -0.96), (14, 16), 0.05)]
    parts += [(each, GREY) for each in _brick((-0.36, -0.38, -0.72), (6, 12), 0.12)]
    parts += [(each, YELLOW) for each in _brick((-0.36, -0.26, -0.72), (6, 5), 0.24)]
    parts += [(each, YELLOW) for each in _brick((-0.24, -0.02, -0.60), (4, 3), 0.22)]
    parts += [(each, DARK) for each in _brick((-0.36, -0.26, 0.24), (2, 4), 0.16)]
    parts += [(each, RED) for each in _brick((0.12, -0.26, 0.24), (2, 4), 0.16)]
    for side in (-0.47, 0.47):
        for z in (-0.6, -0.3, 0.0, 0.3, 0.6):
            parts.append((_rod((side - 0.07, -0.42, z), (side + 0.07, -0.42, z), 0.15, 24), DARK))
            parts.append((_rod((side - 0.08, -0.42, z), (side + 0.08, -0.42, z), 0.06, 16), YELLOW))
    for x in (-0.14, 0.14):
        parts.append((_rod((x, 0.0, 0.0), (x, 0.72, 0.45), 0.022), YELLOW))
        parts.append((_rod((x, 0.72, 0.45), (x, 0.20, 0.92), 0.022), YELLOW))
        parts.append((_rod((x, 0.22, -0.1), (x, 0.72, 0.45), 0.014), GREY))
    for share in np.linspace(0.1, 0.9, 7):
        height, z = 0.72 * share, 0.45 * share
        parts.append((_rod((-0.14, height, z), (0.14, height, z), 0.012), RED))
    shovel = trimesh.creation.box((0.5, 0.22, 0.03))
    shovel.apply_translation((0.0, 0.12, 0.93))
    parts.append((shovel, RED))
    return parts + [(_rod((x, 0.0, 0.94), (x, 0.0, 1.0), 0.02), GREY) for x in np.linspace(-0.22, 0.22, 7)]


def plant() -> list[Part]:
    """A pot with stems and leaves of many sizes, all different."""
    draws = np.random.default_rng(3)
    profile = np.array([[0.0, -0.55], [0.34, -0.55], [0.5, 0.0], [0.0, 0.0]])
    pot = trimesh.creation.revolve(profile, sections=40)
    pot.apply_transform(trimesh.transformations.rotation_matrix(-math.pi / 2, (1, 0, 0)))
    pot.apply_translation((0, -0.25, 0))
    parts: list[Part] = [(pot, BROWN), (_rod((0, -0.3, 0), (0, -0.24, 0), 0.54, 40), SAND)]
    for stem in range(14):
        angle, lean = 2 * math.pi * stem / 14 + draws.uniform(-0.2, 0.2), draws.uniform(0.1, 0.75)
        top = np.array([lean * math.cos(angle), draws.uniform(0.1, 0.9), lean * math.sin(angle)])
        root = np.array([0.2 * math.cos(angle), -0.28, 0.2 * math.sin(angle)])
        parts.append((_rod(tuple(root), tuple(top), 0.014), GREEN))
        for share in np.linspace(0.35, 1.0, 6):
            leaf = trimesh.creation.icosphere(2, 1.0)
            leaf.apply_scale((draws.uniform(0.05, 0.1), 0.008, draws.uniform(0.1, 0.2)))
            leaf.apply_transform(trimesh.transformations.euler_matrix(*draws.uniform(-1.0, 1.0, 3) * (0.9, 3.1, 0.9)))
            leaf.apply_translation(root + share * (top - root))
            tint = draws.uniform(0.6, 1.6)
            parts.append((leaf, RED if draws.random() < 0.12 else (tint * GREEN[0], GREEN[1] * tint, tint * GREEN[2])))
    return parts


SUBJECTS = {"truck": truck, "plant": plant}


def assembled(parts: list[Part]) -> Mesh:
    """One mesh whose faces keep their edges, with the linear colours of its parts, in the unit ball."""
    vertices, faces, colours, count = [], [], [], 0
    for shape, colour in parts:
        corners = np.asarray(shape.vertices)[np.asarray(shape.faces)].reshape(-1, 3)
        vertices.append(corners)
        faces.append(np.arange(len(corners)).reshape(-1, 3) + count)
        colours.append(np.tile(colour, (len(corners), 1)))
        count += len(corners)
    points = np.concatenate(vertices)
    points -= (points.min(0) + points.max(0)) / 2
    points *= 1.15 / np.linalg.norm(points, axis=1).max()
    return Mesh(
        torch.from_numpy(points).float(),
        torch.from_numpy(np.concatenate(faces)),
        torch.from_numpy(np.concatenate(colours)).float(),
    )


class Studio:
    """A mesh under one lamp with shadows, and light from everywhere."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.light = normalize(torch.tensor(LIGHT), dim=0)
        up = math.degrees(math.asin(float(self.light[1])))
        around = math.degrees(math.atan2(float(self.light[0]), float(self.light[2])))
        self.lamp = orbit(torch.tensor([around]), torch.tensor([up]), 20.0, 7.0, SHADOW_PIXELS, SHADOW_PIXELS)
        self.reached = rasterise(mesh, self.lamp).depth[0]

    def _is_lit(self, points: Tensor) -> Tensor:
        """(N,) share of the lamp's light."""
        pixels, depth = self.lamp.project(points)
        places = (pixels[0] / SHADOW_PIXELS * 2 - 1)[None, None]
        nearest = torch.where(self.reached > 0, self.reached, torch.inf)
        offsets = torch.tensor([[i, j] for i in (-1.5, 0.0, 1.5) for j in (-1.5, 0.0, 1.5)]) * 2 / SHADOW_PIXELS
        seen = [
            grid_sample(nearest[None, None], places + each, mode="nearest", align_corners=False)[0, 0, 0]
            for each in offsets
        ]
        return torch.stack([(depth[0] <= each + SHADOW_BIAS).float() for each in seen]).mean(0)

    def photograph(self, camera: Cameras) -> Tensor:
        """(H, W, 4) sRGB and alpha, the mean of 2 x 2 samples."""
        fine = camera.resized(2 * camera.width, 2 * camera.height)
        seen = rasterise(self.mesh, fine)
        corners = self.mesh.vertices[self.mesh.faces]
        flat = normalize(
            torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1), dim=-1
        )
        hit = seen.is_covered[0]
        face = seen.face[0][hit]
        points = (corners[face] * seen.barycentric[0][hit][..., None]).sum(1)
        toward = normalize(camera.positions - points, dim=-1)
        normals = flat[face] * (flat[face] * toward).sum(-1, keepdim=True).sign()
        assert self.mesh.colours is not None
        grain = 1 + 0.12 * (torch.sin(points * 23).sum(-1) * torch.sin(points.flip(-1) * 61 + 1).sum(-1) / 3)
        base = self.mesh.colours[self.mesh.faces[face, 0]] * grain[:, None]
        lit = self._is_lit(points)
        cosine = (normals @ self.light).clamp_min(0)
        halfway = normalize(self.light + toward, dim=-1)
        gloss = 0.35 * (normals * halfway).sum(-1).clamp_min(0) ** 40 * lit * (cosine > 0)
        sky = 0.35 + 0.15 * normals[:, 1]
        colour = encode_srgb((base * (sky + 0.9 * lit * cosine)[:, None] + gloss[:, None]).clamp(0, 1))
        image = torch.zeros(fine.height, fine.width, 4)
        image[hit] = torch.cat([colour, torch.ones(len(colour), 1)], dim=-1)
        mean = image.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).mean(dim=(1, 3))
        mean[..., :3] /= mean[..., 3:].clamp_min(1e-6)
        return mean


def hemisphere(count: int, size: int) -> Cameras:
    """Cameras all over the upper half, as evenly as a golden spiral is."""
    index = torch.arange(count)
    azimuth = (index * 137.508) % 360
    elevation = torch.rad2deg(torch.asin((index + 0.5) / count * 0.98))
    return orbit(azimuth, elevation, DISTANCE, FOV_DEGREES, size, size)


def held_out(count: int, size: int) -> Cameras:
    """Cameras on a turn that rises and falls."""
    share = torch.arange(count) / count
    return orbit(360 * share + 17, 30 + 25 * torch.sin(4 * math.pi * share), DISTANCE, FOV_DEGREES, size, size)


def write_capture(folder: Path, mesh: Mesh, cameras: dict[str, Cameras]) -> None:
    """Photographs of a mesh from the cameras of each split."""
    studio = Studio(mesh)
    for split, views in cameras.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for index in range(len(views)):
            write_image(folder / split / f"r_{index}.png", studio.photograph(views[index]).numpy())
            matrix = opencv_from_opengl(views[index].world_from_camera)[0]
            # Blender's sets have +Z up.
            upright = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).to(matrix)
            frames.append({"file_path": f"./{split}/r_{index}", "transform_matrix": (upright @ matrix).tolist()})
        width = views.width
        angle = 2 * math.atan(width / 2 / float(views.intrinsics[0, 0]))
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))


if __name__ == "__main__":
    import sys

    name, views, size, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    write_capture(folder, assembled(SUBJECTS[name]()), {"train": hemisphere(views, size), "test": held_out(8, size)})
