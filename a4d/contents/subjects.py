"""What a workspace can show or hand on: a scene of its own, or the mesh that it was made from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from a4d.contents.assets import load_asset, world_from_source
from a4d.contents.frames import load_frames, training_cameras
from a4d.contents.front_picture import front_picture
from a4d.contents.surfaces import as_pictures_tell, is_photographed, shows_pictures
from a4d.errors import InvalidInputError
from a4d.export.given_asset import GivenAsset
from a4d.export.moments import Moments
from a4d.export.subject import Subject
from a4d.export.surface_options import SurfaceOptions
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.file_frames import UpAxis, frame_of_files
from a4d.geometry.assets.left_out import unshown_clips
from a4d.geometry.assets.placement import placed
from a4d.geometry.deformation.in_place import in_place
from a4d.geometry.deformation.joint_names import paired, require_acquainted
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.io.assets.asset_reader import read_asset
from a4d.io.captures.capture import CaptureChoice
from a4d.io.captures.transforms_json import read_transforms
from a4d.scenes import load_scene
from a4d.scenes.protocols import Articulated, Moving, Posable
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.workspace.files import is_below
from a4d.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

SEEN_FROM = 32
"""Cameras of photographs, at most, from which a scene's colours are taken."""

OBSERVING = ("fit-dynamic", "refine")
"""Stages that fit a scene to the frames of its workspace."""

FPS = 24.0
MOMENTS = 24
"""At which a moving scene is sampled where the workspace does not tell how many frames its clip has."""


@dataclass(frozen=True)
class SubjectRequest:
    """Which subject, when, and in what frame.

    Args:
        scene: name of the scene; None is the newest, or the given mesh where there is no scene.
        is_posed: whether its joints are asked for: the given mesh then comes before the newest scene.
        motion: of something else, with which its joints move instead.
        joints: the joint of that motion that moves each of its own joints, by names; None is by what names tell.
        stays: whether its motion, or that of something else, is on the spot.
        clip: name of the given mesh's animation; None is its first.
        moments: how many; None is as many as the clip has frames.
        fps: frames per second; None is the clip's.
        frame: "source" has the axes, size and place of the mesh that was given.
        up: axis that points up in the result; None is the custom of each format.
        scale: applied in the end.
        surface: how a scene becomes a surface.
        is_textured: whether the surface of a still scene of pictures, or of a film's model, carries one as fine as
            they are.
    """

    scene: str | None = None
    is_posed: bool = False
    motion: Motion | None = None
    joints: Mapping[str, str] | None = None
    stays: bool = False
    clip: str | None = None
    moments: int | None = None
    fps: float | None = None
    frame: Literal["source", "world"] = "world"
    up: UpAxis | None = None
    scale: float = 1.0
    surface: SurfaceOptions = field(default_factory=SurfaceOptions)
    is_textured: bool = False


def is_given_mesh(workspace: Workspace, scene: str | None, is_posed: bool = False) -> bool:
    """Whether the mesh that the workspace was made from stands for a scene: there is none, or joints are asked for."""
    return scene is None and workspace.metadata.asset is not None and (is_posed or not workspace.scenes())


def load_subject(workspace: Workspace, request: SubjectRequest, device: str = "cpu") -> Subject:
    """The scene at the moments of its clip, or the given mesh where there is no scene.

    Raises:
        MissingInputError: there is neither, or no scene of that name.
        UsageError: the given mesh has no clip of that name.
        InvalidInputError: another motion is asked for, or one on the spot, and there are no joints, or too few match.
    """
    subject = _subject(workspace, request, device)
    if not request.stays or request.motion is not None or subject.is_driven:
        return subject
    if subject.posable is None:
        raise InvalidInputError(f"{workspace.path} shows no joints that could stay", "Leave --motion-root out")
    return _subject(workspace, replace(request, motion=subject.posable.motion(subject.moments.times)), device)


def _subject(workspace: Workspace, request: SubjectRequest, device: str) -> Subject:
    name = workspace.name
    if is_given_mesh(workspace, request.scene, request.is_posed):
        in_world = load_asset(workspace)
        in_file = in_world if request.frame == "world" else read_asset(workspace.source_path())
        target_from_frame = frame_of_files(request.up or "y", request.scale)
        in_file = in_file if _is_identity(target_from_frame) else placed(in_file, target_from_frame)
        given = GivenAsset(in_file, in_world, request.clip)
        if request.motion is not None:
            given = given.with_motion(_lent(request, given.skeleton))
        return Subject(name, None, given, _clip_moments(workspace, request, given.sampled_clip), request.surface)
    scene = load_scene(workspace.scene(request.scene), device)
    if request.motion is not None and not isinstance(scene, Articulated):
        scene = _moved(scene, request)
    still = Moments((0.0,), 1 / _fps(workspace, request))
    moments = _scene_moments(workspace, request, scene) if isinstance(scene, Moving) and scene.is_moving else still
    matrix = frame_of_files("y", request.scale)
    if request.frame == "source" and workspace.metadata.asset is not None:
        matrix = matrix @ torch.linalg.inv(world_from_source(workspace))
    frame_from_world = None if _is_identity(matrix) else matrix
    subject = Subject(name, scene, None, moments, request.surface, frame_from_world, request.up, _left_out(workspace))
    if isinstance(scene, Articulated):
        subject = replace(subject, film=_film(workspace, request, scene))
        if request.motion is not None or (request.stays and subject.rig is not None):
            return _driven(subject, workspace, request)
    return _as_pictured(workspace, request, subject) if len(moments.times) == 1 else subject


def _film(workspace: Workspace, request: SubjectRequest, scene: Scene) -> Frames | None:
    """The frames that a scene was fitted to, where it is to carry their looks; None where a prior says how it looks."""
    folder = workspace.scene(request.scene)
    made = workspace.read_records().get(folder.name) if folder.parent == workspace.path / "scenes" else None
    if not (request.is_textured or request.surface.texture) or made is None or made.stage not in OBSERVING:
        return None
    if not any(is_below(item.path, ["images"]) for item in made.inputs):
        return None
    if not made.has_read(workspace.path, ["images", "transforms.json"]):
        logger.warning("the film of %s has changed since: its colours stay as the scene has them", folder.name)
        return None
    frames = load_frames(workspace).seen_by(scene)
    showing = frames.showing()
    return frames.subset(showing) if showing and frames.times is not None else None


def _as_pictured(workspace: Workspace, request: SubjectRequest, subject: Subject) -> Subject:
    """A still subject with the surface, and the texture where it is to carry one, that its pictures tell of."""
    scene = subject.scene
    if scene is None or not shows_pictures(scene):
        return subject
    is_textured = request.is_textured or bool(request.surface.texture)
    picture = front_picture(workspace) if is_textured else None
    surface = as_pictures_tell(workspace, scene, request.surface, picture, is_textured)
    cameras = training_cameras(workspace, SEEN_FROM) if is_textured and is_photographed(workspace) else ()
    return replace(subject, surface_options=surface, front_picture=picture, seen_from=cameras)


def _driven(subject: Subject, workspace: Workspace, request: SubjectRequest) -> Subject:
    """The rigged surface of a scene of loose bones, alone, in another motion: nobody knows its other looks there."""
    rig = subject.posable
    if rig is None:
        raise InvalidInputError("a scene of loose bones without a surface has no skeleton", "Leave --motion out")
    if request.motion is None:
        request = replace(request, motion=rig.motion(subject.moments.times))
    moved = rig.with_motion(_lent(request, rig.skeleton))
    assert isinstance(moved, GivenAsset)
    matrix = subject.mesh_from_world
    given = moved if matrix is None else replace(moved, in_file=placed(moved.in_file, matrix))
    moments = _clip_moments(workspace, request, given.sampled_clip)
    return Subject(subject.name, None, given, moments, request.surface, is_driven=True)


def _lent(request: SubjectRequest, skeleton: Skeleton) -> Motion:
    """The motion that is asked for, its joints named like those that they are to move.

    Raises:
        InvalidInputError: names that were given are of no joint, or those that joints have say nothing.
    """
    assert request.motion is not None
    motion = in_place(request.motion) if request.stays else request.motion
    if request.joints is not None:
        return paired(motion, skeleton, request.joints)
    require_acquainted(motion.skeleton, skeleton)
    return motion


def _moved(scene: Scene, request: SubjectRequest) -> Scene:
    if not isinstance(scene, Posable):
        problem = f"a scene of kind '{scene.kind}' has no skeleton that could move it"
        raise InvalidInputError(problem, "Choose a scene with joints, or leave --from out for the mesh that was given")
    moved = scene.with_motion(_lent(request, scene.skeleton))
    assert isinstance(moved, Scene)
    return moved


def _left_out(workspace: Workspace) -> tuple[str, ...]:
    """What the mesh of a workspace holds and its frames never showed."""
    facts = workspace.metadata.asset
    if facts is None:
        return ()
    shown = [entry.clip for entry in facts.rendered if entry.clip is not None]
    return (*facts.left_out, *unshown_clips([clip.name for clip in facts.clips], shown))


def _is_identity(matrix: Tensor) -> bool:
    return torch.equal(matrix, torch.eye(4, dtype=matrix.dtype))


def _fps(workspace: Workspace, request: SubjectRequest) -> float:
    return request.fps or workspace.metadata.fps or FPS


def _clip_moments(workspace: Workspace, request: SubjectRequest, clip: Clip | None) -> Moments:
    """An animation at an even rate from its beginning to its end."""
    if clip is None or not clip.duration:
        return Moments((0.0,), 1 / _fps(workspace, request))
    count = request.moments or max(2, round(clip.duration * _fps(workspace, request)) + 1)
    return Moments(_even(count), clip.duration / max(1, count - 1))


def _scene_moments(workspace: Workspace, request: SubjectRequest, scene: Moving) -> Moments:
    """The clip at the film's rate where the scene knows its length, else the times of the workspace's frames."""
    if scene.seconds is not None:
        count = request.moments or max(2, round(scene.seconds * (request.fps or FPS)) + 1)
        return Moments(_even(count), scene.seconds / max(1, count - 1), scene.is_periodic)
    path = workspace.path / "transforms.json"
    if request.moments is None and path.is_file():
        stated = read_transforms(path, CaptureChoice(unseen=True)).times
        times = () if stated is None else tuple(sorted(set(stated.tolist())))
        if len(times) > 1:
            return Moments(times, 1 / _fps(workspace, request))
    count = request.moments or workspace.metadata.frame_count or MOMENTS
    return Moments(_even(count), 1 / _fps(workspace, request), scene.is_periodic)


def _even(count: int) -> tuple[float, ...]:
    return tuple(index / max(1, count - 1) for index in range(count))
