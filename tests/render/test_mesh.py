import math

import numpy as np
import pytest
import torch
import trimesh

from a4d.geometry.cameras import Cameras, intrinsics_from_fov, look_at, orbit, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere, torus
from a4d.render.mesh import UNPAINTED, rasterise, render_mesh


def camera_at(x: float, y: float, z: float, size: int = 64, fov: float = 40.0) -> Cameras:
    return Cameras(
        look_at(torch.tensor([[x, y, z]], dtype=torch.float32)), intrinsics_from_fov(fov, size, size), size, size
    )


@pytest.mark.parametrize("mesh", [icosphere(subdivisions=2), torus(sections=20)], ids=["sphere", "torus"])
def test_faces_and_depths_agree_with_ray_casting(mesh):
    camera = camera_at(0.9, 0.7, 1.6, size=40)
    fragments = rasterise(mesh, camera)
    origins, directions = (part[0].reshape(-1, 3).numpy() for part in camera.rays())
    shape = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    triangles, rays, places = _first_hits(shape, origins, directions)

    face = fragments.face.flatten().numpy()
    expected = np.full(len(origins), -1)
    expected[rays] = triangles
    assert (face != expected).mean() < 2e-3  # a ray through an edge may take either face
    same = (face == expected) & (face >= 0)
    assert same.sum() > 200
    expected_depth = np.zeros(len(origins))
    expected_depth[rays] = places
    np.testing.assert_allclose(fragments.depth.flatten().numpy()[same], expected_depth[same], atol=1e-5)


def _first_hits(shape, origins, directions):
    """Nearest hit of each ray by testing every triangle (Moeller and Trumbore); depth in units of the direction."""
    a, b, c = shape.triangles.transpose(1, 0, 2)
    p = np.cross(directions[:, None], (c - a)[None])
    determinant = (p * (b - a)).sum(-1)
    to_origin = origins[:, None] - a
    u = (to_origin * p).sum(-1) / determinant
    q = np.cross(to_origin, (b - a)[None])
    v = (q * directions[:, None]).sum(-1) / determinant
    t = (q * (c - a)).sum(-1) / determinant
    t[(u < 0) | (v < 0) | (u + v > 1) | (t <= 0)] = np.inf
    rays = np.nonzero(np.isfinite(t).any(1))[0]
    triangles = t.argmin(1)[rays]
    return triangles, rays, t[rays, triangles]


def test_depth_of_a_sphere_is_the_analytic_one():
    camera = camera_at(0, 0, 2)
    fragments = rasterise(icosphere(0.5, 6), camera)
    origin, direction = (part[0].double() for part in camera.rays())
    a, b = (direction**2).sum(-1), (origin * direction).sum(-1)
    discriminant = b**2 - a * ((origin**2).sum(-1) - 0.25)
    expected = (-b - discriminant.clamp(min=0).sqrt()) / a
    clearly_inside = discriminant > 0.02
    assert clearly_inside.sum() > 500
    assert (fragments.depth[0].double() - expected)[clearly_inside].abs().max() < 5e-4
    assert not fragments.is_covered[0][discriminant < -0.01].any()


def test_barycentrics_reproduce_the_points_on_the_rays():
    mesh, camera = torus(), camera_at(0.8, 0.6, 1.5)
    fragments = rasterise(mesh, camera)
    points = fragments.interpolate(mesh.vertices, mesh.faces)
    origins, directions = camera.rays()
    seen = fragments.is_covered
    expected = origins + directions * fragments.depth[..., None]
    torch.testing.assert_close(points[seen], expected[seen], atol=2e-6, rtol=0)
    torch.testing.assert_close(fragments.barycentric.sum(-1), seen.float())


def test_neighbouring_triangles_leave_no_gap_and_do_not_overlap():
    generator = torch.Generator().manual_seed(0)
    grid = torch.stack(torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij"), -1).reshape(-1, 2).float()
    jitter = torch.rand(900, 2, generator=generator) * 0.6
    vertices = torch.cat([(grid + jitter - 15) * 0.15, torch.zeros(900, 1)], 1)
    corner = (torch.arange(29)[:, None] * 30 + torch.arange(29)).flatten()
    faces = torch.cat([
        torch.stack([corner, corner + 30, corner + 1], 1),
        torch.stack([corner + 1, corner + 30, corner + 31], 1),
    ])  # fmt: skip
    camera = camera_at(0, 0, 2, size=200)
    assert rasterise(Mesh(vertices, faces), camera).is_covered.all()
    order = torch.randperm(len(faces), generator=generator)
    shuffled = rasterise(Mesh(vertices, faces[order]), camera)
    assert torch.equal(order[shuffled.face], rasterise(Mesh(vertices, faces), camera).face)


def test_a_floor_that_passes_under_the_camera_is_cut_at_the_near_plane():
    corners = torch.tensor([[-50.0, 0, -50], [50, 0, -50], [0, 0, 200]])
    floor = Mesh(corners, torch.tensor([[0, 2, 1]]))
    pose = torch.eye(4)[None] * torch.tensor([1.0, -1, -1, 1])
    pose[0, :3, 3] = torch.tensor([0.0, 1.0, 0.0])
    camera = Cameras(pose, intrinsics_from_fov(90.0, 64, 64), 64, 64)
    depth = rasterise(floor, camera).depth[0]
    below = (torch.arange(64) + 0.5 - 32) / 32
    expected = (1 / below)[:, None].expand(64, 64)
    seen = (below[:, None] > 1 / 40).expand(64, 64)
    torch.testing.assert_close(depth[seen], expected[seen], rtol=1e-5, atol=0)
    assert not (depth[:32] > 0).any()

    cut = rasterise(floor, camera, near=1.5).depth[0]
    assert torch.equal(cut > 0, (depth >= 1.5))


def test_a_mesh_behind_the_camera_is_not_seen():
    behind = icosphere(0.5, 2)
    camera = camera_at(0, 0, 2)
    behind = behind.with_vertices(behind.vertices + torch.tensor([0, 0, 4.0]))
    render = render_mesh(behind, camera, background=torch.tensor([0.2, 0.4, 0.6]))
    assert render.alpha.max() == 0
    assert render.depth.max() == 0
    torch.testing.assert_close(render.rgb, torch.tensor([0.2, 0.4, 0.6]).expand_as(render.rgb))


def test_supersampled_coverage_is_the_projected_area():
    radius, distance, size = 0.5, 2.0, 128
    camera = camera_at(0, 0, distance, size=size)
    focal = float(camera.intrinsics[0, 0])
    area = math.pi * (focal * radius / math.sqrt(distance**2 - radius**2)) ** 2
    render = render_mesh(icosphere(radius, 5), camera, supersampling=4)
    assert float(render.alpha.sum()) == pytest.approx(area, rel=2e-3)
    assert ((render.alpha > 0) & (render.alpha < 1)).sum() > 100


def test_normals_face_the_camera_and_colours_are_kept():
    sphere = icosphere(0.5, 4)
    front, side = render_mesh(sphere, orbit(torch.tensor([0.0, 90.0]), torch.zeros(2), 2.0, 40.0, 65, 65)).normal
    torch.testing.assert_close(front[32, 32], torch.tensor([0.0, 0, 1]), atol=0.02, rtol=0)
    torch.testing.assert_close(side[32, 32], torch.tensor([1.0, 0, 0]), atol=0.02, rtol=0)

    red = Mesh(sphere.vertices, sphere.faces, torch.tensor([1.0, 0.2, 0.0]).expand_as(sphere.vertices))
    render = render_mesh(red, camera_at(0, 0, 2))
    torch.testing.assert_close(render.rgb[0, 32, 32], torch.tensor([1.0, 0.2, 0.0]))
    grey = render_mesh(Mesh(sphere.vertices, sphere.faces), camera_at(0, 0, 2)).rgb[0]
    assert float(grey[32, 32, 0]) == pytest.approx(UNPAINTED, abs=0.01)
    assert float(grey[32, 22, 0]) < UNPAINTED - 0.05


def test_each_view_of_a_batch_equals_its_own_render():
    cameras = turntable(3, 20.0, 2.0, 40.0, 32)
    batch = render_mesh(box(), cameras)
    for index in range(3):
        alone = render_mesh(box(), cameras[index])
        assert torch.equal(batch.rgb[index], alone.rgb[0])
        assert torch.equal(batch.depth[index], alone.depth[0])
