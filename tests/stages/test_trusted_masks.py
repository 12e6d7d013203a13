"""Where a capture's subject is does not hang on one mask that is wrong, nor on where the capture's origin lies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature
from a4d.intake.trusted_masks import trusted_masks
from a4d.io.captures.canonical_frame import canonical_frame
from a4d.io.captures.capture import PosedCapture
from a4d.render.mesh import render_mesh

COUNT, SIZE, WRONG = 8, 64, 4


def left_of(mask: np.ndarray) -> np.ndarray:
    """(W,) the columns left of a mask's middle."""
    return np.arange(SIZE) < np.median(np.nonzero(mask)[1])


@pytest.fixture(scope="module")
def capture() -> PosedCapture:
    cameras = orbit(torch.arange(COUNT) * 45.0, torch.tensor([15.0, -10.0, 35.0, 5.0] * 2), 3.2, 40.0, SIZE, SIZE)
    return PosedCapture(
        images=tuple(Path(f"{index}.png") for index in range(COUNT)),
        world_from_camera=cameras.world_from_camera.double().numpy(),
        intrinsics=cameras.intrinsics.double().numpy(),
        sizes=np.full((COUNT, 2), SIZE),
        up_axis="+y",
    )


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    """Of an animal that does not stand in the middle of what the cameras look at."""
    cameras = orbit(torch.arange(COUNT) * 45.0, torch.tensor([15.0, -10.0, 35.0, 5.0] * 2), 3.2, 40.0, SIZE, SIZE)
    mesh = creature(resolution=24)
    moved = mesh.with_vertices(0.8 * mesh.vertices + torch.tensor([0.15, 0.1, -0.1]))
    return [alpha.numpy() > 0.5 for alpha in render_mesh(moved, cameras).alpha[..., 0]]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda mask: mask & left_of(mask),
        lambda mask: mask & ~left_of(mask),
        lambda mask: mask & False,
        lambda mask: np.roll(mask, 20, 1),
    ],
    ids=["left half", "right half", "empty", "shifted"],
)
def test_a_wrong_mask_says_nothing_of_the_place(capture: PosedCapture, masks: list[np.ndarray], spoilt) -> None:
    given = [spoilt(mask) if index == WRONG else mask for index, mask in enumerate(masks)]
    trusted = trusted_masks(capture, given)
    assert [index for index, mask in enumerate(trusted) if mask is None] == [WRONG]
    right, found = canonical_frame(capture, masks), canonical_frame(capture, trusted)
    np.testing.assert_allclose(found[:3, 3], right[:3, 3], atol=0.08)
    assert found[0, 0] == pytest.approx(right[0, 0], rel=0.08)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_a_capture_beside_its_origin_is_centred_and_loses_no_view(
    capture: PosedCapture, masks: list[np.ndarray], shift: float
) -> None:
    poses, away = capture.world_from_camera.copy(), shift * np.array([1.0, 0.3, -0.7])
    poses[:, :3, 3] += away
    moved = replace(capture, world_from_camera=poses)
    assert all(mask is not None for mask in trusted_masks(moved, masks))
    assert trusted_masks(replace(moved, splits=("test",) * COUNT), masks) == masks
    found, right = canonical_frame(moved, trusted_masks(moved, masks)), canonical_frame(capture, masks)
    np.testing.assert_allclose(found[:3, :3] @ away + found[:3, 3], right[:3, 3], atol=1e-3)
