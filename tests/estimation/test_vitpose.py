"""ViTPose through transformers: what it is shown, and where its heat maps lead."""

import types

import numpy as np
import pytest
import tiny_models
import torch
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from a4d.errors import BackendUnavailableError
from a4d.estimation.person.vitpose import ViTPose, load_vitpose, peaks
from a4d.pixels import WHITE, composite
from a4d.priors.weights_folder import WeightsFolder


def bump(height: int, width: int, x: float, y: float, sigma: float = 2.0) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def subject() -> np.ndarray:
    """A picture (120, 160, 4) whose subject fills the rows 20 to 99 and the columns 70 to 99."""
    rgba = np.random.default_rng(0).random((120, 160, 4)).astype(np.float32)
    rgba[..., 3] = 0
    rgba[20:100, 70:100, 3] = 1
    return rgba


BOX = [69.5, 19.5, 30, 80]
"""Left, top, width and height of that subject where pixels' centres are numbered, as transformers takes them."""


def test_peaks_lie_between_pixels() -> None:
    wanted = np.array([[20.3, 30.8], [5, 5], [0.1, 47.2]])
    heat = np.stack([0.7 * bump(64, 48, x, y) for x, y in wanted])
    places, scores = peaks(heat)
    assert places[:2] == pytest.approx(wanted[:2], abs=0.05)
    assert places[2] == pytest.approx(wanted[2], abs=1)
    assert scores == pytest.approx(heat.reshape(3, -1).max(-1))
    assert peaks(np.zeros((1, 64, 48), np.float32))[0].tolist() == [[0, 0]]


def test_the_network_is_shown_the_box_and_answers_are_placed_as_transformers_does(tmp_path) -> None:
    network = load_vitpose(WeightsFolder(tiny_models.save_vitpose(tmp_path)))
    processor = VitPoseImageProcessorPil(size={"height": 64, "width": 48}, **tiny_models.SEEN)
    rgba, shown = subject(), []
    heat = np.stack([bump(16, 12, 3 + 0.3 * joint, 4 + 0.4 * joint, 1.2) for joint in range(17)])

    class Model(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, pixels: torch.Tensor) -> types.SimpleNamespace:
            shown.append(pixels)
            return types.SimpleNamespace(heatmaps=torch.from_numpy(heat)[None])

    found = ViTPose(Model(), network.preparation)(rgba)
    picture = np.rint(255 * composite(rgba, WHITE)).astype(np.uint8)
    expected = processor.preprocess([picture], boxes=[[BOX]], return_tensors="pt")["pixel_values"]
    # OpenCV samples at thirty-seconds of a pixel, and the subject is noise.
    assert (shown[0] - expected).abs().mean() < 0.02
    assert torch.corrcoef(torch.stack([shown[0].flatten(), expected.flatten()]))[0, 1] > 0.999
    outputs = types.SimpleNamespace(heatmaps=torch.from_numpy(heat)[None])
    ((theirs,),) = processor.post_process_pose_estimation(outputs, boxes=[[BOX]])
    assert found.points - 0.5 == pytest.approx(theirs["keypoints"].numpy(), abs=0.3)
    assert found.visibility == pytest.approx(heat.reshape(17, -1).max(-1))


def test_a_tiny_network_runs_and_an_empty_frame_shows_nobody(tmp_path) -> None:
    network = load_vitpose(WeightsFolder(tiny_models.save_vitpose(tmp_path / "coco")))
    found = network(subject())
    assert found.points.shape == (17, 2)
    assert np.ptp(found.points, axis=0).min() > 1
    assert found.world is None
    assert network(subject() * 0) is None
    with pytest.raises(BackendUnavailableError, match="133 joints"):
        load_vitpose(WeightsFolder(tiny_models.save_vitpose(tmp_path / "whole", joints=133)))
