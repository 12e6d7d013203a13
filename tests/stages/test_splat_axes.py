"""Which way is up in the files that splat viewers open, by the viewers' own rule."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from a4d.geometry.assets.posing import deform
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.ply.tables import read_ply_table
from a4d.io.splat import RECORD

HALF_A_TURN_ABOUT_Z = np.array([-1.0, -1.0, 1.0])
"""What SuperSplat and its kin do to every file."""


@pytest.fixture(scope="module")
def fitted(a4d_in, tmp_path_factory) -> Path:
    """A workspace of a picture in which red is above, and to the left of, blue; its Gaussians are a first guess."""
    folder = tmp_path_factory.mktemp("figures")
    picture = Image.new("RGBA", (120, 80))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([30, 10, 50, 65], (200, 40, 30, 255))
    draw.rectangle([30, 50, 90, 65], (30, 60, 200, 255))
    picture.save(folder / "figure.png")
    few = ("--set", "scene.count=400", "--set", "proxies.count=1", "--set", "proxies.size=16")
    made = a4d_in(folder, "fit-static", "figure.png", "--iterations", 0, *few)
    assert made.code == 0, made.err
    return folder / "figure.a4d"


@pytest.fixture
def figure(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "figure.a4d"))


def red_and_blue_of_ply(path: Path) -> list[np.ndarray]:
    """The middle of the red and of the blue Gaussians, in the file's own axes."""
    columns = read_ply_table(path, "vertex").columns
    is_red = columns["f_dc_0"] > columns["f_dc_2"]
    places = np.stack([columns[axis] for axis in "xyz"], axis=1)
    return [places[is_red].mean(axis=0), places[~is_red].mean(axis=0)]


def red_and_blue_of_splat(path: Path) -> list[np.ndarray]:
    records = np.fromfile(path, RECORD)
    is_red = records["rgba"][:, 0] > records["rgba"][:, 2]
    return [records["position"][part].mean(axis=0) for part in (is_red, ~is_red)]


def test_viewers_show_what_is_above_above(a4d, figure: Path) -> None:
    done = a4d("export", figure, "--formats", "ply,splat,glb", "--texture", 0, "--resolution", 32, "--json")
    assert done.code == 0, done.err
    for red, blue in (
        red_and_blue_of_ply(figure / "exports/figure.ply"),
        red_and_blue_of_splat(figure / "exports/figure.splat"),
    ):
        difference = (red - blue) * HALF_A_TURN_ABOUT_Z
        assert difference[1] > 0.3
        assert difference[0] < -0.3
    mesh = deform(read_gltf(figure / "exports/figure.glb")).mesh
    is_red = mesh.colours[:, 0] > mesh.colours[:, 2]
    assert float(mesh.vertices[is_red][:, 1].mean() - mesh.vertices[~is_red][:, 1].mean()) > 0.3


@pytest.mark.parametrize(("up", "axis", "sign"), [("+y", 1, 1), ("-y", 1, -1), ("z", 2, 1), ("-z", 2, -1)])
def test_the_user_names_the_axis(a4d, figure: Path, up: str, axis: int, sign: int) -> None:
    done = a4d("export", figure, "--formats", "ply", "--up", up, "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["ply_psnr"] > 60
    red, blue = red_and_blue_of_ply(figure / "exports/figure.ply")
    assert sign * (red - blue)[axis] > 0.3


def test_the_workspace_s_own_file_keeps_to_the_workspace_s_world(figure: Path) -> None:
    red, blue = red_and_blue_of_ply(figure / "scenes/fit-static/gaussians.ply")
    assert (red - blue)[1] > 0.3
