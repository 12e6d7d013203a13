"""A picture's asset carries it as fine as its file has it, on as few faces as are wanted."""

from pathlib import Path

import numpy as np
import pytest

from a4d.contents.front_picture import front_picture
from a4d.geometry.assets.posing import deform
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.pictures.images import write_image
from a4d.metrics import psnr
from a4d.render.asset import AssetRenderer
from a4d.workspace.workspace import Workspace

QUICK = (
    "--iterations", 0, "--set", "scene.count=1500", "--set", "proxies.count=2", "--set", "proxies.size=32",
)  # fmt: skip


def striped_ball(side: int = 320) -> np.ndarray:
    """Stripes that a frame of 96 pixels cannot hold."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    stripes = 0.5 + 0.4 * np.sign(np.sin(2 * np.pi * x * side / 10))
    alpha = np.clip(0.5 + (0.3 - np.hypot(x - 0.5, y - 0.5)) * side, 0, 1)
    return np.stack([stripes, 0.3 + 0 * x, 1 - stripes, alpha], axis=-1).astype(np.float32)


@pytest.fixture
def fitted(a4d) -> Path:
    pytest.importorskip("fast_simplification")
    write_image(Path("ball.png"), striped_ball())
    assert a4d("preprocess", "ball.png", "--size", 96).code == 0
    assert a4d("estimate-pose", "ball.a4d").code == 0
    result = a4d("fit-static", "ball.a4d", *QUICK)
    assert result.code == 0, result.err
    return Path("ball.a4d")


def test_the_asset_shows_the_picture_as_fine_as_its_file(a4d, fitted: Path) -> None:
    result = a4d("export", fitted, "--formats", "glb", "--resolution", 32, "--faces", 600, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["faces"] <= 600
    assert {"transforms.json", "images", "source"} <= set(result.json["inputs"]), "what the texture is taken from"
    picture = front_picture(Workspace.open(fitted))
    assert picture.rgba.shape[0] > 2 * 96
    asset = read_gltf(fitted / "exports" / "ball.glb")
    (material,) = [each for each in asset.materials if each.base_colour_map is not None]
    assert (material.metallic, material.roughness) == pytest.approx((0, 0.9))
    assert asset.meshes[0].primitives[0].colours is None
    shown = AssetRenderer(asset).render(deform(asset), picture.camera).rgba
    third = picture.rgba.shape[0] // 3
    middle = (slice(third, 2 * third),) * 2
    assert psnr(shown[middle][..., :3], picture.rgba[middle][..., :3]) > 18
    assert float(shown[middle][..., 0].std()) > 0.3, "stripes, where the frame is grey"


def test_vertex_colours_stay_where_they_are_asked_for(a4d, fitted: Path) -> None:
    result = a4d("export", fitted, "--formats", "glb", "--resolution", 32, "--texture", 0, "--json")
    assert result.code == 0, result.err
    asset = read_gltf(fitted / "exports" / "ball.glb")
    assert asset.materials[0].base_colour_map is None
    assert asset.meshes[0].primitives[0].colours is not None


def test_faces_of_a_given_mesh_are_left_alone(a4d, spot_like) -> None:
    result = a4d("export", spot_like, "--formats", "glb", "--faces", 100)
    assert result.code == 2
    assert "--faces" in result.err


def test_a_given_mesh_is_not_made_anew(a4d, spot_like) -> None:
    result = a4d("export", spot_like, "--formats", "glb", "--surface", "poisson")
    assert result.code == 2
    assert "--surface" in result.err


@pytest.fixture
def spot_like(a4d) -> Path:
    from a4d.geometry.primitives import box
    from a4d.io.assets.obj import write_obj

    write_obj(Path("box.obj"), box())
    result = a4d("preprocess", "box.obj", "--views", 2, "--test-views", 0, "--size", 16)
    assert result.code == 0, result.err
    return Path("box.a4d")
