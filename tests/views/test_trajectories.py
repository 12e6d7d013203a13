"""Cameras and moments that are drawn: windows of time, moving cameras, the upper hemisphere, chosen frames of clips."""

import pytest
import torch
from painting import Painting, gallery

from a4d.errors import ConfigError
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.views import Frames, build_views
from a4d.views.trajectory import CameraPath, TimeWindow, hemisphere


def views(**spec: object):
    return build_views({"it": {"kind": "orbit", "size": 8, **spec}})["it"]


def test_a_window_always_runs_forward_and_starts_at_zero_in_a_tenth_of_the_draws():
    times = TimeWindow().times(3000, 16, torch.Generator().manual_seed(0))
    steps = times.diff(dim=1) * 256
    assert (steps > 0).all()
    assert (steps == steps[:, :1]).all()
    assert set(steps[:, 0].int().tolist()) == set(range(1, 17))
    assert float((times[:, 0] == 0).float().mean()) == pytest.approx(0.1, abs=0.02)
    # A mirrored window is as often at the clip's end as an unmirrored one is at its start.
    assert float((times[:, -1] == 1).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert 0 <= float(times.min()) <= float(times.max()) <= 1


def test_all_views_of_a_ring_see_the_same_window_and_moments_are_equal_where_times_are():
    batch = views(batch=8, ring=4, frames=5, window={}).sample(3, 0, None)
    times, moments = batch.times.view(2, 4, 5), batch.moments.view(2, 4, 5)
    assert torch.equal(times, times[:, :1].expand_as(times))
    assert not torch.equal(times[0], times[1])
    assert torch.equal(batch.times[:, None] == batch.times, batch.moments[:, None] == batch.moments)
    assert torch.equal(moments.diff(dim=2) > 0, torch.ones(2, 4, 4, dtype=torch.bool))
    assert torch.equal(batch.distinct_times, batch.times.unique())


def angles(positions):
    radius = positions.norm(dim=-1)
    azimuth = torch.rad2deg(torch.atan2(positions[..., 0], positions[..., 2]))
    return azimuth, torch.rad2deg(torch.asin(positions[..., 1] / radius)), radius


def test_a_camera_on_a_path_goes_steadily_from_where_it_would_stand():
    path = {"azimuth": [40, 40], "elevation": [-10, -10], "radius": [0.5, 0.5], "arrives": True}
    still = views(batch=4, ring=2, frames=5, azimuth=[0, 90]).sample(2, 0, None)
    moving = views(batch=4, ring=2, frames=5, azimuth=[0, 90], path=path).sample(2, 0, None)
    torch.testing.assert_close(moving.cameras.positions[::5], still.cameras.positions[::5])
    before, after = (angles(batch.cameras.positions.view(4, 5, 3)) for batch in (still, moving))
    for start, now, change in zip(before, after, (40, -10, 0.5), strict=True):
        difference = (now - start + 180) % 360 - 180
        torch.testing.assert_close(difference, (torch.linspace(0, 1, 5) * change).expand(4, 5), atol=1e-3, rtol=0)


def test_a_share_of_cameras_moves_and_stops_a_step_short_of_the_end():
    changes = CameraPath(chance=0.9).changes(2000, 16, torch.Generator().manual_seed(0))
    moves = changes[:, :, 1].abs().sum(dim=0) > 0
    assert float(moves.float().mean()) == pytest.approx(0.9, abs=0.02)
    assert float(changes[0, :, -1].max()) == pytest.approx(90 * 15 / 16, abs=1)
    assert float(changes[1, :, -1].min()) == pytest.approx(-45 * 15 / 16, abs=0.5)


def test_a_share_of_cameras_is_anywhere_above():
    azimuth, elevation = hemisphere(20000, torch.Generator().manual_seed(0))
    assert float(elevation.min()) >= 0
    # Of a half-cube seen from its middle, the part in the cone around the axis: pi / 12 of its volume.
    assert float((elevation > 45).float().mean()) == pytest.approx(torch.pi / 12, abs=0.01)
    assert float(azimuth.abs().lt(90).float().mean()) == pytest.approx(0.5, abs=0.02)
    low = views(batch=1000, elevation=[-45, -20], hemisphere=0.3).sample(0, 0, None)
    above = low.cameras.positions[:, 1] > 0
    assert float(above.float().mean()) == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(low.cameras.positions.norm(dim=1), torch.full((1000,), 3.0))


def test_jittered_rays_of_an_image_deviate_alike():
    plain, shaken = (views(batch=2, jitter=jitter).sample(1, 0, None).cameras.rays() for jitter in (0.0, 1e-3))
    for before, after in zip(plain, shaken, strict=True):
        shift = after - before
        assert 1e-5 < float(shift.abs().max()) < 1e-2
    directions = [rays / rays.norm(dim=-1, keepdim=True) for rays in (plain[1], shaken[1])]
    assert 1e-5 < float((directions[0] - directions[1]).abs().max()) < 1e-2
    camera = views().sample(1, 0, None).cameras
    shift, tilt = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.02, -0.05, 0.04]])
    bent, expected = camera.deflected(shift, tilt).rays(), camera.rays()
    torch.testing.assert_close(bent[0], expected[0] + shift)
    wanted = expected[1] + tilt
    torch.testing.assert_close(bent[1] / bent[1].norm(dim=-1, keepdim=True), wanted / wanted.norm(dim=-1, keepdim=True))


def test_a_single_picture_is_of_a_drawn_moment():
    every = gallery(6)
    frames = Frames(every.rgba, every.cameras, torch.tensor([0.0, 0.1, 0.4, 0.1, 0.4, 0.0]), every.names, every.splits)
    observed = views(batch=8, ring=4, moment="observed")
    assert observed.reads_frames
    assert not views(moment="random").reads_frames
    seen = [observed.sample(step, 0, frames) for step in range(60)]
    assert {round(float(time), 3) for batch in seen for time in batch.times} == {0.0, 0.1, 0.4}
    for batch in seen:
        assert torch.equal(batch.times, frames.moments[batch.moments])
        assert torch.equal(batch.times.view(2, 4), batch.times.view(2, 4)[:, :1].expand(2, 4))
    drawn = torch.cat([views(moment="random").sample(step, 0, None).times for step in range(200)])
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.07)
    with pytest.raises(ConfigError, match="frames or moment"):
        views(moment="random", frames=4)


class Counted(Painting):
    """How many images were rendered."""

    count = 0

    def render(self, cameras, times=None, background=None, wants=()):
        self.count += len(cameras)
        return super().render(cameras, times, background)


@pytest.mark.parametrize(("choice", "rows"), [("first", [0, 5]), ([1, 3], [1, 3, 6, 8]), (2, None), ("all", range(10))])
def test_an_objective_has_only_the_frames_rendered_that_it_looks_at(choice, rows):
    scene, sets = Counted(8), {"clip": views(batch=2, ring=2, frames=5)}
    step = Step(4, 0, scene, sets)
    (objective,) = build_objectives([{"kind": "photometric", "views": "clip", "frames": choice}])
    part = step.choosing(objective.frames)
    assert len(part.render("clip").rgb) == scene.count == (4 if rows is None else len(rows))
    if rows is not None:
        assert torch.equal(part.batch("clip").times, step.batch("clip").times[list(rows)])
    whole = Step(4, 0, Counted(8), sets)
    whole.render("clip")
    assert len(whole.choosing(objective.frames).render("clip").rgb) == scene.count
    assert whole.scene.count == 10


def test_frames_that_a_clip_has_not_are_refused():
    step = Step(0, 0, Painting(8), {"clip": views(frames=3), "still": views()})
    with pytest.raises(ConfigError, match="has 3 frames"):
        step.choosing([3]).batch("clip")
    with pytest.raises(ConfigError, match="no time passes"):
        step.choosing("first").batch("still")
