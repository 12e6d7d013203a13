"""The volume of surfaces that move, closed or not."""

import torch

from a4d.geometry.mesh import enclosed_volumes
from a4d.geometry.primitives import box, icosphere


def test_it_is_that_of_closed_surfaces_at_every_moment() -> None:
    ball = icosphere(0.5)
    paths = torch.stack([ball.vertices, 0.8 * ball.vertices, ball.vertices + 3])
    expected = torch.tensor([1, 0.8**3, 1], dtype=torch.float64) * ball.volume
    torch.testing.assert_close(enclosed_volumes(paths, ball.faces), expected, rtol=1e-4, atol=0)


def test_open_borders_are_closed_wherever_the_surface_lies() -> None:
    solid = box((1.0, 2.0, 0.5))
    centres = solid.vertices[solid.faces].mean(dim=1)
    for lid in (centres[:, 1] < centres[:, 1].max() - 1e-4, centres[:, 1].abs() < centres[:, 1].max() - 1e-4):
        paths = torch.stack([solid.vertices, solid.vertices + torch.tensor([5.0, -2, 7])])
        volumes = enclosed_volumes(paths, solid.faces[lid])
        torch.testing.assert_close(volumes, torch.full((2,), 1.0, dtype=torch.float64), rtol=1e-4, atol=0)
