"""What is known of a subject's shape before it is optimised; every kind of scene can start from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.visual_hull import Occupancy
from a4d.geometry.surfaces.signed_distance import distance_to_ellipsoid, distance_to_mesh

STRAY = 0.01
"""Share of the points, the outermost ones, that do not count for the extent: some lie in the background."""


@dataclass(frozen=True)
class Seed:
    """A first guess of a shape: a closed surface, a solid, a cloud of points, or nothing but its extent.

    Args:
        mesh: with colours where they are known, or None.
        points: (P, 3) world, metres, on the surface, or None.
        colours: (P, 3) sRGB in [0, 1] of the points, or None.
        radius: of a ball around the origin that holds the subject, metres.
        solid: what the subject fills at most, or None.
        asset: the surface with materials, at rest, or None.
        gaussians: fitted ones, or None.
        footprint: metres that a pixel was wide with which they were fitted, or None where nobody knows.
        outline_iou: overlap of the mesh's outline and the picture's that it was brought to, in [0, 1], or None.
        body: that was followed through the frames, or None.
        is_bounded: the pictures bound the shape in depth; else how deep it is, is a guess.
    """

    mesh: Mesh | None = None
    points: Tensor | None = None
    colours: Tensor | None = None
    radius: float = 1.0
    solid: Occupancy | None = None
    asset: Asset | None = None
    gaussians: Gaussians | None = None
    footprint: float | None = None
    outline_iou: float | None = None
    body: TrackedBody | None = None
    is_bounded: bool = True

    @property
    def has_shape(self) -> bool:
        """Whether more is known than the extent."""
        return self.mesh is not None or self.points is not None or self.solid is not None

    @property
    def reach(self) -> float:
        """Half the side of the smallest cube around the origin that holds the shape, metres."""
        vertices = self.points if self.mesh is None else self.mesh.vertices
        if vertices is None:
            return self.radius
        return float(vertices.detach().abs().amax(-1).double().quantile(1 - STRAY if self.mesh is None else 1.0))

    def signed_distance(
        self,
        points: Tensor,  # (N, 3) world, metres
        half_axes: tuple[float, float, float],  # of an ellipsoid where no shape is known, metres
    ) -> Tensor:
        """(N,) distances to the shape, negative inside: to the mesh, else the solid, else the points' convex hull."""
        if self.mesh is not None:
            return distance_to_mesh(points, self.mesh)
        if self.solid is not None:
            return self.solid.signed_distance(points)
        if self.points is not None:
            return distance_to_mesh(points, _convex_hull(self.points))
        return distance_to_ellipsoid(points, half_axes)


def _convex_hull(points: Tensor) -> Mesh:
    """The convex hull of points (P, 3) but for the outermost ones.

    Raises:
        InvalidInputError: the points are too few, or lie in a plane.
    """
    import trimesh
    from scipy.spatial import QhullError

    cloud = points.detach().double().cpu()
    distance = (cloud - cloud.median(dim=0).values).norm(dim=-1)
    cloud = cloud[distance <= distance.quantile(1 - STRAY)]
    try:
        hull = trimesh.convex.convex_hull(cloud.numpy())
    except QhullError:
        raise InvalidInputError("the points span no volume", "Choose another seed.kind") from None
    return Mesh(torch.from_numpy(np.array(hull.vertices)).float(), torch.from_numpy(np.array(hull.faces)).long())
