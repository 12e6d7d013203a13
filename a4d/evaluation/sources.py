"""Moving shapes out of scenes, assets and recorded ground truth, at the moments that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from a4d.errors import UsageError
from a4d.evaluation.motion import Joints, MovingShape
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.clip_times import clip_start
from a4d.geometry.assets.posing import deform, pose
from a4d.geometry.mesh import Mesh
from a4d.io.ground_truth import GroundTruth
from a4d.scenes.protocols import Embodied, Splatting, has_mesh, is_moving
from a4d.scenes.scene import Scene


def require_embodied(scene: Scene, option: str) -> Embodied:
    """The scene, for what only a body in poses has.

    Args:
        scene: of any kind.
        option: that asks for it.

    Raises:
        UsageError: it is no such scene.
    """
    if not isinstance(scene, Embodied):
        raise UsageError(f"a scene of kind '{scene.kind}' is no body in poses", f"Leave {option} out")
    return scene


def chosen_moments(count: int, most: int) -> list[int]:
    """At most so many of a number of moments, evenly spread, the first and the last among them."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, most)).tolist()})


@torch.no_grad()
def shape_of_scene(scene: Scene, times: Sequence[float], surface: Callable[[Scene, float], Mesh]) -> MovingShape:
    """The surfaces of a scene; its points are its vertices or the centres of its Gaussians.

    Args:
        scene: still or moving.
        times: in [0, 1] of the clip.
        surface: of the scene at such a time.
    """
    moments = list(times) if is_moving(scene) else [0.0]
    meshes, clouds = [], []
    for time in moments:
        mesh = surface(scene, time)
        meshes.append(Mesh(mesh.vertices, mesh.faces))
        if isinstance(scene, Splatting) and not has_mesh(scene):
            clouds.append(scene.gaussians(time).means.detach().cpu())
    tracks = None
    if clouds and len({len(cloud) for cloud in clouds}) == 1:
        tracks = torch.stack(clouds)
    elif not clouds and all(torch.equal(mesh.faces, meshes[0].faces) for mesh in meshes):
        tracks = torch.stack([mesh.vertices for mesh in meshes])
    return _held(MovingShape(tuple(meshes), tracks), len(times))


def shape_of_asset(asset: Asset, clip: Clip | None, times: Sequence[float]) -> MovingShape:
    """An asset in a clip, from the clip's beginning to its end, with the joints of all its skins.

    Args:
        asset: still or animated.
        clip: one of the asset's, or None for the rest pose.
        times: in [0, 1] of the clip.
    """
    start, end = (clip_start(clip), clip.duration) if clip else (0.0, 0.0)
    seconds = [start + time * (end - start) for time in times]
    surfaces = [deform(asset, clip, second) for second in seconds]
    meshes = tuple(Mesh(surface.vertices, surface.faces) for surface in surfaces)
    tracks = torch.stack([mesh.vertices for mesh in meshes])
    nodes = list(dict.fromkeys(node for skin in asset.skins for node in skin.joints.tolist()))
    joints = None
    if nodes:
        matrices = [pose(asset, clip, second).world_from_node[nodes] for second in seconds]
        joints = Joints(tuple(asset.nodes.names[node] for node in nodes), torch.stack(matrices))
    return MovingShape(meshes, tracks, joints)


def shape_of_truth(truth: GroundTruth, moments: Sequence[int]) -> MovingShape:
    """What is recorded of some of the moments."""
    chosen = list(moments)
    vertices, faces = torch.from_numpy(truth.vertices[chosen]), torch.from_numpy(truth.faces)
    joints = None
    if len(truth.joint_names):
        matrices = torch.from_numpy(truth.world_from_joint[chosen]).double()
        joints = Joints(tuple(str(name) for name in truth.joint_names), matrices)
    return MovingShape(tuple(Mesh(frame, faces) for frame in vertices), vertices, joints)


def _held(shape: MovingShape, count: int) -> MovingShape:
    """A still shape at several moments."""
    if len(shape.surfaces) == count:
        return shape
    tracks = None if shape.tracks is None else shape.tracks.expand(count, -1, -1)
    return MovingShape(shape.surfaces * count, tracks, shape.joints)
