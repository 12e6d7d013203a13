"""The quickstart over several pictures, with a program in the place of a4d."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STAGE = """#!/bin/sh
echo "$@" >> calls
case "$2" in *bad*) exit 3 ;; esac
[ "$1" = export ] && mkdir -p "$2/exports" && touch "$2/exports/asset.glb"
exit 0
"""


def quickstart(folder: Path, *pictures: str) -> subprocess.CompletedProcess:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "a4d").write_text(STAGE)
    (programs / "a4d").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "A4D_ENVIRONMENT": "active", "PYTHONPATH": str(ROOT)}
    command = ["bash", str(ROOT / "recipes" / "quickstart.sh"), *pictures]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_each_picture_becomes_a_workspace_and_one_that_fails_is_left_out(tmp_path: Path) -> None:
    ended = quickstart(tmp_path, "cat.png", "bad.png", "dog.jpg")
    assert ended.returncode == 3
    assert "bad.png ended with 3, and is left out" in ended.stderr
    assert [line for line in ended.stderr.splitlines() if line.endswith(".glb")] == [
        "./cat.a4d/exports/asset.glb", "./dog.a4d/exports/asset.glb",
    ]  # fmt: skip
    calls = (tmp_path / "calls").read_text().split("\n")
    assert calls[:3] == ["fit-static cat.png", "export ./cat.a4d", "fit-static bad.png"]
    assert calls[3:5] == ["fit-static dog.jpg", "export ./dog.a4d"]


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    pictures = [f"benchmark/{name}/image.jpg" for name in ("cat", "dog")]
    for picture in pictures:
        (tmp_path / picture).parent.mkdir(parents=True)
        (tmp_path / picture).write_text(picture)
    (tmp_path / "dog.jpg").write_text("the user's own")
    ended = quickstart(tmp_path, *pictures, "owl.png")
    assert ended.returncode == 2
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "fit-static ./cat.jpg", "export ./cat.a4d", "fit-static owl.png", "export ./owl.a4d",
    ]  # fmt: skip
    assert (tmp_path / "cat.jpg").read_text() == pictures[0]
    assert (tmp_path / "dog.jpg").read_text() == "the user's own"


def test_nothing_made_is_the_failure_of_the_last(tmp_path: Path) -> None:
    assert quickstart(tmp_path, "bad.png", "bad2.png").returncode == 3


def test_what_the_subject_is_can_be_said(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("cat.png", "cat.tail.png", "horse.jpg"):
        (masks / name).touch()
    ended = quickstart(tmp_path, "--mask", "masks", "own/cat.jpg", "owl.png", "horse.png", "--accept")
    assert ended.returncode == 4
    assert "there is no mask 'owl.png' in masks" in ended.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [
        "preprocess own/cat.jpg --mask masks/cat.png", "fit-static own/cat.jpg --accept", "export ./cat.a4d --accept",
        "preprocess horse.png --mask masks/horse.jpg", "fit-static horse.png --accept", "export ./horse.a4d --accept",
    ]  # fmt: skip


def test_of_one_picture_the_mask_is_a_file_and_a_network_may_find_it(tmp_path: Path) -> None:
    (tmp_path / "mask.png").touch()
    folder, weights = tmp_path / "one", "birefnet=w"
    folder.mkdir()
    quickstart(folder, "cat.jpg", "--mask", "../mask.png", "--matting=birefnet", f"--weights={weights}")
    assert (folder / "calls").read_text().splitlines()[:2] == [
        f"preprocess cat.jpg --mask ../mask.png --matting birefnet --weights {weights}",
        f"fit-static cat.jpg --weights {weights}",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--size", "512", "cat.png"], 2, "there is no option --size"),
        (["cat.png", "--profile", "paper"], 2, "there is no option --profile"),
        (["--mask", __file__, "cat.png", "dog.png"], 2, "give a folder of masks"),
        (["--mask", "absent.png", "cat.png"], 4, "there is no mask 'absent.png'"),
    ],
)
def test_what_it_does_not_take_is_named(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    ended = quickstart(tmp_path, *arguments)
    assert (ended.returncode, said in ended.stderr) == (code, True)
    assert not (tmp_path / "calls").exists()


def test_behind_two_dashes_all_are_pictures(tmp_path: Path) -> None:
    quickstart(tmp_path, "--", "--size.png")
    assert (tmp_path / "calls").read_text().splitlines() == ["fit-static ./--size.png", "export ./--size.a4d"]
