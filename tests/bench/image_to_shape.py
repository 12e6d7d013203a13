"""TripoSR at its released size with random weights, from the picture to the surface, and surfaces asked where they are.

Times are of the processor, memory is the peak of the process. Planes of random weights have no surface at the released
density, and hardly a place without one at any other: what it costs to find one that is somewhere is measured on planes
and a decoder of the released sizes that are taught a chair. `--random` adds the random one, at that density which an
eighth of the cube exceeds. Run with a folder for the checkpoint, of 1.7 GB, which is made where it is not there:
python tests/bench/image_to_shape.py FOLDER [--load] [--random]
"""

import argparse
import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402
from scipy.spatial import cKDTree  # noqa: E402
from torch import Tensor  # noqa: E402

from a4d.geometry.surfaces.isosurface.coarse_to_fine import find_surface  # noqa: E402
from a4d.priors.image_to_shape import ShapeField, surface_of  # noqa: E402
from a4d.priors.placement import Placement  # noqa: E402
from a4d.priors.triposr.config import TripoSRConfig  # noqa: E402
from a4d.priors.triposr.field import TriplaneField  # noqa: E402
from a4d.priors.triposr.network import Decoder, TripoSRNetwork  # noqa: E402
from a4d.priors.triposr.prior import TripoSR  # noqa: E402
from a4d.priors.triposr.weights import load_network  # noqa: E402

RADIUS, RESOLUTION = 0.87, 256

STEEPNESS, REACH = 40.0, 0.15
"""By how much the logarithm of a taught density changes in a metre, and in how many metres around the surface."""

SAME = 1e-4
"""Metres between vertices that are the same: networks say a little else in other batches."""

Result = TypeVar("Result")


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def timed(what: str, work: Callable[[], Result]) -> Result:
    began = time.process_time()
    result = work()
    print(f"{what:40s} {time.process_time() - began:6.1f} s of processor time, peak {peak()}", flush=True)
    return result


def make_checkpoint(path: Path) -> None:
    """A plain state dictionary of random numbers, tensor by tensor as large as the released one."""
    draws = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        state = TripoSRNetwork(TripoSRConfig()).state_dict()
    for name, tensor in state.items():
        is_scale = "norm" in name and name.endswith("weight")
        # Weights smaller than these leave nothing of the position after the decoder's ten layers.
        spread = (2 / tensor[0].numel()) ** 0.5 if tensor.ndim == 2 else 0.02
        state[name] = torch.ones(tensor.shape) if is_scale else spread * torch.randn(tensor.shape, generator=draws)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def ball(points: Tensor) -> Tensor:
    return 0.5 - points.norm(dim=-1)


def chair(points: Tensor) -> Tensor:
    """A seat, a back and four legs."""
    legs = [((x, y, -0.3), (0.035, 0.035, 0.3)) for x in (-0.3, 0.3) for y in (-0.3, 0.3)]
    boxes = [((0, 0, 0), (0.35, 0.35, 0.04)), ((-0.3, 0, 0.35), (0.04, 0.35, 0.35)), *legs]
    inside = [(points.new_tensor(half) - (points - points.new_tensor(middle)).abs()).amin(-1) for middle, half in boxes]
    return torch.stack(inside).amax(0)


def taught(level: Callable[[Tensor], Tensor], steps: int = 300, points: int = 2**13) -> TriplaneField:
    """Planes and a decoder of the released sizes whose density is at the threshold where a level is zero."""
    config, draws = TripoSRConfig(), torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    decoder = Decoder(config)
    planes = (0.1 * torch.randn(3, config.features, 2 * config.plane, 2 * config.plane)).requires_grad_()
    optimiser = torch.optim.Adam([{"params": [planes], "lr": 0.03}, {"params": decoder.parameters(), "lr": 3e-3}])
    field = TriplaneField(planes, decoder, config)
    slowing = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.02 ** (1 / steps))
    at_surface = math.log(config.threshold) - config.density_bias
    for _ in range(steps):
        places = RADIUS * (2 * torch.rand(2 * points, 3, generator=draws) - 1)
        places = places[level(places).abs().argsort()[:points]]
        wanted = at_surface + STEEPNESS * level(places).clamp(-REACH, REACH)
        loss = (decoder(field.features(places))[:, 0] - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        slowing.step()
    return TriplaneField(planes.detach(), decoder.requires_grad_(False), config)


def compare(name: str, level: Callable[[Tensor], Tensor]) -> None:
    """Print queries and processor time of a surface, asked where it is and everywhere."""
    seconds, found = [], []
    for coarsest in (64, RESOLUTION):
        began = time.process_time()
        found.append(find_surface(level, RADIUS, RESOLUTION, coarsest))
        seconds.append(time.process_time() - began)
    mine, dense = found
    apart, _ = cKDTree(mine.mesh.vertices.numpy()).query(dense.mesh.vertices.numpy())
    missed, count = int((apart > SAME).sum()), len(dense.mesh.vertices)
    print(
        f"{name:10s} {mine.queries / 1e6:5.2f} M queries for {dense.queries / 1e6:5.2f} M, "
        f"{dense.queries / mine.queries:4.1f} times fewer; {seconds[0]:4.1f} s for {seconds[1]:4.1f} s; "
        f"{missed} of {count} vertices missed",
        flush=True,
    )


def level_of(field: ShapeField, threshold: float) -> Callable[[Tensor], Tensor]:
    return lambda places: (field.density(places) / threshold).log()


def disc_of_noise() -> Tensor:
    picture = torch.rand(512, 512, 4, generator=torch.Generator().manual_seed(1))
    across, down = torch.meshgrid(*[torch.linspace(-1, 1, 512)] * 2, indexing="ij")
    picture[..., 3] = (across**2 + down**2 < 0.6).float()
    return picture


def random_planes(folder: Path) -> TriplaneField:
    """Of noise by random weights, which are gone afterwards."""
    model = TripoSR(timed("checkpoint to network", lambda: load_network(folder)), Placement())
    return timed("picture to planes", lambda: model.shape(disc_of_noise()))


def find_random_surface(field: TriplaneField) -> None:
    points = RADIUS * (2 * torch.rand(4096, 3, generator=torch.Generator().manual_seed(2)) - 1)
    field.threshold = float(field.density(points).quantile(0.875))
    mesh = timed("random planes to coloured surface", lambda: surface_of(field, RESOLUTION))
    print(f"{len(mesh.vertices)} vertices")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--load", action="store_true", help="convert and load the checkpoint, and no more")
    parser.add_argument("--random", action="store_true", help="find the surface of the random planes, too")
    options = parser.parse_args()
    path = options.folder / "model.ckpt"
    if not path.is_file():
        make_checkpoint(path)
    os.environ["XDG_CACHE_HOME"] = str(options.folder / "cache")
    if options.load:
        timed("checkpoint to network", lambda: load_network(options.folder))
        return
    random = random_planes(options.folder)
    object_ = taught(chair)
    timed("an object's planes to coloured surface", lambda: surface_of(object_, RESOLUTION))
    compare("object", level_of(object_, object_.threshold))
    compare("ball", ball)
    compare("chair", chair)
    if options.random:
        find_random_surface(random)


if __name__ == "__main__":
    main()
