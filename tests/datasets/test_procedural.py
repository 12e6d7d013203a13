"""Procedural clips: geometry against implicit functions, conventions, captions; each follows from seed and index."""

import itertools

import numpy as np
import pytest
import torch

from a4d.datasets.procedural.clips import LIGHT, Scene, Stage, camera_rows, procedural_scene
from a4d.datasets.procedural.creatures import HEAD, LEFT_ARM, RIGHT_ARM, random_creature
from a4d.datasets.procedural.motions import world_from_parts
from a4d.datasets.procedural.vocabulary import COLOURS, FAMILIES, MOTIONS, SILENT, words
from a4d.geometry.cameras import orbit, turntable
from a4d.render.kernels.primitives import BALL, BOX, CAPSULE, CONE, CYLINDER, PLAIN, draw_primitives

EXTENT = 1.4

INSIDE = {
    BALL: lambda x, y, z: x**2 + y**2 + z**2 <= 1,
    BOX: lambda x, y, z: np.maximum(np.maximum(abs(x), abs(y)), abs(z)) <= 1,
    CYLINDER: lambda x, y, z: (x**2 + z**2 <= 1) & (abs(y) <= 1),
    CONE: lambda x, y, z: (x**2 + z**2 <= ((1 - y) / 2) ** 2) & (abs(y) <= 1),
    CAPSULE: lambda x, y, z: x**2 + np.maximum(abs(y) - EXTENT, 0) ** 2 + z**2 <= 1,
}


def drawn(shapes, matrices, looks, cameras, samples=1):
    """(V, H, W, 4) of primitives whose own frames go to the world by matrices (N, 4, 4)."""
    local = np.linalg.inv(np.asarray(matrices))[None, :, :3].reshape(1, len(shapes), 12)
    rgba = np.empty((len(cameras), 1, cameras.height, cameras.width, 4), np.float32)
    kinds, nothing = np.array(shapes), np.empty((0,) * 5, np.float32)
    local = np.ascontiguousarray(local)
    draw_primitives(kinds, local, np.asarray(looks, float), camera_rows(cameras), LIGHT, samples, rgba, nothing)
    return rgba[:, 0]


def look(colour, pattern=PLAIN, frequency=2.0):
    return [*colour, 0.1, 0.1, 0.1, pattern, frequency, EXTENT]


@pytest.mark.parametrize("shape", INSIDE)
def test_a_primitive_covers_the_pixels_whose_rays_its_implicit_function_says(shape):
    random = np.random.default_rng(shape)
    matrix = np.eye(4)
    matrix[:3, :3] = 0.25 * np.eye(3) + random.uniform(-0.12, 0.12, (3, 3))
    matrix[:3, 3] = random.uniform(-0.3, 0.3, 3)
    cameras = orbit(torch.tensor([20.0, 200.0]), torch.tensor([35.0, -50.0]), 3.0, 40.0, 48, 48)
    alpha = drawn([shape], [matrix], [look((1, 0, 0))], cameras)[..., 3] > 0
    origins, directions = (part.double().numpy() for part in cameras.rays())
    depths = np.linspace(2.2, 3.8, 600)
    points = origins[..., None, :] + directions[..., None, :] * depths[:, None]
    local = (points - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    expected = INSIDE[shape](*np.moveaxis(local, -1, 0)).any(-1)
    assert expected.mean() > 0.02
    # Rays that graze the surface may pass between two of the samples.
    assert (alpha != expected).mean() < 0.002


def test_the_nearer_primitive_is_seen_and_lit_from_the_light():
    far, near = np.diag([0.5, 0.5, 0.5, 1.0]), np.diag([0.2, 0.2, 0.2, 1.0])
    near[2, 3] = 1.0
    cameras = turntable(4, 0.0, 3.6, 35.0, 33)
    image = drawn([BALL, BALL], [far, near], [look((1, 0, 0)), look((0, 1, 0))], cameras)
    front, back = image[0, 16, 16], image[2, 16, 16]
    assert front[1] > 0.3 > front[0]
    assert back[0] > 0.3 > back[1]
    ball = drawn([BALL], [far], [look((1, 0, 0))], cameras)[0]
    assert ball[12, 16, 0] > ball[20, 16, 0] + 0.05


def test_alpha_is_the_covered_share_of_a_pixel():
    radius, distance, size = 0.6, 3.6, 64
    cameras = turntable(1, 0.0, distance, 35.0, size)
    alpha = drawn([BALL], [np.diag([radius, radius, radius, 1.0])], [look((1, 1, 1))], cameras, samples=4)[0, ..., 3]
    outline = float(cameras.intrinsics[0, 0]) * np.tan(np.arcsin(radius / distance))
    assert alpha.sum() == pytest.approx(np.pi * outline**2, rel=2e-3)
    assert 0 < alpha[alpha < 1].max() < 1


def rendered(scene, frames=8):
    return scene.render(np.arange(frames) / frames, Stage().samples)


def test_a_clip_is_a_pure_function_of_seed_and_index():
    late, early, again, other = (procedural_scene(*place, Stage()) for place in ((7, 5), (7, 2), (7, 5), (8, 5)))
    pictures = rendered(late)
    assert torch.equal(pictures, rendered(again))
    assert (late.caption, late.motion) == (again.caption, again.motion)
    assert not torch.equal(pictures, rendered(early))
    assert not torch.equal(pictures, rendered(other))
    assert pictures.shape == (4, 8, 64, 64, 4)
    assert pictures.dtype == torch.float32
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_views_and_frames_are_as_many_as_asked_for():
    scene = procedural_scene(1, 1, Stage(views=3, size=32))
    assert rendered(scene, 10).shape == (3, 10, 32, 32, 4)
    assert len(scene.cameras) == 3


def test_the_first_camera_stands_before_the_face():
    """Azimuth 0 is at +Z and grows toward +X; a creature's right hand is at -X, left in the picture of its front."""
    scene = procedural_scene(0, 0, Stage(), ("wave",))
    positions = torch.nn.functional.normalize(scene.cameras.positions, dim=1)
    assert positions[0, 2] > 0.95
    assert positions[1, 0] > 0.95
    random = np.random.default_rng(0)
    for creature in (random_creature(random) for _ in range(30)):
        eyes = [part for part in creature.parts if part.colour is None]
        assert all(part.centre[2] > 0 for part in eyes)
        assert sum(part.role == HEAD for part in eyes) == 2
        for part in creature.parts:
            if part.role in (RIGHT_ARM, LEFT_ARM):
                assert (part.centre[0] < 0) == (part.role == RIGHT_ARM)


@pytest.mark.parametrize("family", FAMILIES)
def test_waving_lifts_the_right_hand_alone(family):
    creature = next(c for i in range(50) if (c := random_creature(np.random.default_rng(i))).family == family)
    moved = world_from_parts(creature, "wave", np.array([0.0, 0.5]))
    lifted = moved[1, :, 1, 3] - moved[0, :, 1, 3]
    right = np.array([part.role == RIGHT_ARM for part in creature.parts])
    assert (lifted[right] > 0.05).all()
    assert abs(lifted[~right]).max() < 1e-12


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_starts_at_rest_closes_and_stays_in_the_picture(motion):
    for index in range(6):
        scene = procedural_scene(3, index, Stage(size=32), (motion,))
        moved = world_from_parts(scene.creature, motion, np.array([0.0, 1.0]), scene.strength)
        np.testing.assert_allclose(moved[0], scene.creature.rest(), atol=1e-12)
        np.testing.assert_allclose(moved[1], scene.creature.rest(), atol=1e-9)
        alpha = scene.render(np.arange(8) / 8)[..., 3]
        edge = torch.cat([alpha[..., 0, :], alpha[..., -1, :], alpha[..., 0], alpha[..., -1]], dim=-1)
        assert float(edge.max()) == 0
        assert float((alpha[:, 1:] - alpha[:, :1]).abs().amax((2, 3)).mean()) > 0.2


def test_motions_differ_from_each_other():
    scene = procedural_scene(3, 1, Stage(size=32))
    clips = {
        motion: Scene(scene.creature, motion, 1.0, scene.cameras, "").render(np.arange(8) / 8) for motion in MOTIONS
    }
    for a, b in itertools.combinations(clips, 2):
        assert float((clips[a] - clips[b]).abs().mean()) > 1e-3, (a, b)


@pytest.mark.parametrize("motion", ["jump", "wave", "spin"])
def test_flow_finds_the_colours_of_a_moved_image_in_the_images_at_rest(motion):
    """Where a point is seen at rest, the picture there has its colour, but for the light."""
    scene = procedural_scene(3, 2, Stage(size=96), (motion,))
    rgba, flow = scene.render_with_flow(np.array([0.0, 0.25, 0.4]))
    rgb = rgba[..., :3] / rgba[..., :3].amax(-1, keepdim=True).clamp_min(0.05)
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    errors = []
    for view, time, turn in itertools.product(range(4), range(2), range(4)):
        way = flow.way[view, time, turn]
        place = torch.stack([x + way[0], y + way[1]], dim=-1) / 48 - 1
        source = rgb[(view + turn) % 4, 0].permute(2, 0, 1)[None]
        found = torch.nn.functional.grid_sample(source, place[None], align_corners=False)[0].permute(1, 2, 0)
        error = (found - rgb[view, time + 1]).abs().amax(-1)
        inside = rgba[view, time + 1, ..., 3] == 1
        seen = flow.visible[view, time, turn]
        errors.append(error[inside & seen])
    assert len(torch.cat(errors)) > 1000
    assert torch.cat(errors).median() < 0.05
    assert torch.cat(errors).mean() < 0.1


def test_after_half_a_turn_the_front_shows_what_was_behind():
    for motion, front, behind in (("spin", 0.3, 0.8), ("jump", 0.8, 0.3)):
        rgba, flow = procedural_scene(3, 2, Stage(), (motion,)).render_with_flow(np.array([0.0, 0.5]))
        inside = rgba[:, 1:, ..., 3] > 0
        own, opposite = (float(flow.visible[:, :, turn][inside].float().mean()) for turn in (0, 2))
        assert own < front if motion == "spin" else own > front
        assert opposite > behind if motion == "spin" else opposite < behind


def test_a_full_turn_shows_every_side():
    """After a quarter of a spin the front shows what the camera a quarter turn before it saw, but for the light."""
    scene = procedural_scene(5, 4, Stage(samples=1), ("spin",))
    alpha = scene.render(np.array([0.0, 0.25]))[..., 3]
    torch.testing.assert_close(alpha[:, 1], alpha[:, 0].roll(1, 0))


def test_captions_name_the_motion_and_true_colours():
    seen = set()
    for index in range(150):
        scene = procedural_scene(11, index, Stage(size=8))
        assert any(phrase in scene.caption for phrase in MOTIONS[scene.motion]), scene.caption
        named = {word for word in scene.caption.split() if word in COLOURS}
        assert named <= set(scene.creature.colours.values())
        assert set(scene.caption.split()) <= {*words(), *SILENT}
        seen |= set(scene.caption.split())
    assert len(seen) > 60
    still = [procedural_scene(11, index, Stage(size=8), ("",)) for index in range(40)]
    assert not any(word in each.caption.split() for each in still for word in ("is", "jumping"))
    mentions = [each.creature.colours["body"] in each.caption.split() for each in still]
    assert any(mentions)
    assert not all(mentions)
