"""What an outline shows beside a hull: it is added where it is, as thick as it is, and nothing else is."""

import pytest
import torch

from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import cylinder, icosphere
from a4d.geometry.reconstruction.limbs import area_beside, with_limbs
from a4d.geometry.reconstruction.visual_hull import Occupancy, visual_hull
from a4d.geometry.surfaces.signed_distance import distance_to_mesh
from a4d.render.mesh import render_mesh

BOUNDS = torch.tensor([[-0.8, -0.8, -0.8], [0.8, 0.8, 0.8]])
BALL, LIMB = icosphere(0.3, 3), cylinder(0.06, 0.5)


def hull() -> Occupancy:
    """The ball's, from all sides."""
    cameras = orbit(torch.arange(0, 360, 30.0), torch.full((12,), 10.0), 2.6, 40.0, 96, 96)
    return visual_hull(render_mesh(BALL, cameras).alpha[..., 0], cameras, BOUNDS, 96)


def limbed(depth: float) -> Mesh:
    """The ball with a leg below it, which stands so far in front of its middle."""
    leg = LIMB.vertices + torch.tensor([0.0, -0.45, depth])
    return Mesh(torch.cat([BALL.vertices, leg]), torch.cat([BALL.faces, LIMB.faces + len(BALL.vertices)]))


def view() -> Cameras:
    return orbit(torch.tensor([0.0]), torch.tensor([0.0]), 2.6, 40.0, 128, 128)


def test_a_leg_is_added_in_the_plane_of_the_middle_as_thick_as_it_is_wide() -> None:
    trunk, camera = hull(), view()
    # Wherever it stands in depth, its outline tells no more than where it is across.
    for depth in (0.0, 0.1):
        whole = with_limbs(trunk, render_mesh(limbed(depth), camera).alpha[0, ..., 0], camera)
        assert whole.values[trunk.values].all()
        added = (whole.values & ~trunk.values).nonzero()
        places = trunk.low + (added + 0.5) * trunk.spacing
        below = places[places[:, 1] < -0.35]
        leg = Mesh(LIMB.vertices + torch.tensor([0.0, -0.45, 0.0]), LIMB.faces)
        assert float(distance_to_mesh(below, leg).amax()) < 2 * trunk.spacing
        volume = len(below) * trunk.spacing**3
        assert volume == pytest.approx(torch.pi * 0.06**2 * 0.35, rel=0.35)


def test_the_area_beside_is_that_of_the_leg_and_of_the_ball_alone_none() -> None:
    trunk, camera = hull(), view()
    alone, whole = (render_mesh(mesh, camera).alpha[0, ..., 0] for mesh in (BALL, limbed(0.0)))
    assert area_beside(trunk, alone, camera) < 0.002
    assert torch.equal(with_limbs(trunk, alone, camera).values, trunk.values)
    # From a voxel below the ball, which hides the leg's upper end, to its lower one.
    assert area_beside(trunk, whole, camera) == pytest.approx(0.12 * (0.7 - 0.3 - trunk.spacing), rel=0.15)
    assert area_beside(trunk, 0 * whole, camera) == 0
