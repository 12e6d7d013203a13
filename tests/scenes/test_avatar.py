"""Avatars: where texels lie and go, what is learnt of them, and what of it a pose may change."""

import copy
from dataclasses import replace

import pytest
import torch
from rigged_body import skeleton, waving
from small_avatar import figure, filmed, tracked, wobbled

from a4d.errors import ConfigError
from a4d.geometry.bodies.tracked_body import in_shape
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.open_body import open_body
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.render.footprint import pixel_sizes
from a4d.runtime import Runtime
from a4d.scenes import begin_from, load_scene
from a4d.scenes.avatar.scene import AvatarScene
from a4d.scenes.avatar.surface import SurfacePoints, visible_texels, with_own_texture
from a4d.scenes.protocols import Moving, Posable, Posed, Splatting, SurfaceBound
from a4d.scenes.seed import Seed
from a4d.views import build_views

MOMENTS = 8
TABLE = {"offsets": 1e-3, "log_scales": 1e-2, "colours": 4e-2}
SMALL_DECODER = {"kind": "decoder", "resolution": 16, "channels": 8, "smoothing": 1, "width": 16}
GUESSED_WRONG = {"LeftArm": 1, "RightForeArm": -1, "Head": 1}
SMALL_BRANCH = {"resolution": 32, "channels": 4, "width": 2}


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def begun(body=None, **spec):
    body = tracked(MOMENTS) if body is None else body
    return AvatarScene.begin({"kind": "avatar", "texels": 64, **spec}, Seed(body=body), draws())


def fit(scene, frames, folder, rates, iterations, objectives=(), sparse=()):
    views = build_views({"film": {"kind": "observed", "background": "random"}})
    pictures = [{"kind": "photometric", "views": "film", "ssim": 0}, {"kind": "mask", "views": "film", "norm": "l2"}]
    problem = Problem(scene, views, build_objectives([*pictures, *objectives]), frames)
    scene.see_pixels(float(pixel_sizes(frames.cameras[0])))
    loop = LoopConfig(iterations=iterations, optimiser={"rates": rates, "sparse": list(sparse)})
    return optimise(problem, loop, folder, Runtime())


def shown(scene, frames, index, background=1.0):
    with torch.no_grad():
        return scene.render(frames.cameras[index], frames.times[index : index + 1], torch.full((3,), background)).rgb[0]


def error(scene, frames, indices):
    """Mean square inside of the figure."""
    found = [(shown(scene, frames, at) - frames.rgba[at][..., :3])[frames.rgba[at][..., 3] > 0.99] for at in indices]
    return float(torch.cat(found).square().mean())


@pytest.fixture(scope="module")
def film():
    return filmed(tracked(MOMENTS), 64)


@pytest.fixture(scope="module")
def fitted(film, tmp_path_factory):
    scene = begun()
    fit(scene, film, tmp_path_factory.mktemp("fit"), TABLE, 120)
    return scene


def test_an_avatar_is_what_its_protocols_say():
    scene = begun()
    assert all(isinstance(scene, protocol) for protocol in (Moving, Splatting, Posable, Posed, SurfaceBound))
    assert scene.is_moving
    assert scene.seconds == pytest.approx(1.0)
    assert len(scene.gaussians()) == len(scene.points) > 500
    with pytest.raises(ConfigError, match="begins from a body"):
        AvatarScene.begin({"kind": "avatar"}, Seed(), draws())


def test_texels_lie_on_the_skin_of_the_open_body_and_not_in_its_mouth():
    body = in_shape(open_body())
    texels = visible_texels(body, 96)
    points = SurfacePoints(body, texels)
    corners = body.rest()[0][body.faces[texels.faces]]
    assert torch.allclose(points.positions, (corners * texels.barycentric[..., None]).sum(1), atol=1e-6)
    assert torch.allclose(points.weights.sum(1), torch.ones(len(points)), atol=1e-5)
    # The tongue lies between the teeth, 2 cm behind the lips and more; eyes are balls of 2.5 cm.
    joints = dict(zip(body.names, body.rest()[1], strict=True))
    for eye in ("eye.L", "eye.R"):
        assert not ((points.positions - joints[eye]).norm(dim=1) < 0.008).any()
    assert 0.9 < len(points) / len(texels.places) <= 1
    assert 4000 < len(points) < 6500


def test_a_spacing_is_the_distance_to_the_next_texel():
    scene = begun()
    positions = scene.points.positions
    nearest = (positions[scene.neighbours()[:, 0]] - positions).norm(dim=1)
    assert float((nearest / scene.points.spacing).median()) == pytest.approx(1, abs=0.1)


def test_texels_of_a_bent_elbow_stay_on_the_posed_surface_where_nearest_vertices_would_not():
    body = in_shape(open_body())
    rotations = torch.eye(3).repeat(len(body.names), 1, 1)
    for side, sign in (("L", -1.0), ("R", 1.0)):
        rotations[body.names.index(f"lowerarm01.{side}")] = rotation_from_axis_angle(
            torch.tensor([0.0, sign * torch.pi / 2, 0.0])
        )
    posed = body.posed(rotations)
    points = SurfacePoints(body, visible_texels(body, 160))
    faces, weights = points.texels.faces, points.texels.barycentric
    exact = (posed.vertices[body.faces[faces]] * weights[..., None]).sum(1)
    near = torch.zeros(len(points), dtype=torch.bool)
    for side in "LR":
        near |= (points.positions - body.rest()[1][body.names.index(f"lowerarm01.{side}")]).norm(dim=1) < 0.1
    off = (points.posed(posed.transforms) - exact).norm(dim=1)[near]
    assert float(off.mean()) < 5e-4
    nearest = body.faces[faces][torch.arange(len(faces)), weights.argmax(1)]
    bound = linear_blend_skinning(points.positions, body.weights[nearest], posed.transforms)
    assert float((bound - exact).norm(dim=1)[near].mean()) > 5e-4


def test_a_body_without_texture_or_with_parts_on_one_another_gets_an_atlas():
    body = figure()
    folded = replace(body, uvs=body.uvs * 0 + body.uvs[:1])
    for given in (replace(body, uvs=None), folded):
        own = with_own_texture(given)
        assert own.uvs.shape == (len(body.faces), 3, 2)
        assert len(visible_texels(own, 40).places) > 500
    assert with_own_texture(body) is body


def test_pictures_are_learnt_also_of_moments_that_are_held_out(fitted, film):
    held, train = film.select("test"), film.select("train")
    grey = error(begun(), film, held)
    assert error(fitted, film, train) < grey / 20
    assert error(fitted, film, held) < grey / 15


def test_what_no_frame_shows_has_the_colour_of_the_nearest_that_was_seen(fitted):
    unknown = ~fitted.visibility.is_known
    assert 0.2 < float(unknown.float().mean()) < 0.7
    behind = fitted.points.normals[:, 2] < -0.9
    assert float(unknown[behind].float().mean()) > 0.95
    with torch.no_grad():
        filled = fitted.attributes().colours[unknown]
    assert (fitted.appearance.colours.detach()[behind] == 0.5).all()
    assert float((filled - 0.5).abs().mean()) > 0.15


def test_poses_of_frames_that_are_not_seen_stay_and_the_others_come_nearer_to_the_truth(film, tmp_path):
    truth, guess = tracked(MOMENTS), tracked(MOMENTS)
    for joint, sign in GUESSED_WRONG.items():
        guess = wobbled(guess, joint, 2, 0.25 * sign)
    scene = begun(guess)
    keep = {"kind": "pose-change", "views": "film", "weight": 1e-3}
    steady = {"kind": "pose-steadiness", "views": "film", "weight": 0.1}
    rates = {**TABLE, "turns": 1e-2, "shifts": 2e-3}
    fit(scene, film, tmp_path, rates, 180, (keep, steady), ("turns", "shifts"))
    train, held = film.select("train"), film.select("test")
    moved = scene.poses.table.turns.detach().abs().amax((1, 2))
    assert (moved[held] == 0).all()
    assert (moved[train] > 1e-3).all()
    found, before, known = (each.at(train).animated.rotations for each in (scene.fitted(), guess, truth))
    joints = [truth.animated.body.names.index(name) for name in GUESSED_WRONG]

    def angle(rotations):
        """Radians in the plane of the picture; a single camera hardly tells the others."""
        off = (rotations @ known.transpose(-1, -2))[:, joints]
        return float(torch.atan2(off[..., 1, 0], off[..., 0, 0]).abs().mean())

    assert angle(before) == pytest.approx(0.25, abs=1e-3)
    assert angle(found) < 0.5 * angle(before)


def test_a_branch_begins_without_effect_and_reads_the_pose_alone(fitted, film):
    over = {"branch": SMALL_BRANCH}
    scene = begin_from(fitted, over, draws())
    assert torch.allclose(shown(scene, film, 2), shown(fitted, film, 2), atol=1e-6)
    assert {"pose_encoder", "responses"} <= scene.groups().keys()
    for time in film.times.tolist():
        scene.attributes(time)
    with torch.no_grad():
        for parameter in scene.branch.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws(1)))
    changed = (shown(scene, film, 3) - shown(fitted, film, 3)).abs().max()
    assert float(changed) > 0.02
    # The same pose at two times, and the whole turned and moved.
    body = tracked(3)
    rotations = body.animated.rotations[:1].repeat(3, 1, 1, 1)
    rotations[2, 0] = rotation_from_axis_angle(torch.tensor([0.3, 1.0, -0.2]))
    translation = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.4, -0.3, 0.2]])
    same = scene.changed(
        scene.config, replace(body, animated=replace(body.animated, rotations=rotations, translation=translation))
    )
    with torch.no_grad():
        first, second, moved = (same.attributes(time) for time in (0.0, 0.5, 1.0))
    for other in (second, moved):
        assert torch.equal(first.colours, other.colours)
        assert torch.equal(first.offsets, other.offsets)


def test_a_branch_learns_what_no_table_can(film, fitted, tmp_path):
    # The figure grows darker as its arms rise.
    shade = 1 - 0.6 * (torch.pi * film.times).sin()
    dimmed = replace(
        film, rgba=[torch.cat([i[..., :3] * s, i[..., 3:]], -1) for i, s in zip(film.rgba, shade, strict=True)]
    )
    scene = begin_from(fitted, {"branch": SMALL_BRANCH}, draws())
    before = error(scene, dimmed, film.select("test"))
    fit(scene, dimmed, tmp_path, {"pose_encoder": 5e-3, "responses": 1e-2}, 120)
    assert error(scene, dimmed, film.select("test")) < before / 4
    assert torch.equal(scene.appearance.colours, fitted.appearance.colours)


def test_a_decoder_is_asked_once_per_step_and_never_once_it_is_saved(film, tmp_path, monkeypatch):
    scene = begun(appearance=SMALL_DECODER)
    calls = []
    decode = type(scene.appearance).forward
    monkeypatch.setattr(
        type(scene.appearance), "forward", lambda self, pose=None: calls.append(1) or decode(self, pose)
    )
    regularised = [
        {"kind": "surface-offset", "views": "film"},
        {"kind": "feature-magnitude", "views": "film", "of": "appearance"},
    ]
    fit(scene, film, tmp_path / "run", {"decoder": 3e-3, "features": 5e-4}, 10, regularised)
    # Ten steps, a preview before and one for all that is looked at after them.
    assert len(calls) == 12
    (tmp_path / "scene").mkdir()
    scene.save(tmp_path / "scene")
    image = shown(scene, film, 3)
    calls.clear()
    loaded = load_scene(tmp_path / "scene")
    assert torch.allclose(shown(loaded, film, 3), image, atol=1e-6)
    driven = loaded.with_motion(waving(skeleton()))
    assert len(driven.gaussians(0.5)) == len(scene.points)
    assert calls == []
    # It goes on learning from where it was.
    fit(loaded, film, tmp_path / "on", {"decoder": 3e-3}, 1)
    assert len(calls) > 0
    assert not torch.equal(loaded.appearance.joined.weight, scene.appearance.joined.weight)


def test_what_is_saved_comes_back_with_its_poses(fitted, film, tmp_path):
    scene = copy.deepcopy(fitted)
    with torch.no_grad():
        scene.poses.table.turns.add_(0.05)
    scene.save(tmp_path)
    loaded = load_scene(tmp_path)
    assert torch.allclose(shown(loaded, film, 1), shown(scene, film, 1), atol=1e-5)
    assert torch.allclose(loaded.tracked.animated.rotations, scene.fitted().animated.rotations, atol=1e-6)
    assert loaded.fitted().animated.body.names == scene.body.names


def test_between_moments_it_moves_steadily_and_at_one_exactly():
    scene = begun()
    with torch.no_grad():
        here, there, between = (scene.joints([time])[0] for time in (2 / 7, 3 / 7, 2.5 / 7))
    assert torch.allclose(between, (here + there) / 2, atol=0.01)
    rows = scene.poses.table.turns
    scene.joints([float(torch.tensor(2 / 7))]).sum().backward()
    assert rows.grad.abs().amax((1, 2)).nonzero()[:, 0].tolist() in ([2], [])


def test_another_motion_drives_it():
    motion = waving(skeleton())
    scene = begun().with_motion(motion)
    assert scene.seconds == pytest.approx(4 / 30)
    left = [scene.skeleton.names.index(name) for name in ("LeftArm", "LeftForeArm")]
    at = [joint / 4 for joint in range(5)]
    with torch.no_grad():
        limb = scene.joints(at)[:, left].diff(dim=1)[:, 0]
    theirs = [motion.skeleton.names.index(name) for name in ("LeftArm", "LeftForeArm")]
    expected = motion.positions[:, theirs].diff(dim=1)[:, 0].float()
    cosine = torch.nn.functional.cosine_similarity(limb, expected)
    assert float(cosine.min()) > 0.99


def test_an_avatar_keeps_its_texels():
    with pytest.raises(ConfigError, match="keeps its texels"):
        begin_from(begun(), {"texels": 30}, draws())
