"""Databases of Lab4D: frames, masks, cameras around the object, and the channels that they hold."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from a4d.io.captures.transforms_json import read_transforms
from a4d.io.frame_channels import read_features, read_flow
from a4d.io.pictures.images import read_depth, read_image

WIDTH, HEIGHT, RAW = 96, 64, 8
KEPT = (0, 2, 3, 5, 7)
KINDS = ("JPEGImagesRaw", "JPEGImages", "Annotations", "Depth", "FlowFW_2", "FlowBW_2", "Features", "Cameras")

UNDETECTED = 3
"""The place of the frame in which nothing was found."""

FOCAL, CENTRE = (110.0, 110.0), (48.0, 32.0)
CORNERS = np.array([[x, y, z] for x in (-0.4, 0.4) for y in (-0.2, 0.2) for z in (-0.5, 0.5)])
CROP_FROM_PACK = np.array([0.3, 0.2, 11.0, 4.0])


def camera_from_object(place: int) -> np.ndarray:
    angle = 0.4 * place
    matrix = np.eye(4)
    matrix[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    matrix[:3, 3] = 0.1, -0.05, 3
    return matrix


def pixels(place: int) -> np.ndarray:
    """(8, 2) where the corners are, with pixel centres at whole numbers."""
    seen = CORNERS @ camera_from_object(place)[:3, :3].T + camera_from_object(place)[:3, 3]
    return seen[:, :2] / seen[:, 2:] * FOCAL + CENTRE


def mask(place: int) -> np.ndarray:
    hull = cv2.convexHull(np.rint(pixels(place)).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros((HEIGHT, WIDTH), np.int8), hull, 2)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One film of five frames, kept of eight, after the table in the notes on Lab4D."""
    root = tmp_path / "database"
    clip = {kind: root / f"processed/{kind}/Full-Resolution/cat-0000" for kind in KINDS}
    for folder in clip.values():
        folder.mkdir(parents=True)
    (root / "configs").mkdir()
    ks, shape = f"{FOCAL[0]} {FOCAL[1]} {CENTRE[0]} {CENTRE[1]}", f"{HEIGHT} {WIDTH}"
    (root / "configs/cat.config").write_text(
        "[data]\ninit_frame = 0\nend_frame = -1\n"
        f"[data_0]\nks = {ks}\nshape = {shape}\nimg_path = database/processed/JPEGImages/Full-Resolution/cat-0000/\n"
    )
    picture = Image.new("RGB", (WIDTH, HEIGHT), (200, 120, 40))
    for frame in range(RAW):
        picture.save(clip["JPEGImagesRaw"] / f"{frame:05d}.jpg")
    for place, frame in enumerate(KEPT):
        picture.save(clip["JPEGImages"] / f"{frame:05d}.jpg")
        found = np.full_like(mask(0), -1) if place == UNDETECTED else mask(place)
        save(clip["Annotations"] / f"{frame:05d}.npy", found)
        save(clip["Depth"] / f"{frame:05d}.npy", np.linspace(2, 4, 48)[None].repeat(32, 0).astype(np.float16))
    flow = np.full((32, 48, 3), [3.5, -2, 0], np.float16)
    flow[:, 24:, 2] = 1
    for place, kind in ((0, "FlowFW_2"), (2, "FlowFW_2"), (2, "FlowBW_2"), (4, "FlowBW_2")):
        save(clip[kind] / f"{KEPT[place]:05d}.npy", flow)
    save(clip["FlowFW_2"] / "crop-256.npy", np.zeros((2, 256, 256, 3), np.float16))
    count = len(KEPT)
    packed = np.arange(112, dtype=np.float16)[None, None, :, None].repeat(count, 0).repeat(112, 1).repeat(16, 3)
    save(clip["Features"] / "crop-256-dinov2-01.npy", packed)
    save(clip["Annotations"] / "crop-256-crop2raw.npy", CROP_FROM_PACK[None].repeat(count, 0))
    save(clip["Annotations"] / "crop-256-is_detected.npy", np.arange(count) != UNDETECTED)
    save(clip["Cameras"] / "01-canonical.npy", np.stack([camera_from_object(place) for place in range(count)]))
    return root


@pytest.mark.parametrize("by_hand", [False, True])
def test_cameras_see_the_object_where_the_database_has_it(a4d, database: Path, by_hand: bool) -> None:
    if by_hand:
        (database / "processed/Cameras/Full-Resolution/cat-0000/01-manual.json").write_text("{}")
    made = a4d("preprocess", "database", "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["unseen"] == 1
    capture = read_transforms(Path("database.a4d/transforms.json"))
    assert capture.splits == ("train", "train", "train", "unseen", "train")
    assert capture.times.tolist() == pytest.approx([frame / (RAW - 1) for frame in KEPT])
    moved = CORNERS @ capture.world_from_source[:3, :3].T + capture.world_from_source[:3, 3]
    assert np.sign((moved * CORNERS).sum(0)).tolist() == ([1, 1, 1] if by_hand else [1, -1, -1])
    assert 0.7 < np.linalg.norm(moved, axis=1).max() < 1.3, "the object fills the unit ball"
    cameras = capture.cameras()
    for place in range(len(KEPT)):
        found = cameras[place].project(torch.from_numpy(moved).float())[0][0].numpy()
        assert found == pytest.approx(pixels(place) + 0.5, abs=0.01)
        alpha = read_image(f"database.a4d/images/{place:05d}.png")[..., 3]
        assert np.array_equal(alpha > 0.5, (mask(place) > 0) & (place != UNDETECTED))
    assert a4d("validate", "database.a4d").code == 0
    assert a4d("estimate-pose", "database.a4d", "--json").json["metrics"]["method"] == "given"


def test_channels_are_in_the_frames_pixels(a4d, database: Path) -> None:
    made = a4d("preprocess", "database", "--max-size", WIDTH // 2, "--json")
    assert made.code == 0, made.err
    assert {key: made.json["metrics"][key] for key in ("flow_frames", "depth_frames", "features")} == {
        "flow_frames": 4, "depth_frames": 5, "features": "dinov2",
    }  # fmt: skip
    files = sorted(file.relative_to("database.a4d/flow").as_posix() for file in Path("database.a4d/flow").glob("*/*"))
    assert files == [f"{way}_2/0000{place}.npz" for way, place in (
        ("backward", 2), ("backward", 4), ("forward", 0), ("forward", 2),
    )]  # fmt: skip
    flow = read_flow(Path("database.a4d/flow/forward_2/00000.npz"))
    alpha = read_image("database.a4d/images/00000.png")[..., 3]
    known = flow[..., 2] > 0
    assert np.abs(flow[known][:, :2] - [3.5, -2]).max() < 1e-6, "these pictures are of the flow's own size"
    is_seen, is_clear = (alpha > 0.5) & (np.arange(48) < 24), np.abs(alpha - 0.5) > 0.01
    assert np.array_equal(known[is_clear], is_seen[is_clear])
    depth = read_depth("database.a4d/depth/00001.png")
    seen = read_image("database.a4d/images/00001.png")[..., 3] > 0.6
    columns = np.nonzero(seen)[1]
    assert np.corrcoef(columns, depth[seen])[0, 1] < -0.99, "nearer is larger"
    features = read_features(Path("database.a4d/features/dinov2/00002.npz"))
    assert features.shape == (75, 112, 16)
    column = 56
    place = ((column + 0.5) * WIDTH / 112 - 0.5 - CROP_FROM_PACK[2]) / CROP_FROM_PACK[0] * 112 / 256
    assert features[37, column, 0] == pytest.approx(place, abs=0.05)
    assert features[37, 2].max() == 0, "beyond the pack"


def damage(kind: str, name: str, values: np.ndarray | bytes | None):
    def apply(root: Path) -> None:
        path = root / f"processed/{kind}/Full-Resolution/cat-0000" / name
        if values is None:
            path.unlink()
        elif isinstance(values, bytes):
            path.write_bytes(values)
        else:
            np.save(path, values)

    return apply


def configure(text: str):
    return lambda root: (root / "configs/cat.config").write_text(text)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (damage("Cameras", "01-canonical.npy", b"no array"), 3, "01-canonical.npy"),
        (damage("Cameras", "01-canonical.npy", np.zeros((5, 4, 4))), 3, "no rigid motion"),
        (damage("Cameras", "01-canonical.npy", np.eye(4)[None].repeat(4, 0)), 3, "(4, 4, 4)"),
        (damage("Cameras", "01-canonical.npy", np.eye(4)[None].repeat(5, 0)), 3, "behind the camera"),
        (damage("Cameras", "01-canonical.npy", np.full((5, 4, 4), np.nan)), 3, "not finite"),
        (damage("Annotations", "00003.npy", np.zeros((3, 3), np.int8)), 3, "00003.npy"),
        (damage("Annotations", "00003.npy", None), 4, "00003.npy"),
        (damage("Annotations", "crop-256-is_detected.npy", np.ones(3, bool)), 3, "3 frames"),
        (damage("Annotations", "crop-256-crop2raw.npy", np.zeros((5, 4))), 3, "not positive"),
        (damage("Annotations", "crop-256-crop2raw.npy", None), 4, "where 'crop' packs lie"),
        (damage("FlowFW_2", "00000.npy", np.zeros((4, 4, 2), np.float16)), 3, "00000.npy"),
        (damage("FlowFW_2", "00005.npy", np.zeros((4, 4, 3), np.float16)), 3, "leads out"),
        (damage("Features", "crop-256-dinov2-01.npy", np.zeros((5, 4), np.float16)), 3, "dinov2"),
        (damage("Depth", "00002.npy", np.array([{}], dtype=object)), 3, "00002.npy"),
        (damage("JPEGImages", "00009.jpg", b"no picture"), 3, "00009.jpg"),
        (configure("[data_0]\nks = 1 2\nimg_path = x/cat-0000"), 3, "cat.config"),
        (configure("no section"), 3, "cat.config"),
    ],
)
def test_a_damaged_database_is_one_line(a4d, database: Path, change, code: int, said: str) -> None:
    change(database)
    refused = a4d("preprocess", "database")
    assert (refused.code, len(refused.err.strip().splitlines())) == (code, 1), refused.err
    assert said in refused.err
    assert not Path("database.a4d").exists()


def test_one_of_several_films_is_named(a4d, database: Path) -> None:
    text = (database / "configs/cat.config").read_text()
    (database / "configs/dog.config").write_text(text.replace("cat-0000", "dog-0000"))
    refused = a4d("preprocess", "database")
    assert (refused.code, "--sequence one of cat-0000, dog-0000" in refused.err) == (2, True), refused.err
    assert a4d("preprocess", "database", "--sequence", "cat").code == 0
    record = json.loads(Path("database.a4d/stages/preprocess/record.json").read_text())
    assert record["config"]["sequence"] == "cat"
