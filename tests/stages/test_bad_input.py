"""Whatever is wrong with an input: one line that names it, the documented exit code, and nothing left behind."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import trimesh
from counting import tree
from PIL import Image

from a4d.errors import ExitCode


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_huge(path: Path) -> None:
    """A small file whose header promises 900 megapixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b""))


def write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("picture.png", "pixels")


def write_truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_torn_mesh(path: Path) -> None:
    trimesh.creation.box().export(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_noise(path: Path, side: int) -> None:
    Image.fromarray(np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)


def write_one_folder(path: Path, name: str, content: bytes) -> None:
    path.mkdir()
    (path / name).write_bytes(content)


INPUTS = {
    "empty.png": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("This is no picture.\n"),
    "archive.png": write_archive,
    "huge.png": write_huge,
    "truncated.png": write_truncated,
    "truncated.jpg": write_truncated,
    "truncated.webp": write_truncated,
    "pixel.png": lambda path: Image.new("RGB", (1, 1), (9, 9, 9)).save(path),
    "pixel-with-alpha.png": lambda path: Image.new("RGBA", (1, 1), (9, 9, 9, 255)).save(path),
    "line.png": lambda path: Image.new("RGB", (3000, 1), (9, 9, 9)).save(path),
    "flat.png": lambda path: Image.new("RGB", (64, 64), (9, 9, 9)).save(path),
    "clear.png": lambda path: Image.new("RGBA", (64, 64), (9, 9, 9, 0)).save(path),
    "folder.png": lambda path: path.mkdir(),
    "text-inside": lambda path: write_one_folder(path, "a.png", b"no picture"),
    "empty-capture": lambda path: write_one_folder(path, "transforms.json", b"{}"),
    "torn-capture": lambda path: write_one_folder(path, "transforms.json", b'{"frames": ['),
    "torn-colmap": lambda path: write_one_folder(path, "cameras.bin", b"\x05\0\0"),
    "empty.mp4": lambda path: path.write_bytes(b""),
    "text.mp4": lambda path: path.write_text("This is no film.\n"),
    "truncated.gif": write_truncated,
    "empty.obj": lambda path: path.write_bytes(b""),
    "text.glb": lambda path: path.write_text("This is no mesh.\n"),
    "torn.ply": write_torn_mesh,
    "torn.stl": write_torn_mesh,
    "rig.fbx": lambda path: path.write_bytes(b"Kaydara FBX Binary  \0\x1a\0"),
    "objects.npz": lambda path: np.savez(path, frames=np.array([{"pose": 1}], dtype=object)),
    "archive.zip": write_archive,
    "nameless": lambda path: path.write_bytes(b"?"),
}
MISSING = {"torn-colmap"}
"""What is there is not yet a whole input, which the remedy asks for."""


def check_refusal(a4d, path: Path, *options: object) -> None:
    before = {entry.name for entry in Path().iterdir()}
    result = a4d("preprocess", path, *options)
    expected = ExitCode.MISSING_INPUT if path.name in MISSING else ExitCode.INVALID
    assert (result.code, result.out) == (expected, ""), result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith("a4d: ")
    assert path.name in result.err
    assert ".partial" not in result.err
    assert {entry.name for entry in Path().iterdir()} == before


@pytest.mark.parametrize("name", INPUTS)
def test_a_bad_input_is_one_line_and_leaves_nothing(a4d, name: str) -> None:
    path = Path(name)
    INPUTS[name](path)
    check_refusal(a4d, path)


@pytest.mark.parametrize("name", ["text.png", "pixel.png", "clear.png"])
def test_the_main_job_says_no_more_than_that(a4d, name: str) -> None:
    INPUTS[name](Path(name))
    result = a4d("fit-static", name)
    assert (result.code, result.out, len(result.err.splitlines())) == (3, "", 1), result.err
    assert [path.name for path in Path().iterdir()] == [name]
    assert "comes first" in a4d("fit-static", name, "--verbose").err


def test_real_corrupt_pictures_are_refused(a4d, real_data: Path) -> None:
    corrupt = sorted((real_data / "images_robustness/pngsuite/png").glob("x*.png"))
    assert len(corrupt) == 14
    for path in (*corrupt, real_data / "images_natural/truncated.jpg"):
        check_refusal(a4d, path)


def test_real_files_of_other_kinds_are_refused(a4d, real_data: Path) -> None:
    films = sorted((real_data / "rigged_momentum").rglob("*.fbx"))
    pickles = sorted((real_data / "multiview_nerfstudio_tiny/minimal_parser").glob("*.npz"))
    assert films
    assert len(pickles) == 2
    for path in (*films, *pickles, real_data / "multiview_nerfstudio_tiny/minimal_parser"):
        check_refusal(a4d, path)


@pytest.mark.parametrize("side", [8, 9, 12, 20, 33])
@pytest.mark.parametrize("matting", ["auto", "grabcut"])
def test_a_picture_of_nothing_is_cut_somehow_or_refused_in_one_line(a4d, side: int, matting: str) -> None:
    write_noise(Path("noise.png"), side)
    result = a4d("preprocess", "noise.png", "--matting", matting, "--size", 64, "-q")
    assert result.code in (ExitCode.DONE, ExitCode.INVALID, ExitCode.QUALITY), result.err
    assert len(result.err.splitlines()) == (result.code != 0)


@pytest.fixture
def finished(a4d, creature_picture: Path) -> Path:
    """A workspace with all there can be after the main job, and its picture."""
    Path("creature.png").write_bytes(creature_picture.read_bytes())
    result = a4d("fit-static", "creature.png", "--iterations", 2, "--set", "scene.count=200", "-q")
    assert (result.code, result.err) == (0, "")
    return Path("creature.a4d")


FAILING = {
    "another picture under the same name": (("fit-static", "creature.png"), 3, "made from another input"),
    "other settings": (("fit-static", "creature.a4d", "--iterations", 3), 3, "iterations: 2 -> 3"),
    "misspelt setting": (("fit-static", "creature.a4d", "--set", "scene.cuont=3"), 3, "Did you mean 'count'"),
    "no such frame": (("fit-static", "creature.a4d", "--frame", 7, "--name", "x"), 2, "no frame 7 among 1"),
    "no such seed": (("fit-static", "creature.a4d", "--set", "seed={kind: points}", "--name", "x"), 4, "points.ply"),
    "no such scene": (("export", "creature.a4d", "--from", "nowhere"), 4, "no scene 'nowhere'"),
    "no such mask": (("preprocess", "creature.a4d", "--mask", "none.png", "--force"), 4, "none.png does not exist"),
    "no such cameras": (("estimate-pose", "creature.a4d", "--cameras", "none.json", "--force"), 4, "none.json"),
    "a name of another stage": (("fit-static", "creature.a4d", "--name", "preprocess"), 3, "belongs to a run of"),
    "no file": (("fit-static", "nothing.png"), 4, "nothing.png"),
}


def test_a_mistake_leaves_a_finished_workspace_byte_for_byte(a4d, finished: Path) -> None:
    Image.new("RGB", (64, 64), (200, 30, 30)).save("creature.png")
    before = tree(finished)
    for name, (command, code, message) in FAILING.items():
        result = a4d(*command)
        assert (result.code, result.out, len(result.err.splitlines())) == (code, "", 1), (name, result.err)
        assert message in result.err, (name, result.err)
        assert tree(finished) == before, name
    assert sorted(path.name for path in Path().iterdir()) == ["creature.a4d", "creature.png"]


def test_a_source_that_was_damaged_meanwhile_leaves_what_was_made_of_it(a4d, finished: Path) -> None:
    source = finished / "source/creature.png"
    source.write_bytes(source.read_bytes()[:200])
    before = tree(finished)
    for options in ((), ("--force",)):
        result = a4d("preprocess", finished, *options)
        assert result.code == 3, result.err
        assert "source/creature.png is damaged" in result.err.splitlines()[-1]
        assert tree(finished) == before
