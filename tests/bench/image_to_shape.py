"""TripoSR at its released size with random weights, from the picture to the surface, and surfaces asked where they are.

Times are of the processor, memory is the peak of the process. A field of random weights has no surface at the released
density; its own is taken at that density which an eighth of the cube exceeds. Run with a folder for the checkpoint, of
1.7 GB, which is made where it is not there: python tests/bench/image_to_shape.py FOLDER [--load]
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from a4d.geometry.surfaces.isosurface.coarse_to_fine import find_surface  # noqa: E402
from a4d.priors.placement import Placement  # noqa: E402
from a4d.priors.triposr.config import TripoSRConfig  # noqa: E402
from a4d.priors.triposr.network import TripoSRNetwork  # noqa: E402
from a4d.priors.triposr.prior import TripoSR  # noqa: E402
from a4d.priors.triposr.weights import load_network  # noqa: E402

RADIUS, RESOLUTION = 0.87, 256


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def timed(what: str, work: Callable[[], object]) -> object:
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


def compare(name: str, level: Callable[[Tensor], Tensor]) -> None:
    """Print queries and processor time of a surface, asked where it is and everywhere."""
    seconds, found = [], []
    for coarsest in (64, RESOLUTION):
        began = time.process_time()
        found.append(find_surface(level, RADIUS, RESOLUTION, coarsest))
        seconds.append(time.process_time() - began)
    mine, dense = found
    same = torch.equal(mine.mesh.vertices, dense.mesh.vertices) and torch.equal(mine.mesh.faces, dense.mesh.faces)
    print(
        f"{name:10s} {mine.queries / 1e6:5.2f} M queries for {dense.queries / 1e6:5.2f} M, "
        f"{dense.queries / mine.queries:4.1f} times fewer; {seconds[0]:4.1f} s for {seconds[1]:4.1f} s; "
        f"{'the same surface' if same else 'ANOTHER SURFACE'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--load", action="store_true", help="convert and load the checkpoint, and no more")
    options = parser.parse_args()
    path = options.folder / "model.ckpt"
    if not path.is_file():
        make_checkpoint(path)
    os.environ["XDG_CACHE_HOME"] = str(options.folder / "cache")
    network = timed("checkpoint to network", lambda: load_network(options.folder))
    if options.load:
        return
    picture = torch.rand(512, 512, 4, generator=torch.Generator().manual_seed(1))
    picture[..., 3] = (
        (torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 512)] * 2, indexing="ij")) ** 2).sum(0) < 0.6
    ).float()
    field = timed("picture to planes", lambda: TripoSR(network, Placement()).shape(picture))
    points = RADIUS * (2 * torch.rand(4096, 3, generator=torch.Generator().manual_seed(2)) - 1)
    threshold = field.density(points).quantile(0.875)

    def level(places: Tensor) -> Tensor:
        return (field.density(places) / threshold).log()

    surface = timed("planes to surface", lambda: find_surface(level, RADIUS, RESOLUTION))
    timed("colours of its vertices", lambda: field.colours(surface.mesh.vertices))
    print(f"{surface.queries / 1e6:.2f} M queries, {len(surface.mesh.vertices)} vertices")
    compare("ball", ball)
    compare("chair", chair)


if __name__ == "__main__":
    main()
