"""BiRefNet: its layers against plain ones, its names and sizes against the released file's, and what it cuts out."""

import pytest
import torch
from tiny_birefnet import TINY, save_tiny, tiny_network
from torch.nn.functional import conv2d

from a4d.errors import BackendUnavailableError
from a4d.estimation.birefnet.config import BiRefNetConfig, SwinConfig
from a4d.estimation.birefnet.deformable import DeformableConvolution
from a4d.estimation.birefnet.finder import DEVIATION, MEAN, load_birefnet
from a4d.estimation.birefnet.network import BiRefNet
from a4d.estimation.birefnet.swin import Block
from a4d.priors.catalogue import find
from a4d.priors.weights_folder import WeightsFolder


def test_the_whole_network_is_as_large_as_the_released_file():
    """Half precision but for counts and indices, and 754 names with places take 87 kB beside the tensors."""
    with torch.device("meta"):
        network = BiRefNet(BiRefNetConfig())
    state = network.state_dict()
    assert len(state) == 742
    assert sum(each.numel() for each in network.parameters()) == 220_173_756
    size = sum(each.numel() * (2 if each.is_floating_point() else 8) for each in state.values())
    assert 0 < find("birefnet").bytes - size - 2 * 2742 < 120 * (len(state) + 12)


def test_taps_that_stay_are_a_convolution_and_taps_that_move_read_elsewhere():
    torch.manual_seed(0)
    layer = DeformableConvolution(3, 5, 3)
    for part in (layer.offset_conv, layer.modulator_conv):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    features, weight = torch.randn(2, 3, 7, 9), layer.regular_conv.weight
    with torch.no_grad():
        torch.testing.assert_close(layer(features), conv2d(features, weight, padding=1), atol=1e-5, rtol=1e-5)
        # Rows before columns, tap by tap: one down and two to the right.
        layer.offset_conv.bias.copy_(torch.tensor([1.0, 2.0]).repeat(9))
        moved = conv2d(features, weight, padding=1)[..., 2:-1, 3:-1]
        torch.testing.assert_close(layer(features)[..., 1:-2, 1:-3], moved, atol=1e-5, rtol=1e-5)


def test_shifted_windows_do_not_join_opposite_sides():
    torch.manual_seed(0)
    config = SwinConfig(width=4, heads=(2, 2, 2, 2), window=4)
    block = Block(4, 2, config, shift=2).eval()
    tokens = torch.randn(1, 8, 8, 4)
    changed = tokens.clone()
    changed[:, 0, 0, 0] += 1
    with torch.no_grad():
        reached = (block(changed) - block(tokens)).abs().amax(-1)[0] > 1e-6
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:2, :2] = True
    assert torch.equal(reached, expected)


def test_the_mask_is_what_the_network_says_of_the_prepared_picture(tmp_path):
    finder = load_birefnet(WeightsFolder(save_tiny(tmp_path, tiny_network())))
    rgb = torch.rand(TINY.size, TINY.size, 3, generator=torch.Generator().manual_seed(1))
    pixels = ((rgb - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = tiny_network()(pixels)[0]
    torch.testing.assert_close(finder(rgb), expected)
    assert expected.std() > 1e-3
    assert finder(rgb[:40]).shape == (40, TINY.size)


def test_another_file_is_refused(tmp_path):
    network = tiny_network()
    with pytest.raises(BackendUnavailableError, match="1 tensors do not fit, first squeeze_module"):
        load_birefnet(WeightsFolder(save_tiny(tmp_path / "a", network, "squeeze_module.0.conv_in.bias")))
    network.config = replace_size(TINY)
    with pytest.raises(BackendUnavailableError, match="another architecture"):
        load_birefnet(WeightsFolder(save_tiny(tmp_path / "b", network)))


def replace_size(config: BiRefNetConfig) -> BiRefNetConfig:
    return config.model_copy(update={"inner": 16})
