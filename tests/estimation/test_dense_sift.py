"""Features without weights: alike where pictures are, and nowhere else."""

import cv2
import numpy as np
import torch

from a4d.estimation.dense_sift import CELLS, DenseSift

SIDE = 256
CELL = SIDE // CELLS


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((SIDE, SIDE, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def test_features_go_where_the_picture_goes_whatever_its_contrast() -> None:
    picture = textured()
    shifted = 0.2 + 0.6 * np.roll(picture, (5 * CELL, -9 * CELL), axis=(0, 1))
    here, there = (DenseSift()(torch.from_numpy(each)) for each in (picture, shifted))
    assert here.shape == (CELLS, CELLS, 128)
    torch.testing.assert_close(here.norm(dim=-1), torch.ones(CELLS, CELLS), atol=1e-3, rtol=0)
    inside = torch.meshgrid(torch.arange(16, 44), torch.arange(20, 48), indexing="ij")
    rows, columns = (each.flatten() for each in inside)
    nearest = (here[rows, columns] @ there.flatten(0, 1).T).argmax(1)
    found = torch.stack([nearest // CELLS - rows, nearest % CELLS - columns], dim=1)
    assert (found == torch.tensor([5, -9])).all(1).float().mean() > 0.99


def test_what_is_of_one_colour_has_no_features_and_any_shape_is_covered() -> None:
    assert DenseSift()(torch.full((40, 80, 3), 0.7)).abs().max() == 0
    assert DenseSift()(torch.from_numpy(textured()[:90])).shape == (22, CELLS, 128)
    assert DenseSift()(torch.rand(3, 200, 3)).shape == (1, CELLS, 128)
