"""Flow by RAFT: weights, pictures as it was trained on, and the flow at their size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from a4d.estimation.raft.config import CELL, SMALL, RaftConfig
from a4d.estimation.raft.network import Raft
from a4d.pixels import Array
from a4d.priors.fitting_weights import require_fit, stated_sizes
from a4d.priors.weights_folder import WeightsFolder, weight_files

UPDATES = 12
"""Of the flow, as in the authors' demonstration."""

OF_LARGE = "mask_predictor.conv.weight"
"""A tensor that the small network lacks."""


class RaftFlow:
    """Flow between two pictures by a network.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: Raft) -> None:
        self.network = network

    @torch.no_grad()
    def __call__(self, first: Array, second: Array, guess: Array | None = None) -> Array:
        """Where each pixel of a picture is in another.

        Args:
            first: (H, W, 3) sRGB in [0, 1].
            second: (H, W, 3).
            guess: (H, W, 2) from which it starts.

        Returns:
            (H, W, 2) float32 pixels right and down.
        """
        height, width = first.shape[:2]
        one, other = (self._prepared(each) for each in (first, second))
        cells = one.shape[2] // CELL, one.shape[3] // CELL
        start = one.new_zeros(1, 2, *cells)
        if guess is not None:
            start = adaptive_avg_pool2d(self._whole(guess), cells) / CELL
        flow = self.network(one, other, start, UPDATES)[0, :, :height, :width]
        found: Array = flow.permute(1, 2, 0).float().cpu().numpy()
        return found

    def _prepared(self, picture: Array) -> Tensor:
        """(1, 3, H', W') a picture in [-1, 1]."""
        return 2 * self._whole(picture) - 1

    def _whole(self, values: Array) -> Tensor:
        """(1, C, H', W') of (H, W, C), with borders repeated to the right and below until the pyramid can be built."""
        pixels = torch.from_numpy(values).permute(2, 0, 1)[None].to(next(self.network.parameters()))
        least = CELL * 2**self.network.config.levels
        right, below = (max(-(-side // CELL) * CELL, least) - side for side in (pixels.shape[3], pixels.shape[2]))
        return pad(pixels, (0, right, 0, below), mode="replicate")


def load_raft(folder: WeightsFolder) -> RaftFlow:
    """The network of one file, whose tensors tell the large from the small, and whose header may say other sizes.

    Raises:
        BackendUnavailableError: the weights are missing, damaged, or of another architecture.
    """
    path = weight_files(folder.path)[0]
    tensors = folder.tensors("")
    sizes = stated_sizes(path, RaftConfig)
    if sizes == RaftConfig() and OF_LARGE not in tensors:
        sizes = SMALL
    with torch.device("meta"):
        network = Raft(sizes)
    require_fit(path, tensors, network.state_dict())
    network.load_state_dict(tensors, assign=True)
    # In half precision a place a hundred features to the right is known to a sixteenth, which is half a pixel.
    return RaftFlow(folder.in_single_precision().placed(network))
