"""Marching and compositing against closed forms, finite differences, and marching without an occupancy grid."""

import math

import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.render import ray_march
from a4d.render.occupancy import OccupancyConfig, OccupancyGrid
from a4d.render.volume import (
    Rays,
    Samples,
    accumulate,
    compositing_weights,
    fixed_steps,
    in_light,
    rays_in_box,
    stateless_shifts,
    subdivide,
    transmittance,
)


def view(size=24, radius=3.0):
    return orbit(torch.tensor([25.0]), torch.tensor([20.0]), radius, 40.0, size, size)


def parallel_rays(offsets):
    """Rays along z through (offset, 0), between the faces of the cube [-1, 1]³."""
    count = len(offsets)
    origins = torch.stack([offsets, torch.zeros(count), torch.full((count,), -3.0)], dim=-1).to(offsets)
    directions = torch.tensor([0.0, 0.0, 1.0]).to(offsets).expand(count, 3)
    return Rays(origins, directions, torch.full_like(offsets, 2.0), torch.full_like(offsets, 4.0))


def alphas(rays, samples, density):
    weights = compositing_weights(samples, density)
    return accumulate(samples, weights, torch.ones_like(weights)[:, None], len(rays))[:, 0]


def test_rays_enter_and_leave_the_cube_where_they_should():
    rays, stretch = rays_in_box(view(), 0.7)
    hits = rays.far > rays.near
    assert 0.2 < float(hits.float().mean()) < 0.9
    for ends in (rays.near, rays.far):
        points = rays.origins[hits] + ends[hits, None] * rays.directions[hits]
        torch.testing.assert_close(points.abs().amax(-1), torch.full((int(hits.sum()),), 0.7), atol=1e-5, rtol=0)
    assert float(stretch.min()) == pytest.approx(1, abs=1e-3)


def test_what_lies_behind_the_camera_is_left_out():
    inside = orbit(torch.tensor([0.0]), torch.tensor([0.0]), 0.25, 40.0, 8, 8)
    assert float(rays_in_box(inside, 1.0)[0].near.max()) == 0


@pytest.mark.parametrize("step", [0.3, 0.05])
@pytest.mark.parametrize("is_shifted", [False, True])
def test_a_slab_of_constant_density_is_exact(step, is_shifted):
    rays = parallel_rays(torch.linspace(-0.9, 0.9, 5, dtype=torch.float64))
    shift = torch.rand(5, dtype=torch.float64) if is_shifted else None
    samples = fixed_steps(rays, step, shift)
    density = torch.full_like(samples.start, 0.8)
    torch.testing.assert_close(alphas(rays, samples, density), torch.full_like(rays.near, 1 - math.exp(-1.6)))
    end = samples.start - rays.near[0]
    torch.testing.assert_close(transmittance(samples, density), torch.exp(-0.8 * end), atol=1e-12, rtol=1e-12)


def test_a_ball_has_the_alpha_of_its_chords_and_the_depth_of_its_light():
    offsets = torch.tensor([0.0, 0.2, 0.45, 0.7], dtype=torch.float64)
    rays = parallel_rays(offsets)
    samples = fixed_steps(rays, 1e-3)
    density = 3.0 * (samples.points(rays).norm(dim=-1) < 0.6)
    half_chord = (0.36 - offsets**2).clamp_min(0).sqrt()
    expected = 1 - torch.exp(-6 * half_chord)
    torch.testing.assert_close(alphas(rays, samples, density), expected, atol=5e-3, rtol=0)
    weights = compositing_weights(samples, density)
    mean = accumulate(samples, weights, samples.middle[:, None], len(rays))[:3, 0] / expected[:3]
    # The mean of an exponential law cut off at the chord's length.
    chord = 2 * half_chord[:3]
    inside = 1 / 3 - chord * torch.exp(-3 * chord) / expected[:3]
    torch.testing.assert_close(mean, 3 - half_chord[:3] + inside, atol=5e-3, rtol=0)


def test_weights_add_up_to_what_is_not_let_through():
    rays = parallel_rays(torch.linspace(-0.5, 0.5, 7, dtype=torch.float64))
    samples = fixed_steps(rays, 0.11)
    density = 4 * torch.rand(len(samples), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    optical = torch.zeros(7, dtype=torch.float64).index_add(0, samples.ray, density * samples.width)
    torch.testing.assert_close(alphas(rays, samples, density), 1 - torch.exp(-optical))


def test_gradients_are_those_of_finite_differences():
    rays = parallel_rays(torch.tensor([-0.3, 0.4], dtype=torch.float64))
    samples = fixed_steps(rays, 0.4)
    draws = torch.Generator().manual_seed(2)
    density = torch.rand(len(samples), dtype=torch.float64, generator=draws).requires_grad_()
    values = torch.rand(len(samples), 3, dtype=torch.float64, generator=draws).requires_grad_()

    def image(density, values):
        return accumulate(samples, compositing_weights(samples, density), values, 2)

    assert torch.autograd.gradcheck(image, (density, values))


def test_an_opaque_wall_hides_what_lies_behind_it():
    rays = parallel_rays(torch.zeros(1))
    samples = fixed_steps(rays, 0.1)
    density = torch.where((samples.middle - 3).abs() < 0.1, 1e6, 5.0)
    weights = compositing_weights(samples, density)
    assert torch.isfinite(weights).all()
    assert float(weights[samples.middle > 3.11].sum()) == 0
    kept = in_light(samples, density, 1e-3)
    assert not kept[samples.middle > 3.11].any()
    assert kept[samples.middle < 2.9].all()


def ball_density(points, times):
    return 20.0 * (points - torch.tensor([0.2, 0.1, 0.0])).norm(dim=-1).lt(0.4)


def test_skipping_empty_cells_does_not_change_the_image():
    grid = OccupancyGrid(OccupancyConfig(resolution=24, threshold=0.1), 1.0)
    grid.fill(ball_density, torch.Generator().manual_seed(0))
    rays, _ = rays_in_box(view(), 1.0)
    images, counts = [], []
    for occupancy in (None, grid):
        samples = fixed_steps(rays, 0.02, stateless_shifts(rays, 3), occupancy)
        images.append(alphas(rays, samples, ball_density(samples.points(rays), None)))
        counts.append(len(samples))
    torch.testing.assert_close(*images, atol=1e-6, rtol=0)
    assert counts[1] < 0.3 * counts[0]
    assert 0.03 < grid.share < 0.2


def test_the_kernel_and_torch_keep_the_same_steps():
    grid = OccupancyGrid(OccupancyConfig(resolution=16), 0.9, bins=3)
    grid.occupied.copy_(torch.rand(grid.occupied.shape, generator=torch.Generator().manual_seed(4)) < 0.3)
    rays, _ = rays_in_box(view(16), 0.9)
    times = torch.linspace(0, 1, len(rays))
    lattice = ray_march.Lattice(rays.origins, rays.directions, rays.near, rays.far, stateless_shifts(rays, 0), times)
    for occupancy in (grid, None):
        for kernel, table in zip(
            ray_march.march(lattice, 0.05, occupancy),
            ray_march.march_in_torch(lattice, 0.05, occupancy),
            strict=True,
        ):
            torch.testing.assert_close(kernel, table)


def test_occupancy_forgets_what_is_gone_and_finds_what_is_new():
    config = OccupancyConfig(resolution=12, every=2, warm_up=0, share=0.5, decay=0.3)
    grid = OccupancyGrid(config, 1.0)
    draws = torch.Generator().manual_seed(0)
    grid.fill(ball_density, draws)
    before = grid.occupied.clone()
    for step in range(60):
        grid.update(step, lambda points, times: ball_density(-points, times), draws)
    torch.testing.assert_close(grid.occupied.flip(1, 2, 3).float().mean(), before.float().mean(), atol=0.03, rtol=0)
    assert bool(grid.occupied[0, 4, 5, 5])
    assert not bool(grid.occupied[0, 9, 8, 8])


def test_intervals_of_time_are_known_apart():
    grid = OccupancyGrid(OccupancyConfig(resolution=12, every=1, decay=0.01), 1.0, bins=2)

    def density(points, times):
        return torch.where(times < 0.5, ball_density(points, times), ball_density(-points, times))

    for step in range(12):
        grid.update(step, density, torch.Generator().manual_seed(step))
    assert bool(grid.occupied[0, 7, 6, 6])
    assert not bool(grid.occupied[0, 2, 4, 5])
    assert bool(grid.occupied[1, 4, 5, 5])
    assert not bool(grid.occupied[1, 9, 7, 6])


def test_importance_sampling_keeps_the_length_and_comes_closer_to_the_integral():
    rays = parallel_rays(torch.linspace(-0.4, 0.4, 9, dtype=torch.float64))

    def density(samples):
        return 40 * torch.exp(-(((samples.points(rays).norm(dim=-1) - 0.5) / 0.04) ** 2))

    coarse = fixed_steps(rays, 0.15)
    fine = subdivide(coarse, compositing_weights(coarse, density(coarse)), 64)
    lengths = torch.zeros(9, dtype=torch.float64).index_add(0, fine.ray, fine.width)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 2.0))
    starts = fine.ray * 10 + fine.start
    assert bool((starts.diff() > 0).all())
    truth = fixed_steps(rays, 1e-3)

    def colours(samples):
        return accumulate(samples, compositing_weights(samples, density(samples)), samples.points(rays), 9)

    errors = [float((colours(samples) - colours(truth)).abs().max()) for samples in (coarse, fine)]
    assert errors[1] < 0.25 * errors[0]


def test_shifts_follow_from_ray_and_step_alone():
    cameras = view(32)
    rays, _ = rays_in_box(cameras, 1.0)
    shifts = stateless_shifts(rays, 7).view(32, 32)
    part, _ = rays_in_box(cameras.cropped(8, 16, 8, 8), 1.0)
    torch.testing.assert_close(stateless_shifts(part, 7).view(8, 8), shifts[16:24, 8:16])
    other = stateless_shifts(rays, 8).view(32, 32)
    for values in (shifts, (shifts - other) % 1):
        assert float(values.min()) >= 0
        assert float(values.max()) < 1
        counts = torch.histc(values, 8, 0, 1)
        assert float((counts - 128).abs().max()) < 45
    assert abs(float(torch.corrcoef(torch.stack([shifts[:, 1:].flatten(), shifts[:, :-1].flatten()]))[0, 1])) < 0.1


def test_no_rays_and_no_samples_are_fine():
    rays, _ = rays_in_box(view(4, radius=9.0).cropped(0, 0, 2, 2), 0.1)
    samples = fixed_steps(rays, 0.1)
    assert isinstance(samples, Samples)
    assert len(samples) == 0
    assert float(alphas(rays, samples, torch.zeros(0)).sum()) == 0
