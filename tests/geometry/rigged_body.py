"""A body of a few joints with its arms spread, under names of two rigs, and what it does."""

import math
from pathlib import Path

import torch

from a4d.geometry.assets.assembly import primitive_from_mesh, skinned_asset
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.primitives import box
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion

# Joint, parent, place in metres: arms spread in a T.
BODY = {
    "Hips": (None, (0.0, 1.0, 0.0)),
    "Spine": ("Hips", (0.0, 1.2, 0.0)),
    "Head": ("Spine", (0.0, 1.6, 0.0)),
    "LeftArm": ("Spine", (0.2, 1.4, 0.0)),
    "LeftForeArm": ("LeftArm", (0.5, 1.4, 0.0)),
    "LeftHand": ("LeftForeArm", (0.8, 1.4, 0.0)),
    "LeftUpLeg": ("Hips", (0.1, 0.9, 0.0)),
    "LeftLeg": ("LeftUpLeg", (0.1, 0.5, 0.0)),
    "LeftFoot": ("LeftLeg", (0.1, 0.0, 0.0)),
}
RENAMED = {
    "Hips": "pelvis", "Spine": "spine_01", "Head": "head", "LeftArm": "upperarm_l", "LeftForeArm": "lowerarm_l",
    "LeftHand": "hand_l", "LeftUpLeg": "thigh_l", "LeftLeg": "calf_l", "LeftFoot": "foot_l",
}  # fmt: skip


def turn(axis: int, degrees: float) -> torch.Tensor:
    half = math.radians(degrees) / 2
    quaternion = torch.zeros(4, dtype=torch.float64)
    quaternion[0], quaternion[1 + axis] = math.cos(half), math.sin(half)
    return rotation_from_quaternion(quaternion)


def skeleton(places=None, names=None, scale=1.0) -> Skeleton:
    """The body with joints whose axes are the world's."""
    places = {name: place for name, (_, place) in BODY.items()} if places is None else places
    world = {name: scale * torch.tensor(place, dtype=torch.float64) for name, place in places.items()}
    order = list(BODY)
    parents = [order.index(above) if above else -1 for above, _ in BODY.values()]
    offsets = [world[name] - (world[above] if above else 0) for name, (above, _) in BODY.items()]
    rest = rigid_from_parts(torch.eye(3, dtype=torch.float64).repeat(len(order), 1, 1), torch.stack(offsets))
    return Skeleton(tuple((names or {}).get(name, name) for name in order), torch.tensor(parents), rest)


def waving(body: Skeleton, shift=(0.0, 0.0, 0.0), metre=1.0) -> Motion:
    """Raises an arm, bends an elbow and a knee, and walks ahead."""
    frames = 5
    local = body.rest.expand(frames, *body.rest.shape).clone()
    index = {name: place for place, name in enumerate(BODY)}
    for frame in range(frames):
        local[frame, index["LeftArm"], :3, :3] = turn(2, 15.0 * frame)
        local[frame, index["LeftForeArm"], :3, :3] = turn(1, -20.0 * frame)
        local[frame, index["LeftLeg"], :3, :3] = turn(0, 10.0 * frame)
        local[frame, index["Hips"], :3, 3] += torch.tensor([0.0, 0.0, 0.1 * metre * frame]) + torch.tensor(shift)
    return Motion(body, local, 1 / 30)


def rigged(names=None):
    """A box per joint, as one skinned asset with a motion."""
    body = skeleton(names=names)
    mesh = box((0.5, 0.5, 0.5))
    count = len(mesh.vertices)
    weights = torch.zeros(count, len(BODY))
    weights[torch.arange(count), torch.arange(count) % len(BODY)] = 1.0
    primitive = primitive_from_mesh(mesh)
    primitive = type(primitive)(**{**primitive.__dict__, "influences": Influences.strongest(weights)})
    return skinned_asset("body", primitive, {"wave": waving(body)})


def write_bvh(path: Path, motion: Motion, turn: torch.Tensor | None = None) -> Path:
    """A motion of joints whose axes are the world's, in a file whose world is turned."""
    turned = torch.eye(3, dtype=torch.float64) if turn is None else turn
    skeleton, lines, order = motion.skeleton, ["HIERARCHY"], []

    def add(joint: int) -> None:
        order.append(joint)
        offset = turned @ skeleton.rest[joint, :3, 3]
        lines.append(("ROOT " if int(skeleton.parents[joint]) < 0 else "JOINT ") + skeleton.names[joint] + " {")
        lines.append("OFFSET " + " ".join(f"{value:.9f}" for value in offset.tolist()))
        lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")
        for child in (index for index, parent in enumerate(skeleton.parents.tolist()) if parent == joint):
            add(child)
        lines.append("}")

    for root in (index for index, parent in enumerate(skeleton.parents.tolist()) if parent < 0):
        add(root)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {motion.seconds_per_frame}"]
    for frame in motion.parent_from_joint:
        values = []
        for joint in order:
            rotation = turned @ frame[joint, :3, :3] @ turned.T
            z, x = torch.atan2(rotation[1, 0], rotation[0, 0]), torch.atan2(rotation[2, 1], rotation[2, 2])
            y = torch.asin(-rotation[2, 0].clamp(-1, 1))
            values += (turned @ frame[joint, :3, 3]).tolist() + [math.degrees(angle) for angle in (z, y, x)]
        lines.append(" ".join(f"{value:.9f}" for value in values))
    path.write_text("\n".join(lines) + "\n")
    return path
