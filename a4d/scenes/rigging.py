"""A scene of loose bones for programs that know skeletons: a skinned surface whose joints move as its bones do."""

from __future__ import annotations

from dataclasses import replace

import torch

from a4d.geometry.assets.assembly import MotionTolerance, primitive_from_mesh, skinned_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.deformation.skeleton_extraction import ExtractedSkeleton, LooseBones, extract_skeleton
from a4d.geometry.deformation.sparse_skinning import blended_bones, sparse_influences, spread_vertices
from a4d.geometry.mesh import Mesh
from a4d.scenes.protocols import Articulated, AssetOptions

MOST_MOMENTS = 32
"""At which skeleton and weights are found: more of the same motion say nothing new."""


@torch.no_grad()
def rigged_asset(scene: Articulated, surface: Mesh, options: AssetOptions) -> Asset:
    """The surface of a scene at rest with vertex colours, its joints moved as in the clip.

    The skeleton is a tree over the scene's bones (see `extract_skeleton`). Weights and bones are fitted so that linear
    blending brings the surface to where the scene has it; joints whose bones come apart are shifted besides turned.

    Args:
        scene: with B bones.
        surface: of the scene at rest.
        options: the motion is always stored as that of joints, and nothing is baked.

    Raises:
        InvalidInputError: the surface has no area.
    """
    times = options.times
    some = sorted({round(index) for index in torch.linspace(0, len(times) - 1, min(len(times), MOST_MOMENTS)).tolist()})
    bones = scene.bone_transforms(times)
    rest = surface.vertices.detach().to(bones.device)
    weights = scene.skinning_weights(rest)
    found = extract_skeleton(LooseBones(surface, weights, bones[some]))
    kept = found.bones.to(bones.device)
    posed = scene.warped(rest, [times[moment] for moment in some])
    influences = sparse_influences(rest, posed, bones[some][:, kept], weights[:, kept], found.are_near)
    chosen = spread_vertices(len(rest))
    points = rest[chosen.to(bones.device)]
    thinned = Influences(influences.joints[chosen], influences.weights[chosen])
    moved = blended_bones(points, scene.warped(points, times), bones[:, kept], thinned)
    primitive = replace(primitive_from_mesh(surface), influences=influences)
    tolerance = MotionTolerance(metres=options.animation.tolerance)
    motion = _motion(found, moved, options.seconds_per_frame)
    return skinned_asset(options.name, primitive, {"motion": motion}, tolerance=tolerance)


def _motion(
    found: ExtractedSkeleton,
    moved: torch.Tensor,  # (T, J, 4, 4) posed_from_rest
    seconds_per_frame: float,
) -> Motion:
    world = moved @ found.skeleton.rest_world
    return Motion(found.skeleton, found.skeleton.parent_from_joint(world), seconds_per_frame)
