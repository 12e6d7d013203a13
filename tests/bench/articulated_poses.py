"""Animals from one orbiting camera that nobody tells: what `articulated.py` scores, with cameras found from the film.

python tests/bench/articulated_poses.py DATA [fox horse shark] [--cycles 5] [--turns 2] [--frames 60] [--size 160]
    [--films FOLDER] [--set KEY=VALUE]...

The film has masks and its field of view is told. `estimate-pose --method object` finds the cameras, the recipe fits the
scene and learns how they stray, and one similarity brings the truth to it. Printed is also by how many degrees turns
between frames are wrong, of cameras that the scene begins with and as it has learnt them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import articulated
import numpy as np
import torch
from articulated import RECIPE, Film, Way, best_rigid, chamfer, filmed, material_error, run
from object_pose import compared
from PIL import Image
from torch import Tensor

from a4d.contents.frames import load_frames
from a4d.contents.stored_pictures import StoredPictures
from a4d.evaluation.alignment import align
from a4d.evaluation.views import compare_views
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import transform_points
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import read_transforms
from a4d.metrics import surface_distances
from a4d.scenes import load_scene
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.views import Frames
from a4d.views.recent import Recent
from a4d.workspace.workspace import Workspace

TRIED = 3
"""Moments that an alignment is found at; the one that suits all is taken."""

SAMPLES = 2000


def as_picture(film: Film, path: Path) -> None:
    """Write an animated picture with alpha, without cameras."""
    first, *others = (Image.open(path) for path in sorted(film.folder.glob("train_*.png")))
    first.save(path, format="PNG", save_all=True, append_images=others, duration=40, disposal=1)


def turned_apart(film: Film, frames: Frames) -> str:
    """How far the cameras are from those that took the film."""
    true = read_transforms(film.folder / "transforms.json").world_from_camera[: len(frames)]
    return compared(torch.cat([camera.world_from_camera for camera in frames.cameras]).double().numpy(), true)


def in_found_world(film: Film, meshes: list[Mesh], moments: list[int]) -> Tensor:
    """(4, 4) found_from_true, the similarity that suits all moments best."""
    tried = []
    for place in np.linspace(0, len(meshes) - 1, TRIED).round().astype(int).tolist():
        true_from_found = align(meshes[place], film.mesh(moments[place]), "similarity").float()
        moved = [Mesh(transform_points(true_from_found, mesh.vertices), mesh.faces) for mesh in meshes]
        apart = [
            surface_distances(each, film.mesh(moment), film.diagonal / 100, SAMPLES).chamfer
            for each, moment in zip(moved, moments, strict=True)
        ]
        tried.append((sum(apart), true_from_found))
    return torch.linalg.inv(min(tried, key=lambda each: each[0])[1])


def moved_camera(capture: PosedCapture, index: int, found_from_true: Tensor) -> Cameras:
    """A true camera in a world that was turned, shifted and scaled."""
    camera = capture.cameras()[index]
    pose = found_from_true @ camera.world_from_camera[0]
    pose[:3, :3] /= torch.linalg.det(found_from_true[:3, :3]) ** (1 / 3)
    return replace(camera, world_from_camera=pose[None])


def held_out(film: Film, found_from_true: Tensor) -> Frames:
    """The pictures of cameras that the film did not have, in the found world."""
    capture = read_transforms(film.folder / "transforms.json")
    assert capture.splits is not None
    assert capture.times is not None
    places, recent = [index for index, split in enumerate(capture.splits) if split == "test"], Recent()
    return Frames(
        StoredPictures([capture.images[index] for index in places], recent),
        [moved_camera(capture, index, found_from_true) for index in places],
        torch.from_numpy(capture.times[places]).float() * in_found_time(),
        [capture.images[index].stem for index in places],
        ["test"] * len(places),
        recent=recent,
    )


def in_found_time() -> float:
    """By what the truth's times grow, of which 1 is the first frame's again and the last frame's in the found film."""
    return articulated.FRAMES / (articulated.FRAMES - 1)


@torch.no_grad()
def report(film: Film, workspace: Workspace, name: str) -> str:
    """A line per figure."""
    scene, frames, moments = load_scene(workspace.scene(name)), load_frames(workspace), list(articulated.SCORED)
    assert isinstance(scene, ArticulatedGaussians)
    times = film.times * in_found_time()
    meshes = [scene.mesh(float(times[moment])) for moment in moments]
    found_from_true = in_found_world(film, meshes, moments)
    views = compare_views(scene, held_out(film, found_from_true), "test")
    vertices = transform_points(found_from_true, film.vertices.flatten(0, 1)).view_as(film.vertices)
    there = replace(film, vertices=vertices, times=times)
    copies = best_rigid(there)
    pairs = [material_error(scene, there, frame) for frame in there.references]
    error, still = (sum(each) / len(each) for each in zip(*pairs, strict=True))
    rows = {
        "cameras": turned_apart(film, frames),
        "as learnt": turned_apart(film, frames.seen_by(scene)),
        "cycles": f"{workspace.read_records()[name].metrics['cycles']:.2f} were found",
        "ours": chamfer(there, [mesh.vertices for mesh in meshes], meshes[0].faces),
        "frame 0 held": chamfer(there, [there.vertices[0]] * len(moments), film.faces),
        "best rigid copy": chamfer(there, [copies[moment] for moment in moments], film.faces),
        "material error": f"{error:.2f} % of the diagonal, {100 * error / still:.0f} % of held still",
        "held out": f"IoU {views['iou']:.3f}, foreground PSNR {views['foreground_psnr']:.1f} dB",
    }
    return "\n".join(f"  {label:16s} {figures}" for label, figures in rows.items())


def main() -> None:
    """Print the figures of each animal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("animals", nargs="*", default=list(articulated.ANIMALS))
    parser.add_argument("--cycles", type=float, default=5)
    parser.add_argument("--turns", type=float, default=2)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--films", type=Path, default=None, help="keep the films there")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    articulated.FRAMES, articulated.SIZE = options.frames, options.size
    articulated.SCORED = range(0, options.frames, 5)
    with tempfile.TemporaryDirectory() as temporary:
        for animal in options.animals:
            home = (options.films or Path(temporary)).resolve() / f"{animal}_{options.cycles:g}_{options.turns:g}"
            film = filmed(options.data, animal, home / "film", options.cycles, Way(options.turns))
            os.chdir(home)
            as_picture(film, home / "untold.png")
            began = time.process_time()
            run("preprocess", "untold.png", "--config", RECIPE, "--force", "-q")
            run("estimate-pose", "untold.a4d", "--method", "object", "--fov", articulated.FOV, "--force", "-q")
            settings = [part for each in options.settings for part in ("--set", each)]
            run("fit-dynamic", "untold.a4d", "--config", RECIPE, *settings, "--force", "-q")
            print(f"{animal}: {time.process_time() - began:.0f} s of processor time")
            print(report(film, Workspace.open(home / "untold.a4d"), "fit-dynamic"), flush=True)


if __name__ == "__main__":
    main()
