"""Inputs under names of any kind: links count by their own, and bytes that are no text become letters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from a4d.errors import InvalidInputError
from a4d.workspace.source import readable_name, recognise
from a4d.workspace.workspace import Workspace

FACE = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nusemtl paint\nf 1 2 3 4\n"
MATERIAL = "newmtl paint\nKd 1 0 0\n"


def write_picture(path: bytes) -> None:
    picture = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(picture).rectangle([20, 20, 40, 40], (200, 40, 30, 255))
    with open(path, "wb") as file:
        picture.save(file, "PNG")


def copied(target: str, place: Path) -> dict[str, str]:
    """What a target brings into `source/`, and the workspace's name."""
    raw = recognise(target)
    source = raw.copy_into(place)
    assert (place / source.path).exists()
    return {path.relative_to(place / "source").as_posix(): raw.stem for path in place.rglob("*") if path.is_file()}


def test_a_link_s_own_name_decides_kind_and_workspace(tmp_path: Path) -> None:
    """As the Hugging Face hub's cache has it: every file a link to its content, whose name is a hash."""
    hub = tmp_path / "models--cow"
    for name, content in (("cow.obj", f"mtllib cow.mtl\n{FACE}"), ("cow.mtl", MATERIAL)):
        blob = hub / "blobs" / f"77aa{len(content)}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_text(content)
        link = hub / "snapshots" / "main" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../blobs/{blob.name}")
    write_picture(os.fsencode(hub / "blobs/3f2a9c"))
    (hub / "snapshots/main/photo.png").symlink_to("../../blobs/3f2a9c")
    (hub / "snapshots/main/scan").symlink_to("../../photos")
    (hub / "photos").mkdir()
    write_picture(os.fsencode(hub / "photos/0.png"))
    folder = hub / "snapshots/main"
    assert recognise(str(folder / "photo.png")).kind == "image"
    assert copied(str(folder / "cow.obj"), tmp_path / "a") == {"cow.obj": "cow", "cow.mtl": "cow"}
    assert copied(str(folder / "photo.png"), tmp_path / "b") == {"photo.png": "photo"}
    assert copied(str(folder / "scan"), tmp_path / "c") == {"scan/0.png": "scan"}
    assert recognise(str(hub / "photos" / ".." / "photos")).stem == "photos"
    assert recognise(str(hub / "photos/../photos/.")).stem == "photos"


def test_what_a_linked_mesh_refers_to_lies_beside_the_link_or_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/cow.obj").write_text(f"mtllib cow.mtl\n{FACE}")
    (tmp_path / "store/cow.mtl").write_text(MATERIAL)
    (tmp_path / "herd").mkdir()
    (tmp_path / "herd/bull.obj").symlink_to("../store/cow.obj")
    assert set(copied(str(tmp_path / "herd/bull.obj"), tmp_path / "a")) == {"bull.obj", "cow.mtl"}
    (tmp_path / "herd/cow.mtl").write_text("newmtl paint\nKd 0 1 0\n")
    copied(str(tmp_path / "herd/bull.obj"), tmp_path / "b")
    assert "Kd 0 1 0" in (tmp_path / "b/source/cow.mtl").read_text()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [(b"gr\xfcn", "grün"), ("grün".encode(), "grün"), (b"\x9c\x81", "œ\ufffd"), (b"plain", "plain")],
)
def test_names_become_text(stored: bytes, shown: str) -> None:
    assert readable_name(os.fsdecode(stored)) == shown


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take text alone")
def test_a_file_whose_name_is_no_text_is_taken_under_letters(tmp_path: Path) -> None:
    """By a process of its own, whose arguments are bytes as a shell passes them on."""
    folder = os.fsencode(tmp_path) + b"/ordner_\xe4"
    os.mkdir(folder)
    write_picture(folder + b"/gr\xfcn.png")
    command = [sys.executable, "-m", "a4d", "preprocess", b"gr\xfcn.png", "--mask", b"gr\xfcn.png", "--json"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    workspace = Workspace.open(Path(os.fsdecode(folder)) / "grün.a4d")
    assert workspace.metadata.name == "grün"
    assert workspace.metadata.source.path == "source/grün.png"
    assert workspace.source_path().is_file()
    assert "grün.a4d" in done.stdout.decode("utf-8")
    inputs = workspace.read_records()["preprocess"].input_paths
    assert os.fsencode(inputs[1]) == folder + b"/gr\xfcn.png"


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take text alone")
def test_a_file_in_a_folder_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/scans_\xe4"
    os.mkdir(folder)
    write_picture(folder + b"/a.png")
    assert copied(os.fsdecode(folder), tmp_path / "a") == {"scans_ä/a.png": "scans_ä"}
    write_picture(folder + b"/gr\xfcn.png")
    with pytest.raises(InvalidInputError, match=r"not UTF-8: grün\.png"):
        recognise(os.fsdecode(folder)).files()
