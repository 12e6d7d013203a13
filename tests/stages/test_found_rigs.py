"""Skeletons that were found in a film, driven by the command line: on the spot, by their like, and by strangers."""

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from loose_scene import Loose

from a4d import scenes
from a4d.contents.joint_pairs import load_joints
from a4d.export.texturing import textured_rig
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import pose
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.pictures.images import read_image
from a4d.workspace.source import Source
from a4d.workspace.workspace import Metadata, Workspace

WRONG_PAIRS = (
    ("joint_99: joint_01\n", "the body has no joint joint_99"),
    ("joint_01: Hips\n", "the motion has no joint Hips"),
    ("joint_01: joint_03\njoint_02: joint_03\n", "paired with several joints"),
    ("", "pairs no joints"),
)


class Walking(Loose):
    def __init__(self) -> None:
        super().__init__(walks=0.5)


class Stranger(Loose):
    def __init__(self) -> None:
        super().__init__(bones=11)


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Workspaces of films to which scenes of loose bones were fitted."""
    paths = {}
    for kind in (Loose, Walking, Stranger):
        name = kind.__name__.lower()
        monkeypatch.setitem(scenes.KINDS, name, f"{kind.__module__}:{kind.__name__}")
        path = paths[name] = tmp_path / f"{name}.a4d"
        Workspace.create(
            path, Metadata(name=name, source=Source(kind="video", path="source/a.mp4", sha256="0"), fps=24.0)
        )
        (path / "scenes/fit-dynamic").mkdir(parents=True)
        (path / "scenes/fit-dynamic/scene.yaml").write_text(f"kind: {name}\n")
    return paths


def roots(path: Path) -> torch.Tensor:
    """(T, 3) where the root of a file goes."""
    asset = read_gltf(path)
    (root,) = [joint for joint, parent in enumerate(asset.skeleton(0).parents.tolist()) if parent < 0]
    node, times = asset.skins[0].joints[root], torch.linspace(0, asset.clips[0].duration, 7).tolist()
    return torch.stack([pose(asset, asset.clips[0], time).positions[node] for time in times])


def test_the_film_s_motion_leaves_with_its_way_or_on_the_spot(a4d, films: dict[str, Path]) -> None:
    for stem, options in (("way", ()), ("spot", ("--motion-root", "stay"))):
        result = a4d("export", films["walking"], "--formats", "glb", "--name", stem, "--stem", stem, *options)
        assert result.code == 0, result.err
    ways = {stem: roots(films["walking"] / f"exports/{stem}.glb") for stem in ("way", "spot")}
    assert float(ways["way"][-1, 2] - ways["way"][0, 2]) == pytest.approx(0.5, abs=0.02)
    assert float((ways["spot"] - ways["spot"][:1])[:, [0, 2]].abs().max()) < 2e-3
    torch.testing.assert_close(ways["spot"][:, 1], ways["way"][:, 1], atol=2e-3, rtol=0)


def test_a_motion_on_the_spot_bakes_the_picture_once(
    a4d, films: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    baked: list[Asset] = []

    def counted(asset: Asset, *arguments: Any) -> Asset:
        baked.append(textured_rig(asset, *arguments))
        return baked[-1]

    monkeypatch.setattr("a4d.export.subject.textured_rig", counted)
    options = ("--formats", "glb", "--texture", 64, "--motion-root", "stay")
    result = a4d("export", films["walking"], *options)
    assert result.code == 0, result.err
    assert len(baked) == 1
    assert read_gltf(films["walking"] / "exports/walking.glb").materials[0].base_colour_map is not None


def test_the_same_rig_drives_by_names_and_a_stranger_by_pairs(a4d, films: dict[str, Path], tmp_path: Path) -> None:
    lent = a4d("export", films["loose"], "--formats", "glb", "--motion", films["walking"], "--json")
    assert lent.code == 0, lent.err
    way = roots(films["loose"] / "exports/loose.glb")
    assert float(way[-1, 2] - way[0, 2]) > 0.4
    odd = a4d("export", films["loose"], "--formats", "glb", "--force", "--motion", films["stranger"])
    assert (odd.code, len(odd.err.strip().splitlines())) == (3, 1)
    assert "were found on another body" in odd.err
    assert "--joints FILE" in odd.err
    own = read_gltf(films["loose"] / "exports/loose.glb").skeleton(0)
    pairs = tmp_path / "pairs.yaml"
    for (text, said), formats in itertools.product(WRONG_PAIRS, ("glb", "joints")):
        pairs.write_text(text)
        wrong = a4d(
            "export", films["loose"], "--formats", formats, "--force", "--motion", films["stranger"], "--joints", pairs
        )
        assert wrong.code == 3
        assert said in wrong.err
    assert a4d("export", films["stranger"], "--formats", "glb").code == 0
    other = read_gltf(films["stranger"] / "exports/stranger.glb").skeleton(0)
    apart = torch.cdist(own.rest_world[:, :3, 3], other.rest_world[:, :3, 3])
    named = {other.names[int(row.argmin())]: own.names[joint] for joint, row in enumerate(apart)}
    pairs.write_text("".join(f"{joint}: {source}\n" for source, joint in named.items()))
    driven = a4d(
        "export", films["loose"], "--formats", "glb", "--force", "--motion", films["stranger"], "--joints", pairs
    )
    assert driven.code == 0, driven.err
    asset = read_gltf(films["loose"] / "exports/loose.glb")
    assert asset.skeleton(0).names == own.names
    moved = [pose(asset, asset.clips[0], time).positions for time in (0.0, 0.12)]
    assert float((moved[0] - moved[1]).norm(dim=1).max()) > 0.05


def test_the_file_that_waits_for_pairs_drives_the_rig_once_it_is_filled(a4d, films: dict[str, Path], tmp_path) -> None:
    assert a4d("export", films["loose"], "--formats", "glb").code == 0
    own = read_gltf(films["loose"] / "exports/loose.glb").skeleton(0)
    waiting = films["loose"] / "exports/loose-joints.yaml"
    assert yaml.safe_load(waiting.read_text()) == dict.fromkeys(own.names)
    root = own.names[own.parents.tolist().index(-1)]
    (line,) = [line for line in waiting.read_text().splitlines() if line.startswith(f"{root}:")]
    assert "the root" in line
    rgb = read_image(films["loose"] / "exports/loose-joints.png")[..., :3]
    assert rgb.shape[1] > 2 * 720
    assert 0.5 < float((rgb == 1).all(-1).mean()) < 0.98
    listing = ("--formats", "joints", "--name", "pairs", "--stem", "pairs", "--motion", films["stranger"])
    asked = a4d("export", films["loose"], *listing)
    assert asked.code == 0, asked.err
    text = (films["loose"] / "exports/pairs-joints.yaml").read_text()
    assert a4d("export", films["stranger"], "--formats", "glb").code == 0
    other = read_gltf(films["stranger"] / "exports/stranger.glb").skeleton(0)
    assert all(f"#   {name} " in text for name in other.names)
    apart = torch.cdist(own.rest_world[:, :3, 3], other.rest_world[:, :3, 3])
    pairs = {own.names[int(column.argmin())]: other.names[joint] for joint, column in enumerate(apart.T)}
    filled = tmp_path / "pairs.yaml"
    filled.write_text(
        re.sub(r"^(joint_\d+):", lambda line: f"{line[0]} {pairs.get(line[1], '')}", text, flags=re.MULTILINE)
    )
    borrowed = ("--formats", "glb", "--name", "lent", "--stem", "lent", "--motion", films["stranger"])
    driven = a4d("export", films["loose"], *borrowed, "--joints", filled, "--accept")
    assert driven.code == 0, driven.err
    asset = read_gltf(films["loose"] / "exports/lent.glb")
    moved = [pose(asset, asset.clips[0], time).positions for time in (0.0, 0.12)]
    assert float((moved[0] - moved[1]).norm(dim=1).max()) > 0.05
    assert load_joints(filled) == load_joints(films["loose"] / "exports/lent-joints.yaml") == pairs


def test_pairs_that_a_user_wrote_are_not_written_over(a4d, films: dict[str, Path]) -> None:
    own = films["loose"] / "exports/mine-joints.yaml"
    own.parent.mkdir()
    own.write_text("joint_01: Hips\n")
    refused = a4d("export", films["loose"], "--formats", "glb", "--stem", "mine")
    assert (refused.code, own.read_text()) == (2, "joint_01: Hips\n")
    assert "no run made it" in refused.err
    own.unlink()
    for _ in range(2):
        assert a4d("export", films["loose"], "--formats", "glb", "--stem", "mine", "--force").code == 0


def test_too_few_pairs_are_told_by_the_names_of_the_files(a4d, films: dict[str, Path], tmp_path: Path) -> None:
    pairs, moved = tmp_path / "pairs.yaml", tmp_path / "moved.glb"
    assert a4d("export", films["stranger"], "--formats", "glb").code == 0
    other = read_gltf(films["stranger"] / "exports/stranger.glb").skeleton(0)
    content = (films["stranger"] / "exports/stranger.glb").read_bytes()
    moved.write_bytes(content.replace(b'"joint_', b'"bone__'))
    renamed = other.names[0].replace("joint_", "bone__")
    pairs.write_text(f"joint_01: {renamed}\njoint_02:\n")
    few = a4d("export", films["loose"], "--formats", "glb", "--motion", moved, "--joints", pairs)
    assert (few.code, len(few.err.strip().splitlines())) == (3, 1)
    assert "fewer than 3 joints of the motion are paired" in few.err
    assert f"The motion has {renamed}" in few.err
    assert "the body has joint_" in few.err


def test_a_file_that_two_exports_once_shared_is_made_anew_by_either(a4d, films: dict[str, Path]) -> None:
    written = ("export", films["loose"], "--formats", "mp4", "--films", "turntable", "--frames", 2, "--size", 32)
    assert a4d(*written).code == 0
    runs = films["loose"] / "stages"
    shutil.copytree(runs / "export", runs / "early")
    record = json.loads((runs / "early/record.json").read_text())
    record["name"] = "early"
    del record["metrics"]["stem"]
    (runs / "early/record.json").write_text(json.dumps(record))
    assert a4d("export", films["loose"], *written[2:], "--name", "third", "--stem", "loose").code == 2
    assert a4d(*written, "--force").code == 0
    early = a4d(*written, "--name", "early", "--force")
    assert early.code == 0, early.err
    assert {path.name for path in (films["loose"] / "exports").iterdir()} == {"loose.mp4", "loose-early.mp4"}


def test_files_of_another_export_are_not_written_over(a4d, films: dict[str, Path]) -> None:
    first = ("export", films["loose"], "--formats", "glb", "--name", "first", "--stem", "cat")
    assert a4d(*first).code == 0
    content = (films["loose"] / "exports/cat.glb").read_bytes()
    for formats, stem in (("glb", "cat"), ("joints", "cat"), ("glb", "cat.glb/..")):
        second = a4d("export", films["loose"], "--formats", formats, "--name", "second", "--stem", stem)
        assert (second.code, len(second.err.strip().splitlines())) == ((3 if "/" in stem else 2), 1), second.err
    assert (
        "exports/cat-joints.png is of the run 'first'"
        in a4d("export", films["loose"], "--formats", "joints", "--name", "second", "--stem", "cat").err
    )
    assert (films["loose"] / "exports/cat.glb").read_bytes() == content
    assert a4d(*first, "--force").code == 0
    assert a4d("export", films["loose"], "--formats", "mp4", "--films", "turntable", "--frames", 2, "--size", 32,
               "--name", "second", "--stem", "cat").code == 0  # fmt: skip
