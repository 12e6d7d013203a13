"""The files of a workspace's `exports/`: what writes each format, and when they are doubted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from a4d.errors import UsageError
from a4d.running.quality import Gate, judge
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from a4d.contents.joint_pairs import Lender
    from a4d.export.films import Film, Shot
    from a4d.export.subject import Subject

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

STRETCH_GATES = (
    Gate(
        "stretched", 0.03, 0.08,
        "{value:.0%} of the surface is pulled apart by its joints: look whether --joints pairs them rightly",
    ),
)  # fmt: skip
"""By their own clips bodies have less than one in a hundred; wrongly paired joints tear one in ten."""

OF_GAUSSIANS = ("canonical", "ply", "splat")
"""Formats that are refused where there are none, which come first: nothing has been made for nothing then."""


@dataclass(frozen=True)
class Job:
    """What is written of a subject.

    Args:
        subject: the scene or the asset.
        stem: the exports' name without a suffix.
        work: where outputs are staged.
        shot: how films show it.
        films: which; None are those that suit it.
        lender: whose motion the joints of `joints` files are paired with.
    """

    subject: Subject
    stem: str
    work: Transaction
    shot: Shot
    films: tuple[Film, ...] | None = None
    lender: Lender | None = None

    def path(self, suffix: str, *, is_edited: bool = False) -> Path:
        """Where a file of this suffix is staged.

        Args:
            suffix: of its name.
            is_edited: whether users write such files themselves, of which none is lost.

        Raises:
            UsageError: it is another export's, or a user's.
        """
        path = f"exports/{self.stem}{suffix}"
        is_made = self._is_made(path)
        if is_edited and not is_made and (self.work.workspace.path / path).exists():
            raise UsageError(f"{path} is there, and no run made it", "Move it away, or choose another --stem")
        return self.work.output(path)

    def folder(self, suffix: str) -> Path:
        """Where a folder of files is staged.

        Raises:
            UsageError: it is another export's.
        """
        path = f"exports/{self.stem}_{suffix}"
        self._is_made(path)
        return self.work.replace(path)

    def _is_made(self, path: str) -> bool:
        """Whether an earlier run of this name made a file or folder, or shared it, as exports once did.

        Raises:
            UsageError: others made it, and this one had no part in it.
        """
        makers = [name for name, record in self.work.workspace.read_records().items() if record.touches(path)]
        if makers and self.work.name not in makers:
            raise UsageError(
                f"{path} is of the run '{makers[0]}'", f"Choose another --stem, or the same run by --name {makers[0]}"
            )
        return bool(makers)


def write_glb(job: Job) -> dict[str, Any]:
    """Blender, game engines and web viewers: materials, pictures and motion in one file."""
    from a4d.export.surfaces import write_glb

    facts = write_glb(job.path(".glb"), job.subject)
    if not job.subject.has_fixed_topology and job.subject.registration is None:
        job.work.warn(
            f"{job.stem}.glb holds the first moment alone, because the surface's faces change over time; "
            "the formats obj-sequence and ply-sequence hold them all"
        )
    judge(job.work, facts, (*REGISTRATION_GATES, *RIG_GATES, *STRETCH_GATES))
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


def write_joints(job: Job) -> dict[str, Any]:
    """Whoever pairs joints: a picture of where they are, and a file as --joints reads it that waits for its pairs."""
    from a4d.contents.joint_pairs import joints_text
    from a4d.export.joint_chart import write_joint_chart
    from a4d.geometry.assets.skinned_surface import SkinnedSurface
    from a4d.geometry.deformation.joint_names import require_pairs

    rig = job.subject.rig
    if rig is None:
        raise UsageError(f"{job.subject.name} has no joints", "Leave joints out of --formats")
    surface, chart = SkinnedSurface.of(rig), job.path("-joints.png")
    if job.lender is not None:
        require_pairs(job.lender.skeleton, surface.skeleton, job.lender.pairs)
    pairs = job.path("-joints.yaml", is_edited=True)
    write_joint_chart(chart, surface)
    pairs.write_text(joints_text(surface, chart.name, job.lender), encoding="utf-8")
    return {"joints": len(surface.skeleton)}


def write_films(job: Job, suffix: str) -> dict[str, Any]:
    """NAME.mp4 turns; NAME_sweep.mp4, NAME_orbit.mp4, NAME_grid.mp4 show the clip. For `png`, folders of pictures."""
    from a4d.export.films import write_film, write_pictures

    facts: dict[str, Any] = {}
    for film in _suitable_films(job.subject) if job.films is None else job.films:
        title = "" if film == "turntable" else f"_{film}"
        if suffix == ".png":
            facts |= write_pictures(job.folder(f"{title[1:]}_frames".strip("_")), film, job.subject, job.shot)
        else:
            facts |= write_film(job.path(f"{title}{suffix}"), film, job.subject, job.shot)
    return facts


def _suitable_films(subject: Subject) -> tuple[Film, ...]:
    return ("turntable", "sweep", "grid") if subject.is_moving else ("turntable",)


WRITERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "glb": write_glb,
    "obj": write_obj,
    "ply": lambda job: write_gaussians(job, ".ply"),
    "splat": lambda job: write_gaussians(job, ".splat"),
    "obj-sequence": lambda job: write_sequence(job, ".obj"),
    "ply-sequence": lambda job: write_sequence(job, ".ply"),
    "canonical": write_canonical,
    "joints": write_joints,
    "mp4": lambda job: write_films(job, ".mp4"),
    "gif": lambda job: write_films(job, ".gif"),
    "webp": lambda job: write_films(job, ".webp"),
    "png": lambda job: write_films(job, ".png"),
}


def write_exports(job: Job, formats: Sequence[str] | None = None) -> dict[str, Any]:
    """Write files of some formats, and warn of what they lack of the input; returns their figures.

    Args:
        job: what is written.
        formats: names among `WRITERS`; None are those that suit the subject. A GLB file of joints that were found
            brings `joints` along, for nothing else says where they are.

    Raises:
        UsageError: a format is of something that the subject lacks, or a file is another export's.
        QualityError: what is read back differs.
    """
    if formats is None:
        formats = ("glb", "ply", "splat", "mp4") if job.subject.has_gaussians else ("glb", "mp4")
    if "glb" in formats and job.subject.has_found_joints:
        formats = list(dict.fromkeys([*formats, "joints"]))
    metrics: dict[str, Any] = {"stem": job.stem}
    for name in sorted(formats, key=lambda name: name not in OF_GAUSSIANS):
        metrics.update(WRITERS[name](job))
    _warn_of_left_out(job, formats)
    return metrics


def _warn_of_left_out(job: Job, formats: Sequence[str]) -> None:
    from a4d.export.left_out import lacking
    from a4d.geometry.assets.left_out import left_out_warning

    source = job.work.workspace.metadata.source
    name = Path(source.path).name if source else job.stem
    warning = left_out_warning(name, {format_: lacking(job.subject, format_) for format_ in formats})
    if warning is not None:
        job.work.warn(warning)
