"""A scene that begins from a scene: a static field becomes one that moves, and leaves as a file per moment."""

from pathlib import Path

import pytest
import torch
import yaml
from blender_capture import write_blender_capture

from a4d.config import load_yaml
from a4d.errors import ConfigError
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature, paint
from a4d.io.assets.asset_reader import read_asset
from a4d.randomness import generator
from a4d.scenes import begin_from, load_scene

FIELD = {
    "kind": "field",
    "encoding": {"levels": 4, "table": 2048, "base_resolution": 8, "finest_resolution": 32},
    "density": {"bias": -1.0, "blob": 3.0, "blob_radius": 0.4},
    "sampling": {"steps": 24},
    "occupancy": {"resolution": 16, "threshold": 1.0, "bins": 3},
    "surface_resolution": 24,
    "surface_density": 0.3,
}
MOVING = {
    "from_scene": "still",
    "scene": {"time": {"kind": "grid-4d", "table": 2048, "base_resolution": 4, "finest_resolution": 16}},
    "views": {"clips": {"kind": "orbit", "batch": 1, "frames": 3, "size": 16}},
    "objectives": [{"kind": "temporal-variation", "points": 50}],
    "iterations": 0,
    "optimiser": {"rates": {"time": 1e-2}},
}


def write_settings(values: dict) -> Path:
    path = Path("settings.yaml")
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def still(a4d) -> Path:
    """A workspace with a static field, hardly fitted."""
    azimuth = torch.arange(4) * 90.0
    cameras = orbit(azimuth, torch.full((4,), 10.0), 2.6, 40.0, 24, 24)
    write_blender_capture(Path("animal"), paint(creature(resolution=24)), {"train": cameras})
    result = a4d("fit-static", "animal", "--profile", "fit-static-field", "--name", "still", "--config", write_settings(
        {"scene": {**FIELD, "active_levels": {"from": 1, "to": 4, "steps": 6}}, "iterations": 4}
    ))  # fmt: skip
    assert result.code == 0, result.err
    return Path("animal.a4d")


def test_a_static_field_comes_to_move_and_leaves_as_a_file_per_moment(a4d, still: Path) -> None:
    result = a4d("distill", still, "--name", "moving", "--config", write_settings(MOVING))
    assert result.code == 0, result.err
    result = a4d("export", still, "--from", "moving", "--formats", "obj-sequence", "--set", "frames=3", "--json")
    assert result.code == 0, result.err
    files = sorted((still / "exports").rglob("*.obj"))
    assert len(files) >= 2
    meshes = [deform(read_asset(file)) for file in files]
    assert all(len(mesh.faces) > 50 for mesh in meshes)


@pytest.mark.parametrize(
    "time", [MOVING["scene"]["time"], {"kind": "grid-stack", "count": 4}], ids=lambda it: it["kind"]
)
def test_a_field_that_comes_to_move_begins_as_the_still_one_at_all_times(a4d, still: Path, time: dict) -> None:
    result = a4d("distill", still, "--name", "moving", "--config", write_settings({**MOVING, "scene": {"time": time}}))
    assert result.code == 0, result.err
    before, after = (load_scene(still / "scenes" / name) for name in ("still", "moving"))
    assert after.is_moving
    assert not before.is_moving
    camera = orbit(torch.tensor([20.0]), torch.tensor([10.0]), 2.6, 40.0, 24, 24)
    with torch.no_grad():
        rest = before.render(camera)
        assert float(rest.alpha.mean()) > 0.1
        # Of these the stack has an instant at 0 and 1 alone; the others lie between.
        for moment in (0.0, 0.2, 0.5, 0.9, 1.0):
            shown = after.render(camera, torch.tensor([moment]))
            assert torch.equal(shown.rgb, rest.rgb), moment
            assert torch.equal(shown.depth, rest.depth), moment


def test_what_a_field_cannot_become_is_named(a4d, still: Path) -> None:
    field = load_scene(still / "scenes" / "still")
    assert begin_from(field, None, generator(0)) is field
    same = begin_from(field, {"shading": "normal"}, generator(0))
    assert same.config.shading == "normal"
    assert same.level_weights == pytest.approx(field.level_weights)
    with pytest.raises(ConfigError, match=r"scene\.encoding"):
        begin_from(field, {"encoding": {"levels": 5}}, generator(0))
    moving = begin_from(field, MOVING["scene"], generator(0))
    with pytest.raises(ConfigError, match="another way"):
        begin_from(moving, {"time": {"kind": "grid-stack"}}, generator(0))
    with pytest.raises(ConfigError, match="does not become"):
        begin_from(field, {"kind": "tetmesh"}, generator(0))
    settings = write_settings({**MOVING, "scene": {"tmie": 1}})
    result = a4d("distill", still, "--name", "bad", "--config", settings)
    assert (result.code, len(result.err.splitlines())) == (3, 1), result.err
    assert "scene.tmie" in result.err
    assert load_yaml(still / "scenes" / "still" / "scene.yaml")["kind"] == "field"


def test_still_gaussians_come_to_move(a4d) -> None:
    azimuth = torch.arange(4) * 90.0
    cameras = orbit(azimuth, torch.full((4,), 10.0), 2.6, 40.0, 24, 24)
    write_blender_capture(Path("animal"), paint(creature(resolution=24)), {"train": cameras})
    few = write_settings({"scene": {"kind": "gaussians", "count": 60}, "iterations": 2})
    assert a4d("fit-static", "animal", "--name", "still", "--config", few).code == 0
    scene = {"kind": "gaussian_motion", "motion": {"kind": "nodes", "nodes": 8, "keys": 3}}
    moving = {**MOVING, "scene": scene, "objectives": [{"kind": "arap", "views": "clips"}]}
    moving["optimiser"] = {"rates": {"shifts": 1e-3}}
    result = a4d("distill", "animal.a4d", "--name", "moving", "--config", write_settings(moving))
    assert result.code == 0, result.err
    before, after = (load_scene(Path("animal.a4d/scenes") / name) for name in ("still", "moving"))
    assert after.is_moving
    assert after.footprint == before.footprint
    torch.testing.assert_close(after.gaussians(0.5).means.detach(), before.gaussians().means.detach())
    with pytest.raises(ConfigError, match="does not become"):
        begin_from(after, {"kind": "gaussian_motion", **scene}, generator(0))
