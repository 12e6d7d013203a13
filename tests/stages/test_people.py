"""`a4d preprocess` cuts people out, takes masks and keypoints that are given, and says where it finds nobody."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import yaml
from PIL import Image

from a4d.framing import Crop, place_back
from a4d.io.films.video import read_video, write_video
from a4d.io.keypoints import BLAZEPOSE, BODY_25, COCO, read_keypoints
from a4d.io.pictures.images import read_image, write_image

HEIGHT, WIDTH, COUNT = 120, 160, 4


def square(moment: int) -> np.ndarray:
    """Where the subject of the moment is: 30 pixels of side, which move to the right."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[40:70, 30 + 10 * moment : 60 + 10 * moment] = 1
    return mask


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Four frames of a patterned square on a pattern, and their masks in `masks/`; the third of them is empty."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.stack([0.5 + 0.4 * np.sin(x / 3), 0.5 + 0.4 * np.sin(y / 4), 0.5 + 0 * x], axis=-1)
    frames = [np.where(square(moment)[..., None] > 0, [0.8, 0.2, 0.1], ground) for moment in range(COUNT)]
    write_video(tmp_path / "film.mp4", [frame.astype(np.float32) for frame in frames], 10)
    (tmp_path / "masks").mkdir()
    for moment in range(COUNT):
        write_image(tmp_path / "masks" / f"m{moment + 8}.png", square(moment) * (moment != 2))
    return Path("film.mp4")


def crop_of(workspace: str) -> Crop:
    return Crop(**yaml.safe_load(Path(workspace, "workspace.yaml").read_text())["notes"]["crop"])


def corners(moment: int, count: int, third: float = 1.0) -> list[float]:
    """Keypoints at two corners of the square in turn, in numbers of pixels."""
    left, top, right, bottom = 30 + 10 * moment, 40, 60 + 10 * moment, 70
    places = [(left, top), (right, bottom)] * count
    return [value for x, y in places[:count] for value in (x - 0.5, y - 0.5, third)]


def test_masks_in_a_folder_are_the_answer_for_a_film(a4d, film: Path) -> None:
    made = a4d("preprocess", film, "--masks", "masks", "--size", 128, "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["matting"] == "mask"
    alphas = [read_image(f"film.a4d/images/{moment:05d}.png")[..., 3] for moment in range(COUNT)]
    assert alphas[2].max() == 0
    scale = crop_of("film.a4d").scale
    assert [float(alpha.sum()) for alpha in (alphas[0], alphas[3])] == pytest.approx([(30 * scale) ** 2] * 2, rel=0.02)
    assert crop_of("film.a4d").side == pytest.approx(60 / 0.8)
    Path("masks/m11.png").unlink()
    for options, words in (((), "holds 3 masks, and 4 frames"), (("--end", 2), "holds 3 masks, and 2 frames")):
        refused = a4d("preprocess", film, "--masks", "masks", "--force", *options)
        assert (refused.code, words in refused.err) == (3, True), refused.err


def test_keypoints_of_files_go_where_the_crop_puts_them(a4d, film: Path) -> None:
    Path("openpose").mkdir()
    for moment in range(COUNT):
        people = [] if moment == 1 else [{"pose_keypoints_2d": corners(moment, 25)}]
        Path(f"openpose/film_{moment:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    # Two sizes of the pictures in which the same keypoints may have been found.
    images = [{"id": n, "file_name": f"{n:05d}.jpg", "width": 2 * WIDTH, "height": 2 * HEIGHT} for n in range(COUNT)]
    doubled = [
        [2 * (value + 0.5) - 0.5 if i % 3 < 2 else 0.9 for i, value in enumerate(corners(n, 17))] for n in range(4)
    ]
    annotations = [{"image_id": n, "keypoints": doubled[n]} for n in range(COUNT)]
    Path("coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    shares = [{"x": (30 + 10 * n) / WIDTH, "y": 40 / HEIGHT, "z": 0, "visibility": 0.9} for n in range(COUNT)]
    Path("mediapipe.json").write_text(json.dumps([{"poseLandmarks": [each] * 33} for each in shares]))
    for file, names, found in (("openpose", BODY_25, 3), ("coco.json", COCO, 4), ("mediapipe.json", BLAZEPOSE, 4)):
        asked = ("preprocess", film, "--masks", "masks", "--size", 64, "--keypoints", file)
        made = a4d(*asked, "--force", "--json")
        assert made.code == 0, made.err
        assert made.json["metrics"]["keypoints_found"] == found / COUNT
        keypoints = read_keypoints(Path("film.a4d/keypoints.npz"), COUNT)
        assert (keypoints.names, int(keypoints.found.sum())) == (names, found)
        alpha = read_image("film.a4d/images/00003.png")[..., 3]
        rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
        assert keypoints.points[3, 0] == pytest.approx([columns[0], rows[0]], abs=0.6)
        assert a4d("validate", "film.a4d").code == 0
        assert a4d(*asked, "--json").json["status"] == "up to date"
    assert any("first of them 00001" in line for line in a4d(
        "preprocess", film, "--masks", "masks", "--size", 64, "--keypoints", "openpose", "--force"
    ).err.splitlines())  # fmt: skip
    Path("openpose/film_000000000003_keypoints.json").unlink()
    refused = a4d("preprocess", film, "--masks", "masks", "--keypoints", "openpose", "--force")
    assert (refused.code, "tells of 3 frames, and 4 are taken" in refused.err) == (3, True)
    missing = a4d("preprocess", film, "--masks", "masks", "--keypoints", "openpse", "--force")
    assert (missing.code, "there are no keypoints openpse" in missing.err) == (4, True)
    assert a4d("preprocess", film, "--masks", "masks", "--force").code == 0
    assert not Path("film.a4d/keypoints.npz").exists(), "those of an earlier run are of other frames"


def test_keypoints_of_photographs_go_by_their_names(a4d) -> None:
    for folder in ("photos", "told"):
        Path(folder).mkdir()
    for moment, name in enumerate(("c", "a")):
        rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), square(moment)])
        write_image(Path(f"photos/{name}.png"), rgba)
    for moment, name in enumerate(("c", "a", "b")):
        people = [{"pose_keypoints_2d": corners(moment, 25)}]
        Path(f"told/{name}_keypoints.json").write_text(json.dumps({"people": people}))
    made = a4d("preprocess", "photos", "--max-size", 80, "--keypoints", "told")
    assert made.code == 0, made.err
    found = read_keypoints(Path("photos.a4d/keypoints.npz"), 2)
    assert found.points[:, 0] == pytest.approx(np.array([[20, 20], [15, 20]])), "a comes before c"


def test_keypoints_of_one_photo_are_in_its_upright_pixels(a4d) -> None:
    rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), square(0)])
    write_image(Path("photo.png"), rgba)
    people = [{"pose_keypoints_2d": corners(9, 25)}, {"pose_keypoints_2d": corners(0, 25, 0.5)}]
    people[0]["pose_keypoints_2d"] = [value / 2 if i % 3 < 2 else value for i, value in enumerate(corners(9, 25))]
    Path("photo.json").write_text(json.dumps({"people": people}))
    assert a4d("preprocess", "photo.png", "--size", 40, "--margin", 0, "--keypoints", "photo.json").code == 0
    found = read_keypoints(Path("photo.a4d/keypoints.npz"), 1)
    assert found.points[0, :2] == pytest.approx(np.array([[0, 0], [40, 40]]), abs=1e-3), "the larger of two"
    assert found.visibility.max() == 0.5
    damaged = Path("photo.a4d/keypoints.npz")
    damaged.write_bytes(b"no archive")
    assert "keypoints.npz" in a4d("validate", "photo.a4d").out


def test_vitpose_tells_joints_where_the_alpha_is(a4d, tmp_path: Path) -> None:
    write_image(Path("photo.png"), np.dstack([np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), square(0)]))
    asked = ("preprocess", "photo.png", "--size", 64, "--keypoints", "vitpose-base-simple")
    missing = a4d(*asked)
    assert (missing.code, "a4d weights fetch vitpose-base-simple" in missing.err) == (5, True)
    weights = f"vitpose-base-simple={tiny_models.save_vitpose(tmp_path / 'vitpose')}"
    made = a4d(*asked, "--weights", weights)
    assert made.code == 0, made.err
    found = read_keypoints(Path("photo.a4d/keypoints.npz"), 1)
    assert (found.names, found.world) == (COCO, None)
    assert (np.abs(found.points[0] - 32) < 0.75 * 64).all()
    refused = a4d("preprocess", "photo.png", "--force", "--keypoints", "dinov2-small")
    assert (refused.code, "is of kind features, not keypoints" in refused.err) == (3, True)


def test_without_litert_or_weights_nothing_is_begun(a4d, film: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    refused = a4d("preprocess", film, "--matting", "person", "--weights", f"blazepose={tmp_path}")
    assert (refused.code, "pip install a4d[person]" in refused.err) == (5, True), refused.err
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", type(sys)("pretended"))
    sys.modules["ai_edge_litert.interpreter"].Interpreter = object
    monkeypatch.setitem(sys.modules, "ai_edge_litert", type(sys)("pretended"))
    refused = a4d("preprocess", film, "--matting", "person")
    assert (refused.code, "--weights blazepose=PATH" in refused.err) == (5, True), refused.err
    assert "npm package @mediapipe/pose" in a4d("weights", "fetch", "blazepose").err
    assert not Path("film.a4d").exists()
    assert "preprocess --matting person" in a4d("doctor").out


@pytest.fixture
def networks(real_data: Path) -> str:
    """What names the real networks, where they are."""
    pytest.importorskip("ai_edge_litert")
    if not (real_data / "models" / "pose_detection.tflite").is_file():
        pytest.skip("no networks beside the checkout")
    return f"blazepose={real_data / 'models'}"


@pytest.fixture
def person_film(real_data: Path, tmp_path: Path) -> Path:
    """Five frames of a person, of which the second shows nobody."""
    film = read_video(real_data / "dynamic_lab4d" / "human-cap-3.mp4", 40, 45, size=432)
    frames = list(film.frames)
    frames[1] = np.full_like(frames[1], 0.6)
    write_video(tmp_path / "person.mp4", frames, film.fps)
    return Path("person.mp4")


def test_a_person_is_cut_out_of_a_film_and_an_empty_frame_stays_empty(a4d, person_film: Path, networks: str) -> None:
    made = a4d("preprocess", person_film, "--matting", "person", "--size", 216, "--weights", networks, "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["matting"] == "person"
    assert any("in 1 of 5 frames, the first of them 00001" in warning for warning in made.json["warnings"])
    keypoints = read_keypoints(Path("person.a4d/keypoints.npz"), 5)
    assert keypoints.found.tolist() == [True, False, True, True, True]
    alphas = np.stack([read_image(f"person.a4d/images/{moment:05d}.png")[..., 3] for moment in range(5)])
    assert alphas[1].max() == 0
    inside = [alphas[moment][int(y), int(x)] for moment in (0, 4) for x, y in keypoints.points[moment]]
    assert np.mean(inside) > 0.85, "joints lie on the body"
    assert np.ptp(np.flatnonzero((alphas.max(0) > 0.5).any(1))) == pytest.approx(0.8 * 216, abs=3)
    assert [
        item["id"] for item in json.loads(Path("person.a4d/stages/preprocess/record.json").read_text())["weights"]
    ] == ["blazepose"]
    assert a4d("validate", "person.a4d").code == 0
    again = a4d(
        *("preprocess", person_film, "--matting", "person", "--keypoints", "blazepose", "--size", 216),
        *("--weights", networks, "--force"),
    )
    assert again.code == 0, again.err
    same = read_keypoints(Path("person.a4d/keypoints.npz"), 5)
    assert (same.points == keypoints.points).all(), "the whole frame showed more than what is left of it"


def test_a_person_whose_masks_are_given_has_keypoints_too(a4d, person_film: Path, networks: str) -> None:
    asked = ("preprocess", person_film, "--size", 216, "--weights", networks)
    assert a4d(*asked, "--matting", "person").code == 0
    before = read_keypoints(Path("person.a4d/keypoints.npz"))
    crop = crop_of("person.a4d")
    Path("masks").mkdir()
    for moment in range(5):
        frame = read_image(f"person.a4d/images/{moment:05d}.png")
        whole = place_back(frame, crop, np.zeros((crop.source_height, crop.source_width, 4), np.float32))
        write_image(Path(f"masks/{moment}.png"), whole[..., 3])
    made = a4d(*asked, "--masks", "masks", "--keypoints", "blazepose", "--force", "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["keypoints_found"] == 0.8
    after = read_keypoints(Path("person.a4d/keypoints.npz"))
    assert np.median(np.abs(after.points - before.points)[before.found]) < 1.5
    both = a4d(*asked, "--matting", "person", "--masks", "masks", "--force")
    assert (both.code, "both say what the subject is" in both.err) == (2, True)


def test_a_film_of_an_animal_is_refused(a4d, real_data: Path, networks: str) -> None:
    cat = real_data / "dynamic_lab4d" / "cat-pikachu-0.mp4"
    refused = a4d("preprocess", cat, "--end", 8, "--matting", "person", "--weights", networks)
    assert (refused.code, refused.err.count("\n")) == (3, 1), refused.err
    assert "no person is found" in refused.err
    assert not Path("cat-pikachu-0.a4d").exists()


def test_a_person_in_a_photo_is_cut_out_by_the_network(a4d, real_data: Path, networks: str) -> None:
    photo = real_data / "images_natural" / "astronaut.png"
    made = a4d("preprocess", photo, "--size", 128, "--matting", "person", "--weights", networks, "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["coverage"] == pytest.approx(0.425, abs=0.03)
    alone = a4d("preprocess", photo, "--matting", "person", "--person", 2, "--weights", networks, "--force")
    assert (alone.code, "nowhere are 2 people" in alone.err) == (3, True)
    found = read_keypoints(Path("astronaut.a4d/keypoints.npz"), 1)
    assert found.visibility[0, BLAZEPOSE.index("nose")] > 0.9 > found.visibility[0, BLAZEPOSE.index("left_ankle")]
    Path("photos").mkdir()
    Image.open(photo).save("photos/a.png")
    refused = a4d("preprocess", "photos", "--matting", "person", "--weights", networks)
    assert (refused.code, "one image or film" in refused.err) == (2, True), refused.err
