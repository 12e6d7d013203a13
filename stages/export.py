"""export: a scene as the files that other programs open, each read back and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from a4d.config import Config
from a4d.intake.settings import AxisName, axis_named
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.running.quality import Gate, judge
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.export.films import Film
    from a4d.export.subject import Subject
    from a4d.geometry.deformation.skeleton import Motion

BACKGROUNDS = {"white": 1.0, "grey": 0.5, "black": 0.0}

AFTER_STEM = r"(_sweep|_orbit|_grid|_canonical)?\.\w+|_(obj|ply)/.+|_.+\.png"
"""What follows the exports' common name, as a regular expression; pictures are also those of materials."""

UNLIKE = 18.0
"""dB below which a mesh does not look like the scene that it was made of."""

REGISTRATION_GATES = (
    Gate(
        "registration_p95",
        1.0,
        5.0,
        "the mesh of one moment does not fit all others: 5 % of a surface is farther off than {value:.1f} % of the "
        "diagonal; the formats obj-sequence and ply-sequence hold every moment's own",
    ),
    Gate(
        "registration_flipped",
        0.01,
        0.05,
        "{value:.1%} of the mesh's faces are turned over at some moment, where its parts come apart or touch",
    ),
    Gate(
        "registration_doubled",
        0.15,
        0.4,
        "some moment lacks {value:.0%} of the mesh, whose parts lie on each other there; the formats obj-sequence and "
        "ply-sequence hold every moment's own",
    ),
)
"""A mesh that was brought to the surfaces of all moments."""

RIG_GATES = (
    Gate(
        "rig_mean", 0.003, 0.03, "the joints of the file take its surface {value:.2%} of the diagonal off the scene's"
    ),
    Gate("rig_p99", 0.015, 0.15, "the joints of the file take parts of its surface {value:.1%} of the diagonal off"),
)
"""A surface whose joints tell the motion of loose bones."""

OF_GAUSSIANS = ("canonical", "ply", "splat")
"""Formats that are refused where there are none, which come first: nothing has been made for nothing then."""

TEXEL_BYTES = 64
"""Of a texture while it is baked, at the least: which face lies there, where on it, and its colours."""


class Export(Config):
    """What is written, and how fine."""

    formats: str = Field(
        default="auto",
        description="comma-separated: glb, obj, ply, splat, obj-sequence, ply-sequence, canonical, mp4, gif, webp, "
        "png; auto is glb, mp4 and, of Gaussians, ply and splat",
    )
    from_scene: str | None = Field(
        default=None, description="the scene to export; the newest if not given, or the mesh that was given if none"
    )
    stem: str | None = Field(
        default=None,
        pattern=r"^[^\W_][\w.-]*$",
        max_length=100,
        description="name of the files without a suffix; the workspace's if not given",
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
        description="pixels of a baked picture, 0 for vertex colours; unset, as fine as a still scene's pictures",
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
        description="YAML file that pairs joints whose names say nothing: a line `JOINT: JOINT OF THE MOTION` each",
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


@dataclass(frozen=True)
class Job:
    """What is written of a subject.

    Args:
        subject: the scene or the asset.
        config: formats and sizes.
        stem: the exports' name without a suffix.
        work: where outputs are staged.
    """

    subject: Subject
    config: Export
    stem: str
    work: Transaction

    def path(self, suffix: str) -> Path:
        """Where a file of this suffix is staged."""
        return self.work.output(f"exports/{self.stem}{suffix}")

    def folder(self, suffix: str) -> Path:
        """Where a folder of files is staged."""
        return self.work.replace(f"exports/{self.stem}_{suffix}")


def memory(config: Export) -> list[Demand]:
    """The texture that is baked, of about 1024 pixels where its size is not said, and a picture of a film."""
    texture = TEXEL_BYTES * (config.texture or 1024) ** 2
    return [Demand("texture", texture, on_device=False), Demand("size", PICTURE_PIXEL * config.size**2)]


def run(work: Transaction, config: Export, runtime: Runtime) -> dict[str, Any]:
    """Write every format that was asked for."""
    stem = config.stem or work.workspace.name
    job = Job(subject(work.workspace, config, runtime.device), config, stem, work)
    formats = config.formats
    if formats == "auto":
        formats = "glb,ply,splat,mp4" if job.subject.has_gaussians else "glb,mp4"
    metrics: dict[str, Any] = {}
    for name in sorted(formats.split(","), key=lambda name: name not in OF_GAUSSIANS):
        metrics.update(WRITERS[name](job))
    _warn_of_left_out(job, formats.split(","))
    return metrics


def _warn_of_left_out(job: Job, formats: list[str]) -> None:
    from a4d.export.left_out import lacking
    from a4d.geometry.assets.left_out import left_out_warning

    source = job.work.workspace.metadata.source
    name = Path(source.path).name if source else job.stem
    warning = left_out_warning(name, {format_: lacking(job.subject, format_) for format_ in formats})
    if warning is not None:
        job.work.warn(warning)


def outdated(workspace: Workspace, config: Export, outputs: list[str]) -> list[str]:
    """Files that bear the workspace's name are made anew where it has been renamed."""
    stem = config.stem or workspace.name
    is_named_so = re.compile(re.escape(f"exports/{stem}") + f"({AFTER_STEM})").fullmatch
    return [] if all(map(is_named_so, outputs)) else [f"the workspace is now called {stem}"]


def subject(workspace: Workspace, config: Export, device: str) -> Subject:
    """What is exported, as the configuration says."""
    from a4d.contents.motions import load_joints
    from a4d.contents.subjects import SubjectRequest, load_subject
    from a4d.export.surface_options import SurfaceOptions
    from a4d.geometry.assets.animating import AnimationOptions

    animation = AnimationOptions(config.animation, config.tolerance, config.bones)
    surface = SurfaceOptions(config.resolution, config.texture or None, None, config.surface, config.faces, animation)
    request = SubjectRequest(
        scene=config.from_scene,
        is_posed=config.motion is not None,
        motion=_motion(config),
        clip=config.clip,
        joints=None if config.joints is None else load_joints(config.joints),
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


def write_glb(job: Job) -> dict[str, Any]:
    """Blender, game engines and web viewers: materials, pictures and motion in one file."""
    from a4d.export.surfaces import write_glb

    facts = write_glb(job.path(".glb"), job.subject)
    if not job.subject.has_fixed_topology and job.subject.registration is None:
        job.work.warn(
            f"{job.stem}.glb holds the first moment alone, because the surface's faces change over time; "
            "the formats obj-sequence and ply-sequence hold them all"
        )
    judge(job.work, facts, (*REGISTRATION_GATES, *RIG_GATES))
    if facts.get("glb_psnr", UNLIKE) < UNLIKE:
        job.work.warn(
            f"{job.stem}.glb looks unlike the scene ({facts['glb_psnr']:.1f} dB); a higher --resolution may help"
        )
    return facts


def write_obj(job: Job) -> dict[str, Any]:
    """Everything else: the first moment, with pictures beside it or vertex colours."""
    from a4d.export.surfaces import write_obj_file

    return write_obj_file(job.path(".obj"), job.subject)


def write_sequence(job: Job, suffix: Literal[".obj", ".ply"]) -> dict[str, Any]:
    """A file per moment; PLY files of Gaussians where the scene has any."""
    from a4d.export.splats import write_gaussian_files
    from a4d.export.surfaces import write_sequence

    folder = job.folder(suffix[1:])
    if suffix == ".ply" and job.subject.has_gaussians:
        return write_gaussian_files(folder, job.subject)
    return write_sequence(folder, job.subject, suffix)


def write_gaussians(job: Job, suffix: str) -> dict[str, Any]:
    """Splat viewers: the first moment."""
    from a4d.export.splats import write_gaussian_file

    return write_gaussian_file(job.path(suffix), job.subject)


def write_canonical(job: Job) -> dict[str, Any]:
    """Programs that pose Gaussians themselves: those of the rest pose, and a table of weights, joints and motion."""
    from a4d.export.canonical import write_canonical

    path = job.path("_canonical.ply")
    job.path("_canonical.npz")
    return write_canonical(path, job.subject)


def write_films(job: Job, suffix: str) -> dict[str, Any]:
    """NAME.mp4 turns; NAME_sweep.mp4, NAME_orbit.mp4, NAME_grid.mp4 show the clip. For `png`, folders of pictures."""
    from a4d.export.films import Shot, write_film, write_pictures

    config = job.config
    fps = config.fps or 24.0
    background = BACKGROUNDS[config.background]
    shot = Shot(config.frames, fps, config.size, config.elevation, config.azimuth, background)
    names = config.films
    if names == "auto":
        names = "turntable,sweep,grid" if job.subject.is_moving else "turntable"
    facts: dict[str, Any] = {}
    for film in cast("list[Film]", names.split(",")):
        title = "" if film == "turntable" else f"_{film}"
        if suffix == ".png":
            facts |= write_pictures(job.folder(f"{title[1:]}_frames".strip("_")), film, job.subject, shot)
        else:
            facts |= write_film(job.path(f"{title}{suffix}"), film, job.subject, shot)
    return facts


WRITERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "glb": write_glb,
    "obj": write_obj,
    "ply": lambda job: write_gaussians(job, ".ply"),
    "splat": lambda job: write_gaussians(job, ".splat"),
    "obj-sequence": lambda job: write_sequence(job, ".obj"),
    "ply-sequence": lambda job: write_sequence(job, ".ply"),
    "canonical": write_canonical,
    "mp4": lambda job: write_films(job, ".mp4"),
    "gif": lambda job: write_films(job, ".gif"),
    "webp": lambda job: write_films(job, ".webp"),
    "png": lambda job: write_films(job, ".png"),
}


def inputs(workspace: Workspace, config: Export) -> list[Path]:
    """The scene with its cameras and the one picture of it, or the mesh that was given, and what moves it."""
    from a4d.contents.subjects import is_given_mesh

    if is_given_mesh(workspace, config.from_scene, is_posed=config.motion is not None):
        shown = [workspace.path / "source"]
    else:
        source = workspace.metadata.source
        of_picture = ("images", "source") if source is not None and source.kind == "image" else ()
        named = [workspace.path / name for name in ("transforms.json", *of_picture)]
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
    code_version=8,
)
