"""Build the full-size MV-VDM with random weights; on CUDA, time its denoising step.

    python tests/bench/mv_vdm.py [--frames 16] [--size 256]

A step is one pass for both halves of guidance: 2 samples x 4 views x 16 frames. On CUDA it prints seconds a step, peak
memory, and what share of the rate of a large bfloat16 matrix product on the same card that is. Elsewhere it builds the
model and counts a step's operations without running it.
"""

from __future__ import annotations

import argparse
import time

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from a4d.priors.mv_vdm.unet import MultiViewVideoUNet, motion_config  # noqa: E402

STABLE_DIFFUSION_1 = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SAMPLES, VIEWS = 2, 4


def full_size(device: str, dtype: torch.dtype) -> MultiViewVideoUNet:
    """The released configuration; random weights without a pass through single precision."""
    with torch.device("meta"):
        unet = MultiViewVideoUNet(**motion_config(STABLE_DIFFUSION_1)).to("meta", dtype)
    if device == "meta":
        return unet.eval()
    unet = unet.to_empty(device=device)
    with torch.no_grad():
        for tensor in [*unet.parameters(), *unet.buffers()]:
            tensor.normal_(std=0.02)
    return unet.requires_grad_(False).eval()


def inputs(device: str, dtype: torch.dtype, frames: int, size: int) -> tuple[torch.Tensor, ...]:
    """Noise, timesteps, prompts, pictures and cameras."""
    place = {"device": device, "dtype": dtype}
    return (
        torch.randn(SAMPLES * VIEWS * frames, 4, size // 8, size // 8, **place),
        torch.full((SAMPLES,), 500, device=device),
        torch.randn(SAMPLES, 77, 768, **place),
        torch.randn(SAMPLES * VIEWS, 1024, **place),
        torch.randn(SAMPLES * VIEWS, 16, **place),
    )


@torch.no_grad()
def operations(frames: int, size: int) -> float:
    """Floating-point operations of a step, counted on tensors without data."""
    unet = full_size("meta", torch.bfloat16)
    with FlopCounterMode(display=False) as counter:
        unet(*inputs("meta", torch.bfloat16, frames, size))
    return float(counter.get_total_flops())


def matrix_rate(size: int = 8192, repeats: int = 50) -> float:
    """Operations a second of a bfloat16 matrix product on this card."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - start)


@torch.no_grad()
def time_steps(dtype: torch.dtype, frames: int, size: int, repeats: int = 5) -> tuple[float, float]:
    """Seconds of the fastest step, and the peak of memory in GB with the weights."""
    torch.cuda.reset_peak_memory_stats()
    unet, values = full_size("cuda", dtype), inputs("cuda", dtype, frames, size)
    best = float("inf")
    for turn in range(repeats + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        unet(*values)
        torch.cuda.synchronize()
        if turn >= 2:
            best = min(best, time.perf_counter() - start)
    return best, torch.cuda.max_memory_allocated() / 1e9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    wanted = parser.parse_args()
    count = operations(wanted.frames, wanted.size)
    print(f"a step of 2 x 4 x {wanted.frames} images of {wanted.size}: {count / 1e12:.1f} TFLOP")
    start = time.perf_counter()
    unet = full_size("cpu", torch.bfloat16)
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    print(f"built on the CPU in {time.perf_counter() - start:.1f} s: {parameters / 1e9:.3f} G parameters")
    del unet
    if not torch.cuda.is_available():
        print("no CUDA device: steps are not timed")
        return
    rate = matrix_rate()
    print(f"{torch.cuda.get_device_name()}: {rate / 1e12:.0f} TFLOP/s in a bfloat16 product of 8192 x 8192")
    for dtype in (torch.bfloat16, torch.float16):
        seconds, memory = time_steps(dtype, wanted.frames, wanted.size)
        share = count / seconds / rate
        print(f"{dtype}: {seconds:.3f} s a step, {memory:.1f} GB, {100 * share:.0f} % of that rate")


if __name__ == "__main__":
    main()
