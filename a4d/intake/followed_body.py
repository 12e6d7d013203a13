"""The body of a tracked person: posed as the track says, upright in our world, and there at every moment of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.root_pose import RootPose, interpolated
from a4d.geometry.bodies.smpl import SmplBody
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.bodies.transfer import fitted_shape, transferred
from a4d.geometry.bodies.upright import world_from_poses
from a4d.geometry.transforms import (
    quaternion_from_rotation,
    rigid_from_parts,
    rotation_from_quaternion,
    slerp,
)
from a4d.intake.pose_settings import PoseSettings
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.smpl import read_smpl
from a4d.io.bodies.smpl_skeleton import mean_smpl
from a4d.io.trackers.person_track import MODELS, PersonTrack

OPEN = "anny"
"""How the open body is called on the command line."""

RELATED = {"smpl": "smpl", "smplh": "smpl", "smplx": "smplx"}
"""Models of the family by those whose betas mean the same."""

GROUND_POSES = 32
"""Moments at which the surface is looked at for the ground."""

FRAMES_PER_SECOND = 30.0
"""Of what does not say how fast it is."""


@dataclass(frozen=True)
class FollowedBody:
    """A body at the T moments at which it was seen.

    Args:
        animated: T poses, in the world of the cameras.
        camera_from_world: (T, 4, 4) float64 rigid.
        model: of the body; see `TrackedBody`.
    """

    animated: AnimatedBody
    camera_from_world: Tensor
    model: str

    def moved(
        self,
        other_from_world: Tensor,  # (4, 4) float64 rigid
    ) -> FollowedBody:
        """Body and cameras in another world."""
        animated = self.animated
        root = animated.skeleton.from_the_roots()[0]
        pivot = animated.body.rest(animated.shape)[1][root].double()
        pose = RootPose(animated.rotations[:, root].double(), animated.translation.double())
        pose = pose.seen_from(other_from_world, pivot)
        rotations = animated.rotations.clone()
        rotations[:, root] = pose.rotation.to(rotations)
        animated = replace(animated, rotations=rotations, translation=pose.translation.to(rotations))
        return replace(
            self, animated=animated, camera_from_world=self.camera_from_world @ torch.linalg.inv(other_from_world)
        )

    def upright_from_world(
        self,
        up: Tensor | None,  # (3,) against gravity; see `world_from_poses`
    ) -> Tensor:
        """(4, 4) float64 the world in which the body stands on the ground and looks to the front."""
        animated, body = self.animated, self.animated.body
        some = torch.linspace(0, len(animated) - 1, min(len(animated), GROUND_POSES)).round().long()
        surface = body.posed(animated.rotations[some], animated.shape, animated.translation[some]).vertices
        places = body.rest(animated.shape)[1]
        local = body.local_transforms(animated.rotations, places, animated.translation)
        joints = animated.skeleton.world_from_joint(local)[..., :3, 3]
        return world_from_poses(animated.skeleton, joints, up, surface.flatten(0, 1))

    def filled(
        self,
        moments: Tensor,  # (T,) int64, increasing
        count: int,
        seconds_per_frame: float,
    ) -> tuple[TrackedBody, Tensor]:
        """The body and (count, 4, 4) world_from_camera at every moment: between those that are known, turned steadily.

        Before the first and after the last of them all stays as it was there.
        """
        animated = self.animated
        before, after, share = interpolated(quaternion_from_rotation(animated.rotations), moments, count)
        turned = slerp(before, after, share[:, None].to(before).expand(before.shape[:2]))
        start, end, part = interpolated(animated.translation, moments, count)
        animated = replace(
            animated,
            rotations=rotation_from_quaternion(turned),
            translation=torch.lerp(start, end, part[:, None].to(start)),
            seconds_per_frame=seconds_per_frame,
        )
        is_seen = torch.zeros(count, dtype=torch.bool)
        is_seen[moments] = True
        times = torch.linspace(0, 1, count, dtype=torch.float64) if count > 1 else torch.zeros(1, dtype=torch.float64)
        shape = animated.shape.detach()
        tracked = TrackedBody(animated, times, is_seen, self.model, shape, animated.body.shape_names)
        return tracked, _filled_cameras(torch.linalg.inv(self.camera_from_world), moments, count)


def _filled_cameras(
    world_from_camera: Tensor,  # (T, 4, 4)
    moments: Tensor,
    count: int,
) -> Tensor:
    before, after, share = interpolated(quaternion_from_rotation(world_from_camera[:, :3, :3]), moments, count)
    start, end, part = interpolated(world_from_camera[:, :3, 3], moments, count)
    turned = rotation_from_quaternion(slerp(before, after, share.to(before)))
    return rigid_from_parts(turned, torch.lerp(start, end, part[:, None].to(start)))


def body_of(track: PersonTrack, config: PoseSettings) -> FollowedBody:
    """The poses of a track on the body that the settings name.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no body.
    """
    smpl = None if config.smpl is None else read_smpl(config.smpl)
    return followed_body(track, open_body() if config.body == OPEN else read_smpl(Path(config.body)), smpl)


def followed_body(track: PersonTrack, body: Body, smpl: Body | None = None) -> FollowedBody:
    """The poses of a track on a body: on SMPL as they are, on others transferred.

    Args:
        track: of a model of the SMPL family.
        body: another one gets the limbs' lengths of the tracked shape, as far as it can.
        smpl: the model that knows that shape; None takes the mean one, of the size that the track tells.
    """
    if isinstance(body, SmplBody):
        return posed_smpl(track, body)
    followed = posed_smpl(track, smpl or mean_smpl(track.size))
    shape = fitted_shape(body, followed.animated.skeleton)
    return replace(followed, animated=transferred(followed.animated, body, shape), model="open")


def posed_smpl(
    track: PersonTrack,
    smpl: Body,  # with joints that are called as the family's
) -> FollowedBody:
    """A body of SMPL's joints, posed as a track says and in its shape; betas of another model mean nothing."""
    model, shape = MODELS.get(len(smpl.names), "smpl"), smpl.default_shape.clone()
    if RELATED[track.model] == RELATED[model]:
        betas = [place for place, name in enumerate(smpl.shape_names) if name.startswith("beta")][: len(track.betas)]
        shape[betas] = track.betas[: len(betas)].to(shape)
    root, camera_from_world = track.placed(smpl.rest(shape)[1][0].double())
    rotations = torch.eye(3).repeat(len(track), len(smpl.names), 1, 1)
    for place, name in enumerate(track.joint_names):
        if name in smpl.names:
            rotations[:, smpl.names.index(name)] = track.rotations[:, place].to(rotations)
    rotations[:, 0] = root.rotation.to(rotations)
    seconds = track.seconds_per_frame or 1 / FRAMES_PER_SECOND
    animated = AnimatedBody(smpl, shape, rotations, root.translation.to(rotations), seconds)
    return FollowedBody(animated, camera_from_world.expand(len(track), 4, 4), model)
