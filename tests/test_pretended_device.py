"""The card that is pretended refuses what a card refuses, and fits end on it as they do on the CPU."""

import pytest
import torch
from pretended_device import NAME, can_pretend, pretended_device
from small_fits import SCENES, largest_difference, losses

pytestmark = pytest.mark.skipif(not can_pretend(), reason="this torch cannot pretend a device")


@pytest.fixture
def device():
    with pretended_device() as name:
        yield name


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda there: there + torch.ones(3), "on one device"),
        (lambda there: torch.arange(3)[there.long()], "on one device"),
        (lambda there: torch.stack([there[0], torch.tensor(1.0)]), "on one device"),
        (lambda there: torch.ones(3).add_(there), "on one device"),
        (lambda there: torch.tensor(1.0).add_(there[0]), "on one device"),
        (lambda there: there.index_select(0, torch.arange(2)), "on one device"),
        (lambda there: torch.rand(3, device=there.device, generator=torch.Generator()), "a generator on"),
        (lambda there: there.uniform_(generator=torch.Generator()), "a generator on"),
        (lambda there: there.numpy(), "numpy"),
    ],
)
def test_what_a_card_refuses_is_refused(device, slip, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        slip(torch.tensor([1.0, 2.0, 0.0], device=device))


def test_arithmetic_and_gradients_are_those_of_the_host(device):
    values = torch.tensor([1.0, 2.0, 3.0])
    leaf = values.clone().requires_grad_()
    there = leaf.to(device)
    assert there.device.type == NAME
    kept = there[torch.tensor([0, 2])] * torch.tensor(2.0)
    kept.square().sum().backward()
    assert leaf.grad.tolist() == [8.0, 0.0, 24.0]
    layer = torch.nn.Linear(3, 2)
    expected = layer(values)
    moved = layer.to(device)
    assert moved.weight.device.type == NAME
    assert torch.equal(moved(there).cpu(), expected)
    there.data[1:] += 1
    assert there.tolist() == [1.0, 3.0, 4.0]


@pytest.mark.parametrize("kind", SCENES)
def test_a_fit_meets_no_tensor_of_the_host(a4d, four_views, device, kind):
    here, there = (losses(a4d, four_views, kind, place) for place in ("cpu", device))
    assert len(here[-1]) >= 3
    assert largest_difference(here, there) < 1e-3
