"""What an avatar has learnt of its texels, made once for all who ask between two steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from a4d.scenes.avatar.appearance import Appearance
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.avatar.visibility import TexelVisibility
from a4d.scenes.protocols import SurfaceAttributes


class TexelAttributes:
    """Offsets, sizes and colours of the texels; the modules that make them stay the scene's own.

    While nothing learns, what was never seen has the colours of the nearest that was.

    Args:
        appearance: makes them, with the features of a pose or without.
        visibility: which texels were seen.
        points: where they are on the body.
    """

    def __init__(self, appearance: Appearance, visibility: TexelVisibility, points: SurfacePoints) -> None:
        self.appearance, self.visibility, self.points = appearance, visibility, points
        self.baked: SurfaceAttributes | None = None
        """Those of a saved scene that no pose changes."""
        self._made: dict[tuple[tuple[bool, ...] | None, float | None], SurfaceAttributes] = {}

    def at(
        self,
        time: float | None,
        pose_features: Callable[[], Tensor | None],
        learning: tuple[bool, ...] | None,
    ) -> SurfaceAttributes:
        """The attributes at a time, or at any.

        Args:
            time: in [0, 1]; None where they do not depend on the pose.
            pose_features: of the pose at that time, asked for where the attributes are not there yet.
            learning: which parameters of the scene a graph is built for; see `a4d.trainable.learning_parameters`.
        """
        is_learning = any(learning or ())
        if time is None and self.baked is not None and not is_learning:
            return self.baked.to(self.points.positions.device)
        key = (learning, time)
        if key in self._made:
            return self._made[key]
        made: SurfaceAttributes = self.appearance(pose_features())
        if not is_learning:
            made = self.visibility.filled(made, self.points)
        if is_learning or time is None:
            # Once all is learnt, no pose of a long clip is asked for twice.
            self._made[key] = made
        return made

    def forget(self, *, is_baked_kept: bool = False) -> None:
        """Drop what was made of former parameters."""
        self._made.clear()
        if not is_baked_kept:
            self.baked = None
