"""Channels of frames on disk and in batches, pairs of frames, single pixels, and pictures that stay on disk."""

import json

import numpy as np
import pytest
import torch
from painting import Painting, gallery

from a4d.contents.frames import load_frames
from a4d.errors import ConfigError, InvalidInputError, MissingInputError
from a4d.geometry.cameras import opencv_from_opengl
from a4d.io.frame_channels import (
    Tracks,
    channel_gaps,
    channel_problems,
    read_flow,
    write_features,
    write_flow,
    write_normal,
    write_tracks,
    write_visibility,
)
from a4d.io.pictures.images import read_image, write_depth, write_image
from a4d.objectives.objective import Step
from a4d.views import Frames, build_views
from a4d.views.recent import Recent
from a4d.workspace.workspace import Metadata, Workspace

COUNT, SIZE = 6, 16


@pytest.fixture
def workspace(tmp_path):
    """Six frames of a film with every channel; no flow leaves the last ones."""
    frames, entries = gallery(COUNT, SIZE), []
    for name in ("images", "depth", "normal", "visibility", "flow/forward_2", "flow/backward_2", "features/dino"):
        (tmp_path / name).mkdir(parents=True)
    for index in range(COUNT):
        write_image(tmp_path / f"images/{index:05d}.png", frames.rgba[index].numpy())
        write_depth(tmp_path / f"depth/{index:05d}.png", np.full((SIZE, SIZE), index / 10))
        normal = np.zeros((SIZE, SIZE, 3))
        normal[4:, :, 2] = 1
        write_normal(tmp_path / f"normal/{index:05d}.npz", normal)
        write_visibility(tmp_path / f"visibility/{index:05d}.png", np.eye(SIZE))
        write_features(tmp_path / f"features/dino/{index:05d}.npz", np.full((4, 4, 7), index))
        flow, valid = np.full((SIZE, SIZE, 2), [index + 1, -index]), np.tri(SIZE)
        if index + 2 < COUNT:
            write_flow(tmp_path / f"flow/forward_2/{index:05d}.npz", flow, valid)
        if index >= 2:
            write_flow(tmp_path / f"flow/backward_2/{index:05d}.npz", -flow, valid)
        pose = opencv_from_opengl(frames.cameras[index].world_from_camera[0])
        entries.append(
            {"file_path": f"images/{index:05d}.png", "transform_matrix": pose.tolist(), "time": index / (COUNT - 1)}
        )
    write_tracks(
        tmp_path / "tracks.npz", Tracks(np.arange(COUNT * 6.0).reshape(COUNT, 3, 2), np.ones((COUNT, 3), np.bool_))
    )
    head = {"fl_x": 20.0, "fl_y": 20.0, "cx": SIZE / 2, "cy": SIZE / 2, "w": SIZE, "h": SIZE}
    (tmp_path / "transforms.json").write_text(json.dumps({**head, "frames": entries}))
    return Workspace(tmp_path, Metadata(name="x"))


def observed(**spec: object):
    return build_views({"it": {"kind": "observed", **spec}})["it"]


def test_pictures_are_what_their_files_hold_and_stay_within_their_memory(workspace):
    frames = load_frames(workspace)
    for index in range(COUNT):
        expected = read_image(workspace.path / f"images/{index:05d}.png")
        assert np.array_equal(frames.rgba[index].numpy(), expected)
    assert frames.recent.size == COUNT * SIZE * SIZE * 4
    store = Recent(limit=3 * 1024)
    made = []
    for key in (0, 1, 2, 0, 3, 0, 1):
        store.get(key, lambda key=key: made.append(key) or torch.zeros(1024, dtype=torch.uint8))
        assert store.size <= 3 * 1024
    assert made == [0, 1, 2, 3, 1]


def test_a_picture_that_changes_while_a_run_reads_it_is_refused(workspace):
    frames = load_frames(workspace)
    write_image(workspace.path / "images/00001.png", np.ones((SIZE, SIZE, 4), np.float32))
    frames.recent.limit = 1
    frames.recent.get("another", lambda: torch.zeros(1))
    with pytest.raises(InvalidInputError, match=r"00001\.png changed"):
        frames.rgba[1]


def test_batches_say_which_frames_they_are_and_carry_channels(workspace):
    names = ["depth", "normal", "visibility", "flow_forward_2", "features_dino", "tracks"]
    frames, views = load_frames(workspace), observed(batch=3, channels=names, patch=8)
    batch = views.sample(2, 5, frames)
    assert torch.equal(batch.times, frames.moments[batch.moments])
    left, top = (int(8 - value) for value in batch.cameras.intrinsics[0, 2:])
    for row, index in enumerate(batch.frames.tolist()):
        assert torch.equal(batch.rgba[row], frames.rgba[index][top : top + 8, left : left + 8])
        assert batch.channels["depth"][row].unique().tolist() == pytest.approx([1 - index / 10], abs=1e-4)
        assert batch.channels["features_dino"].shape == (3, 8, 8, 7)
        assert float(batch.channels["features_dino"][row].mean()) == pytest.approx(index)
        flow, valid = batch.channels["flow_forward_2"][row].split([2, 1], dim=-1)
        assert torch.equal(flow, valid * torch.tensor([index + 1.0, -index]))
        assert bool(valid.any()) == (index + 2 < COUNT)
        points = torch.tensor(np.arange(6.0).reshape(3, 2) + 6 * index) - torch.tensor([left, top])
        torch.testing.assert_close(batch.channels["tracks"][row, :, :2], points.float())
    half = frames.channel("flow_forward_2", 1, 8)
    assert half.shape == (8, 8, 3)
    assert half[-1, 0].tolist() == [1.0, -0.5, 1.0]
    with pytest.raises(MissingInputError, match="no channel 'flow_forward_7'"):
        observed(channels=["flow_forward_7"]).require_channels(frames)


def test_pairs_are_a_stride_apart_with_the_flow_that_leads_to_the_other(workspace):
    frames = load_frames(workspace)
    views, starts = observed(batch=4, pairs={"strides": [2, 9]}, channels=["flow"]), set()
    for step in range(8):
        batch = views.sample(step, 0, frames)
        first, second = batch.moments.view(2, 2).unbind(1)
        assert (second - first).tolist() == [2, 2]
        for row, index in enumerate(batch.frames.tolist()):
            flow, valid = batch.channels["flow"][row].split([2, 1], dim=-1)
            assert valid.any()
            assert torch.equal(flow, (-1) ** row * valid * torch.tensor([index + 1.0, -index]))
        starts.update(first.tolist())
    assert starts == {0, 1, 2, 3}
    with pytest.raises(ConfigError, match="moments apart"):
        observed(batch=2, pairs={"strides": [9]}).sample(0, 0, frames)


def test_a_pair_is_of_one_camera():
    every = gallery(8)
    times = torch.linspace(0, 1, 4).repeat(2)
    frames = Frames(every.rgba, every.cameras, times, every.names, every.splits)
    for step in range(12):
        first, second = observed(batch=2, pairs={"strides": [1, 2]}).sample(step, 0, frames).frames.tolist()
        assert first // 4 == second // 4
        assert second - first in (1, 2)


def test_pixels_are_those_of_the_whole_images_and_of_whole_renders(workspace):
    frames = load_frames(workspace)
    few, whole = (observed(batch=2, **extra).sample(3, 1, frames) for extra in ({"pixels": 5}, {}))
    assert few.rgba.shape == (2, 1, 5, 4)
    step = Step(3, 1, Painting(SIZE), {"few": observed(batch=2, pixels=5)}, frames)
    rays, all_rays = few.cameras.through(few.pixels).rays()[1].view(2, 5, 3), whole.cameras.rays()[1]
    for row in range(2):
        for place, (x, y) in enumerate(few.pixels[row].tolist()):
            assert torch.equal(few.rgba[row, 0, place], whole.rgba[row, y, x])
            torch.testing.assert_close(rays[row, place], all_rays[row, y, x])
    assert step.render("few").rgb.shape == (2, 1, 5, 3)


def test_damaged_channels_are_found(workspace):
    sizes = {f"{index:05d}": (SIZE, SIZE) for index in range(COUNT)}
    root = workspace.path
    assert channel_problems(root, sizes) == []
    write_flow(root / "flow/forward_2/00009.npz", np.zeros((SIZE, SIZE, 2)), np.ones((SIZE, SIZE)))
    write_normal(root / "normal/00000.npz", np.full((SIZE, SIZE, 3), 0.2))
    write_features(root / "features/dino/00001.npz", np.full((2, 2, 3), np.nan))
    write_visibility(root / "visibility/00002.png", np.ones((8, 8)))
    write_depth(root / "depth/00004.png", np.ones((4, SIZE)))
    (root / "depth/00003.png").write_bytes(b"no picture")
    (root / "flow/sideways_2").mkdir()
    write_tracks(root / "tracks.npz", Tracks(np.zeros((2, 3, 2)), np.ones((2, 3), np.bool_)))
    wrong = channel_problems(root, sizes)
    expected = (
        "unit length",
        "is 8x8",
        "is 16x4",
        "00003.png is damaged",
        "00009.npz: belongs to no frame",
        "sideways",
        "not finite",
        "(6, N, 2)",
    )
    assert all(any(text in each for each in wrong) for text in expected), wrong
    assert len(wrong) == len(expected)
    assert channel_gaps(root, sizes) == []
    (root / "normal/00005.npz").unlink()
    assert channel_gaps(root, sizes) == ["normal: nothing of 1 of 6 frames, first 00005"]
    write_features(root / "features/dino/00002.npz", np.zeros((4, 4, 8)))
    assert "features/dino: features of 7 and 8 channels" in channel_problems(root, sizes)
    with pytest.raises(InvalidInputError, match="no 'flow'"):
        read_flow(root / "normal/00001.npz")
