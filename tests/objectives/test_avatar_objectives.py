"""What keeps avatars together: numbers that can be worked out by hand."""

import pytest
import torch
from small_avatar import filmed, tracked

from a4d.errors import ConfigError
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.scenes.avatar.scene import AvatarScene
from a4d.scenes.gaussians.scene import GaussianScene
from a4d.scenes.seed import Seed
from a4d.views import build_views

MOMENTS = 6


@pytest.fixture
def scene():
    spec = {"kind": "avatar", "texels": 24, "size": 0.5}
    return AvatarScene.begin(spec, Seed(body=tracked(MOMENTS)), torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def film():
    return filmed(tracked(MOMENTS), 32, held_out=4)


def value(scene, film, index=0, **spec):
    (objective,) = build_objectives([{"views": "film", **spec}])
    return objective(Step(index, 0, scene, build_views({"film": {"kind": "observed"}}), film))


@torch.no_grad()
def measured(scene, film, index=0, **spec):
    return value(scene, film, index, **spec)


def test_offsets_and_sizes_count_by_their_squares(scene, film):
    with torch.no_grad():
        scene.appearance.offsets[:, 0] = 0.03
        scene.appearance.log_scales += 0.2
    assert float(measured(scene, film, kind="surface-offset")) == pytest.approx(0.03**2 / 3)
    assert float(measured(scene, film, kind="surface-size")) == pytest.approx(0.04)
    metres = float((0.5 * scene.points.spacing).mean()) * 2.718281828**0.2
    assert float(measured(scene, film, kind="surface-size", measure="metres")) == pytest.approx(metres, rel=1e-4)


def test_what_is_alike_all_around_has_no_laplacian(scene, film):
    with torch.no_grad():
        scene.appearance.offsets += torch.tensor([0.01, 0.02, 0.0])
        scene.appearance.colours[0] += 0.6
    assert float(measured(scene, film, kind="surface-laplacian", of="offsets")) == pytest.approx(0, abs=1e-10)
    share = 1 / scene.neighbours().shape[1]
    around = int((scene.neighbours() == 0).sum())
    expected = 3 * 0.36 * (1 + around * share**2) / len(scene.points)
    assert float(measured(scene, film, kind="surface-laplacian", of="colours")) == pytest.approx(expected, rel=1e-4)


def test_a_change_of_pose_is_the_square_of_its_angle(scene, film):
    index = 0
    (moment,) = build_views({"film": {"kind": "observed"}})["film"].sample(index, 0, film).moments.tolist()
    axes = rotation_from_axis_angle(torch.tensor([0.0, 0.0, 0.1]))[:, :2].T.flatten()
    with torch.no_grad():
        scene.poses.table.turns[moment, 1] = axes - torch.tensor([1.0, 0, 0, 0, 1, 0])
        scene.poses.table.shifts[moment, 0] = torch.tensor([0.0, 0.3, 0.0])
        scene.poses.table.shifts[(moment + 1) % MOMENTS] = 5.0
    changed = float(measured(scene, film, index, kind="pose-change", shift=2.0))
    assert changed == pytest.approx(0.01 / len(scene.skeleton) + 2 * 0.09, rel=1e-3)


def test_steadiness_asks_the_moments_that_are_shown_and_moves_its_own_alone(scene, film):
    held = film.select("test")
    with torch.no_grad():
        scene.poses.table.shifts[held] = 7.0
    values = []
    for index in range(5):
        moment = int(build_views({"film": {"kind": "observed"}})["film"].sample(index, 0, film).moments)
        before = value(scene, film, index, kind="pose-steadiness")
        with torch.no_grad():
            scene.poses.table.shifts[moment, 0, 1] += 0.2
        found = value(scene, film, index, kind="pose-steadiness")
        scene.zero_grad()
        found.backward()
        moved = scene.poses.table.shifts.grad.abs().amax((1, 2)).nonzero()[:, 0].tolist()
        is_inner = moment not in (0, MOMENTS - 1)
        assert moved == ([moment] if is_inner else [])
        values.append(float((found - before).detach()) if is_inner else 0.0)
        with torch.no_grad():
            scene.poses.table.shifts[moment, 0, 1] -= 0.2
    # A shift of all joints by 0.2 m adds its square, whatever else they do; the arms add little.
    assert max(values) == pytest.approx(0.04, rel=0.35)


def test_an_avatar_s_objectives_say_what_they_need(scene, film):
    with pytest.raises(ConfigError, match="its appearance is a table"):
        value(scene, film, kind="feature-magnitude", of="pose")
    plain = GaussianScene.begin({"kind": "gaussians", "count": 3}, Seed(), torch.Generator().manual_seed(0))
    for kind in ("surface-offset", "pose-change"):
        with pytest.raises(ConfigError, match=r"It applies to articulated, (articulated_field, )?avatar"):
            value(plain, film, kind=kind)


def test_gradients_of_many_points_are_the_same_bits_every_time(film):
    spec = {"kind": "avatar", "texels": 192}
    scene = AvatarScene.begin(spec, Seed(body=tracked(MOMENTS)), torch.Generator().manual_seed(0))
    with torch.no_grad():
        scene.appearance.offsets.normal_(0, 0.01, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = []
        for _ in range(6):
            loss = value(scene, film, kind="surface-laplacian", of="offsets")
            found.append(torch.autograd.grad(loss, scene.appearance.offsets, retain_graph=True)[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(each, found[0]) for each in found)
