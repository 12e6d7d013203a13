import math

import pytest
import torch
from a4d.stages.distill import Distill
from painting import gallery

from a4d.errors import ConfigError, MissingInputError
from a4d.fitting.files import fit_inputs
from a4d.views import Frames, build_views, frames_of_split, observed
from a4d.workspace.workspace import Metadata, Workspace


def views(**spec: object):
    return build_views({"it": spec})["it"]


def test_a_distance_may_follow_the_field_of_view():
    near, far = (views(kind="orbit", relative=True, radius=0.9, fov=fov).sample(0, 0, None).cameras for fov in (60, 15))
    for cameras in (near, far):
        top = torch.tensor([[0.0, 0.9, 0.0]])
        focal, height = float(cameras.intrinsics[0, 1]), cameras.height
        assert focal * 0.9 / float(cameras.positions.norm()) == pytest.approx(height / 2, rel=1e-4), top
    assert float(far.positions.norm()) > 3 * float(near.positions.norm())


def test_every_frame_comes_once_per_epoch_in_an_order_of_its_own() -> None:
    observed, frames = views(kind="observed"), gallery(7)
    position = {id(camera): i for i, camera in enumerate(frames.cameras)}
    orders = []
    for epoch in range(3):
        seen = [observed.sample(7 * epoch + i, 0, frames).rgba[0] for i in range(7)]
        order = [next(i for i, rgba in enumerate(frames.rgba) if torch.equal(rgba, image)) for image in seen]
        assert sorted(order) == list(range(7))
        orders.append(order)
    assert len(position) == 7
    assert orders[0] != orders[1]


def mixed(*sizes: int) -> Frames:
    """A picture of each size, told apart by how red it is."""
    parts = [gallery(1, size=size) for size in sizes]
    for index, part in enumerate(parts):
        part.rgba[0][..., 0] = index / len(sizes)
    rgba, cameras = [part.rgba[0] for part in parts], [part.cameras[0] for part in parts]
    return Frames(rgba, cameras, None, [str(index) for index in range(len(sizes))], ["train"] * len(sizes))


def test_a_step_shows_as_many_pixels_as_a_view_set_says_at_the_least() -> None:
    frames = mixed(16, 8, 16)
    assert views(kind="orbit", batch=4, ring=2, frames=3, size=16).pixels_per_step(None) == 4 * 3 * 16**2
    assert views(kind="observed", batch=2).pixels_per_step(frames) == 2 * 8**2
    assert views(kind="observed", patch=8).pixels_per_step(mixed(32, 16)) == 8**2
    assert views(kind="observed", size=8).pixels_per_step(mixed(16)) == 8**2
    unknown = [views(kind="observed", size=8), views(kind="moments"), views(kind="observed")]
    assert [each.pixels_per_step(None if each.kind == "observed" else frames) for each in unknown] == [0, 0, 0]


@pytest.mark.parametrize(
    "size",
    [
        {"from": 32, "to": 64, "steps": 10},
        {"from": 64, "to": 32, "steps": 10},
        {"from": 32, "to": 32, "steps": 1, "then": {"from": 40, "to": 64, "steps": 10}},
    ],
)
def test_of_a_size_that_changes_over_the_steps_the_largest_counts(size: dict[str, object]) -> None:
    changing, frames = views(kind="observed", batch=2, size=size), mixed(96, 96)
    assert changing.pixels_per_step(frames) == 2 * 64**2
    assert max(changing.sample(step, 0, frames).rgba.shape[1] for step in range(12)) == 64
    assert changing.pixels_per_step(mixed(16)) == 2 * 16**2


def test_only_what_is_observed_comes_frame_by_frame() -> None:
    frames = gallery(3)
    each = list(views(kind="observed").every_frame(frames))
    assert torch.equal(torch.cat([batch.rgba for batch in each]), torch.stack(list(frames.rgba)))
    assert list(views(kind="orbit").every_frame(frames)) == []
    assert [views(kind=kind).is_observed for kind in ("observed", "moments", "orbit")] == [True, True, False]
    assert [batch.rgba.shape[1] for batch in frames_of_split(mixed(16, 32), "train", size=8)] == [8, 8]


def test_batches_are_of_one_size_and_every_frame_has_its_turn() -> None:
    observed, frames = views(kind="observed", batch=2), mixed(16, 8, 16, 8, 16, 8, 16)
    epochs = []
    for epoch in range(3):
        batches = [observed.sample(4 * epoch + step, 0, frames).rgba for step in range(4)]
        assert sorted(batch.shape[1] for batch in batches) == [8, 8, 16, 16]
        seen = [round(7 * float(rgba[0, 0, 0])) for batch in batches for rgba in batch]
        assert set(seen) == set(range(7))
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    assert epochs[0] == [
        round(7 * float(rgba[0, 0, 0])) for s in range(4) for rgba in observed.sample(s, 0, frames).rgba
    ]
    patches = views(kind="observed", batch=2, patch=8).sample(0, 0, frames)
    assert patches.rgba.shape == (2, 8, 8, 4)


def test_observations_are_composited_over_the_batch_background() -> None:
    observed, frames = views(kind="observed", background="random"), gallery(3)
    first, second = observed.sample(0, 0, frames), observed.sample(1, 0, frames)
    assert not torch.equal(first.background, second.background)
    rgba = first.rgba[0]
    expected = rgba[..., :3] * rgba[..., 3:] + first.background[0] * (1 - rgba[..., 3:])
    assert torch.allclose(first.rgb[0], expected)


def test_a_reduced_frame_keeps_its_camera_and_its_mean_colour() -> None:
    frames = gallery(1, size=32)
    frames.rgba[0][..., 3] = 1
    small = views(kind="observed", size=8).sample(0, 0, frames)
    assert small.rgba.shape == (1, 8, 8, 4)
    assert (small.cameras.width, small.cameras.height) == (8, 8)
    assert torch.allclose(small.rgba.mean(dim=(1, 2)), frames.rgba[0].mean(dim=(0, 1))[None], atol=1e-5)
    assert torch.allclose(small.cameras.intrinsics, frames.cameras[0].intrinsics / 4)


def test_transparent_pixels_lend_no_colour_when_a_frame_is_reduced() -> None:
    frames = gallery(1, size=16)
    frames.rgba[0][:] = torch.tensor([1.0, 0, 0, 1])
    frames.rgba[0][:, 8:] = torch.tensor([0.0, 1, 0, 0])
    small = views(kind="observed", size=8).sample(0, 0, frames).rgba[0]
    assert torch.allclose(small[:, :4], torch.tensor([1.0, 0, 0, 1]).expand(8, 4, 4))


def clip(moments: int, cameras: int) -> Frames:
    """Frames of several cameras, view by view, time running fastest."""
    frames = gallery(moments * cameras)
    times = torch.linspace(0, 1, moments).repeat(cameras)
    return Frames(frames.rgba, frames.cameras, times, frames.names, frames.splits)


def test_moments_are_unlocked_one_after_the_other_and_seen_by_all_cameras() -> None:
    frames = clip(5, 3)
    sets = views(kind="moments", chosen=2, unlocked={"from": 1, "to": 4.01, "steps": 30})
    for step, newest in ((0, 0.25), (9, 0.25), (10, 0.5), (20, 0.75)):
        times = sets.sample(step, 0, frames).times
        assert float(times.max()) == newest
        assert float(times.min()) > 0
        assert (times.unique(return_counts=True)[1] == 3).all()
    late = [tuple(sets.sample(step, 0, frames).times.unique().tolist()) for step in range(30, 60)]
    assert {len(times) for times in late} == {2}
    assert {time for times in late for time in times} == {0.25, 0.5, 0.75, 1.0}
    turns = views(kind="moments", chosen=1, turn=10)
    assert [float(turns.sample(step, 0, frames).times[0]) for step in (0, 9, 10, 29, 30, 39)] == [
        0.25, 0.25, 0.5, 0.75, 1.0, 1.0,
    ]  # fmt: skip
    assert len({float(turns.sample(step, 0, frames).times[0]) for step in range(40, 70)}) == 4
    every = views(kind="moments").sample(0, 0, frames)
    assert len(every.times) == 12
    assert torch.equal(every.rgba[0], frames.rgba[1])


def test_a_size_may_grow_with_the_steps() -> None:
    frames = gallery(1, size=128)
    observed = views(kind="observed", size={"from": 32, "to": 128, "steps": 10})
    assert [observed.sample(step, 0, frames).rgba.shape[1] for step in (0, 3, 10)] == [32, 64, 128]
    assert observed.preview(frames).rgba.shape[1] == 128


def test_a_clip_is_seen_by_every_camera_of_a_ring_at_every_moment_with_frames_running_fastest() -> None:
    still = views(kind="orbit", batch=8, ring=4, background="random").sample(3, 0, None)
    clip = views(kind="orbit", batch=8, ring=4, background="random", frames=5).sample(3, 0, None)
    assert torch.equal(clip.times.view(8, 5), torch.linspace(0, 1, 5).expand(8, 5))
    poses = clip.cameras.world_from_camera.view(8, 5, 4, 4)
    assert torch.equal(poses, still.cameras.world_from_camera[:, None].expand(8, 5, 4, 4))
    assert torch.equal(clip.background.view(8, 5, 3), still.background[:, None].expand(8, 5, 3))


def test_rings_are_evenly_spaced_and_share_their_height() -> None:
    orbit = views(kind="orbit", batch=8, ring=4, elevation=[-10, 40], radius=[2, 3])
    position = orbit.sample(5, 0, None).cameras.positions.view(2, 4, 3)
    turn = torch.rad2deg(torch.atan2(position[..., 0], position[..., 2]))
    steps = (turn.diff(dim=1) + 360) % 360
    torch.testing.assert_close(steps, torch.full((2, 3), 90.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(position[..., 1], position[:, :1, 1].expand(2, 4))
    assert abs(float(position[0, 0, 1] - position[1, 0, 1])) > 1e-3
    with pytest.raises(ConfigError, match="multiple of ring"):
        views(kind="orbit", batch=6, ring=4)


def test_orbits_stay_in_their_intervals_and_strata() -> None:
    orbit = views(kind="orbit", batch=4, stratified=True, elevation=[10, 20], radius=[2, 3], azimuth=[-180, 180])
    sectors = set()
    for step in range(20):
        position = orbit.sample(step, 0, None).cameras.positions
        radius = position.norm(dim=-1)
        elevation = torch.rad2deg(torch.asin(position[:, 1] / radius))
        azimuth = torch.rad2deg(torch.atan2(position[:, 0], position[:, 2]))
        assert bool(((radius >= 2) & (radius <= 3)).all())
        assert bool(((elevation >= 10 - 1e-3) & (elevation <= 20 + 1e-3)).all())
        sectors.add(tuple(((azimuth + 180) // 90).int().tolist()))
    assert sectors == {(0, 1, 2, 3)}


def test_shifted_cameras_look_the_same_way_from_beside_where_they_stood() -> None:
    settings = {"kind": "orbit", "batch": 8, "ring": 2, "elevation": [-20, 45], "radius": 3.0}
    straight = views(**settings).sample(4, 1, None).cameras
    shifted = views(**settings, shift=0.4).sample(4, 1, None).cameras
    moved = torch.linalg.inv(straight.world_from_camera) @ shifted.world_from_camera
    torch.testing.assert_close(moved[:, :3, :3], torch.eye(3).expand(8, 3, 3), rtol=0, atol=1e-5)
    right, down, forward = moved[:, :3, 3].unbind(1)
    assert float(forward.abs().max()) < 1e-5
    assert float(torch.stack([right, down]).abs().max()) < 0.4
    assert float(torch.stack([right, down]).abs().amin()) > 1e-4
    # The two of a ring move alike, each along its own image's axes.
    torch.testing.assert_close(right[::2], right[1::2], rtol=0, atol=1e-5)
    assert len(right[::2].unique()) == 4


def test_patches_are_parts_of_the_image_with_the_cameras_that_see_them() -> None:
    frames = gallery(2, 24)
    places = set()
    for step in range(12):
        whole = views(kind="observed", batch=2).sample(step, 3, frames)
        part = views(kind="observed", batch=2, patch=10).sample(step, 3, frames)
        assert part.rgba.shape == (2, 10, 10, 4)
        offset = whole.cameras.intrinsics - part.cameras.intrinsics
        left, top = (int(value) for value in offset[0, 2:])
        assert torch.equal(part.rgba, whole.rgba[:, top : top + 10, left : left + 10])
        torch.testing.assert_close(part.cameras.rays()[1], whole.cameras.rays()[1][:, top : top + 10, left : left + 10])
        places.add((left, top))
    assert len(places) > 6
    assert views(kind="observed", patch=100).sample(0, 0, frames).rgba.shape == (1, 24, 24, 4)
    assert views(kind="observed", patch=10).preview(frames).rgba.shape == (1, 24, 24, 4)


def test_frames_of_a_split_that_is_empty_name_the_remedy() -> None:
    with pytest.raises(MissingInputError, match="preprocess"):
        views(kind="observed", split="test").sample(0, 0, gallery(2))


def test_a_run_of_several_sizes_has_no_batch() -> None:
    with pytest.raises(ConfigError, match="different sizes"):
        views(kind="observed", batch=2, run=2).sample(0, 0, mixed(8, 16))


def test_an_unknown_kind_of_views_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'observed'"):
        views(kind="observd")


@pytest.mark.parametrize(("kind", "reads"), [("observed", True), ("moments", True), ("orbit", False)])
def test_what_view_sets_say_they_read_is_loaded_and_hashed(tmp_path, kind, reads) -> None:
    config = Distill(
        scene={"kind": "gaussians"}, views={"clip": {"kind": kind}}, optimiser={"rates": {}},
        objectives=[{"kind": "photometric", "views": "clip"}],
    )  # fmt: skip
    names = {path.name for path in fit_inputs(Workspace(tmp_path, Metadata(name="x")), config)}
    assert ({"transforms.json", "images"} <= names) == reads


def test_view_sets_know_their_finest_pixel() -> None:
    orbit = views(kind="orbit", radius=[2.0, 4.0], fov=[20.0, 40.0], size=64)
    assert orbit.finest_pixel(None, 0) == pytest.approx(2.0 * 2 * math.tan(math.radians(10)) / 64, rel=1e-4)
    relative = views(kind="orbit", radius=[0.8, 1.0], relative=True, fov=[15.0, 60.0])
    assert relative.finest_pixel(None, 0) == pytest.approx(1.6 / 128, rel=1e-4)


def test_pictures_are_reduced_for_some_steps_but_never_to_a_few_pixels(monkeypatch) -> None:
    monkeypatch.setattr(observed, "LEAST_REDUCED", 48)
    reduce = {"from": 2.0, "to": 2.0, "steps": 5, "then": {"from": 1.0, "to": 1.0, "steps": 1}}
    large, small = gallery(2, size=128), gallery(2, size=64)
    seen = views(kind="observed", reduce=reduce)
    widths = {step: [seen.sample(step, 0, each).cameras.width for each in (large, small)] for step in (0, 4, 5, 9)}
    assert widths == {0: [64, 48], 4: [64, 48], 5: [128, 64], 9: [128, 64]}
    assert seen.preview(large).cameras.width == 128
    assert [step for step in range(10) if seen.refines(step)] == [5]
    assert seen.finest_pixel(large, 0) == pytest.approx(2 * seen.finest_pixel(large, 5))
    whole, half = (seen.sample(step, 0, large).rgba for step in (5, 4))
    assert float(half.mean()) == pytest.approx(float(whole.mean()), abs=0.01)
    smaller = views(kind="observed", reduce=reduce, size=100)
    widths = {step: [smaller.sample(step, 0, each).cameras.width for each in (large, small)] for step in (0, 5)}
    assert widths == {0: [64, 48], 5: [100, 64]}
    assert smaller.finest_pixel(large, 5) == pytest.approx(1.28 * seen.finest_pixel(large, 5))
