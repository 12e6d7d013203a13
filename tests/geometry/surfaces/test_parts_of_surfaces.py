"""What belongs to a surface and what is left over: hats stay, scraps and the shells of hollows go."""

import dataclasses

import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere
from a4d.geometry.surfaces.parts import without_scraps

HEAD = icosphere(0.5, 4)


def together(*parts: tuple[Mesh, tuple[float, float, float]]) -> Mesh:
    """Meshes in one, each shifted."""
    vertices, faces, count = [], [], 0
    for mesh, shift in parts:
        vertices.append(mesh.vertices + torch.tensor(shift))
        faces.append(mesh.faces + count)
        count += len(mesh.vertices)
    return Mesh(torch.cat(vertices), torch.cat(faces))


def inside_out(mesh: Mesh) -> Mesh:
    return dataclasses.replace(mesh, faces=mesh.faces.flip(1))


@pytest.mark.parametrize(
    ("part", "shift", "stays"),
    [
        (icosphere(0.15, 2), (0.0, 1.5, 0.0), True),
        (icosphere(0.05, 2), (0.0, 0.56, 0.0), False),
        (box((0.4, 0.01, 0.4)), (0.0, 0.6, 0.0), True),
        (box((0.4, 0.01, 0.4)), (0.0, 1.5, 0.0), False),
        (inside_out(icosphere(0.3, 3)), (0.0, 0.0, 0.0), False),
        (inside_out(box((0.02, 0.02, 0.02))), (0.1, 0.1, 0.1), False),
    ],
    ids=["a ball beside", "a speck", "a thin hat", "a thin sheet far away", "a hollow", "a pore"],
)
def test_parts_belong_by_volume_or_thin_and_near_by_area(part: Mesh, shift: tuple[float, ...], stays: bool) -> None:
    kept = without_scraps(together((HEAD, (0.0, 0.0, 0.0)), (part, shift)), 0.01)
    assert kept.volume == pytest.approx(HEAD.volume + stays * part.volume, rel=1e-5)
    assert len(kept.faces) == len(HEAD.faces) + stays * len(part.faces)
    assert kept.is_closed
    assert kept.faces.unique().tolist() == list(range(len(kept.vertices)))


def test_vertices_that_stay_keep_their_colours_and_order() -> None:
    scraps = together((icosphere(0.02, 1), (2.0, 0.0, 0.0)), (HEAD, (0.0, 0.0, 0.0)), (icosphere(0.02, 1), (0, 2, 0)))
    colours = torch.rand(len(scraps.vertices), 3, generator=torch.Generator().manual_seed(0))
    kept = without_scraps(dataclasses.replace(scraps, colours=colours), 0.01)
    first = len(icosphere(0.02, 1).vertices)
    torch.testing.assert_close(kept.vertices, HEAD.vertices)
    torch.testing.assert_close(kept.colours, colours[first : first + len(HEAD.vertices)])
