import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.registration import Registration, judge_fit, register
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere, tube_union

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

# Joint and end of each limb, metres, and the radius; all but the first swing about their joints.
LIMBS = [
    ((-0.4, 0.0, 0.0), (0.4, 0.0, 0.0), 0.16),
    ((-0.4, 0.0, 0.1), (-0.45, -0.6, 0.16), 0.07),
    ((0.4, 0.0, -0.1), (0.45, -0.6, -0.16), 0.07),
    ((0.4, 0.1, 0.0), (0.8, 0.4, 0.0), 0.08),
]
SWING = (0.0, 1.0, -1.0, 0.6)
ANGLES = (0.0, 0.3, 0.6)


def turns(angle: float) -> torch.Tensor:
    """(4, 3, 3) of the limbs about z."""
    rotations = torch.eye(3).repeat(len(LIMBS), 1, 1)
    for limb, share in enumerate(SWING):
        cosine, sine = math.cos(share * angle), math.sin(share * angle)
        rotations[limb, :2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]])
    return rotations


def body(angle: float, resolution: int) -> Mesh:
    """The limbs' union at an angle, meshed anew."""
    joints, ends = (torch.tensor([limb[side] for limb in LIMBS]) for side in (0, 1))
    moved = joints + torch.einsum("lij,lj->li", turns(angle), ends - joints)
    mesh = tube_union(
        [(joint, end.tolist(), radius) for (joint, _, radius), end in zip(LIMBS, moved, strict=True)], resolution
    )
    return replace(mesh, colours=None)


def true_paths(points: torch.Tensor) -> torch.Tensor:
    """(T, P, 3) where points of the first surface go, each with the limb that it is on."""
    joints, ends = (torch.tensor([limb[side] for limb in LIMBS]) for side in (0, 1))
    axes, offsets = ends - joints, points[:, None] - joints
    along = ((offsets * axes).sum(-1) / axes.square().sum(-1)).clamp(0, 1)
    gaps = (offsets - along[..., None] * axes).norm(dim=-1) - torch.tensor([radius for *_, radius in LIMBS])
    limb = gaps.argmin(1)
    arms = points - joints[limb]
    return torch.stack([joints[limb] + torch.einsum("pij,pj->pi", turns(angle)[limb], arms) for angle in ANGLES])


@dataclass(frozen=True)
class Case:
    """Moments whose meshes have nothing in common, and what was made of them."""

    moments: list[Mesh]
    registration: Registration


@pytest.fixture(scope="module")
def swinging() -> Case:
    moments = [body(angle, 30 + index) for index, angle in enumerate(ANGLES)]
    return Case(moments, register(moments))


def test_points_go_where_the_limbs_take_them_and_nearest_points_do_not(swinging: Case) -> None:
    from registration import by_nearest_points, material_error

    assert len({len(mesh.vertices) for mesh in swinging.moments}) == len(ANGLES)
    truth = true_paths(swinging.moments[0].vertices)
    assert material_error(swinging.registration, truth) < 0.25
    assert material_error(by_nearest_points(swinging.moments), truth) > 0.4


def test_the_mesh_covers_every_moment_and_hardly_a_face_turns_over(swinging: Case) -> None:
    template = swinging.registration.template
    assert any(torch.equal(template.vertices, frame) for frame in swinging.registration.trajectories)
    for frame, surface, fit in zip(
        swinging.registration.trajectories, swinging.moments, swinging.registration.fits, strict=True
    ):
        again = judge_fit(template, frame, surface)
        assert max(again.covering, again.covered) < 1
        assert again.flipped == fit.flipped < 0.01 * len(template.faces)
        assert again.covering == pytest.approx(fit.covering, abs=1e-6)


def test_a_limb_that_is_not_covered_and_a_face_that_is_turned_over_are_told() -> None:
    ball = icosphere(0.5, 3)
    both = Mesh(
        torch.cat([ball.vertices, ball.vertices * 0.5 + torch.tensor([1.0, 0, 0])]),
        torch.cat([ball.faces, ball.faces + len(ball.vertices)]),
    )
    fit = judge_fit(ball, ball.vertices, both)
    assert fit.covering < 0.1
    assert fit.covered > 20
    assert fit.doubled == 0
    corner, other = ball.faces[0, :2]
    folded = ball.vertices.clone()
    folded[corner] += 3 * (folded[other] - folded[corner])
    assert judge_fit(ball, folded, ball).flipped > 0


def test_parts_that_lie_on_each_other_are_told() -> None:
    ball = icosphere(0.5, 2)
    both = Mesh(torch.cat([ball.vertices] * 2), torch.cat([ball.faces, ball.faces + len(ball.vertices)]))
    assert judge_fit(both, both.vertices, ball).doubled == pytest.approx(0.5, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["run", "gallop"])
def test_points_of_an_animal_go_where_its_rig_takes_them(real_data: Path, clip: str) -> None:
    from registration import by_nearest_points, meshed, rig_moments, score

    rig = rig_moments(clip, 16)
    moments, truth = [meshed(mesh, 112) for mesh in rig], torch.stack([mesh.vertices for mesh in rig])
    found = score(register, moments, truth)
    assert found.error < 0.25
    assert max(found.fit.covering, found.fit.covered) < 1
    assert score(by_nearest_points, moments, truth).error > 0.5


def test_nothing_to_register_is_said() -> None:
    ball = icosphere(0.5, 1)
    with pytest.raises(InvalidInputError, match="without a surface"):
        register([])
    with pytest.raises(InvalidInputError, match="without a surface"):
        register([ball, Mesh(ball.vertices, ball.faces[:0])])
