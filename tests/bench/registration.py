"""Register one mesh to the moments of posed rigs, each meshed on its own, and score it against the rig.

    python tests/bench/registration.py [run gallop swim] [--frames 16] [--cells 112]

Beside it stands registration by nearest points alone. The error is the mean distance of the rig's vertices from where
they should be, over that of holding the first moment still. Needs the real inputs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.spatial import cKDTree  # noqa: E402
from skimage.measure import marching_cubes  # noqa: E402
from torch import Tensor  # noqa: E402

from a4d.export.subject import Surface  # noqa: E402
from a4d.export.surfaces import coloured  # noqa: E402
from a4d.geometry.assets.posing import deform  # noqa: E402
from a4d.geometry.deformation.registration import Fit, Registration, judge_fit, register  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.surfaces.signed_distance import distance_to_mesh, nearest_faces  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CASES = {
    "run": ("gltf_khronos/Fox/glTF-Binary/Fox.glb", "Run"),
    "gallop": ("rigged_quaternius/animals_pack/Horse.glb", "AnimalArmature|Gallop"),
    "swim": ("rigged_quaternius/fish_pack/Shark.glb", "Armature|Swim"),
}
THICKNESS = 0.4
"""Cells by which surfaces are thickened: skins that joints pinch would fall apart on the grid."""


@dataclass(frozen=True)
class Score:
    """How well a clip was registered.

    Args:
        error: of the rig's vertices, in units of holding still.
        fit: the largest figures of all moments.
        seconds: of processor time per moment.
    """

    error: float
    fit: Fit
    seconds: float


def rig_moments(case: str, frames: int) -> list[Mesh]:
    """The rig's own surface, coloured, at even times of the clip; a vertex is the same point at all times."""
    path, name = CASES[case]
    asset = read_asset(DATA / path)
    clip = asset.clip(name)
    times = np.linspace(0, clip.duration, frames)
    return [coloured(Surface(deform(asset, clip, float(moment)), asset.materials)) for moment in times]


def meshed(mesh: Mesh, cells: int) -> Mesh:
    """Marching cubes of a mesh's distances, with the colours of the nearest faces.

    Args:
        mesh: of any topology.
        cells: along its longest side.
    """
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    cell = float((high - low).max()) / cells
    counts = ((high - low) / cell).ceil().int() + 6
    axes = [low[axis] + cell * (torch.arange(int(counts[axis])) - 3) for axis in range(3)]
    distances = distance_to_mesh(torch.cartesian_prod(*axes), mesh).view(*counts.tolist())
    # Negative inside: what skimage calls descent.
    vertices, faces, _, _ = marching_cubes(distances.numpy(), THICKNESS * cell, gradient_direction="descent")
    places = low + cell * (torch.from_numpy(vertices.copy()) - 3)
    _, nearest = nearest_faces(places, mesh)
    colours = None if mesh.colours is None else mesh.colours[mesh.faces[nearest]].mean(1)
    return Mesh(places, torch.from_numpy(faces.astype(np.int64)), colours)


def by_nearest_points(moments: Sequence[Mesh]) -> Registration:
    """Each vertex goes to the nearest point of the next surface, from where it was."""
    frames = [moments[0].vertices]
    for surface in moments[1:]:
        _, nearest = cKDTree(surface.vertices.numpy()).query(frames[-1].numpy())
        frames.append(surface.vertices[nearest])
    fits = [judge_fit(moments[0], *pair) for pair in zip(frames, moments, strict=True)]
    return Registration(moments[0], torch.stack(frames), tuple(fits))


def material_error(
    registration: Registration,
    truth: Tensor,  # (T, P, 3) points of its surface over time
) -> float:
    """Mean distance of material points from the truth, in units of holding still.

    A point hangs on the face that is nearest at the first moment and keeps its offset from that face's middle.
    """
    _, nearest = nearest_faces(truth[0], registration.first)
    carried = registration.trajectories[:, registration.template.faces[nearest]].mean(2)
    errors = (carried - carried[0] + truth[0] - truth).norm(dim=-1)
    return float(errors.mean() / (truth - truth[0]).norm(dim=-1).mean())


def score(method: Callable[[Sequence[Mesh]], Registration], moments: Sequence[Mesh], truth: Tensor) -> Score:
    """Register the moments and hold the result against the truth."""
    begun = time.process_time()
    registration = method(moments)
    seconds = (time.process_time() - begun) / len(moments)
    fits = registration.fits
    worst = Fit(*(max(getattr(fit, name) for fit in fits) for name in ("covering", "covered", "flipped", "doubled")))
    return Score(material_error(registration, truth), worst, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--cells", type=int, default=112)
    options = parser.parse_args()
    print("clip    vertices  method            error  p95 onto / from the surface, %   flipped  s per moment")
    for case in options.cases:
        rig = rig_moments(case, options.frames)
        moments = [meshed(mesh, options.cells) for mesh in rig]
        truth = torch.stack([mesh.vertices for mesh in rig])
        for name, method in (("registration", register), ("nearest points", by_nearest_points)):
            found = score(method, moments, truth)
            print(
                f"{case:<8}{len(moments[0].vertices):>8}  {name:<16}{found.error:7.3f}"
                f"{found.fit.covering:15.2f} /{found.fit.covered:6.2f}{found.fit.flipped:19d}{found.seconds:13.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
