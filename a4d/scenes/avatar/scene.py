"""Gaussians on the texels of a body's texture that move with its joints: an avatar, which any motion can drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import Spec, overlaid, parse, plain
from a4d.errors import ConfigError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.optimisers import Optimisers
from a4d.render.footprint import render_fitted, render_layered
from a4d.render.gaussians import GAUSSIAN_CHANNELS
from a4d.render.render import Render, Wants, concatenated
from a4d.scenes.avatar.appearance import Appearance, AppearanceDecoder, AppearanceTable, DecoderConfig
from a4d.scenes.avatar.asset import DressedSurface
from a4d.scenes.avatar.attributes import TexelAttributes
from a4d.scenes.avatar.body_scene import BodyScene
from a4d.scenes.avatar.branch import PoseBranch
from a4d.scenes.avatar.config import AvatarConfig
from a4d.scenes.avatar.gaussians import PosedGaussians, posed_gaussians
from a4d.scenes.avatar.storage import StoredAvatar
from a4d.scenes.avatar.surface import SurfacePoints, visible_texels, with_own_texture
from a4d.scenes.avatar.visibility import BEHIND, TexelVisibility, faces_camera
from a4d.scenes.protocols import AssetOptions, SkinnedGaussians, SurfaceAttributes
from a4d.scenes.scene import Scene, cannot_become
from a4d.scenes.seed import Seed
from a4d.trainable import learning_parameters

POSES = "poses."
"""How the names of tensors begin that say how the body stands."""


class AvatarScene(BodyScene):
    """Isotropic Gaussians on a body in the poses of a clip (GaussianAvatar, Hu et al. 2024).

    A Gaussian lies at a texel's place at rest, moved by its offset, and goes where the joints take it, by the
    barycentric mean of its face's weights. All have the same opacity. Poses are those of the body that was tracked,
    with a turn of each joint and a shift of the roots learnt beside them, a row per moment.

    Args:
        config: choices.
        tracked: the body, with a texture of its own, and its poses to begin with.
        points: of its surface.
    """

    kind = "avatar"
    config_class = AvatarConfig
    config: AvatarConfig
    offers = GAUSSIAN_CHANNELS
    pose_groups = ("turns", "shifts")

    def __init__(self, config: AvatarConfig, tracked: TrackedBody, points: SurfacePoints) -> None:
        super().__init__(tracked)
        self.config, self.points = config, points
        self.branch = None if config.branch is None else PoseBranch.of(config.branch, self.body)
        coordinates = points.texels.coordinates
        self.appearance: Appearance
        if isinstance(config.appearance, DecoderConfig):
            self.appearance = AppearanceDecoder(coordinates, config.appearance)
        else:
            self.appearance = AppearanceTable(coordinates, config.branch.channels if config.branch else None)
        self.visibility = TexelVisibility(len(points))
        self.learnt = TexelAttributes(self.appearance, self.visibility, points)

    @classmethod
    def memory(cls, config: AvatarConfig) -> int:  # type: ignore[override]
        """Bytes of the texels of a texture that is filled as usual, and of what decodes them."""
        return config.memory()

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> AvatarScene:
        """Grey Gaussians on the surface of the seed's body.

        Raises:
            ConfigError: the seed has no body.
            InvalidInputError: the body has no surface.
        """
        config = parse(AvatarConfig, spec, "scene")
        if seed.body is None:
            raise ConfigError("an avatar begins from a body", "Run `a4d estimate-pose WORKSPACE --method body` first")
        animated = seed.body.animated
        tracked = replace(seed.body, animated=replace(animated, body=with_own_texture(animated.body)))
        body = tracked.animated.body
        scene = cls(config, tracked, SurfacePoints(body, visible_texels(body, config.texels)))
        scene.initialise(generator)
        return scene

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> AvatarScene:
        """The same avatar with other settings; one that had no branch for poses begins it without any effect.

        Raises:
            ConfigError: the other is no avatar, or the settings would make other Gaussians or another decoder of it.
        """
        if not isinstance(start, cls):
            raise cannot_become(start, cls)
        config = parse(AvatarConfig, overlaid(plain(start.config), over), "scene")
        if (config.texels, config.appearance) != (start.config.texels, start.config.appearance):
            raise ConfigError("an avatar keeps its texels and the kind of its appearance", "Leave them out of `scene`")
        return start.changed(config, start.tracked, generator)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw what is random."""
        self.appearance.initialise(generator)
        if self.branch is not None:
            self.branch.initialise(generator)

    def attributes(self, time: float = 0.0) -> SurfaceAttributes:
        """What is learnt of the texels, in the pose of a time in [0, 1]; see `TexelAttributes`."""
        moment = None if self.branch is None else time
        return self.learnt.at(moment, lambda: self._pose_features(time), learning_parameters(self))

    def _pose_features(self, time: float) -> Tensor | None:
        if self.branch is None:
            return None
        local = self.poses.without_root(self.poses.parent_from_joint([time])[0].detach())
        features: Tensor = self.branch(self.poses.posed_from_rest(local))
        return features

    def features(self, time: float = 0.0) -> Mapping[str, Tensor]:
        """The decoder's map, and the pose's."""
        found = {"appearance": self.appearance.features, "pose": self._pose_features(time)}
        return {name: value for name, value in found.items() if value is not None}

    def neighbours(self) -> Tensor:
        """(N, 6) int64."""
        return self.points.neighbours

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The Gaussians in the pose of a time in [0, 1]."""
        return self._posed(time).gaussians

    def _posed(self, time: float, transforms: Tensor | None = None) -> PosedGaussians:
        config, moved = self.config, self.transforms(time) if transforms is None else transforms
        return posed_gaussians(
            self.points, self.attributes(time), moved, size=config.size, sizes=config.sizes, opacity=config.opacity
        )

    @torch.no_grad()
    def skinned_gaussians(self) -> SkinnedGaussians:
        """The Gaussians of the first moment with all joints at rest."""
        at_rest = torch.eye(4, device=self.points.positions.device).expand(len(self.skeleton), 4, 4)
        return SkinnedGaussians(self._posed(0.0, at_rest).gaussians, self.points.weights)

    @torch.no_grad()
    def skinned_asset(self, options: AssetOptions) -> Asset:
        """The body's mesh in the Gaussians' clothes; see `a4d.scenes.avatar.asset`."""
        deviations = self.skinned_gaussians().gaussians.scales[:, 0]
        dressed = DressedSurface(self.body, self.points, self.attributes(), deviations, self.footprint)
        return dressed.asset(self.motion(options.times), options)

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """Splat the Gaussians of each view's time; without times those of the first moment.

        While something learns, texels that face away are left out, and it is noted which are seen.
        """
        self.require_channels(wants)
        colour = torch.zeros(3) if background is None else background
        colours = colour.to(self.points.positions.device).expand(len(cameras), 3).split(1)
        is_learning, renders = any(learning_parameters(self) or ()), []
        for (pose, camera), behind in zip(self._views(cameras, times), colours, strict=True):
            kept, shown = None, pose.gaussians
            if is_learning and self.config.culling is not None:
                kept = faces_camera(shown.means.detach(), pose.normals, camera, self.config.culling).nonzero()[:, 0]
                shown = shown[kept]
            render = render_fitted(shown, camera, behind, self.config.footprint, wants)
            if is_learning:
                self.visibility.note(shown.means, camera, render, BEHIND, kept)
            renders.append(replace(render, visible=None))
        return concatenated(renders)

    def render_surface(self, cameras: Cameras, times: Tensor | None = None) -> Render:
        """Depth on the first surface; see `a4d.render.footprint.render_layered`."""
        footprint = self.config.footprint
        views = self._views(cameras, times)
        return concatenated([render_layered(pose.gaussians, camera, footprint) for pose, camera in views])

    def _views(self, cameras: Cameras, times: Tensor | None) -> list[tuple[PosedGaussians, Cameras]]:
        """The avatar as each view sees it, and the view's single camera; views of one time share a pose."""
        wanted = [0.0] * len(cameras) if times is None else [float(time) for time in times]
        made = {time: self._posed(time) for time in dict.fromkeys(wanted)}
        device = self.points.positions.device
        return [(made[time], cameras[index : index + 1].to(device)) for index, time in enumerate(wanted)]

    def mesh(self, time: float = 0.0) -> Mesh:
        """The body in the pose of a time, each vertex in the colour of the nearest texel."""
        mesh = self.body_mesh(time)
        colours = self.attributes(time).colours[self._nearest_texels.to(mesh.vertices.device)].clamp(0, 1)
        return Mesh(mesh.vertices, mesh.faces, colours)

    @cached_property
    def _nearest_texels(self) -> Tensor:
        return self.points.nearest_to(self.body.rest()[0])[:, 0]

    @property
    def footprint(self) -> float | None:
        """As configured, or that of the first views."""
        return self.config.footprint

    def see_pixels(self, size: float) -> None:
        """Take over the size of pixels where none is known yet."""
        if self.footprint is None:
            self.config = self.config.model_copy(update={"footprint": size})

    def with_motion(self, motion: Motion) -> AvatarScene:
        """The same avatar in the motion of something else; see `TrackedBody.driven`."""
        return self._posed_as(self.tracked.driven(motion))

    def in_poses_of(self, tracked: TrackedBody) -> AvatarScene:
        """The same avatar as another body of the same joints stands; see `TrackedBody.in_poses_of`."""
        return self._posed_as(self.tracked.in_poses_of(tracked))

    def _posed_as(self, tracked: TrackedBody) -> AvatarScene:
        posed = self.changed(self.config, tracked)
        posed.learnt.baked = self.learnt.baked
        posed.hold_all_but(())
        return posed.to(self.points.positions.device)

    def changed(
        self, config: AvatarConfig, tracked: TrackedBody, generator: torch.Generator | None = None
    ) -> AvatarScene:
        """The same avatar under other settings, or in other poses.

        Args:
            config: of the same texels.
            tracked: the same body; if these are other poses, they are taken as they are.
            generator: of what is new, on the CPU.
        """
        scene = type(self)(config, tracked, self.points)
        if generator is not None:
            scene.initialise(generator)
        wanted = {name: value.shape for name, value in scene.state_dict().items()}
        kept = {name: value for name, value in self.state_dict().items() if wanted.get(name) == value.shape}
        if tracked is not self.tracked:
            kept = {name: value for name, value in kept.items() if not name.startswith(POSES)}
        scene.load_state_dict(kept, strict=False)
        return scene

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Those of the appearance, of the branch for poses, and the poses: a row per moment."""
        table = {name: list(parameters) for name, parameters in self.poses.table.groups().items()}
        branch = {} if self.branch is None else {"pose_encoder": list(self.branch.parameters())}
        return {**self.appearance.groups(), **branch, **table}

    def after_step(self, step: int, optimisers: Optimisers, generator: torch.Generator) -> None:
        """Forget what was made of the former parameters."""
        self.learnt.forget()

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Take over a checkpoint's state."""
        super().restore(state, step)
        self.learnt.forget(is_baked_kept=step == 0)

    def facts(self) -> dict[str, float]:
        """The number of Gaussians, and the share of them that views have shown."""
        return {"gaussians": len(self.points), "seen": float(self.visibility.is_known.float().mean())}

    @torch.no_grad()
    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors`, `body.npz` as it was fitted, and, at time 0, `gaussians.ply`."""
        baked = self.attributes() if self.branch is None else None
        StoredAvatar(self.config, self.fitted(), self.points, self.state_dict(), baked).write(folder)
        write_gaussian_ply(folder / "gaussians.ply", self.gaussians().to("cpu"), up="y")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> AvatarScene:
        """Read what `save` wrote; nothing of it learns until a run says so."""
        stored = StoredAvatar.read(folder, device)
        scene = cls(stored.config, stored.tracked, stored.points).to(device)
        scene.load_state_dict(stored.state)
        scene.learnt.baked = stored.baked
        scene.hold_all_but(())
        return scene
