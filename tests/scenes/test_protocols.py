"""What the kinds of scenes are beside what all of them are."""

import pytest
import torch
from painting import Painting
from small_avatar import tracked

from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.geometry.primitives import icosphere
from a4d.scenes import scene_class
from a4d.scenes.extraction import extent, render_surface
from a4d.scenes.protocols import (
    AssetOptions,
    Baking,
    Coloured,
    Deforming,
    Meshed,
    Moving,
    Splatting,
    has_mesh,
    is_moving,
)
from a4d.scenes.seed import Seed

FORMS = (Moving, Splatting, Meshed, Coloured, Baking, Deforming)

GRID = {"levels": 2, "table": 256}

KINDS = {
    "gaussians": ({"count": 50}, {Splatting}),
    "gaussian_motion": ({"count": 50, "motion": {"kind": "nodes", "nodes": 4}}, set(FORMS) - {Coloured}),
    "articulated_field": ({"bones": 4, "occupancy": {"resolution": 8}}, {Moving, Meshed, Coloured}),
    "field": ({"encoding": GRID}, {Moving, Meshed, Coloured}),
    "avatar": ({"texels": 24}, {Moving, Splatting, Meshed}),
    "tetmesh": (
        {"surface": {"resolution": 8}, "material": {"encoding": GRID}},
        {Meshed, Baking},
    ),
}


def begun(kind, seed=None):
    seed = Seed(mesh=icosphere(0.5, 1), body=tracked(2)) if seed is None else seed
    draws = torch.Generator().manual_seed(0)
    return scene_class(kind).begin({"kind": kind, **KINDS[kind][0]}, seed, draws)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_protocols_of_what_it_is_and_no_other(kind):
    scene = begun(kind)
    assert {form for form in FORMS if isinstance(scene, form)} == KINDS[kind][1]
    assert is_moving(scene) == (kind in ("articulated_field", "avatar", "gaussian_motion"))
    assert has_mesh(scene) == (kind != "gaussians")


def test_moving_gaussians_without_a_surface_say_that_they_have_no_mesh():
    scene = begun("gaussian_motion", Seed(gaussians=begun("gaussians").gaussians()))
    assert not has_mesh(scene)
    for ask in (scene.mesh, lambda: scene.asset(AssetOptions())):
        with pytest.raises(ConfigError, match="has no mesh"):
            ask()


def test_the_depth_of_gaussians_is_that_of_their_first_surface_and_of_others_as_rendered():
    cameras = turntable(1, 0.0, 3.0, 30.0, 32)
    ball, picture = begun("gaussians"), Painting(32)
    with torch.no_grad():
        first, mean = render_surface(ball, cameras).depth, ball.render(cameras).depth
        assert float(first[0, 16, 16, 0]) == pytest.approx(2.5, abs=0.15) != pytest.approx(float(mean[0, 16, 16, 0]))
        assert torch.equal(render_surface(picture, cameras).rgb, picture.render(cameras).rgb)
    assert (extent(picture), extent(ball)) == (1.0, pytest.approx(0.75, abs=0.3))
