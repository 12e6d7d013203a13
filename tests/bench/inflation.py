"""Inflated outlines of animals, people and things seen from all sides, against what they are outlines of.

    python tests/bench/inflation.py [DATA] [--more FOLDER...] [--chosen] [--views N]

Meshes are seen from 12 azimuths and three elevations; only the outline is inflated, once for each rule of the depth.
The constants of the rule that is the default were chosen on the meshes named in `CHOSEN_ON`; the others are reported,
or, with --chosen, these. Folders given by --more hold meshes of things with +Z up. Chamfer distances are means of
both ways in hundredths of the diagonal of the true box; IoU is that of the outlines at 90 degrees from the picture.
As a picture does not tell how far away a thing is, both are brought to the same depth before.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402
from scipy.spatial import ConvexHull, cKDTree  # noqa: E402

from a4d.geometry.assets.posing import deform  # noqa: E402
from a4d.geometry.cameras import orbit  # noqa: E402
from a4d.geometry.mesh import Mesh, sample_surface  # noqa: E402
from a4d.geometry.primitives import box, creature, cylinder, icosphere, torus, tube_union  # noqa: E402
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate  # noqa: E402
from a4d.geometry.transforms import rotation_from_axis_angle  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402
from a4d.io.bodies.open_body import open_body  # noqa: E402
from a4d.metrics import mask_iou  # noqa: E402
from a4d.render.mesh import rasterise  # noqa: E402

FILES = {
    "animal": {
        "fox (Quaternius)": "rigged_quaternius/animals_pack/Fox.glb",
        "horse": "rigged_quaternius/animals_pack/Horse.glb",
        "shark": "rigged_quaternius/fish_pack/Shark.glb",
        "fox (Khronos)": "gltf_khronos/Fox/glTF-Binary/Fox.glb",
        "spot": "meshes_misc/nvdiffrec/spot/spot.obj",
        "bob": "meshes_misc/nvdiffrec/bob/bob_tri.obj",
        "duck": "meshes_trimesh_models/Duck.glb",
        "cat": "dynamic_lab4d/database/mesh-templates/cat-pikachu-remeshed.obj",
        "suzanne": "meshes_trimesh_models/monkey.glb",
    },
    "person": {
        "figure": "gltf_khronos/RiggedFigure/glTF-Binary/RiggedFigure.glb",
        "mannequin": "rigged_kaykit/sketchpunk/models/mannequin_v2/manny_med_mod.gltf",
        "helmet": "rigged_kaykit/sketchpunk/models/pete/pete_gear.gltf",
        "ball on a block": "rigged_momentum/skeleton_non_joint_root.glb",
        "ball on blocks": "rigged_momentum/mesh-not-combined.glb",
    },
    "thing": {
        "pizza": "meshes_misc/kaolin/pizza.obj",
        "fuze": "meshes_trimesh_models/fuze.obj",
        "featuretype": "meshes_trimesh_models/featuretype.STL",
        "pole": "meshes_trimesh_models/simple_pole.glb",
        "nested": "meshes_trimesh_models/nested.glb",
        "mast": "gltf_khronos/RiggedSimple/glTF-Binary/RiggedSimple.glb",
    },
}

CHOSEN_ON = {
    *("bob", "cat", "creature", "fox (Khronos)", "horse", "spot"),
    *("adult", "child", "mannequin", "ball on blocks", "woman"),
    *("l0", "frame_scaled", "bottle", "bread", "cereal", "tubes", "door_handle", "fuze", "eGripperBase", "head"),
    *("pod_lowres", "lemon", "mug", "pizza", "004", "016", "044", "mast"),
}
"""Names of meshes: every second one of each kind, before any was looked at."""

SUFFIXES = {".obj", ".stl", ".glb", ".gltf", ".ply", ".off"}
SIZE, DISTANCE, FOV, FILLED = 128, 2.8, 40.0, 0.8
AZIMUTHS, ELEVATIONS = range(0, 360, 30), (0, 20, 40)
RULES: dict[str, float | None] = {"outline": None, "0": 0.0, "0.4": 0.4, "0.82": 0.82}
RESOLUTION, POINTS = 48, 2500
CAMERAS = orbit(torch.tensor([0.0, 90.0]), torch.zeros(2), DISTANCE, FOV, SIZE, SIZE)


@dataclass(frozen=True)
class Subject:
    """A mesh that stands upright.

    Args:
        name: of its file, or its own.
        kind: animal, person or thing.
        mesh: in any unit.
    """

    name: str
    kind: str
    mesh: Mesh


def read(path: Path, *, is_z_up: bool) -> Mesh:
    shown = deform(read_asset(path)).mesh
    vertices = shown.vertices.float()
    return Mesh(vertices[:, [1, 2, 0]] if is_z_up else vertices, shown.faces)


def people() -> Iterator[Subject]:
    """The body that comes with the package, of several ages, as it rests and in poses."""
    body, draws = open_body(), torch.Generator().manual_seed(3)
    shapes = {
        "adult": ({}, 0.0),
        "baby": ({"age": 0.02, "weight": 0.6}, 0.1),
        "child": ({"age": 0.33, "gender": 1.0}, 0.22),
        "woman": ({"gender": 1.0}, 0.3),
    }
    for name, (shape, bent) in shapes.items():
        values = torch.tensor(
            [shape.get(each, float(usual)) for each, usual in zip(body.phenotypes, body.usual, strict=True)]
        )
        angles = bent * torch.randn(len(body.names), 3, generator=draws) * torch.tensor([1.0, 0.3, 0.6])
        angles[body.parents < 0] = 0
        yield Subject(name, "person", Mesh(body.posed(rotation_from_axis_angle(angles), values).vertices, body.faces))


def subjects(data: Path, more: Iterable[Path]) -> Iterator[Subject]:
    for kind, files in FILES.items():
        for name, file in files.items():
            if (data / file).is_file():
                yield Subject(name, kind, read(data / file, is_z_up=file.endswith(".STL")))
    for folder in more:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield Subject(path.stem, "thing", read(path, is_z_up=True))
    yield from people()
    yield Subject("creature", "animal", creature())
    tubes = tube_union([((0, -0.4, 0), (0, 0.4, 0), 0.1), ((-0.4, 0.1, 0), (0.4, 0.2, 0.1), 0.05)])
    made = {"ring": torus(), "box": box(), "ball": icosphere(), "cylinder": cylinder(), "tubes": tubes}
    yield from (Subject(name, "thing", mesh) for name, mesh in made.items())


def at_depth_of_origin(vertices: torch.Tensor) -> torch.Tensor:
    return vertices - (vertices.amin(0) + vertices.amax(0)) / 2 * torch.tensor([0.0, 0.0, 1.0])


def framed(mesh: Mesh, azimuth: float, elevation: float) -> Mesh:
    """A mesh turned so that what is seen from there looks to +Z and fills the frame."""
    up, across = (torch.tensor(axis) for axis in ([0.0, -1.0, 0.0], [1.0, 0.0, 0.0]))
    angles = torch.stack([np.radians(elevation) * across, np.radians(azimuth) * up]).float()
    tilt, turn = rotation_from_axis_angle(angles)
    vertices = mesh.vertices[mesh.faces.unique()] @ (tilt @ turn).T
    faces = torch.searchsorted(mesh.faces.unique(), mesh.faces)
    for _ in range(6):
        vertices = at_depth_of_origin(vertices)
        pixels = CAMERAS[0].project(vertices)[0][0] / SIZE
        low, high = pixels.amin(0), pixels.amax(0)
        aside = (0.5 - (low + high) / 2) * DISTANCE * SIZE / CAMERAS.intrinsics[0, 0]
        vertices = vertices + torch.stack([aside[0], -aside[1], aside.new_zeros(())])
        vertices = vertices * FILLED / (high - low).max()
    return Mesh(vertices, faces)


def points_on(mesh: Mesh) -> NDArray[np.float32]:
    return sample_surface(mesh, POINTS, torch.Generator().manual_seed(0))[0].numpy()


def class_of(mask: NDArray[np.bool_]) -> str:
    """What an outline's own form says: standing or lying slender, with limbs, or neither."""
    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    if max(height, width) > 1.8 * min(height, width):
        return "standing" if height > width else "lying"
    hull = ConvexHull(np.stack([rows, columns], axis=1)).volume
    return "with limbs" if len(rows) < 0.75 * hull else "compact"


@dataclass(frozen=True)
class Score:
    """How near inflated outlines come to one view of a subject.

    Args:
        kind: of the subject.
        form: of its outline.
        chamfer: (R,) for each rule, hundredths of the diagonal.
        iou: (R,) of the outlines from the side.
    """

    kind: str
    form: str
    chamfer: tuple[float, ...]
    iou: tuple[float, ...]


def scored(subject: Subject, azimuth: float, elevation: float) -> Score:
    truth = framed(subject.mesh, azimuth, elevation)
    front, side = rasterise(truth, CAMERAS).is_covered
    points = points_on(truth)
    tree, diagonal = cKDTree(points), float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    chamfer, iou = [], []
    for thickness in RULES.values():
        mesh = inflate(front.float(), CAMERAS[0], settings=InflationSettings(RESOLUTION, thickness))
        mesh = mesh.with_vertices(at_depth_of_origin(mesh.vertices))
        found = points_on(mesh)
        both = tree.query(found)[0].mean() + cKDTree(found).query(points)[0].mean()
        chamfer.append(100 * float(both) / 2 / diagonal)
        iou.append(float(mask_iou(rasterise(mesh, CAMERAS[1:]).is_covered[0], side)))
    return Score(subject.kind, class_of(front.numpy()), tuple(chamfer), tuple(iou))


def show(name: str, scores: list[Score]) -> None:
    chamfer, iou = (np.array([getattr(score, each) for score in scores]) for each in ("chamfer", "iou"))
    print(f"{name} ({len(scores)} outlines)")
    for index, rule in enumerate(RULES):
        distances, overlaps = chamfer[:, index], iou[:, index]
        print(
            f"  {rule:8s}Chamfer {np.median(distances):5.2f}, worst decile {np.quantile(distances, 0.9):5.2f}"
            f"   IoU {np.median(overlaps):5.3f}, worst decile {np.quantile(overlaps, 0.1):5.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=beside)
    parser.add_argument("--more", nargs="*", type=Path, default=[], help="folders of meshes of things with +Z up")
    parser.add_argument("--chosen", action="store_true", help="the meshes that the constants were chosen on")
    parser.add_argument("--views", type=int, default=36, help="of each, evenly spread over all")
    options = parser.parse_args()
    views = [(azimuth, elevation) for azimuth in AZIMUTHS for elevation in ELEVATIONS]
    views = [views[int(place)] for place in np.linspace(0, len(views), options.views, endpoint=False)]
    scores = []
    for subject in subjects(options.data, options.more):
        if (subject.name in CHOSEN_ON) == options.chosen:
            scores += [scored(subject, azimuth, elevation) for azimuth, elevation in views]
            print(f"{subject.name}, {len(scores)} outlines so far", flush=True)
    show("all", scores)
    for each in ("kind", "form"):
        for value in sorted({getattr(score, each) for score in scores}):
            show(value, [score for score in scores if getattr(score, each) == value])


if __name__ == "__main__":
    main()
