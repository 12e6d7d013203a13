"""A rigged mesh leaves with the motion of something else, by the command line."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rigged_body import BODY, RENAMED, rigged, skeleton, turn, waving, write_bvh
from waving import Waving

from a4d import scenes
from a4d.geometry.assets.posing import deform, pose
from a4d.geometry.deformation.retargeting import retargeted
from a4d.geometry.primitives import box
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.obj import write_obj
from a4d.workspace.source import Source, SourceAsset
from a4d.workspace.workspace import Metadata, Workspace

PLACED = [[0.5, 0.0, 0.0, 0.1], [0.0, 0.5, 0.0, -0.4], [0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]]


def workspace(path: Path, asset=None) -> Path:
    """As if preprocessed from a rigged file, or from a cube that has no joints."""
    name = "body.glb" if asset else "cube.obj"
    source = Source(kind="mesh", path=f"source/{name}", sha256="0")
    facts = SourceAsset(world_from_source=PLACED, up="+y", front="+z", axes="format")
    Workspace.create(path, Metadata(name=path.stem, source=source, fps=30.0, asset=facts))
    if asset:
        write_asset(path / "source" / name, asset)
    else:
        write_obj(path / "source" / name, box((0.5, 0.5, 0.5)))
    return path


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """A rig with names of its own and no motion."""
    return workspace(tmp_path / "body.a4d", replace(rigged(RENAMED), clips=()))


def without_meshes(path: Path, target: Path) -> Path:
    """A GLB file of nodes and animations alone."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[12:16])
    gltf = json.loads(data[20 : 20 + length])
    gltf.pop("meshes")
    gltf["nodes"] = [
        {key: value for key, value in node.items() if key not in ("mesh", "skin")} for node in gltf["nodes"]
    ]
    text = json.dumps(gltf, separators=(",", ":")).encode().ljust(length)
    target.write_bytes(data[:20] + text + data[20 + length :])
    return target


def joints(path: Path, time: float, names=RENAMED) -> torch.Tensor:
    """(J, 3) where the joints of a GLB file are, in the order of the body."""
    asset = read_gltf(path)
    places = pose(asset, asset.clips[0], time).positions
    return torch.stack([places[asset.nodes.names.index(names.get(name, name))] for name in BODY])


def test_motion_capture_moves_the_mesh_in_every_format(a4d, body: Path, tmp_path: Path) -> None:
    file = write_bvh(tmp_path / "wave.bvh", waving(skeleton(scale=100.0), (500.0, 0.0, 300.0), 100.0))
    options = ("--formats", "glb,obj-sequence,png", "--films", "sweep", "--size", 32, "--motion", file)
    result = a4d("export", body, *options, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["sweep_pictures"] == 5
    expected = retargeted(waving(skeleton()), skeleton(names=RENAMED)).positions
    for frame in (0, 2, 4):
        torch.testing.assert_close(joints(body / "exports/body.glb", frame / 30), expected[frame], atol=2e-3, rtol=0)
    assert (body / "exports/body_obj" / "frame_00004.obj").is_file()
    record = json.loads((body / "stages/export/record.json").read_text())
    assert str(file) in {entry["path"] for entry in record["inputs"]}
    assert a4d("export", body, *options, "--json").json["status"] == "up to date"
    write_bvh(file, waving(skeleton()))
    again = a4d("export", body, *options, "--json")
    assert again.json["status"] == "done", again.err


@pytest.mark.parametrize("is_workspace", [False, True])
def test_the_rig_s_own_clip_from_elsewhere_is_the_clip_itself(a4d, tmp_path: Path, is_workspace: bool) -> None:
    path = workspace(tmp_path / "body.a4d", rigged())
    assert a4d("export", path, "--formats", "glb", "--name", "own", "--stem", "own", "--clip", "wave").code == 0
    other = path
    if not is_workspace:
        other = without_meshes(path / "source/body.glb", tmp_path / "motions.glb")
    named = ("--name", "lent", "--stem", "lent", "--motion", other, "--motion-clip", 1)
    assert a4d("export", path, "--formats", "glb", *named).code == 0
    own, lent = (read_gltf(path / f"exports/{stem}.glb") for stem in ("own", "lent"))
    for time in (0.0, 0.05, 0.1, 4 / 30):
        shown = [deform(each, each.clips[0], time).vertices for each in (own, lent)]
        torch.testing.assert_close(*shown, atol=5e-4, rtol=0)
    assert float((shown[0] - deform(own).vertices).norm(dim=1).max()) > 0.2


def test_a_file_with_another_axis_up_is_told_so(a4d, body: Path, tmp_path: Path) -> None:
    upright = write_bvh(tmp_path / "upright.bvh", waving(skeleton()))
    blender = write_bvh(tmp_path / "blender.bvh", waving(skeleton()), turn(0, 90.0))
    assert a4d("export", body, "--formats", "glb", "--stem", "a", "--name", "a", "--motion", upright).code == 0
    ways = (("b", ("--motion-up", "z")), ("c", ("--motion-up", "+z", "--motion-front", "-y")), ("d", ()))
    for stem, axes in ways:
        named = ("--stem", stem, "--name", stem)
        assert a4d("export", body, "--formats", "glb", *named, "--motion", blender, *axes).code == 0
        for time in (0.0, 4 / 30):
            places = [joints(body / f"exports/{each}.glb", time) for each in ("a", stem)]
            torch.testing.assert_close(*places, atol=1e-3, rtol=0)


def test_what_cannot_be_moved_or_moves_nothing_is_one_line(a4d, body: Path, tmp_path: Path, monkeypatch) -> None:
    stranger = skeleton(names={name: f"bone{index}" for index, name in enumerate(BODY)})
    wave = write_bvh(tmp_path / "wave.bvh", waving(skeleton()))
    write_asset(tmp_path / "still.glb", replace(rigged(), clips=()))
    (tmp_path / "notes.txt").write_text("no motion")
    cube = workspace(tmp_path / "cube.a4d")
    monkeypatch.setitem(scenes.KINDS, "waving", "waving:Waving")
    (body / "scenes/waving").mkdir(parents=True)
    Waving().save(body / "scenes/waving")
    cases = [
        (cube, ("--motion", wave), 3, "cube.obj has no skeleton that could move it"),
        (body, ("--motion", write_bvh(tmp_path / "odd.bvh", waving(stranger))), 3, "The motion has bone0"),
        (body, ("--motion", write_bvh(tmp_path / "odd.bvh", waving(stranger))), 3, "the body has pelvis"),
        (cube, ("--formats", "joints"), 2, "cube has no joints"),
        (body, ("--motion", tmp_path / "still.glb"), 3, "still.glb holds no motion"),
        (body, ("--motion", cube), 3, "cube.a4d shows no joints that move"),
        (body, ("--motion", tmp_path / "notes.txt"), 3, "Give one of .bvh, .glb, .gltf, .npz, or a workspace"),
        (body, ("--motion", tmp_path / "none.bvh"), 4, "none.bvh does not exist"),
        (body, ("--motion", wave, "--motion-clip", "run"), 2, "wave.bvh has no clip 'run'"),
        (body, ("--motion", wave, "--motion-up", "z", "--motion-front", "z"), 2, "lie along the same line"),
        (body, ("--motion", wave, "--clip", "1"), 3, "clip and motion both say"),
        (body, ("--motion-clip", "run"), 3, "motion_clip: there is no motion"),
        (body, ("--motion", wave, "--from", "waving"), 3, "a scene of kind 'waving' has no skeleton"),
    ]
    for target, options, code, message in cases:
        result = a4d("export", target, "--formats", "glb", *options)
        assert (result.code, len(result.err.strip().splitlines())) == (code, 1), (options, result.err)
        assert message in result.err
