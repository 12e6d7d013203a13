"""Gaussians that bones move: where they begin, what learns, what is kept, and where their surface is."""

from pathlib import Path

import pytest
import torch
from articulated_ball import RADIUS, articulated, two_balls

from a4d.errors import ConfigError
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.metrics import psnr
from a4d.optimisers import OptimiserConfig, adam
from a4d.render.gaussians import render_gaussians
from a4d.render.mesh import render_mesh
from a4d.scenes import load_scene
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.scenes.articulated.surface import surface_at_rest
from a4d.scenes.initialise import gaussians_on_surface
from a4d.scenes.protocols import (
    Articulated,
    Deforming,
    Featured,
    Followable,
    LearntBones,
    Meshed,
    Moving,
    Posed,
    Splatting,
    SurfaceBound,
)
from a4d.scenes.seed import Seed

CAMERAS = orbit(torch.tensor([0.0, 90.0]), torch.tensor([10.0, 10.0]), 3.0, 40.0, 48, 48)
TIMES = torch.tensor([0.1, 0.35])
FRONT = orbit(torch.linspace(-60, 60, 6), torch.zeros(6), 3.0, 25.0, 64, 64)


def test_it_is_all_that_objectives_and_exports_ask_for() -> None:
    scene = articulated()
    for protocol in (
        Articulated, LearntBones, Posed, Deforming, Followable, Featured, Meshed, Moving, Splatting, SurfaceBound,
    ):  # fmt: skip
        assert isinstance(scene, protocol), protocol


def test_at_first_nothing_moves_and_each_ball_has_a_bone() -> None:
    scene = articulated()
    assert torch.allclose(scene.gaussians(0.3).means, scene.means, atol=1e-6)
    assert torch.allclose(scene.render(CAMERAS, TIMES).rgb, scene.render(CAMERAS).rgb, atol=1e-5)
    assert torch.allclose(
        scene.bones().world_from_bone[:, :3, 3].abs().sort(0).values[:, 0], torch.tensor([0.4, 0.4]), atol=0.05
    )
    assert torch.equal(scene.skinning_weights(scene.means).argmax(1).unique(), torch.arange(2))
    with pytest.raises(ConfigError, match="begins from a shape"):
        ArticulatedGaussians.begin({"kind": "articulated"}, Seed(), torch.Generator())


@pytest.mark.parametrize("blending", ["dual-quaternion", "linear"])
@torch.no_grad()
def test_gaussians_turn_and_go_with_their_bones(blending: str) -> None:
    scene = articulated(moving=True, blending=blending)
    moved = scene.bone_transforms([0.1])[0]
    posed, sure = scene.gaussians(0.1), scene.skinning_weights(scene.means)[:, 0] > 0.999
    expected = scene.means @ moved[0, :3, :3].T + moved[0, :3, 3]
    assert int(sure.sum()) > 50
    assert torch.allclose(posed.means[sure], expected[sure], atol=2e-3)
    assert float((posed.means - scene.means).norm(dim=1).max()) > 0.1
    turned = rotation_from_quaternion(posed.quaternions[sure])
    assert torch.allclose(turned, moved[0, :3, :3] @ rotation_from_quaternion(scene.quaternions[sure]), atol=5e-3)
    # Two cycles in the clip.
    assert torch.allclose(scene.gaussians(0.6).means, posed.means, atol=1e-5)


def test_points_come_back_to_rest_and_are_carried_from_the_first_moment() -> None:
    scene = articulated(moving=True)
    with torch.no_grad():
        there = scene.warped(scene.means, [0.1, 0.7])
        assert float((scene.unwarped(there, [0.1, 0.7]) - scene.means).norm(dim=-1).mean()) < 0.02
        first = scene.warped(scene.means, [0.0])[0]
        carried = scene.carried_points(first, [0.0, 0.1])
    assert torch.allclose(carried[0], first, atol=1e-5)
    assert torch.allclose(carried[1], there[0], atol=1e-4)


def test_every_group_learns_from_a_picture() -> None:
    scene = articulated(moving=True, skinning={"width": 8}, features=4)
    target = torch.rand(2, 48, 48, 3, generator=torch.Generator().manual_seed(0))
    loss = (scene.render(scene.seen_from(CAMERAS, TIMES), TIMES).rgb - target).square().mean()
    features = scene.render_features(CAMERAS, TIMES)
    (loss + (features.channels["features"] - 1).square().mean()).backward()
    for name, parameters in scene.groups().items():
        assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in parameters), name


def painted(is_kept: bool) -> tuple[ArticulatedGaussians, float]:
    """A ball of random colours after pictures of a striped one's front, and how well it has these, in dB.

    Args:
        is_kept: after every step it is as the loop leaves it.
    """
    ball, draws = icosphere(0.5, 4), torch.Generator().manual_seed(0)
    stripes = (0.5 + 0.4 * (25 * ball.vertices).sin()).clamp(0, 1)
    truth = render_mesh(Mesh(ball.vertices, ball.faces, stripes), FRONT).rgb
    grainy = Mesh(ball.vertices, ball.faces, torch.rand(ball.vertices.shape, generator=draws))
    spec = {"kind": "articulated", "count": 1500, "bones": 2}
    scene = ArticulatedGaussians.begin(spec, Seed(mesh=grainy), draws)
    scene.hold_all_but(["colours"])
    optimisers = adam(scene.groups(), OptimiserConfig(rates={"colours": 3e-2}))
    for step in range(40):
        optimisers.zero()
        (scene.render(FRONT).rgb - truth).abs().mean().backward()
        optimisers.step()
        if is_kept:
            scene.after_step(step, optimisers, draws)
    with torch.no_grad():
        return scene, psnr(scene.render(FRONT).rgb, truth)


def test_what_no_picture_shows_follows_its_neighbours_and_the_rest_keeps_its_texture() -> None:
    (kept, quality), (free, best) = painted(True), painted(False)
    facing = (kept.means.detach() @ FRONT.positions.T).amax(1) / (0.5 * 3.0)
    is_behind, is_known = facing < -0.1, kept.visibility.is_known
    assert float(is_known[is_behind].float().mean()) < 0.02
    assert float(is_known[facing > 0.5].float().mean()) > 0.95
    rough = []
    for scene in (kept, free):
        colours = scene.attributes().colours.detach()
        rough.append(float((colours - colours[scene.neighbours()].mean(1)).square()[is_behind].mean()))
    assert rough[0] < rough[1] / 100
    assert quality > best - 0.2


def test_gaussians_stay_flat_small_and_opaque() -> None:
    scene = articulated()
    with torch.no_grad():
        scene.log_scales += 2.0
        scene.opacity_logits -= 9.0
    rates = {"log_scales": 1e-3}
    scene.after_step(0, adam(scene.groups(), OptimiserConfig(rates=rates)), torch.Generator())
    growth = (scene.log_scales.detach() - scene.start_log_scales[:, :1]).exp()
    assert float(growth[:, :2].max()) == pytest.approx(1.1, abs=1e-4)
    assert float(growth[:, 2].max()) == pytest.approx(0.3, abs=1e-4)
    assert float(scene.opacity_logits.detach().sigmoid().min()) == pytest.approx(0.73, abs=1e-4)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    scene = articulated(moving=True, skinning={"width": 8}, features=3)
    scene.see_pixels(0.02)
    scene.save(tmp_path)
    again = load_scene(tmp_path)
    assert isinstance(again, ArticulatedGaussians)
    assert torch.equal(again.gaussians(0.1).means, scene.gaussians(0.1).means)
    assert torch.equal(again.mesh(0.1).vertices, scene.mesh(0.1).vertices)
    assert torch.equal(again.mesh().colours, scene.mesh().colours)
    assert again.config == scene.config
    (tmp_path / "again").mkdir()
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / "tensors.safetensors").read_bytes() == (tmp_path / "tensors.safetensors").read_bytes()


def test_the_surface_is_where_outlines_are_not_where_centres_are() -> None:
    ball = icosphere(RADIUS, 4)
    discs = gaussians_on_surface(ball, 1500, 0.9, torch.Generator().manual_seed(0))
    mesh = surface_at_rest(discs, None, resolution=64)
    camera = orbit(torch.tensor([20.0]), torch.tensor([5.0]), 1.2, 40.0, 256, 256)
    shown = float((render_gaussians(discs, camera).alpha > 0.5).sum())
    assert float((render_mesh(mesh, camera).alpha > 0.5).sum()) == pytest.approx(shown, rel=0.015)
    assert float(mesh.vertices.norm(dim=1).mean()) > RADIUS


@torch.no_grad()
def test_the_surface_moves_with_the_bones_and_keeps_its_colours() -> None:
    scene = articulated(moving=True)
    rest, posed = scene.surface, scene.mesh(0.1)
    assert rest.is_closed
    assert torch.equal(rest.faces, posed.faces)
    right = rest.vertices[:, 0] > 0.3
    assert torch.allclose(rest.colours[right].mean(0), two_balls().colours[-1], atol=0.1)
    nearest = torch.cdist(posed.vertices, scene.gaussians(0.1).means).amin(1)
    assert float(nearest.max()) < 0.15
    assert float(nearest.mean()) < 0.1
