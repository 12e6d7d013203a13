"""Files of a workspace that were damaged, lost, or put in another's place: the user's trouble, and never a bug."""

import itertools
import random
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch
from bending import bending_bar
from blender_capture import write_blender_capture

from a4d.geometry.assets.animating import AnimationOptions, animated_asset
from a4d.geometry.assets.assembly import primitive_from_mesh
from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature
from a4d.interruption import StopRequest
from a4d.io.assets.glb_asset import write_asset

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"


def flipped(content: bytes, seed: int) -> bytes:
    """Content with one bit in a hundred bytes turned over, but at least one."""
    changed, draw = bytearray(content), random.Random(seed)
    for _ in range(1 + len(content) // 100):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def once_flipped(content: bytes, seed: int) -> bytes:
    """Content with a bit turned over."""
    changed, draw = bytearray(content), random.Random(seed)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "pointer": lambda path: path.write_bytes(POINTER),
    "flipped": lambda path: path.write_bytes(flipped(path.read_bytes() or b"?", 0)),
    "once flipped": lambda path: path.write_bytes(once_flipped(path.read_bytes() or b"?", len(path.name))),
    "folder": folder_instead,
}

QUICK = ("--iterations", 1, "--set", "scene.count=60")
STATIC = (*QUICK, "--set", "proxies.size=24", "--set", "proxies.count=1")
MOVING = (*QUICK, "--set", "scene.motion.nodes=8", "--set", "objectives.0.blur=0", "--set", "objectives.1.blur=0")
EXPORT = ("--resolution", 16, "--size", 32, "--frames", 2)
LOOKS = (("info",), ("validate",), ("evaluate",))
COMMANDS = {
    "image": (
        *LOOKS,
        ("export", "--name", "again", "--formats", "glb,ply", *EXPORT),
        ("fit-static", "--name", "again", *STATIC),
        ("estimate-pose", "--name", "again"),
        ("preprocess", "--name", "again", "--size", 32),
    ),
    "capture": (
        *LOOKS,
        ("export", "--name", "again", "--formats", "splat", *EXPORT),
        ("fit-static", "--name", "again", *QUICK),
        ("fit-static", "--name", "field", "--profile", "fit-static-field", "--iterations", 1),
        ("preprocess", "--name", "again"),
    ),
    "mesh": (
        *LOOKS,
        ("export", "--name", "again", "--formats", "glb", *EXPORT),
        ("fit-static", "--name", "again", *QUICK),
        ("fit-dynamic", "--name", "again", "--from", "fit-static", "--accept", *MOVING),
    ),
}


@pytest.fixture(scope="module")
def workspaces(a4d_in, tmp_path_factory) -> Path:
    """A small workspace of each kind, with scenes and exports."""
    from a4d.io.pictures.images import write_image
    from a4d.render.mesh import render_mesh

    folder = tmp_path_factory.mktemp("sound")
    render = render_mesh(creature(), orbit(torch.tensor([10.0]), torch.tensor([5.0]), 2.8, 40.0, 48, 48))
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0]
    write_image(folder / "image.png", rgba.clamp(0, 1).numpy())
    views = orbit(torch.arange(4) * 90.0, torch.full((4,), 10.0), 2.8, 40.0, 32, 32)
    write_blender_capture(folder / "capture", creature(), {"train": views, "test": views[1]})
    bar = bending_bar(3, 1, 8)
    surface, exact = primitive_from_mesh(bar.meshes[0]), AnimationOptions(tolerance=0)
    write_asset(folder / "mesh.glb", animated_asset("bar", surface, bar.trajectories, 0.1, exact))
    for command in (
        ("preprocess", "image.png", "--size", 48),
        ("estimate-pose", "image.a4d"),
        ("fit-static", "image.a4d", *STATIC),
        ("export", "image.a4d", "--formats", "ply", *EXPORT),
        ("fit-static", "capture", *QUICK),
        ("preprocess", "mesh.glb", "--clip", "morph", "--frames", 3, "--views", 2, "--test-views", 0, "--size", 32),
        ("fit-static", "mesh.a4d", *QUICK),
        ("fit-dynamic", "mesh.a4d", "--from", "fit-static", "--accept", *MOVING),
    ):
        done = a4d_in(folder, *command)
        assert done.code == 0, (command, done.err)
    return folder


def trials(workspaces: Path, kind: str) -> Iterator[tuple[Path, str, tuple]]:
    """Every file of a workspace with every damage and every command that may meet it."""
    root = workspaces / f"{kind}.a4d"
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return itertools.product(files, DAMAGES, COMMANDS[kind])


def assert_no_bug(a4d_in, workspaces: Path, tmp_path: Path, kind: str, chosen: list) -> None:
    bugs = []
    for file, damage, command in chosen:
        workspace = shutil.copytree(workspaces / f"{kind}.a4d", tmp_path / f"{kind}.a4d")
        DAMAGES[damage](workspace / file)
        ended = a4d_in(tmp_path, command[0], workspace.name, *command[1:])
        lines = [line for line in ended.err.splitlines() if line.startswith("a4d: ")]
        if ended.code in (1, 2) or (ended.code and len(lines) != 1):
            bugs.append((str(file), damage, command[0], ended.code, ended.err[-400:]))
        shutil.rmtree(workspace)
    assert not bugs, "\n".join(map(str, bugs))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_damaged_file_is_never_a_bug(a4d_in, workspaces: Path, tmp_path: Path, kind: str) -> None:
    chosen = random.Random(kind).sample(list(trials(workspaces, kind)), 12)
    assert_no_bug(a4d_in, workspaces, tmp_path, kind, chosen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_no_damage_of_any_file_is_a_bug_to_any_command(a4d_in, workspaces: Path, tmp_path: Path, kind: str) -> None:
    assert_no_bug(a4d_in, workspaces, tmp_path, kind, list(trials(workspaces, kind)))


@pytest.mark.parametrize(
    ("kind", "file", "command", "maker"),
    [
        ("image", "scenes/fit-static/tensors.safetensors", "export", "fit-static"),
        ("image", "scenes/fit-static/scene.yaml", "evaluate", "fit-static"),
        ("image", "transforms.json", "fit-static", "estimate-pose"),
        ("capture", "images/00002.png", "fit-static", "preprocess"),
        ("mesh", "ground_truth/morph.npz", "evaluate", "preprocess"),
    ],
)
def test_the_message_names_the_file_and_the_command_that_makes_it_anew(
    a4d_in, workspaces: Path, tmp_path: Path, kind: str, file: str, command: str, maker: str
) -> None:
    workspace = shutil.copytree(workspaces / f"{kind}.a4d", tmp_path / f"{kind}.a4d")
    # Half of a YAML file may be a sound and shorter one, which `validate` alone can tell from what was written.
    for damage in ("empty", "pointer") if file.endswith(".yaml") else ("empty", "halved", "pointer"):
        shutil.copy(workspaces / f"{kind}.a4d" / file, workspace / file)
        DAMAGES[damage](workspace / file)
        arguments = next(each for each in COMMANDS[kind] if each[0] == command)[1:]
        (line,) = a4d_in(tmp_path, command, workspace.name, *arguments).err.splitlines()
        assert f"{workspace.name}/{file}" in line
        remedy = shlex.split(line.partition("Make it anew: `")[2].rstrip("`"))
        assert remedy[:3] == ["a4d", maker, workspace.name]
    done = a4d_in(tmp_path, *remedy[1:])
    assert done.code == 0, done.err
    assert a4d_in(tmp_path, "validate", workspace.name).code == 0


def test_a_checkpoint_that_is_cut_is_no_checkpoint_and_one_of_something_else_is_refused(
    a4d_in, workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = shutil.copytree(workspaces / "image.a4d", tmp_path / "image.a4d")
    command = ("fit-static", workspace.name, "--name", "again", *STATIC)

    def stop(request: StopRequest, *, at_once: bool = False) -> AbstractContextManager[StopRequest]:
        request.signal_number = signal.SIGTERM
        return nullcontext(request)

    with monkeypatch.context() as patched:
        patched.setattr(StopRequest, "listening", stop)
        assert a4d_in(tmp_path, *command).code == 75
    checkpoint = workspace / "stages/again.partial/checkpoint/state.safetensors"
    content = checkpoint.read_bytes()
    for other in (content.replace(b"scene:means", b"scene:meant"), content.replace(b"step", b"stop")):
        checkpoint.write_bytes(other)
        (line,) = a4d_in(tmp_path, *command).err.splitlines()[-1:]
        assert "state.safetensors is damaged" in line
        assert f"Delete {workspace.name}/stages/again.partial" in line
    checkpoint.write_bytes(content[: len(content) // 2])
    assert a4d_in(tmp_path, *command).code == 0
