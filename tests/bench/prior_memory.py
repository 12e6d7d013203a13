"""The memory that a step of score distillation takes with each released prior, counted without computing anything.

python tests/bench/prior_memory.py                                                   all of them in half precision
python tests/bench/prior_memory.py controlnet-tile --offload all --images-at-once 1     with what saves memory

Counted are tensors: models without text encoders, whose work is done after the first step, and all that lives at once
while a render is encoded, the noise in it is predicted with guidance, and the gradient goes back to the render.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable
from typing import Any, get_args

import torch
from full_size import PRIORS, FullSize
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from a4d.geometry.cameras import orbit
from a4d.priors import offloading
from a4d.priors.placement import Offload, Placement
from a4d.priors.protocol import Query, denoise_guided, sample_count

GIGA = 1e9


class TensorMemory(TorchDispatchMode):
    """Follows the storages that operations make, each until nothing holds it.

    Attributes:
        held: bytes at present.
        peak: the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, operation: Callable[..., Any], types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        result = operation(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.follow(tensor)
        return result

    def follow(self, tensor: Tensor) -> None:
        """Count a tensor's storage from now on."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.held -= size


def main() -> None:
    """Print a line per prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PRIORS, []], metavar="NAME")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--offload", choices=get_args(Offload), default="none")
    parser.add_argument("--images-at-once", type=int, default=Placement().images_at_once)
    parser.add_argument("--samples-at-once", type=int)
    options = parser.parse_args()
    for name in options.names or PRIORS:
        placement = Placement(
            "cpu",
            getattr(torch, options.dtype),
            offload=options.offload,
            images_at_once=options.images_at_once,
            samples_at_once=options.samples_at_once,
        )
        weights, peak = step_memory(PRIORS[name], placement)
        print(f"{name:26s} models {weights / GIGA:5.2f} GB, a step {peak / GIGA:5.2f} GB", flush=True)


def step_memory(entry: FullSize, placement: Placement) -> tuple[int, int]:
    """Bytes that lie on the device all the time, and the most that do during a step."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        models = entry.models(placement.precision)
        placed = {name: place(name, model, placement) for name, model in models.items()}
        prior = entry.prior(placed)
        prior.samples_at_once = placement.samples_at_once
        if hasattr(prior.encoder, "chunk"):
            prior.encoder.chunk = placement.images_at_once
        memory = TensorMemory()
        for model in placed.values():
            if isinstance(model, nn.Module):
                for weight in model.state_dict().values():
                    memory.follow(weight)
        resident = memory.held
        with memory:
            step(entry, prior)
    return resident, memory.peak


def place(name: str, model: nn.Module, placement: Placement) -> Any:
    """A model where the folder of its weights would place it; what visits the device is copied there."""
    offloading.copied = lambda tensor, device: tensor.clone()
    chosen = placement.of_encoders() if name == "image_encoder" else placement
    return offloading.OffloadedModel(model, "cpu") if chosen.offload == "all" and name != "projection" else model


def step(entry: FullSize, prior: Any) -> None:
    """All of a step but the render and what is as small as a render."""
    rgb = torch.zeros(entry.images, entry.size, entry.size, 3, requires_grad=True)
    samples = sample_count(prior, entry.images)
    cameras = orbit(torch.zeros(entry.images), torch.zeros(entry.images), 3.0, 40.0, entry.size, entry.size)
    shown = rgb.detach()[:: entry.frames if prior.clean_frames else 1]
    if prior.needs_reference:
        shown = shown[:1].expand(samples, -1, -1, -1)
    asked = ([""] * samples, shown, cameras[:1])
    query = Query(prior.condition(*asked), prior.unconditional(*asked), cameras)
    latents = prior.encode(rgb)
    with torch.no_grad():
        noise, _ = denoise_guided(prior, latents.detach(), torch.full((samples,), 300), query, 7.5)
    latents.backward(noise)


if __name__ == "__main__":
    main()
