"""Strains that count less where joints bend: Barron's family against the functions that it is known to contain."""

import pytest
import torch

from a4d.objectives.arap import robust

SQUARES = torch.logspace(-8, 2, 21, dtype=torch.float64)
TOLERANCE = 0.2


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        (1.0, lambda x: 2 * ((1 + x).sqrt() - 1)),
        (0.0, lambda x: 2 * (1 + x / 2).log()),
        (-2.0, lambda x: x / (1 + x / 4)),
    ],
    ids=["Charbonnier", "Cauchy", "Geman and McClure"],
)
def test_the_known_members_of_the_family(shape: float, known) -> None:
    expected = TOLERANCE**2 * known(SQUARES / TOLERANCE**2)
    torch.testing.assert_close(robust(SQUARES, TOLERANCE, shape), expected)


def test_it_begins_as_the_square_is_continuous_in_its_shape_and_grows_the_less_the_lower_that_is() -> None:
    values = torch.stack([robust(SQUARES, TOLERANCE, shape) for shape in (1.0, 0.5, 0.0, -1.0, -2.0)])
    torch.testing.assert_close(values[:, 0], SQUARES[:1].expand(5), rtol=1e-5, atol=0)
    torch.testing.assert_close(robust(SQUARES, TOLERANCE, 0.01), values[2], rtol=0.05, atol=0)
    assert (values.diff(dim=0)[:, 8:] < 0).all()
    assert (values.diff(dim=1) > 0).all()
