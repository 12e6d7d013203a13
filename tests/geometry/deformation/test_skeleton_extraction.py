"""Skeletons of bones that nobody connected, against rigs whose parts are known."""

from pathlib import Path

import pytest
import torch
from bag_of_bones import BagOfBones, bag_of
from limbed import JOINTS, PARENTS, limbed

from a4d.errors import InvalidInputError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.deformation.skeleton_extraction import ExtractedSkeleton, LooseBones, extract_skeleton
from a4d.geometry.mesh import Mesh, first_in_place
from a4d.geometry.primitives import torus
from a4d.io.assets.gltf.reader import read_gltf


def loose(bag: BagOfBones, mesh: Mesh) -> LooseBones:
    return LooseBones(mesh, bag.skinning_weights(mesh.vertices.double()), bag.transforms)


def edges_that_touch(
    found: ExtractedSkeleton, weights: torch.Tensor, rig: torch.Tensor, touching: torch.Tensor
) -> float:
    """Share of the edges whose ends move parts of the true rig that are one or touch.

    Args:
        found: the skeleton.
        weights: (V, B) of the bones.
        rig: (V, R) of the true rig's joints.
        touching: (R, R) bool.
    """
    shares = torch.nn.functional.one_hot(weights.argmax(1), weights.shape[1]).double().T @ rig
    parts = shares > 0.25 * shares.sum(0).clamp_min(1e-9)
    parts[torch.arange(len(parts)), (weights.T @ rig).argmax(1)] = True
    meet = (parts.double() @ touching.double() @ parts.double().T) > 0
    children = (found.skeleton.parents >= 0).nonzero()[:, 0]
    above = found.skeleton.parents[children]
    return float(meet[found.bones[children], found.bones[above]].double().mean())


def touching_parts(mesh: Mesh, rig: torch.Tensor, parents: list[int]) -> torch.Tensor:
    """(R, R) whether two parts are one, share an edge of the surface, or hang on each other in the rig."""
    faces = first_in_place(mesh.vertices)[mesh.faces]
    strongest, touching = rig.argmax(1), torch.eye(rig.shape[1], dtype=torch.bool)
    for pair in ([0, 1], [1, 2], [2, 0]):
        one, other = strongest[faces[:, pair]].unbind(1)
        touching[one, other] = touching[other, one] = True
    for joint, parent in enumerate(parents):
        while parent >= 0 and not bool((strongest == parent).any()):
            parent = parents[parent]
        if parent >= 0:
            touching[joint, parent] = touching[parent, joint] = True
    return touching


def test_the_skeleton_of_a_creature_is_its_own() -> None:
    mesh, paths, rig, _ = limbed()
    bag = bag_of(mesh, paths, 14)
    found = extract_skeleton(loose(bag, mesh))
    parents = found.skeleton.parents.tolist()
    assert (parents[0], parents.count(-1)) == (-1, 1)
    weights = bag.skinning_weights(mesh.vertices.double())
    assert edges_that_touch(found, weights, rig, touching_parts(mesh, rig, PARENTS)) > 0.9
    # Neither a chain in the order of the bones nor a star.
    assert max(parents.count(joint) for joint in range(len(parents))) <= 5
    neighbours = sum(
        abs(int(found.bones[joint]) - int(found.bones[parent])) == 1 for joint, parent in enumerate(parents)
    )
    assert neighbours < len(parents) / 2
    part_of_root = int((weights.T @ rig)[found.bones[0]].argmax())
    assert JOINTS[part_of_root][0] == "body"
    assert found.skeleton.names == tuple(f"joint_{bone:02d}" for bone in found.bones.tolist())


def test_the_joints_of_a_rig_are_where_they_turn() -> None:
    mesh, _, rig, transforms = limbed(turns=1.0)
    found = extract_skeleton(LooseBones(mesh, rig, transforms))
    names = [JOINTS[bone][0] for bone in found.bones.tolist()]
    for joint, parent in enumerate(found.skeleton.parents.tolist()):
        if parent >= 0 and JOINTS[found.bones[joint]][1] == names[parent]:
            place = torch.tensor(JOINTS[found.bones[joint]][2]).double()
            assert float((found.skeleton.rest_world[joint, :3, 3] - place).norm()) < 0.04, names[joint]
    hung = {
        name: names[parent] for name, parent in zip(names, found.skeleton.parents.tolist(), strict=True) if parent >= 0
    }
    truth = {(name, above) for name, above, *_ in JOINTS if above}
    assert sum((one, other) in truth or (other, one) in truth for one, other in hung.items()) >= len(hung) - 1


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_looks_decide_between_bones_that_touch_alike(odd: int) -> None:
    ring = torus(sections=24)
    angles = torch.atan2(ring.vertices[:, 1], ring.vertices[:, 0])[:, None]
    weights = (4 * torch.cos(angles - 2 * torch.pi / 3 * torch.arange(3))).softmax(dim=1)
    looks = torch.nn.functional.one_hot((weights.argmax(1) == odd).long(), 2).double()
    found = extract_skeleton(LooseBones(ring, weights, torch.eye(4).expand(2, 3, 4, 4), looks))
    pairs = {frozenset((joint, parent)) for joint, parent in enumerate(found.skeleton.parents.tolist()) if parent >= 0}
    alike = frozenset(found.bones.tolist().index(bone) for bone in range(3) if bone != odd)
    assert len(pairs) == 2
    assert alike in pairs


def test_bones_without_skin_are_left_out() -> None:
    mesh, _, rig, transforms = limbed()
    spare = torch.cat([rig, torch.zeros(len(rig), 1)], dim=1)
    moved = torch.cat([transforms, transforms[:, :1]], dim=1)
    found = extract_skeleton(LooseBones(mesh, spare, moved))
    assert len(JOINTS) not in found.bones.tolist()
    flat = Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InvalidInputError):
        extract_skeleton(LooseBones(flat, torch.ones(3, 1), torch.eye(4).expand(2, 1, 4, 4)))


def rigged(path: Path, name: str) -> tuple[Mesh, torch.Tensor, torch.Tensor, list[int]]:
    """(V, 3) of the first frame, (T, V, 3) paths, (V, R) weights and parents of a rigged file's clip."""
    asset = read_gltf(path)
    clip = asset.clip(name)
    frames = [deform(asset, clip, float(second)) for second in torch.linspace(0, clip.duration, 24)]
    joints = asset.shown_joints()
    skeleton = asset.skeleton_of(joints)
    mesh = Mesh(frames[0].vertices, frames[0].faces)
    return mesh, torch.stack([frame.vertices for frame in frames]), _weights(asset, joints), skeleton.parents.tolist()


def _weights(asset: Asset, joints: list[int]) -> torch.Tensor:
    parts = []
    for instance in asset.instances:
        assert instance.skin is not None
        order = torch.tensor([joints.index(node) for node in asset.skins[instance.skin].joints.tolist()])
        for primitive in asset.meshes[instance.mesh].primitives:
            assert primitive.influences is not None
            weights = torch.zeros(len(primitive.positions), len(joints), dtype=torch.float64)
            parts.append(
                weights.scatter_add_(1, order[primitive.influences.joints], primitive.influences.weights.double())
            )
    return torch.cat(parts)


@pytest.mark.parametrize(
    ("file", "clip"),
    [("gltf_khronos/Fox/glTF-Binary/Fox.glb", "Run"), ("rigged_quaternius/animals_pack/Horse.glb", "Gallop")],
)
def test_edges_join_what_touches_in_real_rigs(real_data: Path, file: str, clip: str) -> None:
    mesh, paths, rig, parents = rigged(real_data / file, clip)
    bag = bag_of(mesh, paths, 24)
    found = extract_skeleton(loose(bag, mesh))
    above = found.skeleton.parents.tolist()
    assert above.count(-1) == 1
    assert max(above.count(joint) for joint in range(len(above))) <= 6
    weights = bag.skinning_weights(mesh.vertices.double())
    assert edges_that_touch(found, weights, rig, touching_parts(mesh, rig, parents)) >= 0.7
