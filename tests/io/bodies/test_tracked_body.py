"""`body.npz`: what was written is read back and poses alike; what does not fit is refused."""

import numpy as np
import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.tracked_body import TrackedBody, in_shape
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.tracked_body import read_tracked_body, write_tracked_body
from a4d.io.pictures.images import write_image

MOMENTS = 3


@pytest.fixture(scope="module")
def tracked():
    body = open_body()
    shape = body.default_shape.clone()
    shape[body.shape_names.index("height")] = 0.8
    turns = torch.randn(MOMENTS, len(body.names), 4, generator=torch.Generator().manual_seed(0)) * 0.1
    turns[..., 0] = 1.0
    rotations = rotation_from_quaternion(torch.nn.functional.normalize(turns, dim=-1))
    animated = AnimatedBody(body, shape, rotations, torch.linspace(0, 1, MOMENTS)[:, None].expand(-1, 3), 1 / 30)
    seen = torch.tensor([True, False, True])
    return TrackedBody(animated, torch.linspace(0, 1, MOMENTS), seen, "open", shape, body.shape_names)


@pytest.fixture
def file(tmp_path, tracked):
    write_tracked_body(tmp_path / "body.npz", tracked)
    return tmp_path / "body.npz"


def test_a_body_read_back_poses_alike_without_its_model(file, tracked):
    found = read_tracked_body(file)
    torch.testing.assert_close(found.animated.posed().vertices, tracked.animated.posed().vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.shape, tracked.shape)
    assert found.is_tracked.tolist() == [True, False, True]
    assert (found.model, found.shape_names) == ("open", tracked.shape_names)
    assert found.animated.body.uvs is not None
    assert float(found.at([2]).times) == 1.0


def test_a_body_of_one_shape_keeps_the_rest_pose_and_forgets_the_model(tracked):
    body = tracked.animated.body
    character = in_shape(body, tracked.shape)
    torch.testing.assert_close(character.rest()[0], body.rest(tracked.shape)[0])
    assert character.shape_names == ()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("weights", lambda values: values * 2, "do not sum to 1"),
        ("rotations", lambda values: values[:, :-1], "'rotations' of shape"),
        ("rotations", lambda values: values * 0, "no unit quaternions"),
        ("faces", lambda values: values + 10**6, "a vertex that is not there"),
        ("joint_parents", lambda values: np.roll(np.arange(len(values)), 1), "in a circle"),
        ("times", lambda values: values[::-1].copy(), "do not increase"),
        ("vertices", lambda values: values * np.nan, "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(file, name, change, said):
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays[name] = change(arrays[name])
    np.savez(file, **arrays)
    with pytest.raises(InvalidInputError, match=said):
        read_tracked_body(file)


def test_a_workspace_whose_body_has_other_moments_than_its_frames_is_not_valid(a4d, tmp_path, tracked):
    write_image(tmp_path / "bar.png", np.pad(np.ones((20, 8, 4), np.float32), ((4, 4), (4, 4), (0, 0))))
    assert a4d("preprocess", "bar.png", "--size", 16).code == 0
    assert a4d("estimate-pose", "bar.a4d").code == 0
    write_tracked_body(tmp_path / "bar.a4d" / "body.npz", tracked)
    assert "poses at 3 moments, and transforms.json has 1" in a4d("validate", "bar.a4d").out
