"""The smallest scene there is, for tests of the loop: one image that every camera sees."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import Spec
from a4d.geometry.cameras import Cameras, turntable
from a4d.render.render import Render, Wants
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import Frames


class Painting(Scene):
    kind = "painting"

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.pixels = nn.Parameter(torch.full((size, size, 4), 0.5))

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Painting:
        return cls()

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        rgb, alpha = self.pixels[..., :3], self.pixels[..., 3:]
        behind = torch.zeros(len(cameras), 3) if background is None else background
        image = rgb * alpha + behind[:, None, None] * (1 - alpha)
        return Render(image, alpha.expand(len(cameras), -1, -1, -1), torch.zeros_like(image[..., :1]))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"pixels": [self.pixels]}

    def save(self, folder: Path) -> None:
        (folder / "pixels").write_bytes(self.pixels.detach().numpy().tobytes())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Painting:
        raise AssertionError("no test loads a painting")


def gallery(count: int = 5, size: int = 16) -> Frames:
    """Frames of one image under noise, so that the order in which they are seen matters."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(size, size, 4, generator=generator)
    cameras = turntable(count, 0.0, 3.0, 40.0, size)
    rgba = [(image + 0.05 * torch.randn(size, size, 4, generator=generator)).clamp(0, 1) for _ in range(count)]
    return Frames(rgba, [cameras[i] for i in range(count)], None, [f"{i:05d}" for i in range(count)], ["train"] * count)
