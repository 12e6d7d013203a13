"""Scores of images, masks and surfaces against ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.surfaces.signed_distance import nearest_faces

COVERED = 0.5 / 255
"""Coverage from which a pixel of an 8-bit image shows something of its subject."""

WINDOW_RADIUS = 5
"""Pixels from the middle of the window of structural similarity to its border."""


def foreground(
    alpha: Tensor,  # any shape, coverage in [0, 1]
    reference: Tensor,  # the same shape
) -> Tensor:
    """Boolean mask of the pixels that an image or its reference covers, by half a step of 8 bits or more.

    What a render shows where there should be nothing counts like what it lacks, and the empty rest counts not at all:
    the figures of a subject then do not depend on how much of the image it fills.
    """
    return torch.maximum(alpha, reference) >= COVERED


def psnr(image: Tensor, reference: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the images are equal.

    Args:
        image: (..., C) in [0, 1].
        reference: the same shape.
        mask: (...) boolean, the pixels that count, such as those of `foreground`; None is all. Without any, the images
            are equal.
    """
    squares = (image.double() - reference.double()).square()
    chosen = squares if mask is None else squares[mask]
    return float(-10 * torch.log10(chosen.mean())) if chosen.numel() else math.inf


def ssim(image: Tensor, reference: Tensor, mask: Tensor | None = None) -> float:
    """Structural similarity in [-1, 1] (Wang et al. 2004, with their Gaussian window of 1.5 pixels).

    Args:
        image: (H, W, C) or (B, H, W, C) in [0, 1], at least 11 pixels high and wide.
        reference: the same shape.
        mask: (H, W) or (B, H, W) boolean, the pixels that count, such as those of `foreground`; None is all. Their
            windows reach beyond them, as anywhere. An image without any is equal to its reference.

    Returns:
        The mean over images, channels and all pixels whose window lies inside the image.
    """
    shape = image.shape[-3:]
    pairs = zip(image.reshape(-1, *shape), reference.reshape(-1, *shape), strict=True)
    if mask is None:
        return float(np.mean([_similarity(*pair)[0] for pair in pairs]))
    inside = slice(WINDOW_RADIUS, -WINDOW_RADIUS)
    scores = []
    for pair, chosen in zip(pairs, mask.reshape(-1, *shape[:2]), strict=True):
        values = _similarity(*pair)[1][inside, inside][chosen[inside, inside].cpu().numpy()]
        scores.append(float(values.mean()) if values.size else 1.0)
    return float(np.mean(scores))


def _similarity(image: Tensor, reference: Tensor) -> tuple[float, NDArray[np.float64]]:
    """Structural similarity of images (H, W, C), and that of each pixel and channel (H, W, C)."""
    mean, values = structural_similarity(
        image.detach().double().cpu().numpy(),
        reference.detach().double().cpu().numpy(),
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean), values


def mask_iou(mask: Tensor, reference: Tensor) -> float:
    """Intersection over union of the regions above one half.

    Args:
        mask: (H, W) or (B, H, W) in [0, 1], or boolean.
        reference: the same shape.

    Returns:
        The mean over images in [0, 1]; two empty masks agree.
    """
    a, b = mask.float() > 0.5, reference.float() > 0.5
    common, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return float(torch.where(either > 0, common / either.clamp(min=1), 1.0).mean())


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces are apart, in the unit of their vertices.

    Args:
        accuracy: mean distance from the surface to the reference.
        completeness: mean distance from the reference to the surface.
        precision: share of the surface within the threshold of the reference.
        recall: share of the reference within the threshold of the surface.
        normal_consistency: mean absolute cosine between the normals of nearest points, in both directions, in [0, 1]
            (Mescheder et al. 2019).
    """

    accuracy: float
    completeness: float
    precision: float
    recall: float
    normal_consistency: float

    @property
    def chamfer(self) -> float:
        """Mean of both directions' mean (not squared) distances."""
        return (self.accuracy + self.completeness) / 2

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall, in [0, 1]."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


def surface_distances(
    mesh: Mesh, reference: Mesh, threshold: float, count: int = 20_000, seed: int = 0
) -> SurfaceDistances:
    """Compare two surfaces by points sampled evenly on both, each with the nearest place on the other surface.

    Args:
        mesh: the surface to judge.
        reference: the true one, in the same frame.
        threshold: distance up to which a point counts as right, in the unit of the vertices.
        count: samples on each surface.
        seed: of the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    to_reference, cosines = _distances(mesh, reference, count, generator)
    to_mesh, back = _distances(reference, mesh, count, generator)
    return SurfaceDistances(
        accuracy=float(to_reference.mean()),
        completeness=float(to_mesh.mean()),
        precision=float((to_reference <= threshold).double().mean()),
        recall=float((to_mesh <= threshold).double().mean()),
        normal_consistency=float((cosines.mean() + back.mean()) / 2),
    )


def _distances(start: Mesh, end: Mesh, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(count,) distances from points on one surface to another, and (count,) absolute cosines of their normals."""
    points, faces, _ = sample_surface(start, count, generator)
    distances, nearest = nearest_faces(points, end)
    normals, others = (torch.nn.functional.normalize(mesh.face_normals, dim=-1) for mesh in (start, end))
    cosines = (normals[faces] * others[nearest]).sum(1).abs()
    return distances.detach().double().cpu(), cosines.detach().double().cpu()
