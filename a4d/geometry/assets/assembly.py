"""Assets put together from our own surfaces and motions, laid out as Blender and game engines expect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.assets.animation import Channel, Clip, Curve, Interpolation, Target
from a4d.geometry.assets.asset import Asset, CompositeMesh, Instance, MorphTargets, Primitive, Skin, TransformParts
from a4d.geometry.assets.keyframes import reduce_curve, trajectory_keys
from a4d.geometry.assets.material import Material
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import vertex_tangents
from a4d.geometry.transforms import quaternion_from_rotation

PLAIN = Material(name="surface", metallic=0.0, roughness=0.9)
"""What a surface without a material of its own looks like: vertex colours, rough."""

Surface = Primitive | Sequence[Primitive]
"""One surface, or several that move as one, each with its own material."""

RESTING = 1e-6
"""Metres, or parts of a quaternion or scale: closer than this to the rest pose a track would not be seen."""


@dataclass(frozen=True)
class MotionTolerance:
    """How far a reduced motion may be from its frames.

    Args:
        metres: of a translation.
        degrees: of a rotation.
        scale: of the scales, as a length.
    """

    metres: float = 1e-4
    degrees: float = 0.02
    scale: float = 1e-4


def primitive_from_mesh(
    mesh: Mesh,
    uvs: Tensor | None = None,  # (V, 2) u right, v down
    has_tangents: bool = False,  # needs uvs
) -> Primitive:
    """A surface with smooth normals and the mesh's colours, ready to be textured, morphed or skinned."""
    vertices, faces = mesh.vertices.detach().float().cpu(), mesh.faces.cpu()
    normals = Mesh(vertices, faces).vertex_normals
    colours = None
    if mesh.colours is not None:
        rgb = mesh.colours.detach().float().cpu()
        colours = torch.cat([rgb, torch.ones(len(rgb), 1)], dim=1)
    sets = torch.zeros(0, len(vertices), 2) if uvs is None else uvs.detach().float().cpu()[None]
    tangents = vertex_tangents(vertices, faces, normals, sets[0]) if has_tangents else None
    return Primitive(vertices, faces, 0, normals, tangents, sets, colours, None, MorphTargets(None, None, None))


def static_asset(name: str, primitive: Surface, material: Material | Sequence[Material] = PLAIN) -> Asset:
    """A single node that shows a surface.

    Args:
        name: of the node.
        primitive: one or several; of several, each names its material.
        material: of the surface, or the materials that the primitives name.
    """
    root = Skeleton((name,), torch.tensor([-1]), torch.eye(4, dtype=torch.float64)[None])
    return _asset(name, root, _primitives(primitive), _materials(material))


def moving_asset(name: str, primitive: Primitive, motion: Motion, material: Material = PLAIN) -> Asset:
    """A rigid surface whose node moves.

    Args:
        name: of the node.
        primitive: in the frame of the node.
        motion: of a single joint, in the world.
        material: of the surface.

    Raises:
        UsageError: the motion shears.
    """
    asset = static_asset(name, primitive, material)
    clip = clip_of_motion("motion", motion, MotionTolerance())
    root = replace(motion.skeleton, names=(name,))
    return replace(asset, nodes=root, parts=parts_of(root.rest), clips=(clip,))


def _morphing(primitive: Primitive, shapes: Tensor, normals: Tensor | None) -> Primitive:
    """A primitive that has the first of (K, V, 3) shapes, and the others as its targets."""
    if normals is None:
        normals = torch.stack([Mesh(shape, primitive.faces).vertex_normals for shape in shapes])
    moved = replace(primitive, positions=shapes[0], normals=normals[0], morphs=MorphTargets(None, None, None))
    tangents = None
    if primitive.tangents is not None and len(primitive.uvs):
        turned = torch.stack(
            [
                vertex_tangents(shape, primitive.faces, normal, primitive.uvs[0])
                for shape, normal in zip(shapes, normals, strict=True)
            ]
        )
        moved = replace(moved, tangents=turned[0])
        tangents = turned[1:, :, :3] - turned[0, :, :3]
    if len(shapes) == 1:
        return moved
    return replace(moved, morphs=MorphTargets(shapes[1:] - shapes[0], normals[1:] - normals[0], tangents))


@dataclass(frozen=True)
class MorphMotion:
    """How a surface changes shape over time.

    Args:
        trajectories: (T, V, 3) of the primitive's vertices, metres.
        seconds_per_frame: positive.
        tolerance: metres by which any vertex may be off at any frame.
        interpolation: "linear", or "step" for poses that are held.
        normals: (T, V, 3) unit, or None for those of the primitive's own faces; a surface that was cut open to be
            textured needs those of the whole one.
    """

    trajectories: Tensor
    seconds_per_frame: float
    tolerance: float = 0.0
    interpolation: Interpolation = "linear"
    normals: Tensor | None = None


def morphing_asset(
    name: str, primitive: Surface, motion: MorphMotion, material: Material | Sequence[Material] = PLAIN
) -> Asset:
    """A surface whose shape changes by morph targets: the first frame, and one target for each other key.

    At most two targets act at a time, which every renderer can do. Normals and tangents morph along.

    Args:
        name: of the node.
        primitive: one or several, whose faces, texture coordinates and colours stay; their vertices are replaced by the
            first frame's, in the order of the primitives.
        motion: the key frames are chosen such that its tolerance holds.
        material: of the surface, or the materials that the primitives name.
    """
    frames = motion.trajectories.detach().float().cpu()
    keys = trajectory_keys(frames, motion.tolerance, motion.interpolation)
    primitives = _primitives(primitive)
    counts = [len(part.positions) for part in primitives]
    shapes = frames[keys].split(counts, dim=1)
    normals: Sequence[Tensor | None] = [None] * len(primitives)
    if motion.normals is not None:
        normals = motion.normals.detach().float().cpu()[keys].split(counts, dim=1)
    morphing = [_morphing(*part) for part in zip(primitives, shapes, normals, strict=True)]
    asset = static_asset(name, morphing, _materials(material))
    if len(keys) == 1:
        return asset
    times = torch.tensor(keys, dtype=torch.float64) * motion.seconds_per_frame
    weights = torch.eye(len(keys), dtype=torch.float64)[:, 1:]
    clip = Clip("morph", (Channel(0, "weights", Curve(times, weights, motion.interpolation)),))
    names = tuple(f"frame {key:05d}" for key in keys[1:])
    mesh = replace(asset.meshes[0], morph_names=names, morph_weights=torch.zeros_like(weights[0]))
    instance = replace(asset.instances[0], morph_weights=mesh.morph_weights)
    return replace(asset, meshes=(mesh,), instances=(instance,), clips=(clip,))


def skinned_asset(
    name: str,
    primitive: Surface,
    motions: Mapping[str, Motion],
    material: Material | Sequence[Material] = PLAIN,
    tolerance: MotionTolerance | None = None,
) -> Asset:
    """A surface that a skeleton moves: an armature node with the joints below, and beside it the node of the mesh.

    Args:
        name: of the mesh.
        primitive: one or several, with influences of the skeleton's joints, shaped as in the skeleton's rest pose.
        motions: a clip each, by name; all of the same skeleton.
        material: of the surface, or the materials that the primitives name.
        tolerance: of the reduced tracks.

    Raises:
        UsageError: no motion, no influences, or one that shears.
    """
    primitives = _primitives(primitive)
    if not motions or any(part.influences is None for part in primitives):
        raise UsageError("a skinned asset needs influences and at least one motion of its skeleton")
    skeleton = next(iter(motions.values())).skeleton
    joints = len(skeleton)
    identity = torch.eye(4, dtype=torch.float64)[None]
    # The armature is node 0 and parent of all roots; -1 + 1 makes them so.
    nodes = Skeleton(
        (f"{name} armature", *skeleton.names, name),
        torch.cat([torch.tensor([-1]), skeleton.parents + 1, torch.tensor([-1])]),
        torch.cat([identity, skeleton.rest.double(), identity]),
    )
    inverse_bind = torch.linalg.inv(skeleton.rest_world.double())
    inverse_bind[:, 3] = identity[0, 3]
    skin = Skin(f"{name} skin", torch.arange(1, joints + 1), inverse_bind)
    clips = tuple(
        Clip(title, _channels(motion, 1, tolerance or MotionTolerance())) for title, motion in motions.items()
    )
    asset = _asset(name, nodes, primitives, _materials(material))
    instance = replace(asset.instances[0], node=joints + 1, skin=0)
    return replace(asset, instances=(instance,), skins=(skin,), clips=clips)


def clip_of_motion(name: str, motion: Motion, tolerance: MotionTolerance) -> Clip:
    """A clip of an asset whose nodes are the joints of a motion.

    Raises:
        UsageError: the motion shears.
    """
    return Clip(name, _channels(motion, 0, tolerance))


def _primitives(surface: Surface) -> tuple[Primitive, ...]:
    return (replace(surface, material=0),) if isinstance(surface, Primitive) else tuple(surface)


def _materials(material: Material | Sequence[Material]) -> tuple[Material, ...]:
    return (material,) if isinstance(material, Material) else tuple(material)


def _asset(name: str, nodes: Skeleton, primitives: tuple[Primitive, ...], materials: tuple[Material, ...]) -> Asset:
    """An asset whose only mesh is shown at node 0."""
    unmorphed = torch.zeros(0, dtype=torch.float64)
    mesh = CompositeMesh(name, primitives, (), unmorphed)
    return Asset(name, nodes, parts_of(nodes.rest), (Instance(0, 0, None, unmorphed),), (mesh,), (), materials, ())


def parts_of(
    matrices: Tensor,  # (..., 4, 4) affine
) -> TransformParts:
    """Translation, rotation and scale; mirroring is a negative scale along x.

    Raises:
        UsageError: a matrix shears, which the three cannot express.
    """
    matrices = matrices.double()
    linear = matrices[..., :3, :3]
    scales = linear.norm(dim=-2)
    scales[..., 0] *= torch.where(torch.linalg.det(linear) < 0, -1.0, 1.0)
    rotations = linear / torch.where(scales == 0, 1.0, scales)[..., None, :]
    parts = TransformParts(matrices[..., :3, 3], quaternion_from_rotation(rotations), scales)
    # A rotation is its own inverse transpose; what shears is not.
    skew = rotations.transpose(-1, -2) @ rotations - torch.eye(3, dtype=torch.float64)
    if float(skew.abs().max()) > 1e-4:
        raise UsageError("a transform shears, which translation, rotation and scale cannot express")
    return parts


def _channels(motion: Motion, first_node: int, tolerance: MotionTolerance) -> tuple[Channel, ...]:
    """The tracks that the motion needs: those that only hold the rest pose are left out."""
    parts, rest = parts_of(motion.parent_from_joint), parts_of(motion.skeleton.rest)
    times = torch.arange(len(motion), dtype=torch.float64) * motion.seconds_per_frame
    tracks: tuple[tuple[Target, Tensor, Tensor, float], ...] = (
        ("translation", parts.translations, rest.translations, tolerance.metres),
        ("rotation", parts.rotations, rest.rotations, torch.pi / 180 * tolerance.degrees),
        ("scale", parts.scales, rest.scales, tolerance.scale),
    )
    channels = []
    for joint in range(len(motion.skeleton)):
        for target, values, at_rest, limit in tracks:
            curve = reduce_curve(Curve(times, values[:, joint], "linear", target == "rotation"), limit)
            if len(curve.times) > 1 or not torch.allclose(curve.values[0], at_rest[joint], rtol=0, atol=RESTING):
                channels.append(Channel(first_node + joint, target, curve))
    return tuple(channels)
