"""Signals of other standards as sRGB: wide primaries, and the HDR curves PQ and HLG (ITU-R BT.2100)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from a4d.io.pictures.colour import linear_from_srgb, srgb_from_linear
from a4d.pixels import Array

Samples = NDArray[np.uint8] | NDArray[np.uint16]

WHITE_NITS = 203.0
"""Diffuse white of HDR pictures (ITU-R BT.2408), which becomes sRGB's white; what is brighter is white too."""

PQ_PEAK_NITS = 10000.0
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
"""The display that HLG is made for. Its gamma is applied to each channel, as by ffmpeg's zscale and as SDR cameras do;
BT.2100 applies it to luminance, which leaves saturated colours paler than the same camera's SDR."""

D65 = (0.3127, 0.3290)
PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Chromaticities (x, y) of red, green and blue around D65, by ffmpeg's names; `smpte432` is Display P3."""

PQ, HLG, LINEAR = "smpte2084", "arib-std-b67", "linear"


@dataclass(frozen=True)
class ColourSpace:
    """What the numbers of a picture mean, in ffmpeg's names.

    Args:
        primaries: a key of `PRIMARIES`; others, such as standard definition's, differ little from BT.709's and count
            as those.
        transfer: `PQ`, `HLG` or `LINEAR`; others count as sRGB's curve, with which screens show them.
    """

    primaries: str = "bt709"
    transfer: str = "bt709"

    @classmethod
    def from_code_points(cls, primaries: int, transfer: int) -> ColourSpace:
        """The colour space with two code points of ITU-T H.273, as PNG and AVIF store them."""
        return cls({9: "bt2020", 12: "smpte432"}.get(primaries, ""), {8: LINEAR, 16: PQ, 18: HLG}.get(transfer, ""))

    @property
    def is_srgb(self) -> bool:
        """Whether the numbers may be taken as they are."""
        return self.transfer not in (PQ, HLG, LINEAR) and self.primaries not in PRIMARIES.keys() - {"bt709"}

    def to_srgb(self, samples: Samples) -> Array:
        """Samples of this colour space as sRGB, clipped to its gamut; those of sRGB as they are.

        Args:
            samples: (H, W, 3), or (H, W, 4) whose alpha is kept.

        Returns:
            float32 of the same shape in [0, 1].
        """
        most = int(np.iinfo(samples.dtype).max)
        if self.is_srgb:
            return samples.astype(np.float32) / np.float32(most)
        linear = _linear_light(self.transfer, most + 1)[samples[..., :3]]
        if self.primaries in PRIMARIES:
            linear = linear @ _bt709_from(self.primaries).T
        colours = srgb_from_linear(np.clip(linear, 0, 1)).astype(np.float32)
        return np.concatenate([colours, samples[..., 3:].astype(np.float32) / np.float32(most)], axis=-1)


@lru_cache
def _linear_light(transfer: str, count: int) -> Array:
    """(count,) linear light of every signal, 1 at white."""
    signal = np.linspace(0, 1, count)
    if transfer == PQ:
        power = signal ** (32 / 2523)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (16384 / 2610)
        light *= PQ_PEAK_NITS / WHITE_NITS
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = scene**HLG_GAMMA * (HLG_PEAK_NITS / WHITE_NITS)
    else:
        light = signal if transfer == LINEAR else linear_from_srgb(signal)
    return light.astype(np.float32)


@lru_cache
def _bt709_from(primaries: str) -> Array:
    """(3, 3) from linear colours of some primaries to linear BT.709."""
    return (np.linalg.inv(_xyz_from("bt709")) @ _xyz_from(primaries)).astype(np.float32)


def _xyz_from(primaries: str) -> NDArray[np.float64]:
    columns = np.array([_xyz(*chromaticity) for chromaticity in PRIMARIES[primaries]]).T
    return columns * np.linalg.solve(columns, _xyz(*D65))


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1, (1 - x - y) / y])
