"""The asset that a workspace was made from, on its way out as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.reposing import motion_at, reposed, rig_of
from a4d.geometry.deformation.skeleton import Motion, Skeleton


@dataclass(frozen=True)
class GivenAsset:
    """An asset that is exported as it is.

    Args:
        in_file: in the frame of the files.
        in_world: in that of cameras.
        clip: which of its animations is sampled, or None for the first.
    """

    in_file: Asset
    in_world: Asset
    clip: str | None = None

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest, in the world.

        Raises:
            InvalidInputError: the asset has no skin.
        """
        return rig_of(self.in_world)

    @property
    def sampled_clip(self) -> Clip | None:
        """The animation that is sampled, or None where there is none.

        Raises:
            UsageError: there is none of the name.
        """
        if self.clip is not None:
            return self.in_world.clip(self.clip)
        return next(iter(self.in_world.clips), None)

    def motion(self, times: Sequence[float]) -> Motion:
        """How the joints stand at T evenly spaced times in [0, 1] of the clip."""
        clip = self.sampled_clip
        duration = clip.duration if clip else 0.0
        return motion_at(self.in_world, clip, [time * duration for time in times])

    def with_motion(self, motion: Motion) -> GivenAsset:
        """The asset with the motion of something else as its only clip; see `reposed`."""
        in_world = reposed(self.in_world, motion)
        # What places an asset stands above its nodes: their own tracks are the same in every frame.
        return GivenAsset(replace(self.in_file, clips=in_world.clips), in_world)
