import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import concatenate, orbit, turntable
from a4d.geometry.primitives import icosphere
from a4d.geometry.reconstruction.visual_hull import surface_colours, visual_hull
from a4d.render.mesh import render_mesh

BOUNDS = torch.tensor([[-0.7, -0.7, -0.7], [0.7, 0.7, 0.7]])
SPHERE = icosphere(0.5, 5)


def rings(count: int, size: int = 128):
    return concatenate([turntable(count, elevation, 2.4, 35.0, size) for elevation in (-50.0, 0.0, 50.0)])


def masks_of(cameras):
    return render_mesh(SPHERE, cameras).alpha[..., 0]


def test_the_hull_contains_the_shape_and_shrinks_toward_it():
    volumes = []
    for count in (2, 4, 10):
        cameras = rings(count)
        hull = visual_hull(masks_of(cameras), cameras, BOUNDS, 64)
        index = torch.stack(torch.meshgrid(*[torch.arange(64)] * 3, indexing="ij"), -1)
        centres = hull.low + (index + 0.5) * hull.spacing
        # The icosphere's faces lie a little inside the ball.
        assert hull.values[centres.norm(dim=-1) < 0.497].all()
        volumes.append(hull.volume)
    assert volumes[0] > volumes[1] > volumes[2]
    assert volumes[2] == pytest.approx(SPHERE.volume, rel=0.1)


def test_surface_points_and_normals_of_a_sphere():
    cameras = rings(10)
    hull = visual_hull(masks_of(cameras), cameras, BOUNDS, 64)
    points, normals = hull.surface()
    assert len(points) > 2000
    assert (points.norm(dim=-1) - 0.5).abs().mean() < 1.5 * hull.spacing
    assert (torch.nn.functional.normalize(points, dim=-1) * normals).sum(-1).mean() > 0.97


def test_colours_come_from_the_side_that_is_seen():
    cameras = rings(8)
    render = render_mesh(SPHERE, cameras)
    hull = visual_hull(render.alpha[..., 0], cameras, BOUNDS, 64)
    points, normals = hull.surface()
    colours = surface_colours(points, normals, render.rgb, cameras, hull.spacing)
    nearest = torch.cdist(points[::20], SPHERE.vertices).argmin(1)
    assert SPHERE.colours is not None
    assert (colours[::20] - SPHERE.colours[nearest]).abs().mean() < 0.03


def test_a_few_wrong_masks_are_outvoted():
    cameras = rings(6)
    masks = masks_of(cameras)
    right = visual_hull(masks, cameras, BOUNDS, 48)
    masks[4] = 0
    with pytest.raises(InvalidInputError, match="no common volume"):
        visual_hull(masks, cameras, BOUNDS, 48)
    voted = visual_hull(masks, cameras, BOUNDS, 48, tolerated=0.1)
    assert (voted.values & right.values).sum() == right.values.sum()
    assert voted.volume < 1.3 * right.volume


def test_masks_must_fit_the_cameras():
    with pytest.raises(InvalidInputError, match="do not fit"):
        visual_hull(torch.zeros(2, 8, 8), rings(2), BOUNDS)


def test_views_of_several_sizes_carve_the_shape_that_one_size_does():
    """Wide, tall and small pictures of the same views, whose smaller ones end before the largest do."""
    cameras = rings(8)
    large, masks = visual_hull(masks_of(cameras), cameras, BOUNDS, 48), []
    views = [cameras[index] for index in range(len(cameras))]
    views = [
        view.cropped(20, 0, 88, 128) if index % 3 == 0 else view.cropped(0, 20, 128, 88) if index % 3 == 1 else view
        for index, view in enumerate(views)
    ]
    views[2] = views[2].resized(64, 64)
    renders = [render_mesh(SPHERE, view) for view in views]
    masks = [render.alpha[0, ..., 0] for render in renders]
    hull = visual_hull(masks, views, BOUNDS, 48)
    assert float((hull.values != large.values).sum() / large.values.sum()) < 0.01
    points, normals = hull.surface()
    colours = surface_colours(points, normals, [render.rgb[0] for render in renders], views, hull.spacing)
    nearest = torch.cdist(points[::20], SPHERE.vertices).argmin(1)
    assert (colours[::20] - SPHERE.colours[nearest]).abs().mean() < 0.03
    with pytest.raises(InvalidInputError, match="128x88"):
        visual_hull(masks, [views[1], views[0], *views[2:]], BOUNDS)
    with pytest.raises(InvalidInputError, match="24 masks"):
        visual_hull(masks, views[:-1], BOUNDS)


def test_many_frames_from_one_side_do_not_outvote_the_few_from_another() -> None:
    ways = torch.tensor([0.0] * 30 + [90.0] * 4)
    cameras = orbit(ways + torch.linspace(-2, 2, len(ways)), torch.zeros(len(ways)), 3.0, 40.0, 64, 64)
    hull = visual_hull(masks_of(cameras), cameras, BOUNDS, 48, tolerated=0.2)
    once = concatenate([cameras[15], cameras[32]])
    assert hull.volume == pytest.approx(visual_hull(masks_of(once), once, BOUNDS, 48).volume, rel=0.1)


def test_what_few_views_have_in_their_frame_is_no_part_of_a_subject_that_all_of_them_show() -> None:
    cameras = orbit(torch.tensor([0.0, 60.0, 120.0]), torch.zeros(3), 3.0, 24.0, 64, 64)

    def farthest(framed: float) -> float:
        hull = visual_hull(masks_of(cameras), cameras, 3 * BOUNDS, 64, framed=framed)
        return float(hull.surface()[0].norm(dim=-1).max())

    assert farthest(0.0) > 2.0
    # Cones about the ball from cameras 60 degrees apart meet no farther than 1.43 away, on the side that neither is on.
    assert farthest(0.5) < 1.45


def test_points_that_no_view_sees_take_the_colour_of_the_nearest_that_is_seen():
    points = torch.tensor([[-0.4, 0.0, 0.3], [0.4, 0.0, 0.3], [0.39, 0.0, -0.3], [-0.39, 0.0, -0.3]])
    normals = torch.nn.functional.normalize(points * torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    picture = torch.zeros(1, 32, 32, 3)
    picture[:, :, :16, 0], picture[:, :, 16:, 2] = 1.0, 1.0
    colours = surface_colours(points, normals, picture, turntable(1, 0.0, 3.0, 40.0, 32), 0.05)
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    torch.testing.assert_close(colours, torch.tensor([red, blue, blue, red]))
