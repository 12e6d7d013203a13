"""The main job: one image in, files that other programs open out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import gaussian_filter
from welded_mesh import read_mesh

from a4d.io.films.video import read_video, write_video
from a4d.io.gaussian_ply import read_gaussian_ply
from a4d.io.splat import read_splat

QUICK = ("--size", 160), ("--iterations", 80, "--set", "scene.count=4000", "--set", "proxies.size=96")


@pytest.fixture(scope="module")
def finished(a4d_in, creature_picture: Path, tmp_path_factory) -> Path:
    preprocessing, fitting = QUICK
    folder = tmp_path_factory.mktemp("fitted")
    assert a4d_in(folder, "preprocess", creature_picture, *preprocessing).code == 0
    result = a4d_in(folder, "fit-static", "creature.a4d", *fitting, "--json")
    assert result.code == 0, result.err
    assert "estimate-pose came first" in result.err
    assert result.json["metrics"]["psnr"] > 28
    assert "no prior" in result.err
    return folder / "creature.a4d"


@pytest.fixture
def fitted(finished: Path, a4d) -> Path:
    """A copy of a finished workspace in the current folder, which is as good as where it was made."""
    return Path(shutil.copytree(finished, "creature.a4d"))


def test_the_scene_agrees_with_the_picture(a4d, fitted: Path) -> None:
    figures = a4d("evaluate", fitted, "--json").json
    assert figures["psnr"] >= 30
    assert figures["iou"] >= 0.98
    again = a4d("fit-static", fitted, *QUICK[1], "--json")
    assert (again.code, again.json["status"]) == (0, "up to date")


def test_every_export_is_read_by_another_program(a4d, fitted: Path) -> None:
    result = a4d(
        "export", fitted, "--formats", "glb,obj,ply,splat,mp4,gif,webp,png", "--resolution", 64, "--size", 64,
        "--frames", 6, "--texture", 0, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    exports = fitted / "exports"
    for suffix in ("glb", "obj"):
        mesh = trimesh.load_mesh(exports / f"creature.{suffix}", process=False)
        assert mesh.is_watertight
        assert mesh.volume > 0.05
        assert float(read_mesh(exports / f"creature.{suffix}").colours.std()) > 0.05
    count = result.json["metrics"]["gaussians"]
    assert len(read_gaussian_ply(exports / "creature.ply")) == count
    assert len(read_splat(exports / "creature.splat")) == count
    for suffix in ("mp4", "gif", "webp"):
        frames = list(read_video(exports / f"creature.{suffix}").frames)
        assert len(frames) == 6
        assert np.abs(frames[0][..., :3] - frames[3][..., :3]).mean() > 0.01
    with Image.open(exports / "creature_frames" / "00000.png") as picture:
        assert picture.size == (64, 64)
        assert picture.mode == "RGBA"


def test_the_record_says_how_it_was_made(a4d, fitted: Path) -> None:
    record = json.loads((fitted / "stages" / "fit-static" / "record.json").read_text())
    assert record["config"]["scene"]["count"] == 4000
    assert {item["path"] for item in record["outputs"]} == {
        "scenes/fit-static/scene.yaml",
        "scenes/fit-static/tensors.safetensors",
        "scenes/fit-static/gaussians.ply",
    }
    assert record["seconds"] > 0
    lines = (fitted / "stages/fit-static/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 80
    assert list((fitted / "stages/fit-static/previews").glob("reference_*.png"))
    assert a4d("validate", fitted).code == 0


def test_other_settings_over_a_finished_result_are_refused_with_the_difference(a4d, fitted: Path) -> None:
    before = (fitted / "scenes/fit-static/tensors.safetensors").read_bytes()
    result = a4d("fit-static", fitted, *QUICK[1], "--set", "scene.count=3000")
    assert result.code == 3
    assert "scene.count: 4000 -> 3000" in result.err
    assert (fitted / "scenes/fit-static/tensors.safetensors").read_bytes() == before
    assert a4d("fit-static", fitted, *QUICK[1], "--set", "scene.count=3000", "--name", "light").code == 0
    assert {scene.name for scene in (fitted / "scenes").iterdir()} == {"fit-static", "light"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("scene.sh_dgree=1", "Did you mean 'sh_degree'"),
        ("objectives.0.weigth=1", "Did you mean 'weight'"),
        ("views.reference.kind=observd", "Did you mean 'observed'"),
        ("optimiser.rate={}", "Did you mean 'rates'"),
        ("iteratons=3", "Did you mean 'iterations'"),
        ("scene.count=0", "scene.count"),
    ],
)
def test_a_misspelt_setting_is_named_before_anything_runs(a4d, creature_picture, assignment, message) -> None:
    result = a4d("fit-static", creature_picture, "--set", assignment)
    assert result.code == 3
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not Path("creature.a4d").exists()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(a4d, creature_picture: Path) -> None:
    tensors = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        Path(folder).mkdir()
        picture = Path(folder) / f"{folder}.png"
        picture.write_bytes(creature_picture.read_bytes())
        result = a4d("fit-static", picture, "--iterations", 5, "--seed", seed, "--set", "scene.count=500")
        assert result.code == 0, result.err
        tensors.append(Path(f"{folder}.a4d/scenes/fit-static/tensors.safetensors").read_bytes())
    assert tensors[0] == tensors[1]
    assert tensors[0] != tensors[2]


def test_a_depth_map_moves_the_front(a4d, creature_picture: Path) -> None:
    with Image.open(creature_picture) as picture:
        alpha = np.asarray(picture)[..., 3] / 255
    # As round as the silhouette would be, and nearer on the right.
    nearness = gaussian_filter(alpha, 12) * np.linspace(0.3, 1, alpha.shape[1])
    Image.fromarray((nearness * 65535).astype(np.uint16)).save("depth.png")
    slopes = []
    for name, options in (("plain", ()), ("deep", ("--depth", "depth.png"))):
        Path(f"{name}.png").write_bytes(creature_picture.read_bytes())
        assert a4d("preprocess", f"{name}.png", *options).code == 0
        assert a4d("estimate-pose", f"{name}.a4d").code == 0
        result = a4d("fit-static", f"{name}.a4d", "--iterations", 0, "--set", "scene.count=2000")
        assert result.code == 0, result.err
        means = read_gaussian_ply(Path(f"{name}.a4d/scenes/fit-static/gaussians.ply")).means
        front = means[means[:, 2] > 0]
        right, left = front[front[:, 0] > 0.05, 2].mean(), front[front[:, 0] < -0.05, 2].mean()
        slopes.append(float(right - left))
    assert Path("deep.a4d/depth/00000.png").is_file()
    assert slopes[1] > slopes[0] + 0.02


def test_of_a_clip_one_frame_is_fitted_and_the_user_is_told(a4d) -> None:
    colours = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1]}
    frames = np.ones((3, 96, 96, 3), np.float32)
    for frame, colour in zip(frames, colours.values(), strict=True):
        frame[24:72, 24:72] = colour
    write_video("clip.gif", frames, 10)
    options = ("--iterations", 20, "--set", "scene.count=800", "--set", "proxies.size=48")
    for index, name in enumerate(colours):
        result = a4d("fit-static", "clip.gif", *options, "--frame", index, "--name", name)
        assert result.code == 0, result.err
        assert f"frame {index} of 3 alone is fitted" in result.err
        gaussians = read_gaussian_ply(Path(f"clip.a4d/scenes/{name}/gaussians.ply"))
        assert int(gaussians.sh[:, 0].mean(0).argmax()) == index
    result = a4d("fit-static", "clip.gif", *options, "--frame", 3, "--name", "none")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "Give --frame 0 to 2" in result.err
