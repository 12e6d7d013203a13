import pytest
import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import encode_normals, tangent_space_normals, vertex_tangents


def plane(turn, mirrored):
    """A unit square facing +z whose u axis is turned about z; (V, 3), (F, 3), (V, 2)."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) - 0.5
    vertices[:, 2] = 0
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    angle = torch.tensor(turn)
    u = vertices[:, 0] * angle.cos() + vertices[:, 1] * angle.sin()
    upward = -vertices[:, 0] * angle.sin() + vertices[:, 1] * angle.cos()
    return vertices, faces, torch.stack([-u if mirrored else u, -upward], dim=1)


@pytest.mark.parametrize("turn", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_tangents_run_along_u_and_bitangents_against_v(turn, mirrored):
    vertices, faces, uvs = plane(turn, mirrored)
    normals = torch.tensor([[0.0, 0, 1]]).repeat(4, 1)
    tangents = vertex_tangents(vertices, faces, normals, uvs)
    angle = torch.tensor(turn)
    along = torch.stack([angle.cos(), angle.sin(), 0 * angle]) * (-1 if mirrored else 1)
    torch.testing.assert_close(tangents[:, :3], along.expand(4, 3), rtol=0, atol=1e-6)
    bitangents = torch.linalg.cross(normals, tangents[:, :3], dim=1) * tangents[:, 3:]
    torch.testing.assert_close(
        bitangents, torch.stack([-angle.sin(), angle.cos(), 0 * angle]).expand(4, 3), rtol=0, atol=1e-6
    )


def test_a_flat_map_is_the_usual_blue_and_degenerate_faces_get_some_tangent():
    flat = encode_normals(torch.tensor([[0.0, 0, 1]]))
    assert torch.round(flat * 255).tolist() == [[128, 128, 255]]
    vertices, faces, _ = plane(0.0, False)
    normals = Mesh(vertices, faces).vertex_normals
    tangents = vertex_tangents(vertices, faces, normals, torch.zeros(4, 2))
    torch.testing.assert_close(tangents[:, :3].norm(dim=1), torch.ones(4))
    torch.testing.assert_close((tangents[:, :3] * normals).sum(1), torch.zeros(4))


def test_what_a_renderer_decodes_is_the_direction_that_was_encoded():
    random = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=random), dim=1)
    tangents = torch.nn.functional.normalize(torch.linalg.cross(normals, torch.randn(50, 3, generator=random)), dim=1)
    sign = torch.where(torch.arange(50) % 2 == 0, 1.0, -1.0)[:, None]
    wanted = torch.nn.functional.normalize(normals + 0.3 * torch.randn(50, 3, generator=random), dim=1)
    stored = tangent_space_normals(wanted, normals * 0.9, torch.cat([tangents, sign], dim=1))
    decoded = encode_normals(stored) * 2 - 1
    shown = (
        decoded[:, :1] * tangents
        + decoded[:, 1:2] * sign * torch.linalg.cross(normals * 0.9, tangents)
        + decoded[:, 2:] * normals * 0.9
    )
    torch.testing.assert_close(torch.nn.functional.normalize(shown, dim=1), wanted, rtol=0, atol=1e-5)
