"""What one step of score distillation costs with each released prior at full size, with random weights.

python tests/bench/priors.py                                 the bytes of all priors' parameters
python tests/bench/priors.py stable-diffusion-1.5 mvdream-2.1   a step of these
python tests/bench/priors.py --all --device cuda             a step of all that fit

A step is a render of Gaussians, the prior's encoder, its guided prediction, and the way back to the Gaussians. What is
left of the step besides these four is the overhead.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from a4d.runtime import peak_memory_bytes, prepare_process

prepare_process()

import torch  # noqa: E402
from full_size import PRIORS  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from a4d.geometry.cameras import orbit  # noqa: E402
from a4d.objectives import build_objectives  # noqa: E402
from a4d.objectives.objective import Step  # noqa: E402
from a4d.priors.protocol import Prior  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.render import backends, gaussians  # noqa: E402
from a4d.scenes.gaussians.scene import GaussianScene  # noqa: E402
from a4d.scenes.seed import Seed  # noqa: E402
from a4d.views import Frames, build_views  # noqa: E402

GIGA = 1e9


class Entry(Protocol):
    """A prior that can be built: of full size, or of another."""

    size: int
    images: int
    frames: int | None

    def build(self, device: str, dtype: torch.dtype) -> Prior:
        """Random weights."""


def main() -> None:
    """Print the table of parameters, or a step's costs, each prior in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PRIORS, []], metavar="NAME")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    names = list(PRIORS) if options.all else options.names
    if not names:
        print_parameters()
        return
    dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    if options.device != "cpu":
        print(f"bf16 matrices of 8192: {matrix_rate(options.device) / 1e12:.0f} TFLOP/s")
    for name in names:
        arguments = (name, options.device, dtype, options.steps)
        process = multiprocessing.get_context("spawn").Process(target=print_step, args=arguments)
        process.start()
        process.join()


def print_parameters() -> None:
    """A line per prior."""
    for name, entry in PRIORS.items():
        counts = entry.parameter_counts()
        total = sum(counts.values())
        parts = ", ".join(f"{part} {count / 1e6:.1f}" for part, count in counts.items())
        print(f"{name:26s} {2 * total / GIGA:5.2f} GB in half, {4 * total / GIGA:5.2f} GB in single; millions: {parts}")


def matrix_rate(device: str) -> float:
    """Operations per second of a large bf16 product."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    seconds = min(timed(lambda: a @ a, device) for _ in range(8))
    return 2 * 8192**3 / seconds


def timed(run: Callable[[], Any], device: str) -> float:
    """Seconds on a GPU; of processor time on the CPU, which other work on the machine disturbs less."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    began = clock()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - began


def peak_memory(run: Callable[[], Any], device: str) -> int:
    """Bytes that a GPU's tensors take at most while it runs; what this process has taken so far on the CPU."""
    if device == "cpu":
        return peak_memory_bytes()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated()


@dataclass(frozen=True)
class StepCost:
    """What a step takes.

    Args:
        seconds: of the whole, and of its render, encoder and prediction.
        peak: bytes of memory at most.
        operations: floating-point operations of the prediction.
        broken: share of the scene's gradient that is not finite; 1 where there is none.
    """

    seconds: dict[str, float]
    peak: int
    operations: float
    broken: float

    @property
    def overhead(self) -> float:
        """Share of the step that is none of its three parts."""
        return 2 - sum(self.seconds.values()) / self.seconds["whole"]


def print_step(name: str, device: str, dtype: str, steps: int) -> None:
    """Costs of a step of one prior."""
    cost = measure_step(name, PRIORS[name], device, dtype, steps)
    seconds, rate = cost.seconds, cost.operations / cost.seconds["prediction"]
    print(
        f"{name:26s} {dtype}: {seconds['whole']:.3f} s/step (render {seconds['render']:.3f}, encoder "
        f"{seconds['encoder']:.3f}, prediction {seconds['prediction']:.3f}, overhead {cost.overhead:.1%}), "
        f"peak {cost.peak / GIGA:.1f} GB, prediction {cost.operations / 1e12:.2f} TFLOP at {rate / 1e12:.2f} "
        "TFLOP/s",
        flush=True,
    )


def measure_step(name: str, entry: Entry, device: str, dtype: str, steps: int) -> StepCost:
    """The fastest of some steps of one prior."""
    prior = entry.build(device, getattr(torch, dtype))
    step = make_step(name, entry, prior, device)
    (objective,) = build_objectives(
        [{"kind": "score-distillation", "views": "novel", "prior": name, "guidance_scale": 7.5, "prompt": "a cat"}]
    )
    seen = {}
    denoise = prior.denoise

    def remember(latents: Tensor, *others: Any) -> Tensor:
        seen["asked"] = (latents, *others)
        return denoise(latents, *others)

    prior.denoise = remember  # type: ignore[method-assign]

    def whole() -> None:
        fresh = Step(step.index, 0, step.scene, step.views, step.frames, device, step.priors)
        objective(fresh).backward()

    def render() -> None:
        step._renders.clear()
        step.render("novel").rgb.sum().backward()

    def encode() -> None:
        pixels = torch.rand(entry.images, entry.size, entry.size, 3, device=device, requires_grad=True)
        prior.encode(pixels, torch.Generator()).sum().backward()

    whole()  # compiles kernels, fills caches
    broken = broken_share(step.scene)
    parts = {"render": render, "encoder": encode, "prediction": lambda: denoise(*seen["asked"])}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        denoise(*seen["asked"])
    seconds = {key: min(timed(run, device) for _ in range(steps)) for key, run in {**parts, "whole": whole}.items()}
    return StepCost(seconds, peak_memory(whole, device), counter.get_total_flops(), broken)


def broken_share(scene: torch.nn.Module) -> float:
    """Of a scene's gradient after one step, how much is not finite; 1 where all of it is zero or absent."""
    gradient = torch.cat([part.grad.flatten() for part in scene.parameters() if part.grad is not None])
    return 1.0 if not gradient.any() else float((~gradient.isfinite()).float().mean())


def make_step(name: str, entry: Entry, prior: Prior, device: str) -> Step:
    """Gaussians, as many views as the prior takes, and a picture where it needs one."""
    count = 10_000
    if device != "cpu" and backends.availability(gaussians.BACKENDS)["gsplat"]:
        # Only few can be drawn by what is left, in which each pixel meets each Gaussian.
        gaussians.DEVICES.pop("gsplat", None)
        count = 30
    spec = {"kind": "gaussians", "count": count}
    scene = GaussianScene.begin(spec, Seed(radius=0.8), generator(0, "begin")).to(device)
    orbit_views = {"kind": "orbit", "size": entry.size, "batch": prior.views, "ring": prior.views}
    if entry.frames:
        orbit_views["frames"] = entry.frames
    frames = None
    views = {"novel": orbit_views}
    if prior.needs_reference:
        camera = orbit(torch.zeros(1), torch.zeros(1), 3.0, 40.0, 256, 256)
        frames = Frames([torch.rand(256, 256, 4)], [camera], None, ["0"], ["train"])
        views["seen"] = {"kind": "observed"}
    return Step(0, 0, scene, build_views(views), frames, device, {name: prior})


if __name__ == "__main__":
    main()
