import math

import numpy as np
import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature
from a4d.geometry.reconstruction.inflation import DEPTH, LYING, InflationSettings, inflate
from a4d.metrics import mask_iou
from a4d.render.mesh import rasterise, render_mesh

SIZE = 192
CAMERA = orbit(torch.zeros(1), torch.zeros(1), 2.4, 35.0, SIZE, SIZE)
FAR = orbit(torch.zeros(1), torch.zeros(1), 100.0, 0.8, SIZE, SIZE)
ROUND = InflationSettings(thickness=0.0)
Y, X = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    return (radius - torch.hypot(X - x, Y - y) + 0.5).clamp(0, 1)


def metres_per_pixel(camera) -> float:
    return float(camera.positions.norm() / camera.intrinsics[0, 0])


def iou_at_the_reference(mesh, alpha, camera=CAMERA) -> float:
    return mask_iou(render_mesh(mesh, camera, supersampling=4).alpha[0, ..., 0], alpha)


def test_a_disc_becomes_a_ball():
    radius = 60 * metres_per_pixel(FAR)
    mesh = inflate(disc(96, 96, 60), FAR, settings=ROUND)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)
    torch.testing.assert_close(mesh.vertices.norm(dim=-1), torch.full((len(mesh.vertices),), radius), rtol=0.02, atol=0)


def test_an_ellipse_has_the_analytic_depth():
    # lap(h) = -4 on the ellipse with half axes a, b is solved by h = (1 - x²/a² - y²/b²) 2a²b² / (a² + b²).
    a, b = 70.0, 35.0
    alpha = ((1 - torch.sqrt(((X - 96) / a) ** 2 + ((Y - 96) / b) ** 2)) * b + 0.5).clamp(0, 1)
    mesh = inflate(alpha, FAR, settings=ROUND)
    half = math.sqrt(2 * a * a * b * b / (a * a + b * b)) * metres_per_pixel(FAR)
    assert float(mesh.vertices[:, 2].max()) == pytest.approx(half, rel=0.01)
    assert float(mesh.vertices[:, 2].min()) == pytest.approx(-half, rel=0.01)


def test_a_compact_upright_shape_is_as_deep_as_the_settings_say():
    alpha = ((X - 96).abs() < 25).float() * ((Y - 96).abs() < 50).float()
    for thickness in (0.7, 0.9):
        mesh = inflate(alpha, FAR, settings=InflationSettings(thickness=thickness))
        depth, height = np.ptp(mesh.vertices[:, 2].numpy()), np.ptp(mesh.vertices[:, 1].numpy())
        assert depth == pytest.approx(thickness * height, rel=0.03)


def depth_of(alpha: torch.Tensor) -> float:
    """Of what is inflated without being told how deep it is, in pixels."""
    return float(np.ptp(inflate(alpha, FAR).vertices[:, 2].numpy())) / metres_per_pixel(FAR)


def test_the_depth_follows_the_area_and_what_lies_is_deeper():
    square, upright = (((X - 96).abs() < 30) & ((Y - 96).abs() < half) for half in (30, 60))
    ball = 2 * math.sqrt(3600 / math.pi)
    assert depth_of(square.float()) == pytest.approx(DEPTH * ball, rel=0.03)
    assert depth_of(upright.float()) == pytest.approx(DEPTH * math.sqrt(2) * ball, rel=0.03)
    assert depth_of(upright.T.float()) == pytest.approx(2**LYING * depth_of(upright.float()), rel=0.03)


def test_limbs_are_about_as_deep_as_they_are_wide():
    trunk, limb = disc(96, 70, 45), ((X - 96).abs() < 6) & (Y > 70) & (Y < 180)
    mesh = inflate(torch.maximum(trunk, limb.float()), FAR)
    low = mesh.vertices[mesh.vertices[:, 1] < -50 * metres_per_pixel(FAR)]
    assert float(np.ptp(low[:, 2].numpy())) == pytest.approx(12 * metres_per_pixel(FAR), rel=0.2)


@pytest.mark.parametrize("strand", [8, 20, 30])
def test_a_ring_seen_as_a_circle_is_as_deep_as_its_strand_is_wide(strand):
    ring = disc(96, 96, 80) - disc(96, 96, 80 - strand)
    assert depth_of(ring) == pytest.approx(strand, rel=0.25)
    assert depth_of(ring * (X < 96)) > 2 * strand


MASKS = {
    "disc": disc(96, 96, 70),
    "two discs": torch.maximum(disc(60, 90, 35), disc(140, 110, 22)),
    "ring": disc(96, 96, 80) - disc(96, 96, 50),
    "cut by the image's border": disc(0, 96, 70),
    "everything": torch.ones(SIZE, SIZE),
    "hard edges": (disc(96, 96, 60) > 0.5).float(),
    "wide soft edges": ((60 - torch.hypot(X - 96, Y - 96)) / 30 + 0.5).clamp(0, 1),
    "the creature": render_mesh(creature(), CAMERA).alpha[0, ..., 0],
}


@pytest.mark.parametrize("name", MASKS)
def test_the_surface_is_closed_and_projects_onto_the_mask(name):
    mesh = inflate(MASKS[name], CAMERA)
    assert mesh.is_closed
    assert mesh.volume > 0
    assert iou_at_the_reference(mesh, MASKS[name]) >= 0.985


def test_the_silhouette_holds_for_any_camera():
    camera = orbit(torch.tensor([130.0]), torch.tensor([25.0]), 1.7, 50.0, SIZE, SIZE)
    camera.intrinsics[0, 2] += 12
    mesh = inflate(MASKS["the creature"], camera)
    assert mesh.volume > 0
    assert iou_at_the_reference(mesh, MASKS["the creature"], camera) >= 0.985
    _, depths = camera.project(mesh.vertices)
    assert float((depths.amax() + depths.amin()) / 2) == pytest.approx(1.7, abs=0.05)


def test_thin_parts_stay_and_stay_connected():
    alpha = disc(60, 130, 40)
    line = torch.hypot(X - Y.flip(0), torch.zeros_like(X)) < 0.75
    alpha = torch.maximum(alpha, line.float() * (X > 60) * (X < 180))
    mesh = inflate(alpha, CAMERA, settings=InflationSettings(resolution=32))
    seen = rasterise(mesh, CAMERA).is_covered[0]
    assert seen[alpha > 0.5].float().mean() > 0.97
    assert _count_parts(mesh) == 1


def _count_parts(mesh) -> int:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = mesh.faces[:, [0, 1, 2]].flatten().numpy(), mesh.faces[:, [1, 2, 0]].flatten().numpy()
    count = len(mesh.vertices)
    return connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(count, count)))[0]


def test_parts_and_holes_are_kept():
    assert _count_parts(inflate(MASKS["two discs"], CAMERA)) == 2
    ring = inflate(MASKS["ring"], CAMERA)
    edges = (
        torch.cat([ring.faces[:, [0, 1]], ring.faces[:, [1, 2]], ring.faces[:, [2, 0]]]).sort(1).values.unique(dim=0)
    )
    assert len(ring.vertices) - len(edges) + len(ring.faces) == 0  # Euler characteristic of a torus


def test_noise_still_gives_a_closed_surface():
    generator = torch.Generator().manual_seed(1)
    for share in (0.3, 0.6):
        noise = (torch.rand(SIZE, SIZE, generator=generator) > share).float()
        assert inflate(noise, CAMERA, settings=InflationSettings(resolution=48)).is_closed


def test_a_symmetric_mask_gives_a_symmetric_shape():
    alpha = MASKS["the creature"]
    alpha = (alpha + alpha.flip(1)) / 2
    vertices = inflate(alpha, CAMERA).vertices
    mirrored = vertices * torch.tensor([-1.0, 1, 1])
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(vertices.numpy()).query(mirrored.numpy())
    assert distance.max() < 2 * metres_per_pixel(CAMERA)
    assert distance.mean() < 0.05 * metres_per_pixel(CAMERA)
    ahead = (vertices[:, 2] > 0).float().mean()
    assert float(ahead) == pytest.approx(0.5, abs=0.02)


def test_a_depth_map_shapes_the_front_whatever_its_scale():
    alpha = disc(96, 96, 60)
    bump = torch.exp(-((X - 116) ** 2 + (Y - 96) ** 2) / 200)
    flat = inflate(alpha, CAMERA)
    shapes = [inflate(alpha, CAMERA, depth) for depth in (bump, 700 * bump - 3)]
    torch.testing.assert_close(shapes[0].vertices, shapes[1].vertices, atol=1e-3, rtol=0)
    for mesh in shapes:
        assert mesh.is_closed
        assert iou_at_the_reference(mesh, alpha) >= 0.985
    front, relief = (rasterise(m, CAMERA).depth[0] for m in (flat, shapes[0]))
    assert relief[96, 116] < front[96, 116] - 0.02  # nearer at the bump
    assert relief[96, 60] > relief[96, 116] + 0.05
    back = orbit(torch.tensor([180.0]), torch.zeros(1), 2.4, 35.0, SIZE, SIZE)
    behind = [rasterise(m, back).depth[0, 70:120, 70:120] for m in (flat, shapes[0])]
    torch.testing.assert_close(behind[0], behind[1], atol=0.01, rtol=0)


def test_a_constant_depth_map_changes_nothing():
    alpha = disc(96, 96, 60)
    assert torch.equal(inflate(alpha, CAMERA, torch.ones(SIZE, SIZE)).vertices, inflate(alpha, CAMERA).vertices)


@pytest.mark.parametrize(
    ("alpha", "depth", "problem"),
    [
        (torch.zeros(SIZE, SIZE), None, "0 pixels"),
        (disc(96, 96, 1.2), None, "a shape needs"),
        (torch.ones(8, 8), None, "do not fit"),
        (disc(96, 96, 60), torch.ones(8, 8), "do not fit"),
        (disc(96, 96, 60), torch.full((SIZE, SIZE), math.nan), "not finite"),
    ],
)
def test_unusable_inputs_are_refused(alpha, depth, problem):
    with pytest.raises(InvalidInputError, match=problem):
        inflate(alpha, CAMERA, depth)
