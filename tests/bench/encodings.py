"""Time the encodings, forward and backward, against their torch specification in the same run.

    python tests/bench/encodings.py [--points 131072]

Every row interleaves the two backends and takes the fastest of a few calls of each, so that a busy machine slows both.
"""

import argparse
import time
from collections.abc import Callable

import torch

from a4d.render.encoding import GridConfig, GridEncoding, HexplaneConfig, HexplaneEncoding


def fastest(calls: list[Callable[[], None]], repeats: list[int]) -> list[float]:
    """Seconds of the fastest of `repeats` calls of each, interleaved, after one to warm up."""
    best = [float("inf")] * len(calls)
    for call in calls:
        call()
    for turn in range(max(repeats)):
        for index, call in enumerate(calls):
            if turn < repeats[index]:
                start = time.perf_counter()
                call()
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def step(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], backward: bool) -> Callable[[], None]:
    cotangent = torch.randn(len(inputs[0]), module.output_features)

    def run() -> None:
        module.zero_grad()
        if backward:
            module(*inputs).backward(cotangent)
        else:
            with torch.no_grad():
                module(*inputs)

    return run


def row(name: str, kind: type, config: GridConfig | HexplaneConfig, *inputs: torch.Tensor) -> None:
    """Print one line: milliseconds and million points per second of the kernels, and how many times torch takes."""
    for what, by_positions, backward in (
        ("forward", False, False),
        ("forward + backward", False, True),
        ("forward + backward, positions too", True, True),
    ):
        arguments = (inputs[0].clone().requires_grad_(by_positions), *inputs[1:])
        modules = [kind(config, backend) for backend in ("numba", "reference")]
        kernels, reference = fastest([step(module, arguments, backward) for module in modules], [15, 2])
        rate = len(inputs[0]) / kernels / 1e6
        print(
            f"{name:<34}{what:<36}{kernels * 1e3:9.2f} ms{rate:8.2f} M/s{reference / kernels:8.1f} x torch", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=131072, help="for the grids; hexplanes take 10000")
    count = parser.parse_args().points
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, {count} random points for the grids, 10000 for the hexplanes")
    for table in (2**15, 2**17):
        row(f"hash 3D, table {table}", GridEncoding, GridConfig(table=table), torch.rand(count, 3))
    row("tiled 3D, table 65536", GridEncoding, GridConfig(kind="tiled-grid", table=65536), torch.rand(count, 3))
    config = GridConfig(dimensions=4, finest_resolution=512)
    row("hash 4D, table 32768", GridEncoding, config, torch.rand(count, 4))
    positions, times = torch.rand(10000, 3), torch.rand(10000)
    small = HexplaneConfig(resolutions=((32, 32, 32, 8),))
    row("hexplane 32³ x 8, one time", HexplaneEncoding, small, positions, torch.tensor(0.3))
    row("hexplane 32³ x 8, a time each", HexplaneEncoding, small, positions, times)
    row("hexplane 50+100, one time", HexplaneEncoding, HexplaneConfig(), positions, torch.tensor(0.3))


if __name__ == "__main__":
    main()
