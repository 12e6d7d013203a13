"""Animals from one orbiting camera: how near an articulated scene comes to the rig that it has never seen.

python tests/bench/articulated.py DATA [fox horse shark] [--cycles 5] [--turns 2] [--swing DEGREES] [--azimuth DEGREES]
    [--films FOLDER] [--set KEY=VALUE]...

DATA holds the rigged animals. Every film has masks and cameras; the number of cycles is not told. Figures of the
truth's own first frame held still, and of the best rigid copy of it in each frame, stand beside those of the fit.
`--turns 0` is a camera that stands still, and `--swing 45` one that goes so far to either side, `--turns` times.
What such a camera sees, and what it never sees, is scored apart; of one that stands still also after the one change of
size about the camera that its pictures do not tell.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from a4d.__main__ import main as command  # noqa: E402
from a4d.contents.frames import load_frames  # noqa: E402
from a4d.contents.subjects import SubjectRequest, load_subject  # noqa: E402
from a4d.evaluation.views import compare_views  # noqa: E402
from a4d.geometry.assets.posing import PosedMesh, deform  # noqa: E402
from a4d.geometry.cameras import Cameras, orbit  # noqa: E402
from a4d.geometry.mesh import Mesh, sample_surface  # noqa: E402
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate  # noqa: E402
from a4d.geometry.surfaces.signed_distance import distance_to_mesh  # noqa: E402
from a4d.geometry.transforms import transform_points  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402
from a4d.io.captures.capture import PosedCapture  # noqa: E402
from a4d.io.captures.transforms_json import read_transforms, write_transforms  # noqa: E402
from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.metrics import surface_distances  # noqa: E402
from a4d.pixels import SOLID  # noqa: E402
from a4d.render.asset import AssetRenderer  # noqa: E402
from a4d.render.mesh import rasterise, render_mesh  # noqa: E402
from a4d.scenes import load_scene  # noqa: E402
from a4d.scenes.articulated.gaussians import ArticulatedGaussians  # noqa: E402
from a4d.views import Frames  # noqa: E402
from a4d.workspace.workspace import Workspace  # noqa: E402

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "animatable_dreamer" / "compact.yaml"

ANIMALS = {
    "fox": ("gltf_khronos/Fox/glTF-Binary/Fox.glb", "Run"),
    "horse": ("rigged_quaternius/animals_pack/Horse.glb", "Gallop"),
    "shark": ("rigged_quaternius/fish_pack/Shark.glb", "Swim"),
}
FRAMES = 120
SIZE = 256
DISTANCE, FOV = 2.8, 40.0
ELEVATION = 15.0
SCORED = range(0, FRAMES, 5)
"""Frames at which surfaces are compared."""

SAMPLES = 5000
HELD_EVERY = 6
REFERENCES = 4


@dataclass(frozen=True)
class Way:
    """The camera's, about the animal.

    Args:
        turns: whole ones, or how often it swings.
        swing: degrees to either side, in place of whole turns.
        azimuth: degrees, where it begins.
    """

    turns: float
    swing: float = 0.0
    azimuth: float = 0.0

    def azimuths(self, times: Tensor) -> Tensor:
        """(F,) degrees at times (F,) in [0, 1]."""
        turned = self.turns * times
        return self.azimuth + (self.swing * (2 * torch.pi * turned).sin() if self.swing else 360 * turned)

    @property
    def is_around(self) -> bool:
        """Whether it comes to all sides."""
        return self.turns >= 1 and not self.swing

    def __str__(self) -> str:
        swing, azimuth = f"_swing{self.swing:g}" if self.swing else "", f"_from{self.azimuth:g}" if self.azimuth else ""
        return f"{self.turns:g}{swing}{azimuth}"


@dataclass(frozen=True)
class Film:
    """A folder of masked pictures with cameras, and what they show.

    Args:
        folder: with `transforms.json`.
        times: (F,) in [0, 1].
        vertices: (F, V, 3) in the world of the cameras.
        faces: (T, 3).
        is_seen: (F, V) whether the film's camera sees a vertex in a frame.
        cycles: of the motion.
        way: of the camera.
    """

    folder: Path
    times: Tensor
    vertices: Tensor
    faces: Tensor
    is_seen: Tensor
    cycles: float
    way: Way

    @property
    def diagonal(self) -> float:
        """Of the first frame's box."""
        return float((self.vertices[0].amax(0) - self.vertices[0].amin(0)).norm())

    @property
    def references(self) -> list[int]:
        """Frames of the first cycle from which points are followed: what is nearest at one pose may not be its own."""
        return [round(place * FRAMES / max(self.cycles, 1) / REFERENCES) for place in range(REFERENCES)]

    def mesh(self, frame: int) -> Mesh:
        """The true surface."""
        return Mesh(self.vertices[frame], self.faces)


def filmed(data: Path, animal: str, folder: Path, cycles: float, way: Way) -> Film:
    """Pictures of an animal that repeats its clip while the camera goes around it, and of held-out cameras."""
    truth = folder / "truth.npz"
    if not truth.is_file():
        _film(data, animal, folder, cycles, way)
    stored = {name: torch.from_numpy(value) for name, value in np.load(truth).items()}
    return Film(folder, stored["times"], stored["vertices"], stored["faces"], stored["is_seen"], cycles, way)


def _film(data: Path, animal: str, folder: Path, cycles: float, way: Way) -> None:
    name, clip_name = ANIMALS[animal]
    asset = read_asset(data / name)
    clip = next(clip for clip in asset.clips if clip.name.endswith(clip_name))
    times = torch.arange(FRAMES) / FRAMES
    posed = [deform(asset, clip, float(time * cycles % 1) * clip.duration) for time in times]
    corners = torch.cat([each.vertices for each in posed])
    middle = (corners.amax(0) + corners.amin(0)) / 2
    scale = 0.9 / float((corners - middle).norm(dim=1).max())
    surfaces = [_placed(each, middle, scale) for each in posed]
    around = orbit(way.azimuths(times), torch.full((FRAMES,), ELEVATION), DISTANCE, FOV, SIZE, SIZE)
    held = torch.arange(0, FRAMES, HELD_EVERY)
    aside = orbit(way.azimuths(times[held]) + 75, 10.0 + 20 * (torch.arange(len(held)) % 3), DISTANCE, FOV, SIZE, SIZE)
    renderer, shots = AssetRenderer(asset), []
    folder.mkdir(parents=True, exist_ok=True)
    for split, cameras, frames in (("train", around, range(FRAMES)), ("test", aside, held.tolist())):
        for place, frame in enumerate(frames):
            picture = renderer.render(surfaces[frame], cameras[place])
            path = folder / f"{split}_{frame:04d}.png"
            write_image(path, picture.rgba.numpy())
            shots.append((path, cameras[place], split, float(times[frame])))
    capture = PosedCapture(
        images=tuple(path for path, *_ in shots),
        world_from_camera=torch.cat([camera.world_from_camera for _, camera, *_ in shots]).double().numpy(),
        intrinsics=torch.cat([camera.intrinsics for _, camera, *_ in shots]).double().numpy(),
        sizes=np.full((len(shots), 2), SIZE),
        splits=tuple(split for _, _, split, _ in shots),
        times=np.array([moment for *_, moment in shots]),
        up_axis="+y",
    )
    write_transforms(folder / "transforms.json", capture)
    faces = posed[0].faces
    seen = torch.stack([_seen(Mesh(each.vertices, faces), around[place]) for place, each in enumerate(surfaces)])
    np.savez(
        folder / "truth.npz",
        times=times.numpy(),
        vertices=torch.stack([each.vertices for each in surfaces]).numpy(),
        faces=faces.numpy(),
        is_seen=seen.numpy(),
    )


def _placed(surface: PosedMesh, middle: Tensor, scale: float) -> PosedMesh:
    return replace(surface, vertices=(surface.vertices - middle) * scale)


def _seen(mesh: Mesh, camera: Cameras) -> Tensor:
    """(V,) whether a face at the vertex is in front."""
    face = rasterise(mesh, camera).face.unique()
    seen = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    seen[mesh.faces[face[face >= 0]].flatten()] = True
    return seen


def aligned(points: Tensor, targets: Tensor) -> Tensor:
    """(V, 3) points turned and shifted as a whole to be as near as can be to (V, 3) others (Kabsch 1976)."""
    middle, other = points.mean(0), targets.mean(0)
    u, _, vh = torch.linalg.svd((points - middle).T @ (targets - other))
    flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ vh).sign())]))
    return (points - middle) @ (u @ flip @ vh) + other


def best_rigid(film: Film) -> list[Tensor]:
    """The frame of which rigid copies are nearest to all others, by their vertices, and its copies: F of (V, 3)."""
    best, least = [], float("inf")
    for frame in SCORED:
        copies = [aligned(film.vertices[frame], each) for each in film.vertices]
        error = float((torch.stack(copies) - film.vertices).norm(dim=-1).mean())
        if error < least:
            best, least = copies, error
    return best


def chamfer(film: Film, vertices: Sequence[Tensor], faces: Tensor) -> str:
    """Mean distance in both directions and F-score at 1 % of the diagonal over the scored moments, in percent."""
    found = [
        surface_distances(Mesh(vertices[place], faces), film.mesh(frame), film.diagonal / 100, SAMPLES)
        for place, frame in enumerate(SCORED)
    ]
    distance = 100 * sum(each.chamfer for each in found) / len(found) / film.diagonal
    return f"Chamfer {distance:5.2f} %, F@1% {100 * sum(each.f_score for each in found) / len(found):3.0f}"


def by_sight(film: Film, vertices: Sequence[Tensor], faces: Tensor) -> str:
    """The mean distance of the true points that the film's camera sees, and of those it never sees, in percent."""
    never = ~film.is_seen.any(dim=0)
    found = torch.zeros(2)
    for place, frame in enumerate(SCORED):
        away = distance_to_mesh(film.vertices[frame], Mesh(vertices[place], faces)).abs()
        found += torch.stack([away[film.is_seen[frame]].mean(), away[never].mean()])
    seen, unseen = (100 * found / len(SCORED) / film.diagonal).tolist()
    return f"points in sight {seen:5.2f} % away, never in sight {unseen:5.2f} %"


def resized_about_camera(film: Film, camera: Cameras, vertices: Sequence[Tensor], faces: Tensor) -> list[Tensor]:
    """Surfaces as large, and as far from a camera at rest, as the truth: its pictures do not tell."""
    ratios = []
    for place, frame in enumerate(SCORED):
        true, ours = (render_mesh(each, camera) for each in (film.mesh(frame), Mesh(vertices[place], faces)))
        ratios.append((true.depth / ours.depth)[(true.alpha > 0.5) & (ours.alpha > 0.5)])
    middle = camera.positions[0]
    return [middle + torch.cat(ratios).median() * (each - middle) for each in vertices]


def rows_by_sight(film: Film, frames: Frames, meshes: Sequence[Mesh]) -> dict[str, str]:
    """Of a film from one side: ours, and the first outline, inflated and held still."""
    rgba, camera = frames.rgba[frames.select("train")[0]], frames.cameras[frames.select("train")[0]]
    blown_up = inflate(rgba[..., 3], camera, settings=InflationSettings(thickness=0))
    shapes = {
        "ours": ([mesh.vertices for mesh in meshes], meshes[0].faces),
        "outline inflated": ([blown_up.vertices] * len(SCORED), blown_up.faces),
    }
    rows = {name: by_sight(film, *shape) for name, shape in shapes.items()}
    if not film.way.turns:
        resized = {name: (resized_about_camera(film, camera, *shape), shape[1]) for name, shape in shapes.items()}
        rows |= {f"{name}, resized": by_sight(film, *shape) for name, shape in resized.items()}
    return rows


@torch.no_grad()
def material_error(scene: ArticulatedGaussians, film: Film, frame: int) -> tuple[float, ...]:
    """How far points come off that are on the surface in a frame, and how far they go, in percent of the diagonal."""
    times = film.times.tolist()
    followed = scene.carried_points(film.vertices[frame], times, since=times[frame])
    return tuple(
        100 * float((points - film.vertices).norm(dim=-1).mean()) / film.diagonal
        for points in (followed, film.vertices[frame])
    )


@torch.no_grad()
def report(film: Film, workspace: Workspace, name: str) -> str:
    """A line per figure."""
    scene, frames = load_scene(workspace.scene(name)), load_frames(workspace)
    assert isinstance(scene, ArticulatedGaussians)
    times = film.times.tolist()
    meshes = [scene.mesh(times[frame]) for frame in SCORED]
    copies = best_rigid(film)
    lines = {
        "ours": chamfer(film, [mesh.vertices for mesh in meshes], meshes[0].faces),
        "frame 0 held": chamfer(film, [film.vertices[0]] * len(SCORED), film.faces),
        "best rigid copy": chamfer(film, [copies[frame] for frame in SCORED], film.faces),
    }
    if not film.way.is_around:
        lines |= {f"by sight, {name}": figures for name, figures in rows_by_sight(film, frames, meshes).items()}
    pairs = [material_error(scene, film, frame) for frame in film.references]
    error, still = (sum(each) / len(each) for each in zip(*pairs, strict=True))
    shares = [100 * found / held for found, held in pairs]
    points = [sample_surface(mesh, SAMPLES, torch.Generator().manual_seed(0))[0] for mesh in meshes[:6]]
    bias = torch.stack([distance_to_mesh(each, film.mesh(SCORED[place])).mean() for place, each in enumerate(points)])
    views, held = compare_views(scene, frames, "test"), frames.subset(frames.select("test"))
    cycles = workspace.read_records()[name].metrics["cycles"]
    rows = [f"  {label:36s} {figures}" for label, figures in lines.items()]
    return "\n".join(
        [
            f"  {cycles:.2f} cycles were found",
            *rows,
            f"  material error {error:.2f} % of the diagonal, {100 * error / still:.0f} % of held still",
            f"  the same by the moment of reference: {', '.join(f'{share:.0f}' for share in shares)} %",
            f"  signed bias {100 * bias.mean() / film.diagonal:+.2f} % of the diagonal",
            f"  held out: IoU {views['iou']:.3f}, foreground PSNR {views['foreground_psnr']:.1f} dB",
            f"  held out, as a GLB with a texture: {looks(workspace, name, held, is_textured=True)}",
            f"  held out, as a GLB with vertex colours: {looks(workspace, name, held, is_textured=False)}",
        ]
    )


@torch.no_grad()
def looks(workspace: Workspace, name: str, frames: Frames, is_textured: bool) -> str:
    """How near the surface that leaves as a GLB comes to frames, where both show the subject, and how sharp it is."""
    subject = load_subject(workspace, SubjectRequest(scene=name, is_textured=is_textured))
    assert frames.times is not None
    renderer, when = AssetRenderer(subject.asset), torch.tensor(subject.moments.times)
    errors, detail = list[Tensor](), torch.zeros(2)
    for index, time_ in enumerate(frames.times):
        seconds = int((when - time_).abs().argmin()) * subject.moments.seconds_per_frame
        ours = renderer.render(deform(subject.asset, subject.clip, seconds), frames.cameras[index]).rgba
        true = frames.rgba[index]
        both = (ours[..., 3] > SOLID) & (true[..., 3] > SOLID)
        errors.append((ours - true)[both][:, :3].square())
        detail += torch.stack([_detail(each[..., :3], both) for each in (ours, true)])
    decibels = -10 * float(torch.cat(errors).mean().log10())
    return f"{decibels:.1f} dB, {100 * float(detail[0] / detail[1]):.0f} % of the frames' detail"


def _detail(picture: Tensor, where: Tensor) -> Tensor:
    """() squared differences between neighbouring pixels that both are somewhere."""
    across, down = where[:, 1:] & where[:, :-1], where[1:] & where[:-1]
    return picture.diff(dim=1)[across].square().sum() + picture.diff(dim=0)[down].square().sum()


def into_workspace(film: Film, workspace: Workspace) -> Film:
    """The film in the world that the workspace has brought its cameras to."""
    capture = read_transforms(workspace.path / "transforms.json")
    world_from_source = torch.from_numpy(capture.world_from_source).float()
    return replace(
        film, vertices=transform_points(world_from_source, film.vertices.flatten(0, 1)).view_as(film.vertices)
    )


def run(*arguments: object) -> None:
    """One command, which must not fail; one whose result is doubted is gone on with."""
    code = command([*map(str, arguments)])
    if code not in (0, 7):
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("animals", nargs="*", default=list(ANIMALS))
    parser.add_argument("--cycles", type=float, default=5)
    parser.add_argument("--turns", type=float, default=2)
    parser.add_argument("--swing", type=float, default=0, help="degrees to either side, in place of whole turns")
    parser.add_argument("--azimuth", type=float, default=0, help="degrees, where the camera begins")
    parser.add_argument("--films", type=Path, default=None, help="keep the films there")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    way = Way(options.turns, options.swing, options.azimuth)
    with tempfile.TemporaryDirectory() as temporary:
        for animal in options.animals:
            home = (options.films or Path(temporary)).resolve() / f"{animal}_{options.cycles:g}_{way}"
            film = filmed(options.data, animal, home / "film", options.cycles, way)
            workspace = home / "film.a4d"
            if not workspace.is_dir():
                os.chdir(home)
                run("preprocess", film.folder, "--config", RECIPE, "-q")
            began = time.process_time()
            settings = [part for each in options.settings for part in ("--set", each)]
            run("fit-dynamic", workspace, "--config", RECIPE, *settings, "--force", "-q")
            seconds = time.process_time() - began
            opened = Workspace.open(workspace)
            print(f"{animal}: {options.cycles:g} cycles, camera {way}, {seconds:.0f} s of processor time")
            print(report(into_workspace(film, opened), opened, "fit-dynamic"), flush=True)


if __name__ == "__main__":
    main()
