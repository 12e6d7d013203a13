"""Files cut short or with flipped bytes are read or refused, but never crash a reader or leave a half-written file."""

import random
import stat

import pytest
import trimesh
from mesh_texts import CORNERS, SQUARE, ply
from test_captures import orbit_capture
from test_gaussian_files import random_gaussians
from test_mesh_files import TETRAHEDRON

from a4d.errors import A4DError, WorkspaceError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.obj import write_obj
from a4d.io.assets.ply import read_point_cloud, write_ply_mesh
from a4d.io.captures.capture_reader import read_capture
from a4d.io.captures.colmap import write_colmap
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.files import atomic_path, read_json, write_text
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.io.gaussian_reader import read_gaussians
from a4d.io.splat import write_splat

GAUSSIANS = random_gaussians(3, degree=1)
PROPERTIES = dict.fromkeys("xyz", "float") | dict.fromkeys(("red", "green", "blue"), "ushort")
ROWS = [(*corner, 60000, 300, 0) for corner in CORNERS]
FACES = [(0, 1, 2, 3), (3, 2, 4), (0, 1, 2, 4, 3)]


def write_dressed_obj(path):
    """A square whose file also holds what its material library says, where damage does no less harm."""
    look = "newmtl m\nKd .9 .9 .9\nd 0.5\nNs 200\nmap_Kd -s 1 1 1 -clamp on gone.png\nPr 0.5\n"
    path.write_text(f"mtllib {path.name}\n{look}{SQUARE}f -4//1 -3 -2 \\\n -1\n")


SHAPES = [
    ("g.ply", lambda path: write_gaussian_ply(path, GAUSSIANS), read_gaussians),
    ("g.splat", lambda path: write_splat(path, GAUSSIANS), read_gaussians),
    ("m.ply", lambda path: write_ply_mesh(path, TETRAHEDRON), read_asset),
    ("p.ply", lambda path: write_ply_mesh(path, TETRAHEDRON), read_point_cloud),
    ("m.glb", lambda path: write_asset(path, static_asset("t", primitive_from_mesh(TETRAHEDRON))), read_asset),
    ("m.obj", lambda path: write_obj(path, TETRAHEDRON), read_asset),
    ("look.obj", write_dressed_obj, read_asset),
    ("mixed.ply", lambda path: path.write_bytes(ply("big", PROPERTIES, ROWS, FACES)), read_asset),
    ("text.ply", lambda path: path.write_bytes(ply("ascii", PROPERTIES, ROWS, FACES)), read_asset),
    ("m.off", lambda path: trimesh.creation.box().export(path), read_asset),
    ("m.stl", lambda path: trimesh.creation.box().export(path), read_asset),
    ("text.stl", lambda path: trimesh.creation.box().export(path, file_type="stl_ascii"), read_asset),
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(3)
    if kind == 0:
        return content[: chance.randrange(len(content))]
    start = chance.randrange(len(content))
    if kind == 1:
        return (
            content[:start] + bytes(chance.randrange(256) for _ in range(chance.choice((1, 4)))) + content[start + 1 :]
        )
    return content[:start] + content[start + chance.randrange(1, 40) :]


def refusals(path, read, count: int) -> list[str]:
    """What a reader said of `count` damaged copies of a file, those aside that it could read all the same."""
    whole, chance, messages = path.read_bytes(), random.Random(path.name), []
    for _ in range(count):
        path.write_bytes(damaged(whole, chance))
        try:
            read()
        except A4DError as error:
            messages.append(str(error))
    path.write_bytes(whole)
    return messages


@pytest.mark.parametrize(
    ("name", "write", "read"), SHAPES, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(SHAPES)]
)
def test_damaged_shapes(tmp_path, name, write, read):
    path = tmp_path / name
    write(path)
    messages = refusals(path, lambda: read(path), count=150)
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("kind", ["json", "bin", "txt"])
def test_damaged_captures(tmp_path, kind):
    capture = orbit_capture(tmp_path, count=2)
    if kind == "json":
        write_transforms(tmp_path / "transforms.json", capture)
        files = [tmp_path / "transforms.json", tmp_path / "points.ply"]
    else:
        write_colmap(tmp_path / "sparse" / "0", capture, tmp_path / "images", is_binary=kind == "bin")
        files = sorted((tmp_path / "sparse" / "0").iterdir())
    messages = [message for file in files for message in refusals(file, lambda: read_capture(tmp_path), count=100)]
    assert len(messages) > 50
    assert not any("\n" in message for message in messages)


def write_half(path, error):
    with atomic_path(path) as temporary:
        assert (temporary.suffix, temporary.parent) == (path.suffix, path.parent)
        temporary.write_text("half of")
        raise error


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(RuntimeError, match="power cut"):
        write_half(path, RuntimeError("power cut"))
    with pytest.raises(WorkspaceError, match="No space left"):
        write_half(path, OSError(28, "No space left on device"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


def test_an_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(WorkspaceError, match="cannot write"):
        write_text(folder, "x")
    assert stat.S_ISDIR(folder.stat().st_mode)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "taken"]


def test_json_that_is_no_object(tmp_path):
    for text in ("[]", "{", "\x00", "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(A4DError):
            read_json(tmp_path / "a.json")
