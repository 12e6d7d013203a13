"""Colours of a subject and of what is around it as mixtures of Gaussians, which GrabCut decides by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

COMPONENTS = 5
"""Gaussians of a mixture: as many as OpenCV's GrabCut has."""

SMALLEST_VARIANCE = 1.0
"""Added to each channel's variance, in squared counts of 255: plain colours have none."""

FEWEST = 20
"""Pixels that a Gaussian must explain to be learnt anew."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ColourMixture:
    """A mixture of Gaussians over three channels from 0 to 255.

    Args:
        weights: (5,) that sum to 1.
        means: (5, 3).
        covariances: (5, 3, 3).
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    @classmethod
    def from_opencv(cls, row: NDArray[np.float64]) -> ColourMixture:
        """The mixture of (1, 65) numbers as `cv2.grabCut` keeps them."""
        split = COMPONENTS, 4 * COMPONENTS
        weights, means, covariances = np.split(row[0], split)
        shape = (COMPONENTS, 3, 3)
        return cls(weights, means.reshape(shape[:2]), covariances.reshape(shape) + SMALLEST_VARIANCE * np.eye(3))

    def as_opencv(self) -> NDArray[np.float64]:
        """(1, 65) numbers as `cv2.grabCut` takes them."""
        return np.concatenate([self.weights, self.means.ravel(), self.covariances.ravel()])[None]

    def log_densities(
        self,
        pixels: Pixels,  # (N, 3)
    ) -> NDArray[np.float64]:
        """(5, N) logarithms of each Gaussian's share in the density, without the constant that all have."""
        away = pixels[None].astype(np.float64) - self.means[:, None]
        inverses = np.linalg.inv(self.covariances)
        distances = ((away @ inverses) * away).sum(-1)
        with np.errstate(divide="ignore"):
            heights = np.log(self.weights) - 0.5 * np.log(np.linalg.det(self.covariances))
        return heights[:, None] - 0.5 * distances

    def nearest(
        self,
        pixels: Pixels,  # (N, 3)
    ) -> NDArray[np.int64]:
        """(N,) which Gaussian has the largest share in the density."""
        return self.log_densities(pixels).argmax(0)

    def without(
        self,
        is_dropped: NDArray[np.bool_],  # (5,)
    ) -> ColourMixture:
        """The mixture of the other Gaussians."""
        weights = np.where(is_dropped, 0.0, self.weights)
        return replace(self, weights=weights / weights.sum())

    def relearnt(
        self,
        pixels: Pixels,  # (N, 3)
    ) -> ColourMixture:
        """The mixture after a step of expectation and maximisation on pixels (Dempster et al. 1977)."""
        shares = self.log_densities(pixels)
        shares = np.exp(shares - shares.max(0))
        shares /= shares.sum(0)
        counts = shares.sum(1)
        means, covariances = self.means.copy(), self.covariances.copy()
        for index in np.flatnonzero(counts >= FEWEST):
            share = shares[index] / counts[index]
            means[index] = share @ pixels
            away = pixels - means[index]
            covariances[index] = (share[:, None] * away).T @ away + SMALLEST_VARIANCE * np.eye(3)
        return ColourMixture(counts / counts.sum(), means, covariances)

    def blended(self, other: ColourMixture, share: float) -> ColourMixture:
        """This mixture on its way to another of the same Gaussians, by a share in [0, 1]."""
        parts = zip(
            (self.weights, self.means, self.covariances), (other.weights, other.means, other.covariances), strict=True
        )
        return ColourMixture(*((1 - share) * own + share * new for own, new in parts))


@dataclass(frozen=True)
class ColourModel:
    """What colours a subject has, and what is around it.

    Args:
        around: of what is around it.
        subject: of the subject.
    """

    around: ColourMixture
    subject: ColourMixture

    def preference(
        self,
        rgb: Pixels,  # (H, W, 3)
    ) -> NDArray[np.float64]:
        """(H, W) the logarithm of how much likelier a pixel is the subject's than another's."""
        pixels = rgb.reshape(-1, 3)
        subject, around = (np.logaddexp.reduce(each.log_densities(pixels)) for each in (self.subject, self.around))
        return (subject - around).reshape(rgb.shape[:2])

    def cut(
        self,
        rgb: Pixels,  # (H, W, 3)
        is_sure: NDArray[np.bool_],  # (H, W)
        is_open: NDArray[np.bool_],  # (H, W)
    ) -> NDArray[np.bool_]:
        """(H, W) the subject by one cut of the graph, these colours as they are.

        Args:
            rgb: the picture.
            is_sure: what is subject whatever its colours.
            is_open: what colours and edges decide; the rest is none of it.
        """
        labels = np.where(is_sure, cv2.GC_FGD, np.where(is_open, cv2.GC_PR_FGD, cv2.GC_BGD)).astype(np.uint8)
        if not is_open.any() or is_open.all():
            return is_sure | is_open
        mixtures = self.around.as_opencv(), self.subject.as_opencv()
        cut, *_ = cv2.grabCut(np.ascontiguousarray(rgb), labels, (0, 0, 1, 1), *mixtures, 1, cv2.GC_EVAL_FREEZE_MODEL)
        return np.asarray((cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD))


def learn_colours(
    subject: Pixels,  # (N, 3)
    around: Pixels,  # (M, 3)
) -> ColourModel:
    """The colours of pixels of which is known what they show."""
    pixels = np.concatenate([subject, around])[None]
    labels = np.full(pixels.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[:, : len(subject)] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)
    mixtures = np.zeros((1, 65)), np.zeros((1, 65))
    # No iteration: the mixtures are begun by k-means, and nothing is cut.
    cv2.grabCut(np.ascontiguousarray(pixels), labels, (0, 0, 1, 1), *mixtures, 0, cv2.GC_INIT_WITH_MASK)
    return ColourModel(*map(ColourMixture.from_opencv, mixtures))
