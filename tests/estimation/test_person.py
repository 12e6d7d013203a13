"""People found by BlazePose: the arithmetic around its networks, and the networks themselves on a real film."""

import dataclasses

import cv2
import numpy as np
import pytest

from a4d.errors import BackendUnavailableError
from a4d.estimation.person.blazepose import load_blazepose
from a4d.estimation.person.choice import PATIENCE, Follower, Place
from a4d.estimation.person.detection import anchors, detect, detect_closely
from a4d.estimation.person.landmarks import look, tidied
from a4d.estimation.person.region import Region
from a4d.estimation.person.tracking import PersonTracker
from a4d.io.films.video import read_video
from a4d.io.keypoints import BLAZEPOSE
from a4d.io.pictures.images import read_image

LOGIT = {0.6: np.log(1.5), 0.9: np.log(9)}


def ramp(height: int, width: int) -> np.ndarray:
    """A picture whose red and green are the positions of its pixels' centres."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width, y / height, 0 * x], axis=-1).astype(np.float32)


class Rows:
    """A detector that gives what it is told for some anchors, and keeps what it saw."""

    def __init__(self, rows: dict[int, tuple[float, list[float]]]) -> None:
        self.rows, self.seen = rows, None

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.seen = batch
        values, logits = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -200, np.float32)
        for anchor, (score, row) in self.rows.items():
            values[0, anchor], logits[0, anchor] = row, LOGIT[score]
        return [values, logits]


def test_anchors_lie_in_the_middle_of_cells() -> None:
    centres = anchors()
    assert len(centres) == 28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6
    assert centres[[0, 1, 2, 56]].tolist() == [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28], [0.5 / 28, 1.5 / 28]]
    assert centres[-1] == pytest.approx([6.5 / 7, 6.5 / 7])


def test_detections_are_blended_by_score_and_placed_in_a_picture_that_was_letterboxed() -> None:
    middle = 1568 + 2 * (7 * 14 + 7)  # its centre is (7.5 / 14) of the square of 224
    row = [0, 0, 40, 40, 0, 10, 0, -50, 0, 0, 0, 0]
    shifted = [*np.add(row, [8, 0, 0, 0] + [8, 0] * 4)]
    small = [0, 0, 10, 10, 0, 0, 0, -5, 0, 0, 0, 0]
    network = Rows({middle: (0.9, row), middle + 1: (0.6, shifted), 0: (0.6, small)})
    found = detect(network, ramp(224, 448))
    assert network.seen.min() == pytest.approx(-1)
    assert (network.seen[0, :56] == -1).all()
    assert network.seen[0, 56, -1, 0] == pytest.approx(2 * (1 - 0.5 / 224) - 1, abs=1e-3)
    assert [round(each.score, 3) for each in found] == [0.9, 0.6]
    hips = np.array([120 + 8 * 0.6 / 1.5, 120 + 10 - 56]) * 2
    assert found[0].points[0] == pytest.approx(hips)
    assert found[0].box == pytest.approx([*(2 * np.array([100 + 3.2, 44])), *(2 * np.array([140 + 3.2, 84]))])
    assert found[0].region.side == pytest.approx(2 * 1.25 * 60 * 2)
    assert found[0].region.angle == pytest.approx(0)


def test_a_closer_look_finds_small_people_once_each() -> None:
    """In squares of half the side, each half over the next, someone small lies in several."""

    def network(batch: np.ndarray) -> list[np.ndarray]:
        rows, columns = np.nonzero(batch[0, ..., 2] > 0.5)
        if len(rows) < 200:
            return Rows({})(batch)
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        anchor = 2 * (28 * int(y / 8) + int(x / 8))
        place = np.array([x, y]) - 224 * anchors()[anchor]
        return Rows({anchor: (0.9, [*place, 20, 20, *place, *(place - (0, 30)), 0, 0, 0, 0])})(batch)

    picture = ramp(448, 448)
    picture[214:230, 220:236, 2] = 1
    assert detect(network, picture) == []
    (found,) = detect_closely(network, picture)
    assert found.points[0] == pytest.approx([228, 222], abs=1)
    assert found.region.side == pytest.approx(2.5 * 30, rel=0.01)


@pytest.mark.parametrize(("top", "angle"), [((0, -100), 0), ((100, 0), np.pi / 2), ((-70, -70), -np.pi / 4)])
def test_a_region_stands_the_person_upright(top: tuple, angle: float) -> None:
    region = Region.from_axis(np.array([200, 150]), np.array([200, 150]) + top)
    assert region.angle == pytest.approx(angle)
    assert region.side == pytest.approx(2.5 * np.hypot(*top))
    assert region.picture_from_square(np.array([0.5, 0.1])) == pytest.approx(np.array([200, 150]) + top)


@pytest.mark.parametrize("side", [60, 300])
def test_what_is_cut_and_laid_back_lies_where_it_was(side: float) -> None:
    region = Region(np.array([320.5, 240.0]), side, 0.4)
    places = (np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1) + 0.5) / 64
    cut = region.cut(ramp(480, 640), 64)
    assert cut[..., :2] * (640, 480) == pytest.approx(region.picture_from_square(places), abs=1)
    mask = region.lay_back(np.ones((64, 64), np.float32), (480, 640))
    assert mask.sum() == pytest.approx(side**2, rel=0.02)
    corner = region.picture_from_square(np.array([0.95, 0.95])).astype(int)
    assert mask[corner[1], corner[0]] == 1


def answers(presence: float, visibility: float = 10.0, peak: tuple[int, int] | None = None):
    """A landmark network that sees all points in the middle of its square, and a heat map's peak for the nose."""

    def network(batch: np.ndarray) -> list[np.ndarray]:
        rows = np.zeros((1, 39, 5), np.float32)
        rows[..., :2], rows[:, 34, 1], rows[..., 3] = 128, 128 - 0.4 * 256, visibility
        heat = np.full((1, 64, 64, 39), -9, np.float32)
        if peak is not None:
            heat[0, peak[0], peak[1], 0] = heat[0, peak[0], peak[1] + 1, 0] = 9
        logits = np.full((1, 256, 256, 1), -9, np.float32)
        logits[0, 64:192, 96:160] = 9
        metres = np.tile(np.array([0, -0.5, 0.2], np.float32), 39)
        return [rows.reshape(1, -1), np.array([[presence]]), logits, heat, metres[None]]

    return network


def test_landmarks_are_turned_back_into_the_picture_and_follow_their_heat() -> None:
    region = Region(np.array([100.0, 80.0]), 128.0, np.pi / 2)
    seen = look(answers(0.9, peak=(30, 33)), ramp(160, 200), region)
    assert seen.landmarks.points[1] == pytest.approx([100, 80])
    square = np.array([33.5, 30]) / 64
    assert seen.landmarks.points[0] == pytest.approx(region.picture_from_square(square), abs=0.05)
    assert seen.landmarks.world[5] == pytest.approx([0.5, 0, 0.2], abs=1e-6)
    assert (seen.region.side, seen.region.angle) == (pytest.approx(128), pytest.approx(np.pi / 2))
    rows, columns = np.nonzero(seen.mask > 0.5)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (32, 64), "its long side lies across the picture"
    assert look(answers(0.9, peak=(40, 33)), ramp(160, 200), region).landmarks.points[0] == pytest.approx([100, 80])
    assert look(answers(0.4), ramp(160, 200), region) is None


def test_points_beyond_the_picture_say_nothing_of_whether_there_is_a_body() -> None:
    beyond = Region(np.array([-5.0, 80.0]), 128.0, 0.0)
    assert look(answers(0.9), ramp(160, 200), beyond).body_visibility == 0
    assert (
        look(answers(0.9), ramp(160, 200), dataclasses.replace(beyond, centre=np.array([9, 9.0]))).body_visibility > 0.9
    )


def test_a_mask_keeps_its_largest_part_and_loses_small_holes_alone() -> None:
    mask = np.zeros((120, 160), np.float32)
    mask[20:100, 40:100] = 0.9
    mask[20:24, 40:100] = 0.3
    mask[50:54, 60:64] = 0.1
    mask[60:90, 70:80] = 0.1
    mask[10:20, 140:150] = 0.8
    found = tidied(mask)
    assert found[50:54, 60:64].min() == 1
    assert found[60:90, 70:80].max() == pytest.approx(0.1), "an arm's length from the body is a gap"
    assert found[10:20, 140:150].max() == 0
    assert found[20:24, 40:100].min() == pytest.approx(0.3), "what is soft beside it stays"
    assert tidied(mask * 0.4).max() == 0


def test_the_chosen_one_is_followed_and_waited_for() -> None:
    large, small = Place(np.array([50.0, 50.0]), 80.0), Place(np.array([300.0, 50.0]), 60.0)
    moved = Place(np.array([310.0, 55.0]), 90.0)
    first, second = Follower(1), Follower(2)
    assert (first.choose([small, large]), second.choose([large, small])) == (1, 1)
    assert second.choose([moved, large]) == 0, "who is followed may come nearer than others"
    assert [second.choose([large]) for _ in range(PATIENCE)] == [None] * PATIENCE
    alone = Follower(1)
    assert (alone.choose([large]), alone.choose([]), alone.choose([small])) == (0, None, 0), "as after a cut"
    assert Follower(3).choose([large, small]) is None


class Scene:
    """Bars in pictures for people, which pretended networks find; a grey one is a bird that has no visible body."""

    def __init__(self) -> None:
        self.detections = 0

    @staticmethod
    def picture(*bars: int, brightness: float = 1.0) -> np.ndarray:
        image = np.zeros((224, 224, 3), np.float32)
        for column in bars:
            image[92:132, column - 5 : column + 5] = brightness
        return image

    def detector(self, batch: np.ndarray) -> list[np.ndarray]:
        self.detections += 1
        lit = batch[0, 112, :, 0] > -0.5
        starts = np.flatnonzero(lit[1:] & ~lit[:-1]) + 1
        rows = {}
        for start in starts:
            column = start + 5
            anchor = 2 * (14 * 28 + int(column / 8))
            x, y = column - 224 * anchors()[anchor][0], 112 - 224 * anchors()[anchor][1]
            rows[anchor] = (0.9, [x, y, 20, 20, x, y, x, y - 20, 0, 0, 0, 0])
        return Rows(rows)(batch)

    def landmarks(self, batch: np.ndarray) -> list[np.ndarray]:
        line = batch[0, 128, :, 0]
        columns = np.flatnonzero((line > 0.2) & (np.abs(np.arange(256) - 128) < 90))
        rows, flag, *rest = answers(0.99 if len(columns) else 0.0, 10.0 if line.max() > 0.8 else -2.0)(batch)
        if len(columns):
            rows = rows.reshape(1, 39, 5)
            rows[..., 0] = columns.mean() + 0.5
        return [rows.reshape(1, -1), flag, *rest]


def columns_of(tracker: PersonTracker, pictures: list[np.ndarray]) -> list[float | None]:
    seen = [tracker(picture) for picture in pictures]
    return [None if each is None else round(float(each.landmarks.points[0, 0]), 0) for each in seen]


def test_a_track_needs_no_detector_until_it_is_lost() -> None:
    scene = Scene()
    tracker = PersonTracker(scene.detector, scene.landmarks)
    walk = [scene.picture(column) for column in (60, 66, 72)]
    assert columns_of(tracker, walk) == [60, 66, 72]
    assert scene.detections == 1
    cut = [scene.picture(), scene.picture(), scene.picture(180), scene.picture(183)]
    assert columns_of(tracker, cut) == [None, None, 180, 183]
    assert scene.detections == 1 + 2 * (1 + 1 + 9) + 1


def test_a_false_positive_is_refused() -> None:
    scene = Scene()
    tracker = PersonTracker(scene.detector, scene.landmarks)
    assert columns_of(tracker, [scene.picture(60, brightness=0.5)] * 2) == [None, None]
    unsure = PersonTracker(scene.detector, answers(0.8))
    assert unsure(scene.picture(60)) is None


@pytest.fixture
def blazepose(real_data):
    pytest.importorskip("ai_edge_litert")
    if not (real_data / "models" / "pose_detection.tflite").is_file():
        pytest.skip("no networks beside the checkout")
    return load_blazepose(real_data / "models")


def real_frames(real_data, name: str, start: int, end: int, size: int = 432) -> list[np.ndarray]:
    return list(read_video(real_data / "dynamic_lab4d" / name, start, end, size=size).frames)


def test_a_real_person_is_followed_through_emptiness_cropping_and_a_cut(blazepose, real_data) -> None:
    first, *_, last = real_frames(real_data, "human-cap-3.mp4", 30, 36)
    tracker = blazepose.tracker()
    seen = tracker(first)
    names = dict(zip(BLAZEPOSE, seen.landmarks.points, strict=True))
    assert names["left_shoulder"][0] > names["right_shoulder"][0], "they face the camera"
    assert names["nose"][1] < names["left_hip"][1] < names["left_knee"][1] < names["left_ankle"][1]
    assert 0.1 < (seen.mask > 0.5).mean() < 0.2
    assert 0.9 < seen.body_visibility <= 1
    assert np.ptp(seen.landmarks.world[:, 1]) == pytest.approx(1.5, abs=0.4), "metres from head to foot"
    empty = np.full_like(first, 0.5)
    assert tracker(empty) is None
    shifted = np.roll(last, 60, axis=1)
    again, before = tracker(shifted), blazepose.tracker()(last)
    assert np.median(np.abs(again.landmarks.points - (60, 0) - before.landmarks.points)) < 3
    cropped = blazepose.tracker()(first[: int(names["left_hip"][1])])
    assert cropped is not None
    assert cropped.landmarks.points[:13] == pytest.approx(seen.landmarks.points[:13], abs=8)


def test_of_several_people_one_is_chosen_by_size(blazepose, real_data) -> None:
    (frame,) = real_frames(real_data, "human-cap-3.mp4", 40, 41)
    width, small = frame.shape[1], np.full_like(frame, 0.6)
    reduced = cv2.resize(frame, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    small[-reduced.shape[0] :, : reduced.shape[1]] = reduced
    both = np.concatenate([small, frame], axis=1)
    largest, second = (blazepose.tracker(person)(both) for person in (1, 2))
    assert largest.landmarks.points[:, 0].min() > width > second.landmarks.points[:, 0].max()
    assert blazepose.tracker(3)(both) is None


def test_someone_far_away_is_found_by_a_closer_look(blazepose, real_data) -> None:
    (frame,) = real_frames(real_data, "human-cap-3.mp4", 40, 41)
    wide = np.full((432, 600, 3), 0.6, np.float32)
    reduced = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    wide[150 : 150 + reduced.shape[0], 300 : 300 + reduced.shape[1]] = reduced
    near, far = blazepose.tracker()(frame), blazepose.tracker()(wide)
    assert np.median(np.abs(far.landmarks.points - (300, 150) - near.landmarks.points / 2)) < 1.5


def test_animals_and_things_are_no_people(blazepose, real_data) -> None:
    cat = real_frames(real_data, "cat-pikachu-0.mp4", 0, 60, 384)[::10]
    tracker = blazepose.tracker()
    assert [tracker(frame) for frame in cat] == [None] * len(cat)
    for name in ("coffee.png", "rocket.jpg"):
        assert blazepose.tracker()(read_image(real_data / "images_natural" / name)[..., :3]) is None


def test_files_that_are_missing_or_another_network_are_named(tmp_path, real_data, blazepose) -> None:
    with pytest.raises(BackendUnavailableError, match="pose_solution_packed_assets"):
        load_blazepose(tmp_path)
    released = (real_data / "models" / "pose_landmark_full.tflite").read_bytes()
    (tmp_path / "pose_solution_packed_assets.data").write_bytes(released)
    with pytest.raises(BackendUnavailableError, match="another network"):
        load_blazepose(tmp_path)
    (tmp_path / "pose_solution_packed_assets.data").write_bytes(released[:5000])
    with pytest.raises(BackendUnavailableError, match="damaged"):
        load_blazepose(tmp_path)
