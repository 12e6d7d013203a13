"""Surfaces whose points are known over time, as assets that move by morph targets or by bones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from a4d.geometry.assets.assembly import PLAIN, MorphMotion, MotionTolerance, Surface, morphing_asset, skinned_asset
from a4d.geometry.assets.asset import Asset, MorphTargets, Primitive
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import PosedMesh
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skinning_decomposition import decompose_skinning

Animation = Literal["morph", "bones"]


@dataclass(frozen=True)
class AnimationOptions:
    """How a motion is stored.

    Args:
        kind: "morph": shapes between which the surface blends, true to any motion; "bones": a skeleton and weights,
            smaller and easier to edit, true to motions of parts that bend.
        tolerance: metres by which leaving out frames may move any vertex, or any bone.
        bones: how many at most.
    """

    kind: Animation = "morph"
    tolerance: float = 1e-3
    bones: int = 24


def animated_asset(
    name: str,
    surface: Surface,
    trajectories: Tensor,  # (T, V, 3) of the primitives' vertices one after the other, metres
    seconds_per_frame: float,
    options: AnimationOptions = AnimationOptions(),
    material: Material | Sequence[Material] = PLAIN,
    normals: Tensor | None = None,  # (T, V, 3) unit
) -> Asset:
    """A surface that follows its vertices' trajectories.

    Args:
        name: of the mesh.
        surface: one primitive or several, whose vertices and normals are replaced by the first frame's.
        trajectories: at a constant rate.
        seconds_per_frame: positive.
        options: the form of the motion.
        material: of the surface, or the materials that the primitives name.
        normals: those of the whole surface where it was cut open; by default those of each primitive's faces.
    """
    frames = trajectories.detach().float().cpu()
    if options.kind == "morph":
        motion = MorphMotion(frames, seconds_per_frame, options.tolerance, normals=normals)
        return morphing_asset(name, surface, motion, material)
    first = None if normals is None else normals[:1]
    still = morphing_asset(name, surface, MorphMotion(frames[:1], seconds_per_frame, normals=first), material)
    if len(frames) == 1:
        return still
    bones = decompose_skinning(frames, options.bones)
    primitives, start = [], 0
    for primitive in still.meshes[0].primitives:
        part = slice(start, start := start + len(primitive.positions))
        influences = Influences(bones.influences.joints[part], bones.influences.weights[part])
        primitives.append(replace(primitive, influences=influences))
    tolerance = MotionTolerance(metres=options.tolerance)
    return skinned_asset(name, primitives, {"motion": bones.motion(seconds_per_frame)}, still.materials, tolerance)


def primitives_by_material(posed: PosedMesh) -> tuple[list[Primitive], Tensor]:
    """The surface of an asset at a moment as primitives, one for each material, ready for `animated_asset`.

    Returns:
        The primitives, which name the asset's materials; and (V,) int64 the posed mesh's vertex that each of their
        vertices is, one primitive after the other.
    """
    primitives, sources = [], []
    for material in posed.materials.unique().tolist():
        corners = posed.faces[posed.materials == material]
        used, faces = corners.unique(return_inverse=True)
        tangents = posed.tangents[used]
        primitives.append(
            Primitive(
                positions=posed.vertices[used],
                faces=faces.reshape(-1, 3),
                material=material,
                normals=posed.normals[used],
                tangents=tangents if bool(tangents.any()) else None,
                uvs=posed.uvs[:, used],
                colours=posed.colours[used],
                influences=None,
                morphs=MorphTargets(None, None, None),
            )
        )
        sources.append(used)
    return primitives, torch.cat(sources)
