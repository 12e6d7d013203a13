"""What all articulated scenes share, whatever their shape at rest is made of: bones, their motion, and their warps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from a4d.config import Spec, overlaid, parse, plain
from a4d.errors import ConfigError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.deformation.skinning import apply_per_vertex
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.decimation import decimated
from a4d.geometry.transforms import invert_rigid
from a4d.scenes.articulated.bones import Bones
from a4d.scenes.articulated.config import ArticulatedConfig
from a4d.scenes.articulated.extent import placement
from a4d.scenes.articulated.warp import backward_warp, forward_warp
from a4d.scenes.articulation import PoseNetwork, PoseNetworkConfig
from a4d.scenes.protocols import AssetOptions, BoneRig
from a4d.scenes.rigging import rigged_asset
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.subject import Placement

MOMENTS_AT_ONCE = 8

COURSE = PoseNetworkConfig(shifted="all", layers=0, harmonics=8, falloff=1.0)
"""How the camera may stray from where the frames say: slowly over the clip, as cameras do that were found."""

LATER = ("log_focal", "log_pace", "course.", "visibility.")
"""How the names of tensors begin that scenes may lack: older ones were saved before these were learnt."""


class ArticulatedScene(Scene):
    """Base of scenes that a bag of bones moves over a clip; at first nothing moves.

    Args:
        config: of this kind's own class.
        centres: (B, 3) of the bones at rest, world, metres.
        radii: (B,) of the bones, metres.
        generator: of the weights of networks, on the CPU; any will do where they are read afterwards.
    """

    config: ArticulatedConfig
    fixed: ClassVar[tuple[str, ...]] = ("bones", "skinning")
    """The settings that a scene which is there cannot change."""

    def __init__(
        self, config: ArticulatedConfig, centres: Tensor, radii: Tensor, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        draws = torch.Generator().manual_seed(0) if generator is None else generator
        self.bag = Bones(centres, radii, config.skinning)
        self.bag.initialise(draws)
        self.articulation = PoseNetwork(_loose(len(centres)), config.paced, draws)
        self.root = PoseNetwork(_loose(1), config.paced, draws)
        self.log_pace = nn.Parameter(torch.zeros(()))
        self.log_focal = nn.Parameter(torch.zeros(()))
        self.course = _steady()

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> Scene:
        """The same shape and bones with other settings; poses that are another function of time begin anew.

        Raises:
            ConfigError: the other is of another kind, or the settings are those of another shape or of other bones.
        """
        if not isinstance(start, cls):
            raise cannot_become(start, cls)
        before = plain(start.config)
        config = parse(cls.config_class, overlaid(before, over), "scene")
        assert isinstance(config, ArticulatedConfig)
        for name, value in plain(config).items():
            if name in cls.fixed and value != before[name]:
                raise ConfigError(f"scene.{name}: a scene that is there cannot take another", "Leave the key out")
        scene = deepcopy(start)
        scene.config = config
        if config.paced != start.config.paced:
            device = scene.bag.centres.device
            scene.articulation = PoseNetwork(_loose(len(scene.bag)), config.paced, generator).to(device)
            scene.root = PoseNetwork(_loose(1), config.paced, generator).to(device)
            nn.init.zeros_(scene.log_pace)
        return scene

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what was saved; what older scenes lack stays as it begins."""
        begun = {name: value for name, value in self.state_dict().items() if name.startswith(LATER)}
        self.load_state_dict({**begun, **tensors})

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Of bones, their motion, the whole's, its pace, the network of weights, and the camera's lens and way."""
        return {
            "bones": [self.bag.centres, self.bag.quaternions, self.bag.log_radii],
            "articulation": list(self.articulation.parameters()),
            "root": list(self.root.parameters()),
            "pace": [self.log_pace],
            "skinning": self.bag.network_parameters(),
            "focal": [self.log_focal],
            "course": list(self.course.parameters()),
        }

    def seen_from(self, cameras: Cameras, times: Sequence[float] | None) -> Cameras:
        """The film's cameras with the lens that was learnt, as much farther away as it is longer, on their course."""
        seen = cameras.to(self.log_focal.device).dollied(self.log_focal.exp())
        if times is None:
            return seen
        strayed = self.course.parent_from_joint(self._moments(times))[:, 0].to(seen.world_from_camera)
        return replace(seen, world_from_camera=strayed @ seen.world_from_camera)

    @property
    def has_learnt_cameras(self) -> bool:
        """Whether the lens or the course is another than the film's."""
        return any(bool(parameter.any()) for parameter in self._of_cameras())

    @torch.no_grad()
    def forget_cameras(self) -> None:
        """Take the cameras of another film as they are."""
        for parameter in self._of_cameras():
            parameter.zero_()

    @property
    def is_moving(self) -> bool:
        """Always."""
        return True

    @property
    def seconds(self) -> float | None:
        """Of the clip, as configured."""
        return self.config.seconds

    @property
    def cycles(self) -> float | None:
        """How often the motion repeats in the clip, as it has been learnt; 0 or none: it does not."""
        return None if self.config.cycles is None else self.config.cycles * float(self.log_pace.detach().exp())

    @property
    def is_periodic(self) -> bool:
        """Whether the clip holds a whole number of cycles."""
        cycles = self.cycles or 0.0
        return cycles > 0 and float(cycles).is_integer()

    def bones(self) -> BoneRig:
        """The B bones at rest."""
        return self.bag.rig()

    def root_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, 4, 4) posed_from_rest of the whole."""
        return self.root.parent_from_joint(self._phases(times))[:, 0]

    def bone_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, B, 4, 4) posed_from_rest of each bone, the motion of the whole included."""
        rest = self.bag.rig().world_from_bone
        own = rest @ self.articulation.parent_from_joint(self._phases(times)) @ invert_rigid(rest)
        return self.root_transforms(times)[:, None] @ own

    def skinning_weights(self, points: Tensor) -> Tensor:
        """(N, B) of points at rest."""
        return self.bag.skinning_weights(points)

    def weight_corrections(self, points: Tensor) -> Tensor:
        """(N, B) squared radii that the network of the weights adds at points at rest."""
        return self.bag.corrections(points)

    def posed_weights(
        self,
        points: Tensor,  # (T, N, 3) posed
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, B) of posed points, by the posed bones and the time."""
        posed = self.bone_transforms(times) @ self.bag.rig().world_from_bone
        return self.bag.skinning_weights(points, posed, self._moments(times))

    def warped(self, points: Tensor, times: Sequence[float]) -> Tensor:
        """(T, N, 3) where the bones take points at rest."""
        weights, moved = self.skinning_weights(points), self.bone_transforms(times)
        # All moments of a film at once would need gigabytes.
        parts = [forward_warp(points, weights, part, self.config.blending) for part in moved.split(MOMENTS_AT_ONCE)]
        return torch.cat(parts)

    def unwarped(
        self,
        points: Tensor,  # (T, N, 3) posed
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, 3) where posed points were at rest, as near as the weights of posed points tell."""
        weights = self.posed_weights(points, times)
        return backward_warp(points, weights, self.bone_transforms(times), self.config.blending)

    @abstractmethod
    def shape_points(self) -> Tensor:
        """(N, 3) points spread over the shape at rest."""

    @abstractmethod
    def rest_mesh(self) -> Mesh:
        """The surface at rest, in its colours, detached.

        Raises:
            InvalidInputError: there is none.
        """

    def asset(self, options: AssetOptions) -> Asset:
        """The surface at rest on a skeleton over the bones, whose motion is the only clip."""
        surface = self.rest_mesh().to("cpu")
        return rigged_asset(self, surface if options.faces is None else decimated(surface, options.faces), options)

    def placement(self, times: Sequence[float] | None) -> Placement:
        """Where the posed shape and bones are, and how large; at rest, as a single row, where there are no times."""
        return placement(self, times)

    def joints(self, times: Sequence[float]) -> Tensor:
        """(T, B, 3) world, metres, where the bones' centres are."""
        return apply_per_vertex(self.bone_transforms(times), self.bag.centres)

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """The bones: (B, 3) at rest, (T, B, 3) places and (T, B, 3, 3) rotations at times."""
        return self.bag.centres, self.joints(times), self.bone_transforms(times)[..., :3, :3]

    def pose_changes(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """(T, B, 3, 3) turns and (T, B, 3) metres of shift of each bone about its place at rest, beside the root's."""
        own = self.articulation.parent_from_joint(self._phases(times))
        return own[..., :3, :3], own[..., :3, 3]

    def _of_cameras(self) -> list[nn.Parameter]:
        return [self.log_focal, *self.course.parameters()]

    def _phases(self, times: Sequence[float]) -> Tensor:
        """(T,) at which the poses of times are read, about the middle of the clip."""
        return (self._moments(times) - 0.5) * self.log_pace.exp() + 0.5

    def _moments(self, times: Sequence[float]) -> Tensor:
        """(T,) on the scene's device."""
        return self.bag.centres.new_tensor(list(times))


def _steady() -> PoseNetwork:
    """A camera's course that does not stray."""
    return PoseNetwork(_loose(1), COURSE, torch.Generator())


def _loose(count: int) -> Skeleton:
    """Bones that hang on nothing, each in a frame of its own."""
    names = tuple(f"bone_{index:02d}" for index in range(count))
    return Skeleton(names, torch.full((count,), -1), torch.eye(4).repeat(count, 1, 1))
