"""TripoSR behind the protocol: a cut-out picture in, a field out."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from a4d.priors.placement import Placement
from a4d.priors.triposr.field import TriplaneField
from a4d.priors.triposr.network import TripoSRNetwork
from a4d.priors.triposr.picture import before_grey, framed, resized


class TripoSR:
    """A model of the protocol `a4d.priors.image_to_shape.ImageToShape`.

    Args:
        network: on the CPU, in single precision.
        placement: where it computes.
    """

    def __init__(self, network: TripoSRNetwork, placement: Placement) -> None:
        self.config = network.config
        # Small enough to stay in single precision, in which densities are exponentials.
        self.decoder = deepcopy(network.decoder).to(placement.device)
        self.network, self.placement = placement.placed(network), placement

    @torch.no_grad()
    def shape(
        self,
        picture: Tensor,  # (H, W, 4) sRGB in [0, 1], straight alpha
    ) -> TriplaneField:
        """The field, whose planes stay on the device; it is read in single precision.

        Raises:
            InvalidInputError: the picture shows nothing.
        """
        rgba = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
        shown = resized(before_grey(framed(rgba))[None].float() / 255, self.config.picture)
        planes = self.network(shown.to(self.placement.device, self.placement.precision))[0]
        return TriplaneField(planes.float(), self.decoder, self.config)
