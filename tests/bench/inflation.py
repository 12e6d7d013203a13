"""Inflated silhouettes against a flat cut-out and a ball of the silhouette's area, on shapes that are known.

Each shape is rendered from its front at 512x512; only the mask is used. Chamfer distances are in hundredths of the
bounding box's diagonal, IoU is the mean over eight views from the sides. Run: python tests/bench/inflation.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
import torch
import trimesh

from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, creature, icosphere, torus, tube_union
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate
from a4d.metrics import mask_iou, surface_distances
from a4d.render.mesh import rasterise, render_mesh

DISTANCE, FOV = 2.2, 35.0
FRONT = orbit(torch.zeros(1), torch.zeros(1), DISTANCE, FOV, 512, 512)
SIDES = orbit(
    torch.tensor([45.0, 90, 135, 225, 270, 315, 90, 270]),
    torch.tensor([10.0, 10, 10, 10, 10, 10, 40, 40]),
    DISTANCE, FOV, 192, 192,
)  # fmt: skip

REAL = {  # file and the turn about +Y, in degrees, that makes the subject look toward +Z
    "spot": ("meshes_misc/nvdiffrec/spot/spot.obj", 180),
    "cow": ("meshes_misc/pytorch3d/docs/tutorials/data/cow_mesh/cow.obj", 180),
    "bob": ("meshes_misc/nvdiffrec/bob/bob_tri.obj", 90),
    "bob, from its side": ("meshes_misc/nvdiffrec/bob/bob_tri.obj", 0),
    "fox (Quaternius)": ("rigged_quaternius/animals_pack/Fox.glb", 0),
    "horse (Quaternius)": ("rigged_quaternius/animals_pack/Horse.glb", 0),
    "shark (Quaternius)": ("rigged_quaternius/fish_pack/Shark.glb", 0),
    "fox (Khronos)": ("gltf_khronos/Fox/glTF-Binary/Fox.glb", 0),
}


def normalised(mesh: Mesh, turn_degrees: float = 0) -> Mesh:
    angle = np.radians(turn_degrees)
    turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    vertices = mesh.vertices @ torch.tensor(turn, dtype=torch.float32).T
    low, high = vertices.amin(0), vertices.amax(0)
    return mesh.with_vertices((vertices - (low + high) / 2) / (high - low).norm())


def load(path: Path, turn_degrees: float) -> Mesh:
    shape = trimesh.load(path, force="mesh", process=False)
    vertices = torch.from_numpy(np.array(shape.vertices, np.float32))
    return normalised(Mesh(vertices, torch.from_numpy(np.array(shape.faces, np.int64))), turn_degrees)


def subjects(data: Path) -> dict[str, Mesh]:
    found = {name: load(data / file, turn) for name, (file, turn) in REAL.items() if (data / file).is_file()}
    crossing = tube_union([((0, -0.4, 0), (0, 0.4, 0), 0.1), ((-0.4, 0.1, 0), (0.4, 0.2, 0.1), 0.05)])
    generated = {"creature": creature(), "ring": torus(), "box": box(), "two tubes": crossing}
    return found | {name: normalised(mesh) for name, mesh in generated.items()}


def baselines(alpha: torch.Tensor, inflated: Mesh) -> dict[str, Mesh]:
    """A slab of a fiftieth of the inflated depth, and a ball of the mask's area around its centre of mass."""
    scale = DISTANCE / float(FRONT.intrinsics[0, 0])
    y, x = (alpha > 0.5).nonzero().float().add(0.5).mean(0)
    centre = torch.tensor([float(x) - 256, 256 - float(y), 0.0]) * scale
    ball = icosphere(float(alpha.sum() / torch.pi) ** 0.5 * scale)
    slab = inflated.vertices * torch.tensor([1.0, 1.0, 0.02])
    return {"cut-out": inflated.with_vertices(slab), "ball": ball.with_vertices(ball.vertices + centre)}


def score(mesh: Mesh, truth: Mesh) -> tuple[float, float]:
    distances = surface_distances(mesh, truth, threshold=0.02)
    covered, wanted = (rasterise(m, SIDES).is_covered for m in (mesh, truth))
    return 100 * distances.chamfer, mask_iou(covered, wanted)


def main(data: Path) -> None:
    print(f"{'':20s}{'front IoU':>10s}" + "".join(f"{name:>16s}" for name in ("inflated", "cut-out", "ball", "round")))
    lost = []
    for name, truth in subjects(data).items():
        alpha = render_mesh(truth, FRONT, supersampling=4).alpha[0, ..., 0]
        inflated = inflate(alpha, FRONT)
        front = mask_iou(render_mesh(inflated, FRONT, supersampling=4).alpha[0, ..., 0], alpha)
        rivals = baselines(alpha, inflated)
        rounded = inflate(alpha, FRONT, settings=InflationSettings(thickness=0))
        rows = [score(mesh, truth) for mesh in (inflated, *rivals.values(), rounded)]
        print(f"{name:20s}{front:10.4f}" + "".join(f"{chamfer:9.2f} {iou:6.3f}" for chamfer, iou in rows))
        if any(rows[0][0] >= chamfer or rows[0][1] <= iou for chamfer, iou in rows[1:3]):
            lost.append(name)
    print(f"beaten by a baseline: {', '.join(lost) or 'never'}")


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else beside)
