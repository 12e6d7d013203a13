"""Scores of images, masks and surfaces against ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.metrics import structural_similarity
from torch import Tensor

from a4d.geometry.mesh import Mesh, sample_surface


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1] of any equal shape; infinite where they are equal."""
    error = (image.double() - reference.double()).square().mean()
    return float(-10 * torch.log10(error))


def ssim(image: Tensor, reference: Tensor) -> float:
    """Structural similarity in [-1, 1] (Wang et al. 2004, with their Gaussian window of 1.5 pixels).

    Args:
        image: (H, W, C) or (B, H, W, C) in [0, 1], at least 11 pixels high and wide.
        reference: the same shape.

    Returns:
        The mean over images, channels and all pixels whose window lies inside the image.
    """
    pairs = zip(image.reshape(-1, *image.shape[-3:]), reference.reshape(-1, *reference.shape[-3:]), strict=True)
    scores = [
        structural_similarity(
            a.detach().double().cpu().numpy(),
            b.detach().double().cpu().numpy(),
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in pairs
    ]
    return float(np.mean(scores))


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
        normal_consistency: mean cosine between the normals at nearest points, in both directions, whichever way round
            the normals are (Mescheder et al. 2019, Occupancy Networks); in [0, 1].
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
    """Compare two surfaces by points sampled evenly on both.

    Distances are to the nearest sample, hence too large by about half the samples' spacing, `sqrt(area / count) / 2`.

    Args:
        mesh: the surface to judge.
        reference: the true one, in the same frame.
        threshold: distance up to which a point counts as right, in the unit of the vertices.
        count: samples on each surface.
        seed: of the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    points, normals = _samples_of(mesh, count, generator)
    truth, true_normals = _samples_of(reference, count, generator)
    to_reference, nearest_true = cKDTree(truth).query(points)
    to_mesh, nearest = cKDTree(points).query(truth)
    cosines = (normals * true_normals[nearest_true]).sum(1), (true_normals * normals[nearest]).sum(1)
    return SurfaceDistances(
        accuracy=float(to_reference.mean()),
        completeness=float(to_mesh.mean()),
        precision=float((to_reference <= threshold).mean()),
        recall=float((to_mesh <= threshold).mean()),
        normal_consistency=float(np.mean([np.abs(part).mean() for part in cosines])),
    )


def _samples_of(mesh: Mesh, count: int, generator: torch.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(count, 3) points spread evenly over a surface, and the unit normals of the faces that they lie on."""
    points, faces, _ = sample_surface(mesh, count, generator)
    normals = torch.nn.functional.normalize(mesh.face_normals[faces].detach().double(), dim=-1)
    return points.detach().double().cpu().numpy(), normals.cpu().numpy()
