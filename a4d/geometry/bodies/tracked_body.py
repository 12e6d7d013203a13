"""A person, or another body, as it was followed through a film: its shape, and how it stands at every moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.grounding import on_the_ground
from a4d.geometry.bodies.rigged_character import RiggedCharacter
from a4d.geometry.deformation.skeleton import Motion


@dataclass(frozen=True)
class TrackedBody:
    """What is known of a body at the T moments of a film.

    Args:
        animated: the body in its only shape, posed at T moments; world, metres.
        times: (T,) increasing in [0, 1] of the clip, of the moments.
        is_tracked: (T,) bool: whether the pose was seen at a moment, rather than filled in from others.
        model: the kind of body that the shape was made with: `open`, `smpl`, `smplh`, `smplx` or `rig`.
        shape: (S,) of that model.
        shape_names: what each of the S numbers says.
    """

    animated: AnimatedBody
    times: Tensor
    is_tracked: Tensor
    model: str
    shape: Tensor
    shape_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.animated)

    def at(self, moments: Sequence[int] | Tensor) -> TrackedBody:
        """The same body at some of the moments, by index."""
        chosen = torch.as_tensor(moments)
        animated = replace(
            self.animated,
            rotations=self.animated.rotations[chosen],
            translation=self.animated.translation[chosen],
        )
        return replace(self, animated=animated, times=self.times[chosen], is_tracked=self.is_tracked[chosen])

    def driven(self, motion: Motion) -> TrackedBody:
        """The same body, moved as something else is, on the world's ground, y = 0.

        See `a4d.geometry.deformation.retargeting.retargeted` and `a4d.geometry.bodies.grounding.on_the_ground`.

        Args:
            motion: of any skeleton, +Y up and +Z in front.

        Raises:
            InvalidInputError: too few joints match those of the motion by their names.
        """
        animated = on_the_ground(self.animated.with_motion(motion), motion)
        times = torch.linspace(0, 1, len(animated), dtype=torch.float64)
        return replace(self, animated=animated, times=times, is_tracked=torch.ones(len(animated), dtype=torch.bool))

    def in_poses_of(self, other: TrackedBody) -> TrackedBody:
        """The same body in the poses of another whose joints have the same names, its roots where the other's are.

        Raises:
            InvalidInputError: the other has other joints.
        """
        body, joints = self.animated.body, self.animated.skeleton
        names, theirs = other.animated.body.names, other.animated.skeleton
        if sorted(names) != sorted(body.names):
            raise InvalidInputError(
                "the poses are those of a body with other joints", "Compare with a workspace of the same kind of body"
            )
        order = [names.index(name) for name in body.names]
        root = joints.from_the_roots()[0]
        moved = theirs.rest[order[root], :3, 3] - joints.rest[root, :3, 3]
        animated = replace(
            self.animated,
            rotations=other.animated.rotations[:, order],
            translation=other.animated.translation + moved,
            seconds_per_frame=other.animated.seconds_per_frame,
        )
        return replace(self, animated=animated, times=other.times, is_tracked=other.is_tracked)


def in_shape(
    body: Body,
    shape: Tensor | None = None,  # (S,), the default one if None
) -> RiggedCharacter:
    """The body of a single shape: its rest surface and joints as they are, no longer a function of anything.

    What poses do to the rest surface (`Body.displacements`) is left behind: only skinning remains.
    """
    vertices, joints = body.rest(shape)
    return RiggedCharacter(
        names=body.names,
        parents=body.parents,
        faces=body.faces,
        weights=body.weights,
        uvs=body.uvs,
        vertices=vertices.detach(),
        joints=joints.detach(),
    )
