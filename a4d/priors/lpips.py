"""Learned perceptual image patch similarity: how far two images are apart for a network that has learned to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.io.weight_files import read_weights
from a4d.priors.catalogue import find, locate
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import REMEDY, WeightsFolder, weight_files

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation, for images in [-1, 1]."""

SMALLEST = 32
"""Pixels along a side of which something is left after all layers."""

_NAMES = {
    # The slices of Zhang et al.'s module number the layers as torchvision does.
    re.compile(r"(?:net\.slice\d+|features)\.(\d+)\.(weight|bias)"): "features.{}.{}",
    re.compile(r"lin(\d+)\.model\.\d+\.(weight)"): "heads.{}.{}",
}


@dataclass(frozen=True)
class Architecture:
    """Layers of torchvision's `features` up to the last that is looked at, by their numbers there.

    Args:
        convolutions: width of the kernel, stride and padding of each; a rectifier follows every one.
        pools: kernels of the maximum pools, all of stride 2.
        taps: the rectifiers whose output is compared.
    """

    convolutions: Mapping[int, tuple[int, int, int]]
    pools: Mapping[int, int]
    taps: tuple[int, ...]


ALEXNET = Architecture(
    {0: (11, 4, 2), 3: (5, 1, 2), 6: (3, 1, 1), 8: (3, 1, 1), 10: (3, 1, 1)}, {2: 3, 5: 3}, (1, 4, 7, 9, 11)
)
VGG16 = Architecture(
    dict.fromkeys((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (3, 1, 1)),
    dict.fromkeys((4, 9, 16, 23), 2),
    (3, 8, 15, 22, 29),
)


class Lpips(nn.Module):
    """LPIPS, version 0.1 (Zhang et al. 2018, equation 1): features of unit length, squared differences, linear heads.

    Args:
        architecture: of the features.
        state: `features.N.weight`, `features.N.bias` and `heads.K.weight` (1, C, 1, 1); the widths are those of the
            tensors.

    Raises:
        BackendUnavailableError: the tensors are another architecture's.
    """

    def __init__(self, architecture: Architecture, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.taps = architecture.taps
        self.features, self.heads = nn.ModuleDict(), nn.ModuleList()
        channels = 3
        try:
            # The tensors that follow are taken as they are: nothing is drawn for them first.
            with torch.device("meta"):
                for number in range(max(architecture.taps) + 1):
                    layer: nn.Module
                    if number in architecture.convolutions:
                        width = len(state[f"features.{number}.weight"])
                        layer = nn.Conv2d(channels, width, *architecture.convolutions[number])
                        channels = width
                    else:
                        pool = architecture.pools.get(number)
                        layer = nn.ReLU() if pool is None else nn.MaxPool2d(pool, 2)
                    self.features[str(number)] = layer
                    if number in architecture.taps:
                        self.heads.append(nn.Conv2d(channels, 1, 1, bias=False))
            self.load_state_dict(dict(state), assign=True)
        except (KeyError, RuntimeError):
            raise BackendUnavailableError("it holds another architecture than LPIPS over this network") from None

    def forward(
        self,
        images: Tensor,  # (B, H, W, 3)
        references: Tensor,  # (B, H, W, 3)
    ) -> Tensor:
        """(B,) distances, of images whose colours lie in [-1, 1].

        Raises:
            InvalidInputError: the images are smaller than 32 pixels.
        """
        if min(images.shape[1:3]) < SMALLEST:
            raise InvalidInputError(
                f"LPIPS looks at images of {SMALLEST} pixels and more, not {min(images.shape[1:3])}"
            )
        pairs = zip(self._looks(images), self._looks(references), self.heads, strict=True)
        return torch.stack([head((a - b).square()).mean((1, 2, 3)) for a, b, head in pairs]).sum(0)

    @torch.no_grad()
    def figures(
        self,
        image: Tensor,  # (H, W, 3) sRGB in [0, 1]
        reference: Tensor,  # (H, W, 3)
    ) -> dict[str, float]:
        """`lpips` of the colours brought to [-1, 1], as the network was trained; `lpips_unscaled` as they are.

        GaussianAvatar's and InstantAvatar's published figures are of the latter kind.
        """
        parameter = next(self.parameters())
        image, reference = (each[None].to(parameter) for each in (image, reference))
        return {
            "lpips": float(self(2 * image - 1, 2 * reference - 1)),
            "lpips_unscaled": float(self(image, reference)),
        }

    def _looks(self, images: Tensor) -> list[Tensor]:
        """(B, C, h, w) of each tap, of length 1 along the channels."""
        values = images.permute(0, 3, 1, 2)
        shift, scale = (values.new_tensor(each).view(3, 1, 1) for each in (SHIFT, SCALE))
        values, found = (values - shift) / scale, []
        for name, layer in self.features.items():
            values = layer(values)
            if int(name) in self.taps:
                found.append(normalize(values, dim=1, eps=1e-10))
        return found


NETWORKS = {"lpips-alexnet": ALEXNET, "lpips-vgg16": VGG16}
"""Architectures by their names in the catalogue."""


def load_network(name: str, placement: Placement) -> Lpips:
    """One of `NETWORKS`, ready to compute; nothing is fetched.

    Raises:
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
    """
    folder = WeightsFolder(locate(name, placement.overrides), placement)
    return load_lpips(folder, find(name).components[0], NETWORKS[name])


def load_lpips(folder: WeightsFolder, component: str, architecture: Architecture) -> Lpips:
    """LPIPS out of a folder with the component, or else with any files that hold its features and its heads.

    Tensors may be named as in Zhang et al.'s module, or the features as in torchvision's.

    Raises:
        BackendUnavailableError: files are missing or damaged, or belong to another architecture.
    """
    single = folder.path / component
    files: list[Path] = [single] if single.is_file() else weight_files(folder.path)
    state: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in read_weights(file).items():
            for pattern, ours in _NAMES.items():
                if match := pattern.fullmatch(name):
                    state[ours.format(*match.groups())] = tensor
    try:
        module: Lpips = folder.placed(Lpips(architecture, state))
    except BackendUnavailableError as error:
        raise BackendUnavailableError(f"{folder.path}: {error.problem}", REMEDY) from None
    return module
