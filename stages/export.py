"""export: a scene as the files that other programs open, each read back and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from a4d.config import Config
from a4d.errors import QualityError
from a4d.runtime import Runtime
from a4d.workspace.stage import Stage
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from a4d.geometry.mesh import Mesh
    from a4d.scenes.scene import Scene

LOWEST_PSNR = 40.0
"""dB that a Gaussian file must keep when it is read back and rendered."""

BACKGROUNDS = {"white": 1.0, "grey": 0.5, "black": 0.0}


class Export(Config):
    """What is written, and how fine."""

    formats: str = Field(
        default="auto",
        description="comma-separated: glb, obj, ply, splat, mp4, gif, webp, png; auto leaves obj, gif, webp, png out",
    )
    from_scene: str | None = Field(default=None, description="the scene to export; the newest if not given")
    resolution: int = Field(default=160, ge=16, le=512, description="cells along a side when a mesh is extracted")
    frames: int = Field(default=72, ge=1, description="pictures of one turn")
    fps: float = Field(default=24.0, gt=0, description="frames per second of videos")
    size: int = Field(default=512, ge=16, le=4096, description="pixels of a picture's side")
    elevation: float = Field(default=15.0, ge=-90, le=90, description="degrees above the subject")
    background: Literal["white", "grey", "black"] = Field(default="white", description="behind the subject in videos")

    @field_validator("formats")
    @classmethod
    def _known(cls, value: str) -> str:
        names = [name.strip().lower().lstrip(".") for name in value.split(",") if name.strip()]
        if names == ["auto"]:
            return "auto"
        unknown = [name for name in names if name not in WRITERS]
        if unknown or not names:
            raise ValueError(f"unknown format {', '.join(unknown) or value!r}; choose from {', '.join(WRITERS)}")
        return ",".join(dict.fromkeys(names))


@dataclass
class Job:
    """One scene on its way out; what several formats share is made once.

    Args:
        scene: what is exported.
        config: formats and sizes.
        stem: the exports' name without a suffix.
        work: where outputs are staged.
    """

    scene: Scene
    config: Export
    stem: str
    work: Transaction

    def path(self, suffix: str) -> Path:
        """Where a file of this suffix is staged."""
        return self.work.output(f"exports/{self.stem}{suffix}")

    @cached_property
    def mesh(self) -> Mesh:
        """The scene's own mesh, or one extracted from its renders."""
        from a4d.scenes.extraction import extract_surface

        own = self.scene.mesh()
        return own if own is not None else extract_surface(self.scene, resolution=self.config.resolution)

    def pictures(self) -> Iterator[NDArray[np.float32]]:
        """(H, W, 4) of one turn, with straight alpha."""
        import torch

        from a4d.scenes.extraction import extent, turntable_cameras

        device = next(self.scene.parameters()).device
        cameras = turntable_cameras(extent(self.scene), self.config.frames, self.config.elevation, self.config.size)
        with torch.no_grad():
            for index in range(len(cameras)):
                render = self.scene.render(cameras[index].to(device))
                straight = render.rgb / render.alpha.clamp_min(1e-3)
                yield torch.cat([straight, render.alpha], dim=-1)[0].clamp(0, 1).cpu().numpy()


def run(work: Transaction, config: Export, runtime: Runtime) -> dict[str, Any]:
    """Write every format that was asked for."""
    from a4d.scenes import load_scene

    folder = work.workspace.scene(config.from_scene)
    job = Job(load_scene(folder, runtime.device), config, work.workspace.metadata.name, work)
    formats = config.formats
    if formats == "auto":
        formats = "glb,mp4" if job.scene.gaussians() is None else "glb,ply,splat,mp4"
    metrics: dict[str, Any] = {}
    for name in formats.split(","):
        metrics.update(WRITERS[name](job))
    return metrics


def write_glb_mesh(job: Job) -> dict[str, Any]:
    """A mesh with vertex colours for Blender, game engines and web viewers."""
    from a4d.io.glb import write_glb

    return _write_mesh(job, ".glb", write_glb)


def write_obj_mesh(job: Job) -> dict[str, Any]:
    """A mesh with vertex colours for everything else."""
    from a4d.io.obj import write_obj

    return _write_mesh(job, ".obj", write_obj)


def _write_mesh(job: Job, suffix: str, write: Callable[[Path, Mesh], None]) -> dict[str, Any]:
    import trimesh

    path = job.path(suffix)
    write(path, job.mesh)
    back = trimesh.load_mesh(path, process=False)
    if len(back.faces) != len(job.mesh.faces):
        raise QualityError(f"{path.name} reads back with {len(back.faces)} of {len(job.mesh.faces)} faces")
    return {"faces": len(job.mesh.faces), "closed": job.mesh.is_closed}


def write_gaussian_file(job: Job, suffix: str) -> dict[str, Any]:
    """Gaussians for splat viewers, re-rendered from the file."""
    import torch

    from a4d.io.gaussian_ply import write_gaussian_ply
    from a4d.io.gaussian_reader import read_gaussians
    from a4d.io.splat import write_splat
    from a4d.metrics import psnr
    from a4d.render.gaussians import render_gaussians
    from a4d.scenes.extraction import extent, turntable_cameras

    gaussians = job.scene.gaussians()
    if gaussians is None:
        raise QualityError(f"a scene of kind '{job.scene.kind}' has no Gaussians", f"Leave {suffix} out of --formats")
    gaussians = gaussians.detach().to("cpu")
    path = job.path(suffix)
    (write_gaussian_ply if suffix == ".ply" else write_splat)(path, gaussians)
    cameras = turntable_cameras(extent(job.scene), 4, job.config.elevation, 256)
    with torch.no_grad():
        degree = 0 if suffix == ".splat" else None
        before = render_gaussians(gaussians, cameras, sh_degree=degree).rgb
        quality = psnr(render_gaussians(read_gaussians(path), cameras, sh_degree=degree).rgb, before)
    lowest = LOWEST_PSNR if suffix == ".ply" else 30.0
    if quality < lowest:
        raise QualityError(f"{path.name} re-renders at {quality:.1f} dB, less than {lowest:.0f} dB")
    return {f"{suffix[1:]}_psnr": min(quality, 99.0), "gaussians": len(gaussians)}


def write_turntable(job: Job, suffix: str) -> dict[str, Any]:
    """One turn as a film."""
    from a4d.io.video import read_video, write_video

    path, level = job.path(suffix), BACKGROUNDS[job.config.background]
    write_video(path, job.pictures(), job.config.fps, (level,) * 3)
    count = sum(1 for _ in read_video(path).frames)
    if count != job.config.frames:
        raise QualityError(f"{path.name} reads back with {count} of {job.config.frames} frames")
    return {"turntable_frames": count}


def write_pictures(job: Job) -> dict[str, Any]:
    """One turn as numbered RGBA pictures."""
    from a4d.io.images import read_image, write_image

    folder = job.work.replace(f"exports/{job.stem}_frames")
    for index, picture in enumerate(job.pictures()):
        write_image(folder / f"{index:05d}.png", picture)
    shape = read_image(folder / "00000.png").shape
    if shape != (job.config.size, job.config.size, 4):
        raise QualityError(f"{folder.name}/00000.png reads back with shape {shape}")
    return {"pictures": job.config.frames}


WRITERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "glb": write_glb_mesh,
    "obj": write_obj_mesh,
    "ply": lambda job: write_gaussian_file(job, ".ply"),
    "splat": lambda job: write_gaussian_file(job, ".splat"),
    "mp4": lambda job: write_turntable(job, ".mp4"),
    "gif": lambda job: write_turntable(job, ".gif"),
    "webp": lambda job: write_turntable(job, ".webp"),
    "png": write_pictures,
}


def inputs(workspace: Workspace, config: Export) -> list[Path]:
    """The scene."""
    return [workspace.scene(config.from_scene)]


STAGE = Stage(
    name="export",
    summary="Write a scene as GLB, OBJ, Gaussian PLY, .splat, turntable films or pictures.",
    example="a4d export photo.a4d --formats glb,ply,mp4",
    config=Export,
    run=run,
    inputs=inputs,
    needs=("preprocess", "estimate-pose", "fit-static"),
    writes=("exports",),
    memory_knobs=("resolution", "size"),
)
