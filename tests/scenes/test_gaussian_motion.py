from pathlib import Path

import numpy as np
import pytest
import torch
from bending import bending_bar
from rich.console import Console

from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import turntable
from a4d.geometry.deformation.node_graph import node_graph
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere, paint
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes import load_scene
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.gaussians.scene import GaussianScene
from a4d.scenes.protocols import AssetOptions
from a4d.scenes.seed import Seed
from a4d.views import build_views

HEXPLANE = {"kind": "hexplane", "planes": {"features": 4, "resolutions": [[8, 8, 8, 4], [16, 16, 16, 8]]}, "width": 8}
PERIODIC = {"kind": "nodes", "nodes": 12, "keys": 5, "interpolation": "cubic", "periodic": True}
MOTIONS = [{"kind": "nodes", "nodes": 12, "keys": 5}, HEXPLANE]


def begin(motion: dict, asset: Asset | None = None, **spec: object) -> GaussianMotionScene:
    asset = static_asset("ball", primitive_from_mesh(paint(icosphere(0.5, 2)))) if asset is None else asset
    values = {"kind": "gaussian_motion", "count": 200, "motion": motion, **spec}
    return GaussianMotionScene.begin(values, Seed(asset=asset), generator(0, "begin"))


def stirred(scene: GaussianMotionScene) -> GaussianMotionScene:
    """A motion by chance."""
    draws, size = torch.Generator().manual_seed(1), 0.1 if scene.config.motion.kind == "nodes" else 0.4
    with torch.no_grad():
        for parameters in scene.motion.parameters_of().values():
            for parameter in parameters:
                parameter += size * torch.randn(parameter.shape, generator=draws)
    return scene


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
@torch.no_grad()
def test_nothing_moves_at_first_and_never_at_time_0(motion: dict) -> None:
    scene = begin(motion)
    for time in (0.0, 0.3, 1.0):
        torch.testing.assert_close(scene.gaussians(time).means, scene.rest.means, atol=1e-6, rtol=0)
        torch.testing.assert_close(scene.mesh(time).vertices, scene.vertices, atol=1e-6, rtol=0)
    stirred(scene)
    assert torch.equal(scene.gaussians(0.0).means, scene.rest.means)
    assert torch.equal(scene.mesh(0.0).vertices, scene.vertices)
    assert float((scene.mesh(0.6).vertices - scene.vertices).norm(dim=-1).max()) > 0.01


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
@torch.no_grad()
def test_any_points_near_the_shape_go_where_its_own_would(motion: dict) -> None:
    scene, times = stirred(begin(motion)), [0.0, 0.4, 1.0]
    own = scene.moved_points("vertices", times)
    torch.testing.assert_close(scene.carried_points(scene.vertices, times), own, atol=1e-6, rtol=0)
    between = scene.vertices[scene.surface.mesh.faces].mean(1)
    assert torch.equal(scene.carried_points(between, times)[0], between)


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
@torch.no_grad()
def test_the_motion_begins_at_rest_without_a_jump(motion: dict) -> None:
    scene = stirred(begin(motion))
    step = [float((scene.mesh(time).vertices - scene.vertices).norm(dim=-1).max()) for time in (1e-4, 1e-3)]
    assert step[0] < 0.2 * step[1] < 0.1


@torch.no_grad()
def test_a_periodic_motion_returns_to_rest_and_its_speed_never_jumps() -> None:
    scene = stirred(begin(PERIODIC))
    assert len(scene.motion.shifts) == PERIODIC["keys"] - 2
    assert torch.equal(scene.mesh(1.0).vertices, scene.vertices)
    step = 1e-3
    for time in (0.0, 0.25, 0.5, 0.75):
        before, here, after = (scene.mesh((time + offset) % 1).vertices for offset in (-step, 0.0, step))
        speed = (after - before).norm(dim=-1).max()
        assert float((after - 2 * here + before).norm(dim=-1).max()) < 0.05 * float(speed)


@torch.no_grad()
def test_a_whole_turn_goes_on_to_its_end_where_the_quaternion_has_changed_its_sign() -> None:
    scene = begin({**PERIODIC, "keys": 9})
    half = torch.arange(1, 8) * (torch.pi / 8)
    turn = torch.stack([half.cos(), 0 * half, half.sin(), 0 * half], dim=1)
    # Nodes turn about themselves; a turn about the axis shifts them as well.
    for key in range(len(half)):
        about = rotation_from_quaternion(turn[key])
        scene.motion.turns[key].copy_(turn[key] - torch.tensor([1.0, 0, 0, 0]))
        scene.motion.shifts[key].copy_(scene.motion.nodes @ about.T - scene.motion.nodes)
        torch.testing.assert_close(scene.mesh((key + 1) / 8).vertices, scene.vertices @ about.T, atol=1e-5, rtol=0)
    angle = torch.tensor(2 * torch.pi * 7.5 / 8)
    turned = (
        scene.vertices
        @ rotation_from_quaternion(
            torch.stack([(angle / 2).cos(), torch.zeros(()), (angle / 2).sin(), torch.zeros(())])
        ).T
    )
    assert float((scene.mesh(7.5 / 8).vertices - turned).norm(dim=-1).max()) < 0.05


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
def test_gradients_are_those_of_finite_differences(motion: dict) -> None:
    scene = stirred(begin(motion))
    target = torch.randn(len(scene.vertices), 3, generator=torch.Generator().manual_seed(2))

    def value() -> torch.Tensor:
        moment = scene.gaussians(0.37)
        vertices = scene.moved_points("vertices", [0.37, 0.8]).double()
        return (vertices * target).sum() + (moment.quaternions.double() * 0.3).sum()

    value().backward()
    for name, parameters in scene.motion.parameters_of().items():
        parameter = max((each for each in parameters if each.grad is not None), key=lambda each: each.grad.abs().max())
        direction = parameter.grad / parameter.grad.norm()
        with torch.no_grad():
            parameter += 1e-3 * direction
            above = float(value())
            parameter -= 2e-3 * direction
            below = float(value())
            parameter += 1e-3 * direction
        assert (above - below) / 2e-3 == pytest.approx(float(parameter.grad.norm()), rel=0.03), name


@torch.no_grad()
def test_a_hexplane_turns_and_shifts_the_whole_rigidly() -> None:
    scene = begin(HEXPLANE)
    for head in scene.motion.global_heads.values():
        head[2].weight += 20.0
    moved, rest = scene.mesh(0.7).vertices, scene.vertices
    assert float((moved - rest).norm(dim=-1).max()) > 0.05
    torch.testing.assert_close(torch.cdist(moved, moved), torch.cdist(rest, rest), atol=2e-3, rtol=0)


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
@torch.no_grad()
def test_a_moment_not_seen_before_starts_from_the_latest_one(motion: dict) -> None:
    scene = stirred(begin({**motion, "momentum": 0.0}))
    scene.motion.carry(0.5)
    before = scene.mesh(0.5).vertices
    scene.motion.carry(1.0)
    torch.testing.assert_close(scene.mesh(0.5).vertices, before)
    torch.testing.assert_close(scene.mesh(1.0).vertices, before, atol=2e-2, rtol=0)


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
@torch.no_grad()
def test_a_scene_is_read_back_as_it_was_written(motion: dict, tmp_path: Path) -> None:
    scene = stirred(begin(motion))
    scene.save(tmp_path)
    back = load_scene(tmp_path)
    cameras = bending_bar(frames=2, size=16).cameras
    times = torch.tensor([0.0, 0.9, 0.4, 0.4])
    with torch.no_grad():
        assert torch.equal(back.render(cameras, times).rgb, scene.render(cameras, times).rgb)
    assert torch.equal(back.mesh(0.4).vertices, scene.mesh(0.4).vertices)


def test_frames_of_a_batch_are_rendered_each_at_its_time() -> None:
    scene, cameras = stirred(begin(MOTIONS[0])), bending_bar(frames=2, size=24).cameras
    times, background = torch.tensor([0.9, 0.2, 0.9, 0.0]), torch.rand(4, 3)
    with torch.no_grad():
        together = scene.render(cameras, times, background)
        for index in range(4):
            alone = scene.render(cameras[index], times[index : index + 1], background[index])
            assert torch.equal(together.rgb[index], alone.rgb[0])
            assert torch.equal(together.depth[index], alone.depth[0])


@torch.no_grad()
def test_parts_that_touch_move_on_their_own_as_nodes_follow_the_surface() -> None:
    left, right = box((0.1, 1.0, 0.1)), box((0.1, 1.0, 0.1))
    top = box((0.32, 0.1, 0.1))
    shift = torch.tensor([0.06, 0.0, 0.0])
    parts = [left.vertices - shift, right.vertices + shift, top.vertices + torch.tensor([0.0, 0.55, 0.0])]
    faces = torch.cat([left.faces, right.faces + len(parts[0]), top.faces + len(parts[0]) + len(parts[1])])
    scene = begin(
        {"kind": "nodes", "nodes": 40, "keys": 2},
        static_asset("legs", primitive_from_mesh(Mesh(torch.cat(parts), faces))),
    )
    foot = scene.motion.nodes[:, 1] < -0.2
    is_left = scene.motion.nodes[:, 0] < 0
    with torch.no_grad():
        scene.motion.shifts[0][foot & is_left] = torch.tensor([0.0, 0.0, 0.3])
    moved = (scene.mesh(1.0).vertices - scene.vertices).norm(dim=-1)
    ends = scene.vertices[:, 1] < -0.45
    assert float(moved[ends & (scene.vertices[:, 0] < 0)].min()) > 0.25
    assert float(moved[ends & (scene.vertices[:, 0] > 0)].max()) < 1e-4


def test_many_parts_are_linked_to_the_nearest_others() -> None:
    corner = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]])
    small = [corner + torch.tensor([1.0 * place, 0, 0]) for place in range(100)]
    large = icosphere(0.4, 2).vertices + torch.tensor([-1.0, 0, 0])
    vertices = torch.cat([*small, large])
    faces = torch.cat([torch.arange(300).view(100, 3), icosphere(0.4, 2).faces + 300])
    graph = node_graph(vertices, faces, 40)
    assert bool(np.isfinite(graph.distances).all())
    # From the last triangle back to the first the way leads over all between them, and from there to the ball.
    start = int(np.argmax(graph.places[graph.node_places][:, 0]))
    first = int(np.argmin(np.abs(graph.places).sum(1)))
    assert 98.8 < graph.distances[start][first] < 101
    assert graph.distances[start].max() > 100


@torch.no_grad()
def test_an_asset_keeps_its_surface_and_follows_the_motion_within_the_tolerance() -> None:
    scene = stirred(begin(MOTIONS[0]))
    times = tuple(torch.linspace(0, 1, 9).tolist())
    asset = scene.asset(AssetOptions("ball", times=times, seconds_per_frame=0.1))
    primitive, given = asset.meshes[0].primitives[0], scene.surface.asset.meshes[0].primitives[0]
    assert torch.equal(primitive.faces, given.faces)
    assert torch.equal(primitive.colours, given.colours)
    assert len(asset.meshes[0].morph_names) < 9
    for index, time in enumerate(times):
        posed = deform(asset, asset.clips[0], 0.1 * index)
        error = (posed.vertices - scene.mesh(time).vertices.detach()).norm(dim=-1).max()
        assert float(error) < 1.1e-3
        assert float((posed.normals * posed.mesh.vertex_normals).sum(-1).min()) > 0.9


def odd_meshes() -> dict[str, Mesh]:
    """Twelve faces; two parts and a face three times over; more vertices than distances are known between."""
    ball, cube = icosphere(0.2, 2), icosphere(0.5, 0)
    twice = torch.tensor([[0, 1, 2], [0, 1, 2]])
    parts = torch.cat([ball.faces, ball.faces + len(ball.vertices), twice])
    return {
        "few": Mesh(cube.vertices, cube.faces[:12]),
        "parts": Mesh(torch.cat([ball.vertices - 0.5, ball.vertices + 0.5]), parts),
        "many": icosphere(0.5, 6),
    }


@pytest.mark.parametrize("name", ["few", "parts", "many"])
@torch.no_grad()
def test_odd_meshes_are_carried_along(name: str) -> None:
    mesh = odd_meshes()[name]
    scene = begin({"kind": "nodes", "nodes": 60, "keys": 2}, static_asset(name, primitive_from_mesh(mesh)))
    scene.motion.shifts[0] += 0.02
    moved = scene.mesh(1.0)
    assert len(moved.faces) == len(mesh.faces)
    torch.testing.assert_close(moved.vertices, scene.vertices + 0.02, atol=1e-5, rtol=0)
    asset = scene.asset(AssetOptions(times=(0.0, 1.0)))
    torch.testing.assert_close(deform(asset, asset.clips[0], 1.0).vertices, moved.vertices, atol=1e-5, rtol=0)


@torch.no_grad()
def test_one_gaussian_stands_at_each_vertex_where_that_is_asked_for() -> None:
    scene = begin(MOTIONS[1], place="vertices")
    torch.testing.assert_close(scene.rest.means, scene.vertices)
    assert float(scene.rest.opacities.min()) > 0.999
    spacing = torch.cdist(scene.vertices, scene.vertices).fill_diagonal_(9).amin(1).mean()
    assert 0.1 * float(spacing) < float(scene.rest.scales.mean()) < float(spacing)


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
def test_a_bending_bar_is_followed_from_four_views(motion: dict, tmp_path: Path) -> None:
    bar = bending_bar()
    static = GaussianScene.begin({"kind": "gaussians", "count": 800}, Seed(asset=bar.asset), generator(0, "static"))
    planes = {"features": 8, "resolutions": [[16, 16, 16, 5], [32, 32, 32, 5]]}
    nodes = {"kind": "nodes", "nodes": 24, "keys": 5}
    motion = nodes if motion["kind"] == "nodes" else {"kind": "hexplane", "planes": planes}
    scene = GaussianMotionScene.begin(
        {"kind": "gaussian_motion", "motion": motion},
        Seed(asset=bar.asset, gaussians=static.gaussians().detach()),
        generator(0, "begin"),
    )
    steps = 150
    rates = (
        {"shifts": 1e-2, "turns": 3e-2} if motion["kind"] == "nodes" else {"grids": 2e-2, "heads": 5e-3, "global": 2e-3}
    )
    ends = {name: {"from": rate, "to": rate / 10, "delay": 100, "steps": 50} for name, rate in rates.items()}
    views = {"clip": {"kind": "moments", "chosen": 1, "turn": 25}}
    blur = {"from": 2.0, "to": 0.3, "delay": 90, "steps": 40}
    points = "nodes" if motion["kind"] == "nodes" else "gaussians"
    objectives = [
        {"kind": "photometric", "views": "clip", "ssim": 0, "blur": blur},
        {"kind": "mask", "views": "clip", "blur": blur},
        {"kind": "arap", "views": "clip", "points": points, "neighbours": 6, "nodes": 128, "weight": 0.3},
    ]
    loop = LoopConfig.model_validate({"iterations": steps, "optimiser": {"rates": ends}, "preview_seconds": 1e6})
    problem = Problem(scene, build_views(views), build_objectives(objectives), bar.frames)
    optimise(problem, loop, tmp_path, Runtime(console=Console(quiet=True)))
    truth = bar.trajectories
    with torch.no_grad():
        found = scene.moved_points("vertices", torch.linspace(0, 1, len(truth)).tolist())
    error = (found - truth).norm(dim=-1).mean() / (truth - truth[0]).norm(dim=-1).mean()
    assert float(error) < (0.25 if motion["kind"] == "nodes" else 0.35)


@pytest.mark.parametrize("motion", MOTIONS, ids=["nodes", "hexplane"])
def test_a_motion_that_does_nothing_shows_every_channel_of_the_still_scene(motion: dict) -> None:
    still = GaussianScene.begin({"kind": "gaussians", "count": 100}, Seed(), generator(0, "begin"))
    moving = GaussianMotionScene.begin_from(still, {"motion": motion}, generator(0, "begin"))
    assert moving.offers == still.offers
    cameras, wants = turntable(2, 10.0, 2.5, 40.0, 24), sorted(still.offers)
    times = torch.tensor([0.0, 0.7])
    with torch.no_grad():
        expected, found = still.render(cameras, wants=wants), moving.render(cameras, times, wants=wants)
        surface = still.render_surface(cameras).depth, moving.render_surface(cameras, times).depth
    assert set(found.channels) == set(wants)
    for name in wants:
        torch.testing.assert_close(found.channels[name], expected.channels[name], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(*surface, atol=1e-6, rtol=1e-5)
