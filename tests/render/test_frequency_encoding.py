import math

import torch

from a4d.render.encoding import FrequencyConfig, FrequencyEncoding, progressive_level_weights


def test_progressive_weights_fade_one_level_in_at_a_time() -> None:
    assert progressive_level_weights(4, 0) == (0, 0, 0, 0)
    assert progressive_level_weights(4, 2.25) == (1, 1, 0.25, 0)
    assert progressive_level_weights(4, 9) == (1, 1, 1, 1)


def test_frequencies_double_and_come_per_coordinate() -> None:
    encoding = FrequencyEncoding(FrequencyConfig(dimensions=2, frequencies=3, include_input=True))
    encoded = encoding(torch.tensor([[0.1, -0.3]]))[0]
    expected = [0.1, -0.3] + [
        wave(math.pi * 2**k * x) for x in (0.1, -0.3) for k in range(3) for wave in (math.sin, math.cos)
    ]
    assert encoding.output_features == 14
    assert torch.allclose(encoded, torch.tensor(expected), atol=1e-6)


def test_masked_frequencies_are_zero() -> None:
    encoding = FrequencyEncoding(FrequencyConfig(dimensions=1, frequencies=3))
    encoded = encoding(torch.rand(5, 1), progressive_level_weights(3, 1))
    assert bool(encoded[:, :2].any())
    assert not encoded[:, 2:].any()
    positions = torch.rand(4, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoding, positions)
