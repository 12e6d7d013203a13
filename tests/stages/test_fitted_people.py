"""People in films whose keypoints are known: the body is where it truly was, upright and on the ground."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from body_films import BodyFilm, body_film
from PIL import Image
from synthetic_smpl import model

from a4d.contents.bodies import load_tracked_body
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.keypoints import KEYPOINTS_FILE, Keypoints, write_keypoints
from a4d.workspace.workspace import Workspace

UNSEEN = 3


def workspace_of(a4d, film: BodyFilm, folder: Path) -> Path:
    """Pictures of a film's masks, and its keypoints; a frame in the middle shows nobody."""
    (folder / "film").mkdir()
    seen = film.sightings
    for frame, mask in enumerate(seen.masks.numpy()):
        picture = np.full((*mask.shape, 4), 120, np.uint8)
        picture[..., 3] = 255 * mask * (frame != UNSEEN)
        picture[0, 0, 3] = 255  # a picture without a subject is no photograph
        Image.fromarray(picture).save(folder / f"film/{frame:02d}.png")
    assert a4d("preprocess", "film").code == 0
    keypoints = Keypoints(
        seen.names,
        seen.points.numpy(),
        seen.confidence.numpy(),
        np.arange(len(seen)) != UNSEEN,
        None if seen.space is None else seen.space.numpy(),
    )
    write_keypoints(folder / "film.a4d" / KEYPOINTS_FILE, keypoints)
    return folder / "film.a4d"


@pytest.mark.slow
def test_a_filmed_body_stands_upright_where_it_was(a4d, tmp_path: Path) -> None:
    film = body_film(10, turn=90.0, pitch=12.0, noise=0.005)
    path = workspace_of(a4d, film, tmp_path)
    result = a4d("estimate-pose", "film.a4d", "--method", "body")
    assert result.code == 0, result.err
    tracked = load_tracked_body(Workspace.open(path))
    assert tracked.is_tracked.tolist() == [frame != UNSEEN for frame in range(10)]
    cameras = read_transforms(path / "transforms.json")
    assert len(set(cameras.times.tolist())) == 10
    up = (
        cameras.world_from_camera[0, :3, :3] @ film.cameras.camera_from_world[0, :3, :3].numpy() @ np.array([0, 1.0, 0])
    )
    assert np.degrees(np.arccos(min(up[1], 1.0))) < 3
    vertices = tracked.animated.posed().vertices
    assert float(vertices[..., 1].min()) == pytest.approx(0.0, abs=0.02)
    joints = tracked.animated.posed().joints[0]
    names = list(tracked.animated.body.names)
    across = joints[names.index("upperleg01.L")] - joints[names.index("upperleg01.R")]
    assert float(torch.atan2(across[2], across[0]).abs()) < 0.2
    metrics = json.loads((path / "stages/estimate-pose/record.json").read_text())["metrics"]
    assert metrics["silhouette_iou"] > 0.85
    assert metrics["reprojection_percent"] < 1.5
    assert [moment["silhouette_iou"] is None for moment in metrics["moments"]] == [i == UNSEEN for i in range(10)]
    assert len(list((path / "stages/estimate-pose/previews").iterdir())) == 6
    assert "up to date" in a4d("estimate-pose", "film.a4d", "--method", "body").out


@pytest.mark.slow
def test_keypoints_that_are_no_body_are_not_gone_on_with(a4d, tmp_path: Path) -> None:
    film = body_film(4)
    film.sightings.points[:] = 40 + 110 * torch.rand(
        film.sightings.points.shape, generator=torch.Generator().manual_seed(0)
    )
    workspace_of(a4d, film, tmp_path)
    result = a4d("estimate-pose", "film.a4d", "--method", "body")
    assert result.code == 7
    assert "misses its keypoints" in result.err


def test_without_keypoints_the_ways_to_them_are_told(a4d, tmp_path: Path) -> None:
    film = body_film(4)
    path = workspace_of(a4d, film, tmp_path)
    (path / KEYPOINTS_FILE).unlink()
    result = a4d("estimate-pose", "film.a4d", "--method", "body")
    assert (result.code, len(result.err.splitlines())) == (4, 1)
    for way in ("--matting person", "--keypoints FILE", "--tracks FILE"):
        assert way in result.err


def test_what_does_not_apply_to_a_body_is_refused(a4d, tmp_path: Path) -> None:
    workspace_of(a4d, body_film(4), tmp_path)
    np.savez(tmp_path / "smpl.npz", **model())
    result = a4d("estimate-pose", "film.a4d", "--method", "body", "--body", "smpl.npz", "--gender", "female")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "--gender" in result.err
    assert a4d("estimate-pose", "film.a4d", "--method", "body", "--body", "nobody.glb").code == 4
