"""Workspaces and inputs from somebody else: whatever they name, nothing outside of them is read, written or deleted."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bending import bending_bar
from counting import tree

from a4d.geometry.assets.animating import AnimationOptions, animated_asset
from a4d.geometry.assets.assembly import primitive_from_mesh
from a4d.io.assets.glb_asset import write_asset
from a4d.workspace.files import discard

WATCHED = {
    "open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile",
}  # fmt: skip
QUICK = ("--iterations", 1, "--set", "scene.count=40")


class Watch:
    """Notes every path below a folder that Python code of this process opens, lists, makes, moves or deletes."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.touched: list[tuple[str, str]] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or event not in WATCHED:
            return
        for argument in arguments:
            if isinstance(argument, str | bytes | os.PathLike):
                path = os.path.realpath(os.fsdecode(argument))
                # The last component of what is renamed or deleted is not followed.
                if event in ("os.rename", "os.remove", "os.rmdir"):
                    parent, name = os.path.split(os.path.abspath(os.fsdecode(argument)))
                    path = os.path.join(os.path.realpath(parent), name)
                if path == self.folder or path.startswith(self.folder + os.sep):
                    self.touched.append((event, path))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    load, dump = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
    content = load(path.read_text())
    change(content)
    path.write_text(dump(content))


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def sound(a4d_in, tmp_path_factory) -> Path:
    """A workspace of a moving mesh with a scene, an export, and a run whose commit was interrupted."""
    folder = tmp_path_factory.mktemp("sound")
    bar = bending_bar(3, 1, 8)
    asset = animated_asset(
        "bar", primitive_from_mesh(bar.meshes[0]), bar.trajectories, 0.1, AnimationOptions(tolerance=0)
    )
    write_asset(folder / "bar.glb", asset)
    views = ("--views", 2, "--test-views", 0, "--size", 32)
    assert a4d_in(folder, "preprocess", "bar.glb", "--clip", "morph", "--frames", 3, *views).code == 0
    done = a4d_in(folder, "fit-static", "bar.a4d", *QUICK)
    assert done.code == 0, done.err
    workspace = folder / "bar.a4d"
    partial = workspace / "stages/late.partial"
    (partial / "outputs/exports").mkdir(parents=True)
    (partial / "outputs/exports/late.txt").write_text("late")
    shutil.copy(workspace / "stages/fit-static/record.json", partial)
    edit(partial / "record.json", lambda file: file.update(name="late", outputs=[], replaced_folders=[]))
    moves = [["stages/late.partial/outputs/exports/late.txt", "exports/late.txt"]]
    (partial / "journal.json").write_text(json.dumps({"moves": moves, "removals": []}))
    return workspace


@pytest.fixture
def evil(sound: Path, a4d, tmp_path: Path, watch: Watch) -> Iterator[Path]:
    """A copy of the workspace beside a folder that is none of its business."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    yield Path(shutil.copytree(sound, "evil.a4d"))
    watch.folder = None


def stamped(path: str) -> dict[str, object]:
    return {"path": path, "sha256": "0" * 64, "size": 8, "mtime_ns": 1}


JOURNAL, RECORD = "stages/late.partial/journal.json", "stages/fit-static/record.json"
STORED: dict[str, tuple[str, Callable[[Any, str], object]]] = {
    "journal target": (JOURNAL, lambda file, path: file["moves"][0].__setitem__(1, path)),
    "journal source": (JOURNAL, lambda file, path: file["moves"][0].__setitem__(0, path)),
    "journal source of another run": (
        JOURNAL, lambda file, path: file["moves"].append(["stages/fit-static/record.json", "exports/x"])
    ),
    "journal removal": (JOURNAL, lambda file, path: file["removals"].append(path)),
    "journal removal of a record": (JOURNAL, lambda file, path: file["removals"].append("stages/preprocess")),
    "record output": (RECORD, lambda file, path: file["outputs"].append(stamped(path))),
    "record replaced folder": (RECORD, lambda file, path: file["replaced_folders"].append(path)),
    "record input": (RECORD, lambda file, path: file["inputs"].append(stamped(path))),
    "record input path": (RECORD, lambda file, path: file["input_paths"].append(path)),
    "source path": ("workspace.yaml", lambda file, path: file["source"].update(path=path)),
    "ground truth": ("workspace.yaml", lambda file, path: file["asset"]["rendered"][0].update(ground_truth=path)),
    "name": ("workspace.yaml", lambda file, path: file.update(name=path)),
    "image": ("transforms.json", lambda file, path: file["frames"][0].update(file_path=path)),
    "mask": ("transforms.json", lambda file, path: file["frames"][0].update(mask_path=path)),
    "depth": ("transforms.json", lambda file, path: file["frames"][0].update(depth_file_path=path)),
    "points": ("transforms.json", lambda file, path: file.update(ply_file_path=path)),
}  # fmt: skip
"""Every place of a workspace in which a path stands."""

LINKED = (
    "workspace.yaml", "transforms.json", "source", "source/bar.glb", "images", "images/00000.png", "depth",
    "ground_truth", "scenes", "scenes/fit-static", "scenes/fit-static/scene.yaml",
    "scenes/fit-static/tensors.safetensors", "exports", "adapters", "adapters/dog", "stages", "stages/fit-static",
    "stages/fit-static/record.json", "stages/late.partial", "stages/late.partial/outputs",
    "stages/late.partial/trash", "stages/late.partial/journal.json", ".lock",
)  # fmt: skip
"""What somebody may have replaced by a link."""


def assert_refused(a4d, watch: Watch, workspace: Path, tmp_path: Path, *, is_known_at_once: bool) -> None:
    victim = tmp_path / "victim"
    before, watch.touched = tree(victim), []
    watch.folder = os.path.realpath(victim)
    ended = {
        command[0]: a4d(command[0], workspace, *command[1:])
        for command in (
            ("validate",),
            ("info",),
            ("evaluate",),
            ("export", "--formats", "glb", "--resolution", 16),
            ("fit-static", "--name", "other", *QUICK),
            ("preprocess", "--force", "--views", 1, "--size", 16),
        )
    }
    watch.folder = None
    assert watch.touched == []
    assert tree(victim) == before
    assert ended["validate"].code == 3, ended["validate"]
    codes = {command: result.code for command, result in ended.items()}
    assert 1 not in codes.values(), ended
    if is_known_at_once:
        assert set(codes.values()) == {3}, ended


RELATIVE, ABSOLUTE, WINDOWS = "../victim/file", "{}/victim/file", "..\\victim\\file"
INPUTS = ("record input", "record input path")
ESCAPES = [
    *((place, form) for place in STORED for form in (RELATIVE, ABSOLUTE) if place not in INPUTS or form == RELATIVE),
    *((place, WINDOWS) for place in ("journal target", "record output", "source path", "image")),
]


@pytest.mark.parametrize(("place", "form"), ESCAPES)
def test_a_path_that_leads_out_of_a_workspace_is_followed_by_nobody(
    a4d, watch: Watch, evil: Path, tmp_path: Path, place: str, form: str
) -> None:
    name, change = STORED[place]
    edit(evil / name, lambda content: change(content, form.format(tmp_path)))
    assert_refused(a4d, watch, evil, tmp_path, is_known_at_once=name != "transforms.json")


def test_an_input_elsewhere_that_a_record_names_is_not_opened(a4d, watch: Watch, evil: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for place in INPUTS:
        name, change = STORED[place]
        edit(evil / name, lambda content, change=change: change(content, str(victim / "file")))
        edit(evil / name, lambda content, change=change: change(content, str(victim)))
    watch.folder, watch.touched = os.path.realpath(victim), []
    for command in (("info",), ("validate",), ("fit-static", *QUICK), ("fit-static", *QUICK, "--force")):
        assert a4d(command[0], evil, *command[1:]).code == 0
    assert watch.touched == []
    (victim / "file").read_text()
    assert watch.touched == [("open", os.path.realpath(victim / "file"))], "the watch is asleep"


@pytest.mark.parametrize("place", LINKED)
def test_a_link_that_leads_out_of_a_workspace_is_followed_by_nobody(
    a4d, watch: Watch, evil: Path, tmp_path: Path, place: str
) -> None:
    path, away = evil / place, tmp_path / "victim" / Path(place).name
    if path.exists():
        shutil.move(path, away)  # whoever followed the link would find all that is wanted
    elif path.suffix or path.name == ".lock":
        away.touch()
    else:
        away.mkdir()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(away)
    assert_refused(a4d, watch, evil, tmp_path, is_known_at_once=True)


def test_validate_lists_every_link_and_links_that_stay_inside_are_read(a4d, evil: Path, tmp_path: Path) -> None:
    assert a4d("info", evil).code == 0  # completes the commit
    assert (evil / "exports/late.txt").read_text() == "late"
    (evil / "images/00001.png").unlink()
    (evil / "images/00001.png").symlink_to("00000.png")
    (evil / "scenes/latest").symlink_to("fit-static")
    assert [scene["name"] for scene in a4d("info", evil, "--json").json["scenes"]] == ["fit-static", "latest"]
    assert a4d("fit-static", evil, "--name", "other", *QUICK).code == 0
    for name in ("a", "b"):
        (evil / "exports" / name).symlink_to(tmp_path / "victim")
    os.mkfifo(evil / "depth/pipe")
    shutil.rmtree(evil / "scenes")
    (evil / "scenes").touch()
    problems = a4d("validate", evil, "--json").json["problems"]
    assert [problem.partition(":")[0] for problem in problems] == ["depth/pipe", "exports/a", "exports/b", "scenes"]


def test_a_link_in_place_of_a_new_workspace_is_not_emptied(a4d, evil: Path, tmp_path: Path) -> None:
    shutil.copy(evil / "images/00000.png", "photo.png")
    Path("photo.a4d.partial").symlink_to("victim")
    refused = a4d("preprocess", "photo.png")
    assert (refused.code, len(refused.err.splitlines())) == (3, 1)
    assert tree(tmp_path / "victim") == {"file": b"precious"}


def test_links_in_an_input_folder_that_lead_out_of_it_are_refused_and_the_hubs_are_read(
    a4d, evil: Path, tmp_path: Path
) -> None:
    folder, blobs = tmp_path / "hub/snapshots/1a2b/photos", tmp_path / "hub/blobs"
    for path in (folder, blobs):
        path.mkdir(parents=True)
    for index in range(2):
        shutil.copy(evil / f"images/0000{index}.png", blobs / f"77a{index}")
        (folder / f"{index}.png").symlink_to(f"../../../blobs/77a{index}")
    assert a4d("preprocess", folder).code == 0
    assert tree(tmp_path / "photos.a4d/source/photos").keys() == {"0.png", "1.png"}
    shutil.rmtree(tmp_path / "photos.a4d")
    shutil.copy(evil / "images/00000.png", tmp_path / "victim/private.png")
    for link, target in (("2.png", "private.png"), ("sparse", ".")):
        (folder / link).symlink_to(tmp_path / "victim" / target)
        refused = a4d("preprocess", folder)
        assert (refused.code, len(refused.err.splitlines())) == (3, 1)
        assert f"photos/{link} is a link that leads out" in refused.err
        assert "cp -rL" in refused.err
        (folder / link).unlink()
        assert not Path("photos.a4d").exists()


def test_nothing_is_deleted_through_a_link(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    for path in (victim, folder / "below"):
        path.mkdir(parents=True)
    (victim / "file").touch()
    for link in (tmp_path / "link", folder / "below/link"):
        link.symlink_to(victim)
    discard(tmp_path / "link")
    discard(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "victim"]
