"""export: a scene as the files that other programs open, each read back and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from a4d.config import Config
from a4d.contents.exports import WRITERS, Job, write_exports
from a4d.intake.settings import AxisName, axis_named
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.contents.joint_pairs import Lender
    from a4d.export.films import Film
    from a4d.export.subject import Subject
    from a4d.geometry.deformation.skeleton import Motion
    from a4d.workspace.record import Record

BACKGROUNDS = {"white": 1.0, "grey": 0.5, "black": 0.0}

TEXEL_BYTES = 64
"""Of a texture while it is baked, at the least: which face lies there, where on it, and its colours."""


class Export(Config):
    """What is written, and how fine."""

    formats: str = Field(
        default="auto",
        description="comma-separated: glb, obj, ply, splat, obj-sequence, ply-sequence, canonical, joints, mp4, "
        "gif, webp, png; auto is glb, mp4 and, of Gaussians, ply and splat",
    )
    from_scene: str | None = Field(
        default=None, description="the scene to export; the newest if not given, or the mesh that was given if none"
    )
    stem: str | None = Field(
        default=None,
        pattern=r"^[^\W_][\w.-]*$",
        max_length=100,
        description="name of the files without a suffix; the workspace's if not given, before that of a run (--name)",
    )
    resolution: int | None = Field(
        default=None,
        ge=16,
        le=512,
        description="cells along a side when a mesh is extracted; unset, 160, or as fine as photographs, to 256",
    )
    surface: Literal["fused", "poisson"] = Field(default="fused", description="how a mesh is made; poisson by Open3D")
    faces: int | None = Field(default=None, ge=16, le=2_000_000, description="at most, of a mesh that is made here")
    texture: int | None = Field(
        default=None,
        ge=0,
        le=8192,
        description="pixels of a baked picture, 0 for vertex colours; unset, as fine as a still scene's pictures or a "
        "film's frames",
    )
    animation: Literal["morph", "bones"] = Field(
        default="morph", description="how a GLB file stores a motion that is not one of joints"
    )
    tolerance: float = Field(default=1e-3, ge=0, description="metres by which leaving out frames may move a vertex")
    bones: int = Field(default=24, ge=1, le=256, description="at most, with --animation bones")
    moments: int | None = Field(
        default=None, ge=1, le=10_000, description="frames of a moving scene; the clip's if not given"
    )
    clip: str | None = Field(
        default=None, description="name or number of a given mesh's animation to sample; the first if not given"
    )
    motion: Path | None = Field(
        default=None,
        description="move the joints of the scene or the given mesh as another body does: a .bvh, .glb or .gltf file, "
        "AMASS's .npz, a body.npz, or a workspace",
    )
    motion_clip: str | None = Field(
        default=None, description="name or number of the animation there; the first if not given"
    )
    motion_up: AxisName | None = Field(
        default=None, description="axis that points up there; found in .bvh and .npz, else +y"
    )
    motion_front: AxisName | None = Field(
        default=None, description="axis that points to the front there; found in .bvh, else +z"
    )
    motion_root: Literal["travel", "stay"] | None = Field(
        default=None, description="stay keeps the hips, or the root, above the place where it begins; else travel"
    )
    joints: Path | None = Field(
        default=None,
        description="YAML file that pairs joints whose names say nothing: a line `JOINT: JOINT OF THE MOTION` each; "
        "--formats joints begins one",
    )
    frame: Literal["source", "world"] = Field(
        default="source", description="axes, size and place: those of the mesh that was given, or the workspace's"
    )
    up: Literal["y", "-y", "z", "-z"] | None = Field(
        default=None, description="axis that points up; -y in files of Gaussians and y in those of meshes if not given"
    )
    scale: float = Field(default=1.0, gt=0, description="applied to meshes and Gaussians")
    films: str = Field(
        default="auto",
        description="comma-separated: turntable, sweep (the clip from one side), orbit (all around), grid (from four)",
    )
    frames: int = Field(default=72, ge=1, le=10_000, description="pictures of one turn")
    fps: float | None = Field(default=None, gt=0, le=1000, description="frames per second; the clip's, else 24")
    size: int = Field(default=512, ge=16, le=4096, description="pixels of a picture's side")
    elevation: float = Field(default=15.0, ge=-90, le=90, description="degrees above the subject")
    azimuth: float = Field(default=0.0, description="degrees from the front where a turn begins, and of a sweep")
    background: Literal["white", "grey", "black"] = Field(default="white", description="behind the subject in videos")

    @field_validator("up", mode="before")
    @classmethod
    def _without_plus(cls, value: Any) -> Any:
        return value.removeprefix("+") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_motion(self) -> Export:
        for key in ("motion_clip", "motion_up", "motion_front", "joints"):
            if getattr(self, key) is not None and self.motion is None:
                raise ValueError(f"{key}: there is no motion that it would be about; give `motion`")
        if self.motion is not None and self.clip is not None:
            raise ValueError("clip and motion both say how the mesh moves; give one of them")
        return self

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: str) -> str:
        return _listed(value, "format", WRITERS)

    @field_validator("films")
    @classmethod
    def _known_films(cls, value: str) -> str:
        return _listed(value, "film", ("turntable", "sweep", "orbit", "grid"))


def _listed(value: str, what: str, known: Collection[str]) -> str:
    names = [name.strip().lower().lstrip(".") for name in value.split(",") if name.strip()]
    if names == ["auto"]:
        return "auto"
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"unknown {what} {', '.join(unknown) or value!r}; choose from {', '.join(known)}")
    return ",".join(dict.fromkeys(names))


def memory(config: Export) -> list[Demand]:
    """The texture that is baked, of about 1024 pixels where its size is not said, and a picture of a film."""
    texture = TEXEL_BYTES * (config.texture or 1024) ** 2
    return [Demand("texture", texture, on_device=False), Demand("size", PICTURE_PIXEL * config.size**2)]


def run(work: Transaction, config: Export, runtime: Runtime) -> dict[str, Any]:
    """Write every format that was asked for."""
    from a4d.export.films import Shot

    shot = Shot(
        config.frames, config.fps or 24.0, config.size, config.elevation, config.azimuth, BACKGROUNDS[config.background]
    )
    films = None if config.films == "auto" else tuple(cast("list[Film]", config.films.split(",")))
    motion, joints = _motion(config), _joints(config)
    shown = subject(work.workspace, config, runtime.device, None if config.formats == "joints" else motion, joints)
    job = Job(shown, _stem(work.workspace, config, work.name), work, shot, films, _lender(config, motion, joints))
    return write_exports(job, None if config.formats == "auto" else config.formats.split(","))


def _stem(workspace: Workspace, config: Export, run: str) -> str:
    return config.stem or workspace.name + ("" if run == STAGE.name else f"-{run}")


def outdated(workspace: Workspace, config: Export, record: Record) -> list[str]:
    """Files that bear the workspace's name are made anew where it has been renamed."""
    stem = _stem(workspace, config, record.name)
    return [] if record.metrics.get("stem", stem) == stem else [f"the workspace is now called {workspace.name}"]


def subject(
    workspace: Workspace, config: Export, device: str, motion: Motion | None, joints: Mapping[str, str] | None
) -> Subject:
    """What is exported, as the configuration says; with the motion of something else, paired by these joints."""
    from a4d.contents.subjects import SubjectRequest, load_subject
    from a4d.export.surface_options import SurfaceOptions
    from a4d.geometry.assets.animating import AnimationOptions

    animation = AnimationOptions(config.animation, config.tolerance, config.bones)
    surface = SurfaceOptions(config.resolution, config.texture or None, None, config.surface, config.faces, animation)
    request = SubjectRequest(
        scene=config.from_scene,
        is_posed=config.motion is not None,
        motion=motion,
        clip=config.clip,
        joints=joints,
        stays=config.motion_root == "stay",
        moments=config.moments,
        fps=config.fps,
        frame=config.frame,
        up=config.up,
        scale=config.scale,
        surface=surface,
        is_textured=config.texture is None,
    )
    return load_subject(workspace, request, device)


def _joints(config: Export) -> dict[str, str] | None:
    if config.joints is None:
        return None
    from a4d.contents.joint_pairs import load_joints

    return load_joints(config.joints)


def _lender(config: Export, motion: Motion | None, joints: dict[str, str] | None) -> Lender | None:
    if motion is None or config.motion is None:
        return None
    from a4d.contents.joint_pairs import Lender

    return Lender(config.motion.name, motion.skeleton, joints or {})


def _motion(config: Export) -> Motion | None:
    if config.motion is None:
        return None
    from a4d.contents.motions import MotionSource, load_motion
    from a4d.geometry.assets.placement import Orientation

    orientation = None
    if config.motion_up is not None or config.motion_front is not None:
        up = axis_named(config.motion_up) or "+y"
        orientation = Orientation(up, axis_named(config.motion_front) or ("-y" if up == "+z" else "+z"))
    return load_motion(MotionSource(config.motion, config.motion_clip, orientation))


def inputs(workspace: Workspace, config: Export) -> list[Path]:
    """The scene with its cameras and the picture or film of it, or the mesh that was given, and what moves it."""
    from a4d.contents.subjects import is_given_mesh

    if is_given_mesh(workspace, config.from_scene, is_posed=config.motion is not None):
        shown = [workspace.path / "source"]
    else:
        source = workspace.metadata.source
        of_picture = ("images", "source") if source is not None and source.kind == "image" else ()
        of_film = ("images",) if source is not None and source.kind in ("video", "capture") else ()
        named = [workspace.path / name for name in ("transforms.json", *of_picture, *of_film)]
        shown = [workspace.scene(config.from_scene), *named]
    if config.motion is None:
        return shown
    from a4d.contents.motions import motion_files

    return [*shown, *motion_files(config.motion), *([] if config.joints is None else [config.joints])]


STAGE = Stage(
    name="export",
    summary="Write a scene as GLB, OBJ, Gaussian PLY, .splat, file sequences, films or pictures.",
    example="a4d export photo.a4d --formats glb,ply,mp4",
    config=Export,
    run=run,
    inputs=inputs,
    outdated=outdated,
    needs=("preprocess", "estimate-pose", "fit-static"),
    writes=("exports",),
    memory=memory,
    memory_knobs=("resolution", "size", "texture"),
    code_version=11,
)
