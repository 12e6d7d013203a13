"""The signs of a distance field on a grid: whether they bound a surface, and the loss that takes needless ones away."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from a4d.errors import SurfaceVanishedError
from a4d.geometry.rows import rows


def inside_mask(
    sdf: Tensor,  # (V,) signed distances, negative inside
    is_boundary: Tensor,  # (V,) bool, vertices on the border of the grid
) -> Tensor:
    """(V,) bool, which grid vertices are inside; zero counts as outside.

    Raises:
        SurfaceVanishedError: a distance is not a number, no vertex is inside, or one on the border of the grid is.
    """
    if not bool(sdf.detach().isfinite().all()):
        raise SurfaceVanishedError("the signed distances are not finite", "Lower the learning rates")
    inside = sdf.detach() < 0
    if not bool(inside.any()):
        raise SurfaceVanishedError(
            "the surface vanished: no signed distance is negative",
            "Lower the learning rates or a prior's guidance_scale, or start from a larger shape",
        )
    if bool((inside & is_boundary).any()):
        raise SurfaceVanishedError(
            "the surface leaves its grid: a signed distance on the border is negative",
            "Enlarge the grid, or close the surface with kept_in_grid()",
        )
    return inside


def kept_in_grid(
    sdf: Tensor,  # (V,) signed distances, negative inside
    is_boundary: Tensor,  # (V,) bool, vertices on the border of the grid
    margin: float = 1e-3,  # least distance on the border, in the unit of the distances
) -> Tensor:
    """(V,) the distances, positive on the border: a shape that leaves the grid is cut off and closed there."""
    return sdf.where(~is_boundary, sdf.clamp(min=margin))


def sign_change_loss(
    sdf: Tensor,  # (V,) signed distances, negative inside
    edges: Tensor,  # (E, 2) int64, grid edges that cross the surface
) -> Tensor:
    """Mean cross entropy between the two ends of an edge, each asked to take the other's sign.

    It removes small parts and cavities that no image sees (Munkberg et al. 2022, nvdiffrec).
    """
    ends = rows(sdf, edges)
    return 2 * binary_cross_entropy_with_logits(ends, (ends.detach() >= 0).to(sdf).flip(1))
