"""Captures as other programs leave them: whose pictures are whose, where they lie, and how large they are."""

import json
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.colmap import write_colmap
from a4d.io.captures.image_matching import match_images
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.pictures.images import read_image

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def ring(count: int = 8) -> list[np.ndarray]:
    """(4, 4) poses with OpenCV axes around the origin of a world with +Z up, 3 away."""
    poses = []
    for angle in np.arange(count) * 2 * np.pi / count:
        eye = np.array([3 * np.cos(angle), 3 * np.sin(angle), 0.5])
        forward = -eye / np.linalg.norm(eye)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
        poses.append(pose)
    return poses


def write_ball(path: Path, size: tuple[int, int] = (48, 36), mode: str = "RGBA") -> None:
    """A disc in the middle, opaque on nothing, or on grey without alpha."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    inside = (x - width / 2 + 0.5) ** 2 + (y - height / 2 + 0.5) ** 2 < (0.3 * min(size)) ** 2
    rgba = np.full((height, width, 4), (128, 128, 128, 0 if mode == "RGBA" else 255), np.uint8)
    rgba[inside] = (200, 60, 40, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba).convert(mode).save(path)


def entry(name: str, pose: np.ndarray, focal: float = 50.0, size: tuple[int, int] = (48, 36)) -> dict[str, object]:
    width, height = size
    lens = {"w": width, "h": height, "fl_x": focal, "fl_y": focal, "cx": width / 2, "cy": height / 2}
    return {"file_path": name, **lens, "transform_matrix": (pose @ OPENGL).tolist()}


def write_model(folder: Path, names: list[str], images_folder: Path, poses: list[np.ndarray]) -> None:
    count = len(names)
    capture = PosedCapture(
        images=tuple(images_folder / name for name in names),
        world_from_camera=np.stack(poses),
        intrinsics=np.array([[50.0, 50.0, 24.0, 18.0]] * count),
        sizes=np.array([[48, 36]] * count),
    )
    write_colmap(folder, capture, images_folder)


@pytest.mark.parametrize("profile", ["auto", "fit-static-tetmesh"])
def test_masked_pictures_of_several_sizes_make_a_scene(a4d, tmp_path: Path, profile: str) -> None:
    frames = []
    for index, pose in enumerate(ring()):
        size = (48, 36) if index % 2 else (36, 48)
        write_ball(tmp_path / f"cap/images/{index}.png", size)
        frames.append(entry(f"images/{index}.png", pose, 52, size))
    (tmp_path / "cap/transforms.json").write_text(json.dumps({"frames": frames}))
    sizes = ["--set", "scene.surface.resolution=12"] if "tetmesh" in profile else ["--set", "scene.count=1000"]
    done = a4d("fit-static", "cap", "--iterations", 2, "--profile", profile, *sizes, "--json")
    assert done.code == 0, done.err
    scored = a4d("evaluate", "cap.a4d", "--split", "train", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["iou"] > 0.45, "the hull alone is nearly the ball"


def test_cameras_of_a_rig_go_to_the_pictures_of_their_folder(a4d, tmp_path: Path) -> None:
    poses, frames = ring(), []
    for index, pose in enumerate(poses):
        side = "left" if index < 4 else "right"
        write_ball(tmp_path / f"rig/{side}/{index % 4:04d}.png")
        frames.append(entry(f"{side}/{index % 4:04d}.png", pose, 50 if side == "left" else 100))
    (tmp_path / "rig/transforms.json").write_text(json.dumps({"frames": frames}))
    names = [str(frame["file_path"]) for frame in frames]
    write_model(tmp_path / "sparse", names, tmp_path / "rig", poses)
    shutil.copytree(tmp_path / "rig/left", tmp_path / "elsewhere")
    for side, focal, part in (("left", 50, slice(0, 4)), ("right", 100, slice(4, 8))):
        assert a4d("preprocess", f"rig/{side}").code == 0
        for cameras, expected in (("rig/transforms.json", focal), ("sparse", 50)):
            done = a4d("estimate-pose", f"{side}.a4d", "--cameras", cameras, "--force")
            assert done.code == 0, done.err
            found = read_transforms(tmp_path / f"{side}.a4d/transforms.json")
            assert set(found.intrinsics[:, 0]) == {expected}
            relative = np.linalg.inv(found.world_from_camera[0]) @ found.world_from_camera
            own = np.linalg.inv(poses[part][0]) @ np.stack(poses[part])
            np.testing.assert_allclose(relative[:, :3, :3], own[:, :3, :3], atol=1e-6)
    assert a4d("preprocess", "elsewhere").code == 0
    refused = a4d("estimate-pose", "elsewhere.a4d", "--cameras", "rig/transforms.json")
    assert (refused.code, len(refused.err.splitlines())) == (3, 1)
    assert "left/0000.png" in refused.err
    assert "right/0000.png" in refused.err


def test_the_longest_agreement_of_paths_decides() -> None:
    images = [Path("a/left/0.png"), Path("b/left/0.png"), Path("a/right/1.png")]
    files = [PurePosixPath("b/left/0.png"), PurePosixPath("z/1.png"), PurePosixPath("z/2.png")]
    assert match_images(files, images) == [1, 2, None]


def test_cameras_of_a_cut_picture_are_cut_with_it(a4d, tmp_path: Path) -> None:
    """The disc's middle stays where the camera's axis meets it, though the frame is a square around the disc."""
    whole = np.zeros((60, 100, 4), np.uint8)
    whole[10:30, 60:80] = (200, 60, 40, 255)
    Image.fromarray(whole).save(tmp_path / "photo.png")
    lens = {"w": 100, "h": 60, "fl_x": 80.0, "fl_y": 80.0, "cx": 70.0, "cy": 20.0}
    pose = (ring()[0] @ OPENGL).tolist()
    frames = [{"file_path": "photo.png", **lens, "transform_matrix": pose}]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    assert a4d("preprocess", "photo.png", "--size", 100, "--margin", 0).code == 0
    done = a4d("estimate-pose", "photo.a4d", "--cameras", "transforms.json")
    assert done.code == 0, done.err
    found = read_transforms(tmp_path / "photo.a4d/transforms.json")
    # A square of 20 pixels became 100: five times the focal length, and the axis through its middle.
    np.testing.assert_allclose(found.intrinsics[0], [400, 400, 50, 50])
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [{**frames[0], "w": 60, "h": 100}]}))
    (tmp_path / "photo.png").unlink()
    refused = a4d("estimate-pose", "photo.a4d", "--cameras", "transforms.json", "--force")
    assert refused.code == 3
    assert "60x100" in refused.err


def test_the_largest_of_several_models_is_taken_and_another_can_be_named(a4d, tmp_path: Path) -> None:
    poses = ring()
    for index in range(8):
        write_ball(tmp_path / f"project/images/{index}.png")
    for model, chosen in (("0", [2, 3]), ("1", list(range(8))), ("10", [1])):
        names = [f"{index}.png" for index in chosen]
        write_model(tmp_path / "project/sparse" / model, names, tmp_path, [poses[index] for index in chosen])
    done = a4d("preprocess", "project", "--json")
    assert (done.code, done.json["metrics"]["frames"]) == (0, 8), done.err
    (warning,) = done.json["warnings"]
    assert "sparse/1 is taken" in warning
    assert "sparse/0 has 2, sparse/10 has 1" in warning
    other = a4d("preprocess", "project", "--model", "sparse/0", "--force", "--json")
    assert (other.json["metrics"]["frames"], other.json["warnings"]) == (2, [])
    for wrong, code in (("sparse/2", 4), ("../sparse", 3)):
        assert a4d("preprocess", "project", "--model", wrong, "--force").code == code
    alone = a4d("preprocess", "project/sparse/1")
    assert (alone.code, len(alone.err.splitlines())) == (4, 1)
    assert "a4d preprocess project --model sparse/1" in alone.err
    write_ball(tmp_path / "photo.png")
    assert a4d("preprocess", "photo.png", "--model", "sparse/0").code == 2


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ("images", ""),
        ("input", ""),
        ("images_2", ""),
        ("images", "images/"),
        ("input", "input/"),
        ("images", "input/"),
        ("images/day", "day/"),
    ],
)
def test_images_of_a_model_are_found_under_the_names_in_use(a4d, tmp_path: Path, stored: str, named: str) -> None:
    for index in range(4):
        write_ball(tmp_path / "project" / stored / f"{index}.png")
    write_ball(tmp_path / "project" / "images" / "unrelated.png")
    names = [f"{named}{index}.png" for index in range(4)]
    write_model(tmp_path / "project/colmap/sparse/0", names, tmp_path, ring(4))
    done = a4d("preprocess", "project", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["frames"] == 4


@pytest.mark.parametrize("pattern", ["masks/{}.png", "masks/{}.png.png", "masks/images/{}.png"])
@pytest.mark.parametrize("kind", ["colmap", "transforms"])
def test_masks_beside_the_images_become_alpha(a4d, tmp_path: Path, pattern: str, kind: str) -> None:
    names = [f"{index}.png" for index in range(4)]
    for index, name in enumerate(names):
        write_ball(tmp_path / "cap/images" / name, mode="RGB")
        mask = np.zeros((36, 48), np.uint8)
        mask[:, 20:] = 255
        path = tmp_path / "cap" / pattern.format(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    if kind == "colmap":
        write_model(tmp_path / "cap/sparse/0", names, tmp_path, ring(4))
    else:
        frames = [entry(f"images/{name}", pose) for name, pose in zip(names, ring(4), strict=True)]
        (tmp_path / "cap/transforms.json").write_text(json.dumps({"frames": frames}))
    done = a4d("preprocess", "cap", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["masks"]
    for index in range(4):
        alpha = read_image(tmp_path / f"cap.a4d/images/{index:05d}.png")[..., 3]
        assert alpha[:, 21:].min() == 1
        assert alpha[:, :19].max() == 0


def test_pictures_beside_the_folder_of_a_transforms_json(a4d, tmp_path: Path) -> None:
    frames = []
    for index, pose in enumerate(ring()):
        write_ball(tmp_path / f"data/images/{index}.png")
        frames.append(entry(f"../images/{index}.png", pose))
    (tmp_path / "data/poses").mkdir()
    (tmp_path / "data/poses/transforms.json").write_text(json.dumps({"frames": frames}))
    refused = a4d("preprocess", "data/poses/transforms.json")
    assert (refused.code, len(refused.err.splitlines())) == (3, 1)
    assert "'../images/0.png' leads out of" in refused.err
    assert "name one that holds both" in refused.err
    done = a4d("preprocess", "data", "--json")
    assert (done.code, done.json["metrics"]["frames"]) == (0, 8), done.err
    secret = tmp_path / "secret.png"
    write_ball(secret)
    for index, name in enumerate(("../../secret.png", str(secret))):
        shutil.copytree(tmp_path / "data", tmp_path / f"bad_{index}")
        (tmp_path / f"bad_{index}/poses/transforms.json").write_text(
            json.dumps({"frames": [frames[0], {**frames[1], "file_path": name}]})
        )
        assert a4d("preprocess", f"bad_{index}").code == 3
        assert not (tmp_path / f"bad_{index}.a4d").exists()
    shutil.copytree(tmp_path / "data/poses", tmp_path / "data/more")
    several = a4d("preprocess", "data")
    assert several.code == 3
    assert "several captures: more, poses" in several.err


def test_points_that_are_not_there_are_left_out_with_a_word(a4d, tmp_path: Path) -> None:
    frames = []
    for index, pose in enumerate(ring(4)):
        write_ball(tmp_path / f"cap/images/{index}.png")
        frames.append(entry(f"images/{index}.png", pose))
    document = {"ply_file_path": "sparse_pc.ply", "frames": frames}
    (tmp_path / "cap/transforms.json").write_text(json.dumps(document))
    done = a4d("preprocess", "cap", "--json")
    assert done.code == 0, done.err
    (warning,) = done.json["warnings"]
    assert "sparse_pc.ply" in warning
    assert "points" not in done.json["metrics"]


def test_the_canonical_camera_fits_each_picture_s_size(a4d, tmp_path: Path) -> None:
    for index, size in enumerate([(48, 36), (36, 48), (48, 36)]):
        write_ball(tmp_path / f"photos/{index}.png", size)
    assert a4d("preprocess", "photos").code == 0
    assert a4d("estimate-pose", "photos.a4d", "--method", "canonical").code == 0
    found = read_transforms(tmp_path / "photos.a4d/transforms.json")
    assert found.sizes.tolist() == [[48, 36], [36, 48], [48, 36]]
    np.testing.assert_allclose(found.intrinsics[:, 1] / found.sizes[:, 1], 0.5 / np.tan(np.radians(20)), rtol=1e-6)
