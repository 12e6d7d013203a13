"""What takes another path on a card than on the CPU, held to what the CPU finds."""

import pytest
import torch

from a4d.render.cubemap import sample
from a4d.render.encoding import HexplaneConfig, HexplaneEncoding
from a4d.render.occupancy import OccupancyConfig, OccupancyGrid
from a4d.render.ray_march import Lattice, march
from a4d.render.ssim import ssim_map

pytestmark = pytest.mark.gpu


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def compare(within, card, function, leaves, limit=1e-4):
    """Values of a function and its gradients by leaves, where they lie on the card and on the CPU."""
    found = []
    for place in ("cpu", card):
        inputs = [leaf.clone().to(place).detach().requires_grad_() for leaf in leaves]
        values = function(*inputs)
        (values * draws(*values.shape, seed=7).to(place)).sum().backward()
        found.append([values.detach().cpu(), *(each.grad.cpu() for each in inputs)])
    names = ["values", *(f"gradient by argument {number}" for number in range(len(leaves)))]
    for name, expected, mine in zip(names, *found, strict=True):
        within(name, (mine - expected).norm() / expected.norm(), limit)


@pytest.mark.parametrize("shared_time", [True, False])
def test_hexplanes(card, within, shared_time):
    encoding = HexplaneEncoding(HexplaneConfig(features=4, resolutions=((5, 6, 7, 8), (9, 12, 10, 2))))
    encoding.initialise(torch.Generator().manual_seed(0))
    state = {"space": encoding.space.detach(), "time": encoding.time.detach() * draws(len(encoding.time), seed=3)}

    def encode(positions, times, space, time):
        return torch.func.functional_call(encoding, {"space": space, "time": time}, (positions, times))

    times = torch.tensor(0.37) if shared_time else draws(200, seed=2)
    compare(within, card, encode, [draws(200, 3, seed=1), times, *state.values()])


def test_structural_similarity(card, within):
    images = draws(2, 37, 33, 3)
    compare(within, card, ssim_map, [images, (images + 0.2 * draws(2, 37, 33, 3, seed=1)).clamp(0, 1)], 1e-3)


def test_cube_maps(card, within):
    directions = draws(300, 3, seed=1) - 0.5
    compare(within, card, lambda cube: sample(cube, directions.to(cube.device)), [draws(6, 16, 16, 3)])


def test_rays_meet_the_same_steps(card, within):
    count = 64
    grid = OccupancyGrid(OccupancyConfig(resolution=16), 1.0)
    grid.occupied.copy_(draws(*grid.occupied.shape, seed=4) < 0.3)
    origins = torch.nn.functional.normalize(draws(count, 3) - 0.5, dim=-1) * 2
    towards = torch.nn.functional.normalize(0.4 * (draws(count, 3, seed=1) - 0.5) - origins, dim=-1)
    parts = (origins, towards, torch.full((count,), 0.8), torch.full((count,), 3.2), draws(count, seed=2), draws(count))
    found = [march(Lattice(*(part.to(place) for part in parts)), 0.05, grid.to(place)) for place in ("cpu", card)]
    assert len(found[0][0]) > count
    for name, expected, mine in zip(("rays", "steps"), *found, strict=True):
        within(f"{name} that differ", len(expected) != len(mine) or int((expected != mine.cpu()).sum()), 0)
