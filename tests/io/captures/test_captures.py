import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.geometry.cameras import orbit
from a4d.io.assets.ply import PointCloud, write_point_cloud
from a4d.io.captures.capture import CaptureChoice, Lens, PosedCapture
from a4d.io.captures.capture_reader import read_capture
from a4d.io.captures.colmap import read_colmap, write_colmap
from a4d.io.captures.transforms_json import read_transforms, write_transforms


def write_images(folder, names, size=(100, 80)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(folder / name)


def orbit_capture(folder, count=4, lens=None) -> PosedCapture:
    cameras = orbit(torch.arange(count) * 40.0, torch.linspace(-20, 50, count), 3.0, 40.0, 100, 80)
    names = [f"images/{i:03d}.png" for i in range(count)]
    write_images(folder, names)
    generator = np.random.default_rng(0)
    return PosedCapture(
        images=tuple(folder / name for name in names),
        world_from_camera=cameras.world_from_camera.double().numpy(),
        intrinsics=cameras.intrinsics.double().numpy() + np.arange(4),
        sizes=np.array([[100, 80]] * count),
        lenses=None if lens is None else (lens,) * count,
        points=PointCloud(generator.normal(size=(30, 3)), np.round(generator.random((30, 3)) * 255).astype("f4") / 255),
    )


def assert_same_views(a: PosedCapture, b: PosedCapture, tolerance=1e-6):
    np.testing.assert_allclose(a.world_from_camera, b.world_from_camera, atol=tolerance)
    np.testing.assert_allclose(a.intrinsics, b.intrinsics, rtol=1e-9)
    assert a.sizes.tolist() == b.sizes.tolist()
    assert [path.resolve() for path in a.images] == [path.resolve() for path in b.images]
    assert (a.lenses or (None,) * len(a)) == (b.lenses or (None,) * len(b))


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize(
    "lens",
    [None, Lens((0.1, -0.05, 0.02, 0.0), (0.001, -0.002)), Lens((0.1, 0.2, 0.3, 0.4), is_fisheye=True)],
)
def test_colmap_round_trip(tmp_path, is_binary, lens):
    capture = orbit_capture(tmp_path, lens=lens)
    write_colmap(tmp_path / "sparse" / "0", capture, tmp_path / "images", is_binary)
    back = read_capture(tmp_path)
    assert_same_views(back, capture)
    assert back.up_axis is None
    np.testing.assert_allclose(back.points.positions, capture.points.positions)
    np.testing.assert_allclose(back.points.colours, capture.points.colours, atol=1e-6)


def test_colmap_reads_every_supported_camera_model(tmp_path):
    lines = [
        "1 SIMPLE_PINHOLE 100 80 90 50 40",
        "2 PINHOLE 100 80 90 95 50 40",
        "3 SIMPLE_RADIAL 100 80 90 50 40 0.1",
        "4 RADIAL 100 80 90 50 40 0.1 0.2",
        "5 OPENCV 100 80 90 95 50 40 0.1 0.2 0.3 0.4",
        "6 OPENCV_FISHEYE 100 80 90 95 50 40 0.1 0.2 0.3 0.4",
        "7 SIMPLE_RADIAL_FISHEYE 100 80 90 50 40 0.1",
        "8 SIMPLE_RADIAL 100 80 90 50 40 0",
    ]
    (tmp_path / "cameras.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")
    # The second line of an image, its keypoints, is empty for even ones. Names may have spaces.
    images = [f"{i} 1 0 0 0 0 0 4 {i} view {i}.png\n{'' if i % 2 else '1.5 2.5 -1'}\n" for i in range(1, 9)]
    (tmp_path / "images.txt").write_text("# IMAGE_ID ...\n# POINTS2D[]\n" + "".join(images))
    write_images(tmp_path / "images", [f"view {i}.png" for i in range(1, 9)])
    capture = read_colmap(tmp_path)
    assert capture.intrinsics[[0, 1]].tolist() == [[90, 90, 50, 40], [90, 95, 50, 40]]
    assert capture.lenses == (
        None,
        None,
        Lens((0.1, 0, 0, 0)),
        Lens((0.1, 0.2, 0, 0)),
        Lens((0.1, 0.2, 0, 0), (0.3, 0.4)),
        Lens((0.1, 0.2, 0.3, 0.4), is_fisheye=True),
        Lens((0.1, 0, 0, 0), is_fisheye=True),
        None,
    )
    with pytest.raises(UsageError, match="image_undistorter"):
        capture.cameras()
    assert len(capture.subset([0, 1, 7]).cameras()) == 3
    (tmp_path / "cameras.txt").write_text("\n".join([*lines[1:], "1 FOV 100 80 90 95 50 40 0.9"]))
    with pytest.raises(InvalidInputError, match=r"FOV camera.*image_undistorter"):
        read_colmap(tmp_path)


def test_binary_colmap_is_preferred_and_shrunk_images_keep_the_view(tmp_path):
    capture = orbit_capture(tmp_path)
    folder = tmp_path / "sparse" / "0"
    write_colmap(folder, capture, tmp_path / "images")
    (folder / "cameras.txt").write_text("nonsense")
    (folder / "images.txt").write_text("nonsense")
    write_images(tmp_path / "images_2", [path.name for path in capture.images], (50, 40))
    back = read_colmap(tmp_path, CaptureChoice(tmp_path / "images_2"))
    assert back.sizes.tolist() == [[50, 40]] * 4
    np.testing.assert_allclose(back.intrinsics, capture.intrinsics / 2)
    write_images(tmp_path / "images_2", [capture.images[1].name], (80, 100))
    with pytest.raises(InvalidInputError, match=r"001.png is 80x100, but its camera was calibrated for 100x80"):
        read_colmap(tmp_path, CaptureChoice(tmp_path / "images_2"))


def test_missing_images_are_named_or_skipped(tmp_path):
    capture = orbit_capture(tmp_path)
    write_colmap(tmp_path / "sparse" / "0", capture, tmp_path / "images")
    write_transforms(tmp_path / "images" / "transforms.json", capture)
    capture.images[2].unlink()
    for folder in (tmp_path, tmp_path / "images"):
        with pytest.raises(MissingInputError, match=r"1 images that do not exist: .*002\.png"):
            read_capture(folder)
        assert len(read_capture(folder, CaptureChoice(skip_missing=True))) == 3


@pytest.mark.parametrize(
    "lens", [None, Lens((0.1, -0.05, 0.02, 0.01), (0.001, -0.002)), Lens((0, 0, 0, 0), is_fisheye=True)]
)
def test_transforms_round_trip(tmp_path, lens):
    capture = replace(
        orbit_capture(tmp_path, lens=lens),
        splits=("train", "test", "train", "val"),
        times=np.array([0.0, 0.25, 0.5, 1.0]),
        masks=(tmp_path / "m.png", None, None, tmp_path / "n.png"),
        up_axis="+y",
        world_from_source=np.diag([2.0, 2.0, 2.0, 1.0]),
    )
    write_transforms(tmp_path / "transforms.json", capture)
    back = read_capture(tmp_path)
    assert_same_views(back, capture)
    assert (back.splits, back.up_axis) == (capture.splits, "+y")
    assert [mask and mask.name for mask in back.masks] == ["m.png", None, None, "n.png"]
    np.testing.assert_array_equal(back.times, capture.times)
    np.testing.assert_array_equal(back.world_from_source, capture.world_from_source)
    np.testing.assert_allclose(back.points.positions, capture.points.positions, rtol=1e-6)
    assert back.subset([3, 1]).times.tolist() == [1.0, 0.25]


def test_transforms_are_readable_by_nerfstudio(tmp_path):
    """Its parser wants the four intrinsics and the size at the top or in every frame, and OpenGL poses."""
    capture = orbit_capture(tmp_path)
    for intrinsics, shared in ((capture.intrinsics, True), (capture.intrinsics * [[1], [1], [1], [1.1]], False)):
        write_transforms(tmp_path / "transforms.json", replace(capture, intrinsics=intrinsics))
        document = json.loads((tmp_path / "transforms.json").read_text())
        for holder in [document] if shared else document["frames"]:
            assert {"fl_x", "fl_y", "cx", "cy", "w", "h"} <= holder.keys()
        assert document["ply_file_path"] == "points.ply"
        assert document["frames"][0]["file_path"] == "images/000.png"
        stored = np.array(document["frames"][1]["transform_matrix"])
        # The camera looks along its own -z, at the origin.
        np.testing.assert_allclose(-stored[:3, 2] * 3, -stored[:3, 3], atol=1e-5)


def test_frames_override_the_file_and_what_is_absent_is_found(tmp_path):
    write_images(tmp_path, ["a.png", "b.1.jpg", "c.png"])
    frames = [
        {"file_path": "./a", "transform_matrix": np.eye(4).tolist(), "time": 3},
        {"file_path": "b.1", "transform_matrix": np.eye(4)[:3].tolist(), "fl_x": 70, "time": 1},
        {"file_path": "c.png", "transform_matrix": np.eye(4).tolist(), "fl_x": 60, "cx": 45, "fl_y": 61, "time": 5},
    ]
    document = {"camera_angle_x": 2 * math.atan(0.5), "frames": frames, "test_filenames": ["b.1"]}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    capture = read_transforms(tmp_path / "transforms.json")
    assert [path.name for path in capture.images] == ["a.png", "b.1.jpg", "c.png"]
    np.testing.assert_allclose(capture.intrinsics, [[100, 100, 50, 40], [70, 70, 50, 40], [60, 61, 45, 40]])
    assert capture.splits == ("train", "test", "train")
    assert capture.times.tolist() == [0.5, 0.0, 1.0]
    assert capture.up_axis == "+z"


def test_an_applied_transform_is_undone(tmp_path):
    """As nerfstudio writes it: the world is permuted, for cameras and points alike, then scaled."""
    capture = orbit_capture(tmp_path)
    write_transforms(tmp_path / "transforms.json", capture)
    document = json.loads((tmp_path / "transforms.json").read_text())
    applied = np.array([[1.0, 0, 0, 0.5], [0, 0, 1, 0], [0, -1, 0, 2], [0, 0, 0, 1]])
    for frame in document["frames"]:
        moved = applied @ np.array(frame["transform_matrix"])
        moved[:3, 3] *= 3
        frame["transform_matrix"] = moved.tolist()
    positions = 3 * (capture.points.positions @ applied[:3, :3].T + applied[:3, 3])
    write_point_cloud(tmp_path / "points.ply", PointCloud(positions))
    document |= {"applied_transform": applied[:3].tolist(), "applied_scale": 3.0}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    back = read_capture(tmp_path)
    assert_same_views(back, capture)
    np.testing.assert_allclose(back.points.positions, capture.points.positions, atol=1e-5)
    assert back.up_axis is None


def test_blender_set_with_its_splits(real_data):
    capture = read_capture(real_data / "multiview_nerfstudio_tiny" / "lego_test")
    assert capture.splits == ("train", "val")
    assert [path.parent.name for path in capture.images] == ["train", "val"]
    np.testing.assert_allclose(capture.intrinsics[0], [69.4444, 69.4444, 25, 25], atol=1e-3)
    # Both look at the origin, which therefore falls on the principal point, 4.03 away.
    pixels, depth = capture.cameras().project(torch.zeros(1, 3))
    np.testing.assert_allclose(pixels[:, 0].numpy(), [[25, 25]] * 2, atol=1e-3)
    np.testing.assert_allclose(depth[:, 0].numpy(), [4.0311, 4.0311], atol=1e-3)


def test_pickled_arrays_are_never_loaded(real_data):
    for name in ("train.npz", "val.npz"):
        with pytest.raises(InvalidInputError, match="never loaded"):
            read_capture(real_data / "multiview_nerfstudio_tiny" / "minimal_parser" / name)


def edited(key, value):
    def edit(document):
        document[key] = value

    return edit


def edited_frame(key, value):
    def edit(document):
        document["frames"][1][key] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edited("frames", []), "no frames"),
        (edited("frames", "x"), "no list 'frames'"),
        (edited("fl_x", "wide"), "frame 0: 'fl_x' is no finite number"),
        (edited("h", 0), "'h' is not positive"),
        (edited("camera_model", "EQUIRECTANGULAR"), "'EQUIRECTANGULAR' is not read"),
        (edited("applied_transform", [[0] * 4] * 3), "cannot be undone"),
        (edited_frame("transform_matrix", None), "frame 1: transform_matrix"),
        (edited_frame("transform_matrix", [[1, 2], [3]]), "frame 1: transform_matrix"),
        (edited_frame("transform_matrix", np.diag([1, 1, -1, 1]).tolist()), "no rotation and translation"),
        (edited_frame("transform_matrix", np.diag([1, 2, 1, 1]).tolist()), "no rotation and translation"),
        (edited_frame("file_path", 7), "frame 1: file_path"),
        (edited_frame("time", 0.5), "frame 0 has no 'time'"),
    ],
)
def test_damaged_transforms_name_frame_and_key(tmp_path, edit, message):
    write_transforms(tmp_path / "transforms.json", orbit_capture(tmp_path))
    document = json.loads((tmp_path / "transforms.json").read_text())
    edit(document)
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    with pytest.raises((InvalidInputError, MissingInputError), match=message):
        read_capture(tmp_path)


def test_what_is_no_capture(tmp_path):
    with pytest.raises(InvalidInputError, match=r"transforms\.json or a COLMAP"):
        read_capture(tmp_path)
    with pytest.raises(MissingInputError):
        read_capture(tmp_path / "absent")
    (tmp_path / "transforms.json").write_text("[1, 2")
    with pytest.raises(InvalidInputError, match="not valid JSON"):
        read_capture(tmp_path)
    capture = orbit_capture(tmp_path)
    with pytest.raises(UsageError, match="differ in size"):
        replace(capture, sizes=capture.sizes + np.arange(4)[:, None]).cameras()
    with pytest.raises(ValueError, match="expected 4 splits"):
        replace(capture, splits=("train",))
