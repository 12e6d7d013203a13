"""Keypoints of a workspace, and those of other programs."""

import json
from pathlib import Path

import numpy as np
import pytest

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.array_files import write_arrays
from a4d.io.foreign_keypoints import read_foreign_keypoints
from a4d.io.keypoints import (
    BLAZEPOSE,
    BODY_25,
    COCO,
    COCO_FEET,
    NAMES,
    Keypoints,
    Landmarks,
    gathered,
    read_keypoints,
    write_keypoints,
)

RANDOM = np.random.default_rng(0)


def some(frames: int = 3, names: tuple[str, ...] = BLAZEPOSE, *, metres: bool = True) -> Keypoints:
    shape = (frames, len(names))
    return Keypoints(
        names,
        RANDOM.normal(100, 50, (*shape, 2)).astype(np.float32),
        RANDOM.random(shape).astype(np.float32),
        np.arange(frames) != 1,
        RANDOM.normal(size=(*shape, 3)).astype(np.float32) if metres else None,
    )


@pytest.mark.parametrize("metres", [True, False])
def test_keypoints_come_back_and_frames_without_a_person_are_zero(tmp_path: Path, *, metres: bool) -> None:
    told = some(metres=metres)
    write_keypoints(tmp_path / "keypoints.npz", told)
    found = read_keypoints(tmp_path / "keypoints.npz", 3)
    assert (found.names, found.found.tolist(), len(found)) == (BLAZEPOSE, [True, False, True], 3)
    assert (found.points[[0, 2]] == told.points[[0, 2]]).all()
    assert (found.points[1].any(), found.visibility[1].any()) == (False, False)
    assert (found.world is not None) == metres
    with pytest.raises(InvalidInputError, match=r"'points' is float32 \(3, 33, 2\)"):
        read_keypoints(tmp_path / "keypoints.npz", 4)


def test_schemes_have_the_names_that_there_are() -> None:
    assert (len(BLAZEPOSE), len(COCO), len(COCO_FEET), len(BODY_25), len(NAMES)) == (33, 17, 6, 25, 39)
    assert set(COCO) <= set(BLAZEPOSE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": np.array(["nose"] * 33)}, "that differ"),
        ({"names": np.array(["tail", *BLAZEPOSE[1:]])}, "no keypoint 'tail'"),
        ({"points": np.zeros((3, 33, 3), np.float32)}, "'points' is"),
        ({"points": np.full((3, 33, 2), np.nan, np.float32)}, "not finite"),
        ({"visibility": np.full((3, 33), 1.5, np.float32)}, "visibility"),
        ({"found": np.ones(3, np.int64)}, "'found' is int64"),
        ({"world": np.zeros((3, 33, 2), np.float32)}, "'world' is"),
    ],
)
def test_damaged_keypoints_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    told = some()
    arrays = {"names": np.array(BLAZEPOSE), "points": told.points, "visibility": told.visibility, "found": told.found}
    write_arrays(tmp_path / "keypoints.npz", {**arrays, **change})
    with pytest.raises(InvalidInputError, match=message):
        read_keypoints(tmp_path / "keypoints.npz")


def test_only_what_all_were_told_in_metres_is_kept() -> None:
    flat = Landmarks(np.ones((17, 2), np.float32), np.ones(17, np.float32), None)
    assert gathered(COCO, [flat, None]).world is None
    deep = Landmarks(flat.points, flat.visibility, np.ones((17, 3), np.float32))
    assert gathered(COCO, [deep, None]).world[:, 0, 0].tolist() == [1, 0]


def annotation(image: object, values: np.ndarray, **more: object) -> dict:
    return {"image_id": image, "category_id": 1, "keypoints": np.asarray(values).ravel().tolist(), **more}


def rows(count: int, third: float, start: float = 0.0) -> np.ndarray:
    return np.column_stack([start + np.arange(count), 2 * np.arange(count), np.full(count, third)])


def test_annotations_of_coco_have_flags_and_feet(tmp_path: Path) -> None:
    feet = rows(6, 2, 50).ravel().tolist()
    images = [{"id": 9, "file_name": f"film/{name}.jpg", "width": 640, "height": 480} for name in ("f10", "f9")]
    images[1]["id"] = 4
    people = [annotation(9, rows(17, 1), foot_kpts=feet), annotation(9, rows(17, 2, 7), foot_kpts=feet)]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": people}))
    told = read_foreign_keypoints(tmp_path / "coco.json")
    assert told.names == (*COCO, *COCO_FEET)
    assert [(frame.name, len(frame.people), frame.size) for frame in told.frames] == [
        ("f9", 0, (640, 480)), ("f10", 2, (640, 480)),
    ]  # fmt: skip
    hidden, seen = told.frames[1].people
    assert (hidden.visibility[0], seen.visibility[0], hidden.visibility[17]) == (0.5, 1, 1)
    assert seen.points[3].tolist() == [10.5, 6.5], "their pixels are numbered, ours have centres at .5"
    assert hidden.points[22].tolist() == [55.5, 10.5]


def test_results_of_coco_have_scores_and_skip_pictures_without_people(tmp_path: Path) -> None:
    results = [annotation(2, rows(17, 0.8)), annotation(4, rows(17, 1.0))]
    (tmp_path / "results.json").write_text(json.dumps(results))
    told = read_foreign_keypoints(tmp_path / "results.json")
    assert (told.names, [len(frame.people) for frame in told.frames]) == (COCO, [1, 0, 1])
    assert [frame.people[0].visibility[0] for frame in told.frames[::2]] == pytest.approx([0.8, 1])


def test_a_folder_of_openpose_is_in_natural_order(tmp_path: Path) -> None:
    for name, people in (("v_10", 0), ("v_9", 2)):
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": rows(25, 0.6).ravel().tolist()}] * people}
        (tmp_path / f"{name}_keypoints.json").write_text(json.dumps(content))
    told = read_foreign_keypoints(tmp_path)
    assert told.names == BODY_25
    assert [(frame.name, len(frame.people), frame.size) for frame in told.frames] == [
        ("v_9", 2, None),
        ("v_10", 0, None),
    ]
    assert told.frames[0].people[1].points[8].tolist() == [8.5, 16.5]
    alone = read_foreign_keypoints(tmp_path / "v_9_keypoints.json")
    assert len(alone.frames[0].people) == 2


@pytest.mark.parametrize("style", ["solution", "tasks", "rows"])
def test_landmarks_of_blazepose_are_shares_of_the_picture(tmp_path: Path, style: str) -> None:
    person = [{"x": 0.25, "y": 0.5, "z": -0.1, "visibility": 0.9}] * 33
    metres = [{"x": 0.1, "y": -0.6, "z": 0.2, "visibility": 0.9}] * 33
    frames = {
        "solution": [{"poseLandmarks": person, "poseWorldLandmarks": metres}, {}],
        "tasks": {"frames": [{"landmarks": [person], "worldLandmarks": [metres]}, {"landmarks": []}]},
        "rows": [
            {"pose_landmarks": [[0.25, 0.5, -0.1, 0.9]] * 33, "pose_world_landmarks": [[0.1, -0.6, 0.2]] * 33},
            None,
        ],
    }[style]
    (tmp_path / "mediapipe.json").write_text(json.dumps(frames))
    told = read_foreign_keypoints(tmp_path / "mediapipe.json")
    assert [len(frame.people) for frame in told.frames] == [1, 0]
    assert told.frames[0].size == (1, 1)
    (found,) = told.frames[0].people
    assert found.points[32].tolist() == [0.25, 0.5]
    assert found.visibility[0] == pytest.approx(0.9)
    assert found.world[7] == pytest.approx([0.1, -0.6, 0.2])


def test_a_picture_has_a_size(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg", "width": 0, "height": 4}]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": [annotation(1, rows(17, 1))]}))
    with pytest.raises(InvalidInputError, match="0x4 pixels"):
        read_foreign_keypoints(tmp_path / "coco.json")


@pytest.mark.parametrize(
    "content",
    [
        "{}", "[]", "[1, 2]", "3", "null", '{"frames": 3}', '{"people": [{}]}', '{"people": 5}', '{"annotations": []}',
        json.dumps([annotation(1, rows(5, 1))]), json.dumps([annotation(1, rows(17, float("nan")))]),
        '[{"poseLandmarks": [{"x": 1}]}]', '[{"poseLandmarks": [[]]}]', '[{"landmarks": "nose"}]',
        '{"annotations": [{"keypoints": "x"}]}',
        '[{"image_id": 1, "keypoints": [[1], 2]}]', "[{}, {",
    ],
)  # fmt: skip
def test_what_is_no_keypoints_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "keypoints.json").write_text(content)
    with pytest.raises(InvalidInputError) as caught:
        read_foreign_keypoints(tmp_path / "keypoints.json")
    assert len(str(caught.value).splitlines()) == 1


def test_folders_without_keypoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        read_foreign_keypoints(tmp_path)
    with pytest.raises(MissingInputError):
        read_foreign_keypoints(tmp_path / "nothing.json")
    (tmp_path / "a.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    with pytest.raises(InvalidInputError, match=r"a\.json"):
        read_foreign_keypoints(tmp_path)
