"""A small problem for the training loop: a matrix, a vector and a scale that are to be found from examples."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from a4d.randomness import generator
from a4d.training.optimisers import Group, RateSchedule
from a4d.training.trainer import TrainingConfig

TRUTH = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        draws = torch.Generator().manual_seed(1)
        self.matrix = nn.Parameter(0.1 * torch.randn(6, 4, generator=draws))
        self.offset = nn.Parameter(torch.zeros(6))
        self.frozen = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x @ self.matrix.T * self.frozen + self.offset


class Examples:
    """Batches by number; `asked` remembers which."""

    def __init__(self, seed=0):
        self.seed, self.asked = seed, []

    def __getitem__(self, index):
        self.asked.append(index)
        x = torch.randn(16, 4, generator=generator(self.seed, "x", index))
        return {"x": x, "y": x @ TRUTH.T + 0.5}


@dataclass
class Regression:
    module: Line = field(default_factory=Line)
    noise: float = 0.1
    after: object = None

    def loss(self, batch, draws):
        y = batch["y"] + self.noise * torch.randn(batch["y"].shape, generator=draws).to(batch["y"])
        dtype = self.module.matrix.dtype
        loss = (self.module(batch["x"].to(dtype)).float() - y).square().mean()
        if self.after:
            self.after()
        return "all", loss

    def validate(self, step, folder):
        folder.mkdir(exist_ok=True)
        return {"distance": float((self.module.matrix.detach().float() - TRUTH).norm())}

    def save(self, path: Path):
        save_file({name: value.detach().contiguous() for name, value in self.module.state_dict().items()}, path)


def config(steps=60, **changes):
    groups = (
        Group(pattern="frozen", optimiser="none"),
        Group(pattern="matrix", optimiser="muon", rate=0.05),
        Group(pattern=".", rate=0.05),
    )
    values = {"dtype": "float32", "average": 0.9, "rates": RateSchedule(warm_up=5), **changes}
    return TrainingConfig(steps=steps, groups=groups, **values)
