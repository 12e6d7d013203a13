"""A picture's subject by the network: weights, the picture as it was trained on, and the mask at its size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from a4d.estimation.birefnet.config import BiRefNetConfig
from a4d.estimation.birefnet.network import BiRefNet
from a4d.priors.fitting_weights import require_fit, stated_sizes
from a4d.priors.weights_folder import WeightsFolder, weight_files

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours."""

OF_TRAINING = ("decoder.conv_ms_spvn_", "decoder.gdt_convs_pred_")
"""How the names of tensors begin that only losses look at."""


class BiRefNetFinder:
    """A network that tells a picture's subject from what is around it.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: BiRefNet) -> None:
        self.network = network

    @torch.no_grad()
    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(H, W) alpha in [0, 1], on the CPU."""
        place = next(self.network.parameters())
        size = self.network.config.size
        pixels = interpolate(rgb.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True)
        mean, deviation = (pixels.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        found = self.network(((pixels - mean) / deviation).to(place)).float().cpu()
        alpha = interpolate(found[:, None], rgb.shape[:2], mode="bilinear", align_corners=True)
        return alpha[0, 0].clamp(0, 1)


def load_birefnet(folder: WeightsFolder) -> BiRefNetFinder:
    """The network of one file, whose header may say other sizes than the released ones.

    Raises:
        BackendUnavailableError: the weights are missing, damaged, or of another architecture.
    """
    path = weight_files(folder.path)[0]
    tensors = {name: each for name, each in folder.tensors("").items() if not name.startswith(OF_TRAINING)}
    with torch.device("meta"):
        network = BiRefNet(stated_sizes(path, BiRefNetConfig))
    require_fit(path, tensors, network.state_dict())
    precise = {name: each.float() if each.is_floating_point() else each for name, each in tensors.items()}
    network.load_state_dict(precise, assign=True)
    return BiRefNetFinder(folder.placed(network))
