"""Cameras from elsewhere and from the photographs alone, measured by where they project known points."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from counting import tree
from PIL import Image
from spots import misses, photograph

from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.keypoints import COCO, KEYPOINTS_FILE, Keypoints, write_keypoints
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh

DISTORTION = (-0.3, 0.08, 0.004, -0.003)


def write_photographs(folder: Path) -> None:
    """Photographs through a bent lens whose alpha leaves everything but a corner, and their cameras in `given/`."""
    taken = photograph(folder, distortion=DISTORTION)
    for each in taken:
        with Image.open(each.path) as picture:
            opaque = picture.convert("RGBA")
        opaque.putpixel((0, 0), (0, 0, 0, 0))
        opaque.save(each.path)
    fx, fy, cx, cy = taken[0].intrinsics
    k1, k2, p1, p2 = DISTORTION
    document = {"w": 160, "h": 120, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "k1": k1, "k2": k2, "p1": p1, "p2": p2}
    document["frames"] = [each.entry() | {"file_path": f"../{folder.name}/{each.path.name}"} for each in taken]
    (folder.parent / "given").mkdir()
    (folder.parent / "given/transforms.json").write_text(json.dumps(document))


@pytest.mark.parametrize("max_size", [160, 80])
def test_images_are_straightened_for_imported_cameras_of_a_bent_lens(a4d, tmp_path: Path, max_size: int) -> None:
    write_photographs(tmp_path / "photos")
    assert a4d("preprocess", "photos", "--max-size", max_size).code == 0
    cameras = ("--cameras", "given/transforms.json")
    result = a4d("estimate-pose", "photos.a4d", *cameras)
    assert result.code == 0, result.err
    assert misses("photos.a4d").max() < 0.35
    assert "up to date" in a4d("estimate-pose", "photos.a4d", *cameras).out
    before = tree(Path("photos.a4d"))
    again = a4d("estimate-pose", "photos.a4d", *cameras, "--force")
    assert (again.code, len(again.err.splitlines())) == (2, 1)
    assert "a4d preprocess photos.a4d --force" in again.err
    assert tree(Path("photos.a4d")) == before
    assert a4d("preprocess", "photos.a4d", "--max-size", max_size, "--force").code == 0
    assert a4d("estimate-pose", "photos.a4d", *cameras, "--force").code == 0
    assert misses("photos.a4d").max() < 0.35


def test_a_film_that_is_taken_anew_is_straightened_anew_and_no_body_is_fitted_across_that(a4d, tmp_path: Path) -> None:
    write_photographs(tmp_path / "photos")
    (picture,) = sorted((tmp_path / "photos").iterdir())[:1]
    document = json.loads(Path("given/transforms.json").read_text())
    document["frames"] = [each for each in document["frames"] if each["file_path"].endswith(picture.name)]
    Path("given/transforms.json").write_text(json.dumps(document))
    assert a4d("preprocess", f"photos/{picture.name}", "--matting", "alpha").code == 0
    workspace, cameras = f"{picture.stem}.a4d", ("--cameras", "given/transforms.json")
    found = Keypoints(COCO, np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32), np.ones(1, bool), None)
    write_keypoints(Path(workspace, KEYPOINTS_FILE), found)
    refused = a4d("estimate-pose", workspace, *cameras, "--method", "body")
    assert (refused.code, "bent lens" in refused.err) == (2, True), refused.err
    for _ in range(2):
        assert a4d("estimate-pose", workspace, *cameras, "--force").code == 0
        assert a4d("preprocess", workspace, "--matting", "alpha", "--force").code == 0


def textured_ball() -> Mesh:
    """A dented ball of coloured cells, so that no two sides of it look alike."""
    ball = icosphere(0.8, 7)
    x, y, z = directions = torch.nn.functional.normalize(ball.vertices, dim=-1).T
    generator = torch.Generator().manual_seed(0)
    seeds = torch.nn.functional.normalize(torch.randn(3000, 3, generator=generator), dim=-1)
    colours = torch.rand(3000, 3, generator=generator)[(seeds @ directions).argmax(0)]
    dents = 0.08 * torch.sin(3 * x + 1) * torch.sin(4 * y) * torch.sin(3 * z + 0.5)
    return Mesh(ball.vertices * (1 + dents[:, None]), ball.faces, colours)


@pytest.mark.slow
def test_structure_from_motion_finds_the_cameras_of_rendered_photographs(a4d, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    count, ball = 20, textured_ball()
    azimuth = torch.arange(count) * 360.0 / count
    cameras = orbit(azimuth, 12 + 10 * (torch.arange(count) % 2), 2.8, 40.0, 480, 360)
    for index in range(count):
        render = render_mesh(ball, cameras[index])
        write_image(tmp_path / "photos" / f"p{index:02d}.png", (render.rgb + 1 - render.alpha)[0].clamp(0, 1).numpy())
    assert a4d("preprocess", "photos").code == 0
    result = a4d("estimate-pose", "photos.a4d", "--method", "colmap", "--json")
    assert result.code == 0, result.err
    assert result.err == "", "the library's own log is not for the user"
    assert result.json["metrics"]["cameras"] >= 18
    assert a4d("validate", "photos.a4d").code == 0
    found = read_transforms(Path("photos.a4d/transforms.json"))
    indices = [int(re.findall(r"\d+", path.stem)[0]) for path in found.images]
    truth = cameras.world_from_camera[indices, :3].double().numpy()
    # Both worlds agree up to a similarity; angles between cameras, and ratios of distances, are free of it.
    rotations = found.world_from_camera[:, :3, :3]
    relative = np.einsum("nji,jk->nik", rotations, rotations[0])
    expected = np.einsum("nji,jk->nik", truth[:, :, :3], truth[0, :, :3])
    cosines = (np.einsum("nij,nij->n", relative, expected) - 1) / 2
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).max() < 1.5
    spans = [
        np.linalg.norm(place[1:] - place[0], axis=1) for place in (found.world_from_camera[:, :3, 3], truth[..., 3])
    ]
    ratios = spans[0] / spans[1]
    assert ratios.std() / ratios.mean() < 0.02
    assert a4d("fit-static", "photos.a4d", "--iterations", 0, "--set", "scene.count=500").code == 0


def test_without_the_library_the_remedy_is_named(a4d, monkeypatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pycolmap", None)
    write_photographs(tmp_path / "photos")
    assert a4d("preprocess", "photos").code == 0
    before = tree(Path("photos.a4d"))
    result = a4d("estimate-pose", "photos.a4d")
    assert (result.code, len(result.err.splitlines())) == (5, 1)
    assert "pip install a4d[colmap]" in result.err
    assert tree(Path("photos.a4d")) == before
