"""Every kind of input becomes what the format says, measured against what is known of it."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image
from spots import misses, photograph

from a4d.framing import Crop, place_back
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.colmap import write_colmap
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.films.video import write_video
from a4d.io.pictures.images import read_image

DISTORTION = (-0.25, 0.08, 0.004, -0.003)
"""k1, k2, p1, p2 of a lens that bends the picture's corners by several pixels."""


def notes(workspace: Path | str) -> dict:
    return yaml.safe_load((Path(workspace) / "workspace.yaml").read_text())["notes"]


def disc(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Soft alpha of a disc."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.clip(radius + 0.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)


def subject(height: int = 120, width: int = 160, centre: tuple[float, float] = (95, 50), radius: float = 30):
    """A coloured disc as straight RGBA in [0, 1]."""
    alpha = disc(height, width, centre, radius)
    y, x = np.mgrid[:height, :width]
    return np.stack([0.8 + 0.1 * np.sin(x / 9), 0.3 + 0 * x, 0.2 + 0.1 * np.cos(y / 7), alpha], -1).astype(np.float32)


def over(rgba: np.ndarray, background: np.ndarray | float) -> np.ndarray:
    return rgba[..., :3] * rgba[..., 3:] + background * (1 - rgba[..., 3:])


def samples(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def overlap(alpha: np.ndarray, truth: np.ndarray) -> float:
    a, b = alpha > 0.5, truth > 0.5
    return float((a & b).sum() / (a | b).sum())


def taken_in(workspace: Path | str, shape: tuple[int, int]) -> np.ndarray:
    """The frame of one image, placed back over a transparent picture of the original's size."""
    frame = read_image(Path(workspace) / "images/00000.png")
    return place_back(frame, Crop(**notes(workspace)["crop"]), np.zeros((*shape, 4), np.float32))


def landscape() -> np.ndarray:
    """A background that is anything but plain."""
    noise = np.random.default_rng(3).normal(size=(120, 160, 3))
    return np.clip(0.45 + 2.2 * cv2.GaussianBlur(noise, (0, 0), 4) * [0.3, 1, 1.2], 0, 0.75)


KINDS = {
    "alpha": lambda rgba: Image.fromarray(samples(rgba)),
    "uniform": lambda rgba: Image.fromarray(samples(over(rgba, 0.9))),
    "photo": lambda rgba: Image.fromarray(samples(over(rgba, landscape()))),
    "palette": lambda rgba: Image.fromarray(samples(over(rgba, 0.9))).quantize(64),
    "palette with alpha": lambda rgba: Image.fromarray(samples(np.where(rgba[..., 3:] > 0.5, rgba, 0))).quantize(64),
    "16-bit": lambda rgba: Image.fromarray(np.rint(over(rgba, 1)[..., 0] * 0.9 * 65535).astype(np.uint16)),
    "grey": lambda rgba: Image.fromarray(samples(over(rgba, 0)[..., 1])),
    "cmyk": lambda rgba: Image.fromarray(samples(over(rgba, 0.95))).convert("CMYK"),
}
METHODS = {"alpha": "alpha", "palette with alpha": "alpha", "photo": "grabcut"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_any_kind_gives_the_subject_and_the_way_back(a4d, kind: str) -> None:
    rgba, name = subject(), "in.jpg" if kind == "cmyk" else "in.png"
    KINDS[kind](rgba).save(name, **({"quality": 95} if kind == "cmyk" else {}))
    result = a4d("preprocess", name, "--size", 128, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["matting"] == METHODS.get(kind, "uniform")
    frame = read_image("in.a4d/images/00000.png")
    assert frame.shape == (128, 128, 4)
    columns = np.flatnonzero((frame[..., 3] > 0.5).any(0))
    assert (columns[0] + columns[-1] + 1) / 2 == pytest.approx(64, abs=2)
    assert len(columns) / 128 == pytest.approx(0.8, abs=0.05)
    back = taken_in("in.a4d", (120, 160))
    assert overlap(back[..., 3], rgba[..., 3]) > 0.95
    if kind not in ("grey", "16-bit"):
        inside = rgba[..., 3] == 1
        assert np.abs(back[inside, :3] - rgba[inside, :3]).mean() < 0.04
    assert a4d("validate", "in.a4d").code == 0


def test_a_photo_turned_by_exif_and_reduced_places_back_on_its_upright_original(a4d) -> None:
    rgba = cv2.resize(subject(), (800, 600), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    exif = Image.Exif()
    exif[274] = 6  # the sensor lay on its side: turning clockwise undoes it
    Image.fromarray(samples(np.rot90(over(rgba, 0.9)))).save("in.jpg", exif=exif, quality=95)
    assert a4d("preprocess", "in.jpg", "--size", 64).code == 0
    crop = Crop(**notes("in.a4d")["crop"])
    assert (crop.source_width, crop.source_height) == (256, 192), "the reduced picture that was looked at"
    assert overlap(taken_in("in.a4d", (600, 800))[..., 3], rgba[..., 3]) > 0.95


def test_a_given_mask_is_the_answer(a4d) -> None:
    rgba = subject()
    Image.fromarray(samples(over(rgba, landscape()))).save("in.png")
    Image.fromarray(samples(disc(120, 160, (40, 80), 20))).save("mask.png")
    result = a4d("preprocess", "in.png", "--mask", "mask.png", "--json")
    assert result.json["metrics"]["matting"] == "mask"
    assert overlap(taken_in("in.a4d", (120, 160))[..., 3], disc(120, 160, (40, 80), 20)) > 0.97
    Image.new("L", (30, 30), 255).save("small.png")
    Image.fromarray(samples(over(rgba, landscape()))).save("other.png")
    result = a4d("preprocess", "other.png", "--mask", "small.png")
    assert (result.code, len(result.err.splitlines())) == (3, 1)
    assert "30x30" in result.err
    assert not Path("other.a4d").exists()


def test_a_picture_without_a_clear_subject_is_cut_out_only_if_asked(a4d) -> None:
    Image.fromarray(samples(landscape())).save("in.png")
    result = a4d("preprocess", "in.png")
    assert (result.code, len(result.err.splitlines())) == (7, 1)
    assert "in.png" in result.err
    assert "--mask FILE" in result.err
    assert not Path("in.a4d").exists()
    result = a4d("preprocess", "in.png", "--matting", "grabcut")
    assert result.code == 0
    assert "look at the matte, or give a mask" in " ".join(result.err.split())


def test_a_method_that_is_not_installed_or_does_not_apply_is_named(a4d, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    Image.fromarray(samples(over(subject(), landscape()))).save("in.png")
    for method, code, message in (
        ("rembg", 5, "pip install a4d[rembg]"),
        ("alpha", 3, "in.png: the image has no alpha channel"),
        ("uniform", 3, "in.png: the background is not uniform"),
    ):
        result = a4d("preprocess", "in.png", "--matting", method)
        assert (result.code, len(result.err.splitlines())) == (code, 1), result.err
        assert message in result.err
        assert not Path("in.a4d").exists()


def test_a_folder_of_images_keeps_size_order_and_pixels_as_stored(a4d) -> None:
    Path("photos").mkdir()
    exif = Image.Exif()
    exif[274] = 8
    for index in (1, 2, 10):
        picture = Image.fromarray(samples(over(subject(centre=(50 + 5 * index, 60)), 0.9)))
        picture.save(f"photos/p{index}.jpg", quality=95, **({"exif": exif} if index == 2 else {}))
    result = a4d("preprocess", "photos", "--max-size", 80, "--json")
    assert result.json["metrics"] == {"frames": 3}
    assert notes("photos.a4d")["files"] == ["p1.jpg", "p2.jpg", "p10.jpg"]
    for position, index in enumerate((1, 2, 10)):
        pixels = read_image(f"photos.a4d/images/{position:05d}.png")
        assert pixels.shape == (60, 80, 4)
        assert overlap(pixels[..., 3], subject(60, 80, ((50 + 5 * index) / 2, 30), 15)[..., 3]) > 0.9


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_one_crop_serves_all_frames_of_a_clip(a4d, suffix: str) -> None:
    centre = [(40 + 6 * index, 60) for index in range(12)]
    write_video(f"clip.{suffix}", (over(subject(centre=at, radius=20), 1.0).astype(np.float32) for at in centre), 10)
    result = a4d("preprocess", f"clip.{suffix}", "--size", 128, "--start", 2, "--end", 10, "--fps", 5, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"] == {"frames": 4, "fps": 5.0, "matting": "uniform"}
    metadata = yaml.safe_load(Path("clip.a4d/workspace.yaml").read_text())
    assert (metadata["frame_count"], metadata["fps"]) == (4, 5.0)
    crop = Crop(**metadata["notes"]["crop"])
    for index in range(4):
        alpha = read_image(f"clip.a4d/images/{index:05d}.png")[..., 3]
        y, x = np.mgrid[:128, :128] + 0.5
        middle = np.array([(x * alpha).sum(), (y * alpha).sum()]) / alpha.sum()
        assert np.abs(middle - crop.frame_from_source(centre[2 + 2 * index])).max() < 1.5 * crop.scale
    assert a4d("estimate-pose", "clip.a4d").code == 0
    cameras = read_transforms(Path("clip.a4d/transforms.json"))
    assert cameras.times.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (cameras.world_from_camera == cameras.world_from_camera[:1]).all()


def test_a_frame_without_the_subject_keeps_its_place_and_fits_nothing(a4d) -> None:
    frames = [over(subject(radius=radius), 1.0).astype(np.float32) for radius in (30, 25)]
    empty = np.ones((120, 160, 3), np.float32)
    write_video("clip.gif", [frames[0], empty, frames[1]], 10)
    result = a4d("preprocess", "clip.gif", "--size", 64)
    assert result.code == 0, result.err
    assert "not seen in 1 of 3 frames, the first of them 00001" in result.err
    assert read_image("clip.a4d/images/00001.png")[..., 3].max() == 0
    assert a4d("estimate-pose", "clip.a4d").code == 0
    assert read_transforms(Path("clip.a4d/transforms.json")).splits == ("train", "unseen", "train")
    write_video("blank.mp4", [empty, empty], 10)
    result = a4d("preprocess", "blank.mp4")
    assert (result.code, len(result.err.splitlines())) == (3, 1)
    assert "blank.mp4: no frame shows a subject" in result.err


def write_nerfstudio(folder: Path, **shared: object) -> list:
    """Write a capture whose frames override the focal length of the file."""
    focal = (150.0, 165.0, 180.0, 150.0)
    taken = photograph(folder, focal, DISTORTION)
    fx, fy, cx, cy = taken[0].intrinsics
    k1, k2, p1, p2 = DISTORTION
    document = {"w": 160, "h": 120, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "camera_model": "OPENCV"}
    document |= {"k1": k1, "k2": k2, "p1": p1, "p2": p2, **shared}
    entries = [each.entry(fl_x=each.intrinsics[0], fl_y=each.intrinsics[1]) for each in taken]
    (folder / "transforms.json").write_text(json.dumps({**document, "frames": entries}))
    return taken


@pytest.mark.parametrize("options", [(), ("--no-canonical",), ("--max-size", 80)])
def test_a_distorted_capture_comes_out_straight_and_calibrated(a4d, tmp_path: Path, options) -> None:
    write_nerfstudio(tmp_path / "shoot")
    result = a4d("preprocess", "shoot", *options)
    assert result.code == 0, result.err
    assert misses("shoot.a4d").max() < 0.35
    assert a4d("validate", "shoot.a4d").code == 0


def test_the_lens_matters_to_that_test(a4d, tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "shoot", k1=0, k2=0, p1=0, p2=0)
    assert a4d("preprocess", "shoot").code == 0
    assert misses("shoot.a4d").max() > 3


@pytest.mark.parametrize("binary", [True, False])
def test_a_colmap_project_comes_out_straight_and_calibrated(a4d, tmp_path: Path, binary: bool) -> None:
    write_nerfstudio(tmp_path / "given")
    capture: PosedCapture = read_transforms(tmp_path / "given/transforms.json")
    write_colmap(tmp_path / "shoot/sparse/0", capture, tmp_path / "given", is_binary=binary)
    (tmp_path / "shoot/images").mkdir()
    for image in capture.images:
        (tmp_path / "shoot/images" / image.name).write_bytes(image.read_bytes())
    result = a4d("preprocess", "shoot")
    assert result.code == 0, result.err
    assert misses("shoot.a4d").max() < 0.35


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_intrinsics_mean_the_pixels_as_stored(a4d, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    taken = photograph(tmp_path / "shoot", suffix=".jpg", exif=exif, quality=95, subsampling=0)
    fx, fy, cx, cy = taken[0].intrinsics
    document = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "frames": [each.entry() for each in taken]}
    (tmp_path / "shoot/transforms.json").write_text(json.dumps(document))
    result = a4d("preprocess", "shoot")
    assert result.code == 0, result.err
    assert misses("shoot.a4d").max() < 0.35


def test_masks_of_a_capture_become_alpha(a4d, tmp_path: Path) -> None:
    taken = photograph(tmp_path / "shoot")
    mask = disc(120, 160, (80, 60), 40)
    # Half the size of its image, as programs that make masks often leave it.
    Image.fromarray(samples(cv2.resize(mask, (80, 60), interpolation=cv2.INTER_AREA))).save(tmp_path / "shoot/mask.png")
    fx, fy, cx, cy = taken[0].intrinsics
    document = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    document["frames"] = [each.entry(mask_path="mask.png") for each in taken]
    (tmp_path / "shoot/transforms.json").write_text(json.dumps(document))
    result = a4d("preprocess", "shoot", "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["masks"] is True
    for index in range(4):
        assert overlap(read_image(f"shoot.a4d/images/{index:05d}.png")[..., 3], mask) > 0.97
    assert np.abs(misses("shoot.a4d")).max() < 0.5


def test_photographs_of_which_but_some_have_masks_are_told_of(a4d, tmp_path: Path) -> None:
    taken = photograph(tmp_path / "shoot")
    Image.fromarray(samples(disc(120, 160, (80, 60), 40))).save(tmp_path / "shoot/mask.png")
    fx, fy, cx, cy = taken[0].intrinsics
    entries = [each.entry(**({"mask_path": "mask.png"} if index % 2 else {})) for index, each in enumerate(taken)]
    document = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "frames": entries}
    (tmp_path / "shoot/transforms.json").write_text(json.dumps(document))
    result = a4d("preprocess", "shoot", "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["masks"] is False
    assert "2 of 4 photographs do not tell the subject" in result.err
    assert "photo_0.png" in result.err


def test_a_capture_with_images_missing_says_so_and_goes_on_without_them_on_request(a4d, tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "shoot")
    (tmp_path / "shoot/photo_2.png").unlink()
    result = a4d("preprocess", "shoot")
    assert (result.code, len(result.err.splitlines())) == (4, 1)
    assert "photo_2.png" in result.err
    assert not Path("shoot.a4d").exists()
    assert a4d("preprocess", "shoot", "--skip-missing", "--json").json["metrics"]["frames"] == 3
    assert misses("shoot.a4d").max() < 0.35


def test_a_mesh_is_kept_and_measured_and_a_broken_one_refused(a4d, tmp_path: Path) -> None:
    trimesh.creation.box(extents=(1, 2, 3)).export("box.ply")
    original = Path("box.ply").read_bytes()
    metrics = a4d("preprocess", "box.ply", "--size", 32, "--json").json["metrics"]
    assert (metrics["vertices"], metrics["faces"]) == (8, 12)
    assert Path("box.a4d/source/box.ply").read_bytes() == original
    Path("torn.ply").write_bytes(original[: len(original) // 2])
    Path("far.obj").write_text("v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n")
    for broken in ("torn.ply", "far.obj"):
        result = a4d("preprocess", broken)
        assert (result.code, len(result.err.splitlines())) == (3, 1), result.err
        assert broken in result.err
    assert {path.name for path in tmp_path.glob("*.a4d*")} == {"box.a4d"}


def test_a_text_is_the_prompt_of_the_subject(a4d) -> None:
    assert a4d("preprocess", "a corgi running in the snow").code == 0
    metadata = yaml.safe_load(Path("a-corgi-running-in-the-snow.a4d/workspace.yaml").read_text())
    assert metadata["prompts"] == {"subject": "a corgi running in the snow"}
    assert metadata["source"]["kind"] == "text"
    assert a4d("validate", "a-corgi-running-in-the-snow.a4d").code == 0
    result = a4d("fit-static", "a-corgi-running-in-the-snow.a4d")
    assert (result.code, len(result.err.splitlines())) == (2, 1)


def test_options_of_one_image_are_refused_for_others(a4d, tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "shoot")
    Image.new("L", (8, 8)).save("mask.png")
    for option in ("--mask", "--depth"):
        result = a4d("preprocess", "shoot", option, "mask.png")
        assert (result.code, len(result.err.splitlines())) == (2, 1)
        assert option in result.err
        assert not Path("shoot.a4d").exists()
