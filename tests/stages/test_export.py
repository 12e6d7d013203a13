"""Moving scenes and given meshes out of a workspace, by the command line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from waving import Waving

from a4d import scenes
from a4d.contents.exports import WRITERS
from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.obj import write_obj
from a4d.io.films.video import read_video
from a4d.workspace.source import Source, SourceAsset
from a4d.workspace.workspace import Metadata, Workspace

PLACED = [[0.0, 0.5, 0.0, 0.1], [0.0, 0.0, 0.5, 0.0], [0.5, 0.0, 0.0, -0.2], [0.0, 0.0, 0.0, 1.0]]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a moving scene, as if it came from a mesh of another frame."""
    monkeypatch.setitem(scenes.KINDS, "waving", "waving:Waving")
    path = tmp_path / "ring.a4d"
    source = Source(kind="mesh", path="source/ring.obj", sha256="0")
    asset = SourceAsset(world_from_source=PLACED, up="+z", front="+x", axes="given")
    Workspace.create(path, Metadata(name="ring", source=source, frame_count=8, fps=8.0, asset=asset))
    write_obj(path / "source/ring.obj", Waving().mesh())
    (path / "scenes/waving").mkdir(parents=True)
    Waving().save(path / "scenes/waving")
    return path


def test_a_moving_scene_leaves_in_every_form(a4d, workspace: Path) -> None:
    formats = "glb,obj,obj-sequence,ply-sequence,mp4,gif,png"
    result = a4d("export", workspace, "--formats", formats, "--frames", 4, "--size", 48, "--json")
    assert result.code == 0, result.err
    exports = workspace / "exports"
    assert sorted(path.name for path in exports.iterdir()) == [
        "ring.gif", "ring.glb", "ring.mp4", "ring.obj", "ring_frames", "ring_grid.gif", "ring_grid.mp4",
        "ring_grid_frames", "ring_obj", "ring_ply", "ring_sweep.gif", "ring_sweep.mp4", "ring_sweep_frames",
    ]  # fmt: skip
    source_from_world = torch.linalg.inv(torch.tensor(PLACED, dtype=torch.float64))
    read = read_gltf(exports / "ring.glb")
    for frame in (0, 3, 7):
        world = Waving().mesh(frame / 7).vertices.double()
        expected = (world @ source_from_world[:3, :3].T + source_from_world[:3, 3]).float()
        posed = deform(read, read.clips[0], frame / 8)
        torch.testing.assert_close(posed.vertices, expected, rtol=0, atol=5e-3)
        file = trimesh.load(exports / f"ring_ply/frame_{frame:05d}.ply", process=False)
        torch.testing.assert_close(torch.tensor(file.vertices).float(), expected, rtol=0, atol=5e-3)
    film = read_video(exports / "ring_sweep.mp4")
    assert film.fps == pytest.approx(8)
    assert len(list(film.frames)) == 8
    assert result.json["metrics"]["grid_frames"] == 8
    assert a4d("validate", workspace).code == 0
    again = a4d("export", workspace, "--formats", formats, "--frames", 4, "--size", 48, "--json")
    assert again.json["status"] == "up to date"


def test_the_frame_the_moments_and_the_motion_s_form_are_chosen(a4d, workspace: Path) -> None:
    options = (
        "--formats",
        "glb",
        "--frame",
        "world",
        "--up",
        "z",
        "--scale",
        2,
        "--moments",
        5,
        "--animation",
        "bones",
    )
    result = a4d("export", workspace, *options, "--bones", 6, "--set", "texture=64", "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["bones"] == 6
    read = read_gltf(workspace / "exports/ring.glb")
    assert read.clips[0].duration == pytest.approx(4 / 8)
    assert read.materials[0].base_colour_map.image.shape == (64, 64, 3)
    x, y, z = Waving().mesh(1.0).vertices.unbind(1)
    posed = deform(read, read.clips[0], 0.5).vertices
    distances = torch.cdist(posed, 2 * torch.stack([x, -z, y], dim=1)).amin(1)
    assert float(distances.max()) < 0.04


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--formats", "glb,stl"), 3, "unknown format 'stl'; choose from glb, obj"),
        (("--films", "spin"), 3, "unknown film 'spin'; choose from turntable, sweep, orbit, grid"),
        (("--formats", "splat"), 2, "'waving' has no Gaussians"),
        (("--set", "texture=3"), 3, "texture"),
    ],
)
def test_what_cannot_be_written_is_one_line(a4d, workspace: Path, options, code, message) -> None:
    result = a4d("export", workspace, *options)
    assert (result.code, len(result.err.strip().splitlines())) == (code, 1)
    assert message in result.err
    assert not (workspace / "exports").exists()


def test_formats_of_gaussians_are_refused_before_others_are_made(a4d, workspace: Path, monkeypatch) -> None:
    monkeypatch.setitem(WRITERS, "glb", lambda job: pytest.fail("a file is made that is thrown away"))
    result = a4d("export", workspace, "--formats", "glb,canonical")
    assert (result.code, "has no Gaussians that hang on joints" in result.err) == (2, True)


def test_a_clip_without_moments_of_its_own_is_sampled_all_the_same(a4d, workspace: Path) -> None:
    path = workspace / "workspace.yaml"
    path.write_text(path.read_text().replace("frame_count: 8\n", "").replace("fps: 8.0\n", ""))
    result = a4d("export", workspace, "--formats", "png", "--films", "sweep", "--size", 16, "--json")
    assert result.json["metrics"] == {"stem": "ring", "sweep_pictures": 24}
    assert np.all([(workspace / f"exports/ring_sweep_frames/{index:05d}.png").is_file() for index in range(24)])


def test_a_mesh_that_does_not_reach_a_moment_is_kept_and_its_error_told(a4d, workspace: Path, monkeypatch) -> None:
    ring, ball = Waving().mesh(), icosphere(1.2, 2)
    both = Mesh(
        torch.cat([ring.vertices, ball.vertices + torch.tensor([0.0, 3.0, 0.0])]),
        torch.cat([ring.faces, ball.faces + len(ring.vertices)]),
    )
    monkeypatch.setattr(Waving, "mesh", lambda scene, time=0.0: both if time else replace(ring, colours=None))
    result = a4d("export", workspace, "--formats", "glb", "--moments", 2, "--json")
    assert result.code == 7
    assert result.json["metrics"]["registration_p95"] > 5
    assert "the mesh of one moment does not fit all others" in result.err
    read = read_gltf(workspace / "exports/ring.glb")
    assert (len(read.clips), len(deform(read).faces)) == (1, len(both.faces))


def test_a_scene_s_exports_lack_what_its_mesh_had_and_no_frame_showed(a4d, workspace: Path) -> None:
    path = workspace / "workspace.yaml"
    facts = "  left_out: [1 light]\n  clips: [{name: walk, seconds: 1}, {name: run, seconds: 1}]\n"
    shown = "  rendered: [{clip: walk, seconds: [0.0], ground_truth: ground_truth/walk.npz}]\n"
    path.write_text(path.read_text().replace("asset:\n", f"asset:\n{facts}{shown}"))
    text = path.read_text().replace("  clips: []\n", "").replace("  left_out: []\n", "").replace("  rendered: []\n", "")
    path.write_text(text)
    result = a4d("export", workspace, "--formats", "png", "--films", "sweep", "--size", 16, "--moments", 2, "--json")
    assert result.json["warnings"] == ["left out of ring.obj: 1 light; the animation 'run'"]
