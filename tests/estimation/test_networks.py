"""Networks that tell depth and features: pictures as they expect them, and what is made of their answers."""

import json

import numpy as np
import pytest
import tiny_models
import torch

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.estimation.depth import load_depth_estimator
from a4d.estimation.features import load_feature_extractor, principal_components
from a4d.estimation.vision import read_preparation
from a4d.io.depth_maps import nearness
from a4d.priors.weights_folder import WeightsFolder

OPTIONS = {"larger": "nearer"}


@pytest.mark.parametrize("save", [tiny_models.save_depth_anything, tiny_models.save_dpt])
def test_depth_is_what_the_network_says_of_the_prepared_picture(tmp_path, save) -> None:
    estimator = load_depth_estimator(WeightsFolder(save(tmp_path), options=OPTIONS))
    rgb = torch.rand(*estimator.preparation.size, 3, generator=torch.Generator().manual_seed(0))
    mean, deviation = (torch.tensor(tiny_models.SEEN[key]) for key in ("image_mean", "image_std"))
    expected = estimator.model(((rgb - mean) / deviation).permute(2, 0, 1)[None]).predicted_depth[0]
    torch.testing.assert_close(estimator(rgb), expected)
    assert expected.std() > 0
    assert estimator(rgb[:40]).shape == (40, rgb.shape[1])


def test_pictures_keep_their_aspect_ratio_in_whole_patches(tmp_path) -> None:
    keeps = read_preparation(WeightsFolder(tiny_models.save_depth_anything(tmp_path / "a")))
    assert keeps.size_for(100, 260) == (56, 140)
    squeezes = read_preparation(WeightsFolder(tiny_models.save_dpt(tmp_path / "b")))
    assert squeezes.size_for(100, 260) == (64, 64)
    (tmp_path / "b" / "preprocessor_config.json").write_text(json.dumps({"size": 3}))
    with pytest.raises(BackendUnavailableError, match="no size or range"):
        read_preparation(WeightsFolder(tmp_path / "b"))


def test_nearness_spans_the_subject_whatever_larger_means() -> None:
    depth = np.array([[9.0, 2.0], [4.0, 3.0]], np.float32)
    subject = np.array([[False, True], [True, True]])
    assert nearness(depth, subject, "farther") == pytest.approx(np.array([[0, 1], [0, 0.5]]))
    assert nearness(-depth, subject, "nearer") == pytest.approx(np.array([[0, 1], [0, 0.5]]))
    assert nearness(depth * 0 + 3, subject, "nearer").max() == 0
    assert nearness(depth, subject & False, "nearer").max() == 0


def test_features_lie_on_the_patches_that_they_are_of(tmp_path) -> None:
    extractor = load_feature_extractor(WeightsFolder(tiny_models.save_dinov2(tmp_path)))
    rgb = torch.zeros(56, 84, 3)
    plain = extractor(rgb)
    assert plain.shape == (4, 6, 16)
    pixels = extractor.preparation(rgb)
    tokens = extractor.model(pixels).last_hidden_state[0, 1:]
    torch.testing.assert_close(plain.flatten(0, 1), tokens)


def test_few_channels_keep_what_differs_most() -> None:
    generator = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(10, 10, generator=generator))[0]
    spread = torch.tensor([5.0, 3.0, 1.0, *[0.05] * 7])
    samples = torch.randn(4000, 10, generator=generator) * spread @ basis.T + 7
    found = principal_components(samples.split(1000), 3)
    assert found.explained == pytest.approx(1 - 7 * 0.05**2 / (25 + 9 + 1), abs=1e-3)
    assert (basis[:, :3] * found.directions).sum(0).abs().min() > 0.99
    reduced = found(samples)
    assert reduced.mean(0).abs().max() < 1e-3
    assert reduced.std(0).tolist() == pytest.approx([5, 3, 1], rel=0.05)
    with pytest.raises(InvalidInputError, match="--feature-channels"):
        principal_components([samples[:2]], 3)
