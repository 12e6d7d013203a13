"""Fit the motion of rigged animals to four rendered views and score it against the rig.

python tests/bench/motion_fit.py [walk run gallop] [--arap 0.2] [--size 256] [--set KEY=VALUE]...

With `--arap 0` the energy is left out: how much worse are vertices that hardly any camera sees? Needs the real inputs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402

from a4d.__main__ import main as command  # noqa: E402
from a4d.contents.assets import load_ground_truth  # noqa: E402
from a4d.contents.frames import load_frames  # noqa: E402
from a4d.evaluation.views import compare_views  # noqa: E402
from a4d.geometry.cameras import Cameras  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.render.mesh import rasterise  # noqa: E402
from a4d.scenes import load_scene  # noqa: E402
from a4d.workspace.workspace import Workspace  # noqa: E402

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOX = DATA / "gltf_khronos" / "Fox" / "glTF-Binary" / "Fox.glb"
CASES = {
    "walk": (FOX, "Walk"),
    "run": (FOX, "Run"),
    "gallop": (DATA / "rigged_quaternius" / "animals_pack" / "Horse.glb", "Gallop"),
}
FRAMES = 16


@dataclass(frozen=True)
class Score:
    """How well a motion was found.

    Args:
        error: mean distance of the vertices from where they should be, over that of the shape at rest.
        unseen: the same over vertices and moments that no training camera sees.
        psnr: dB, mean over held-out views and all moments.
        seconds: of processor time for the fit of the motion.
        wall: the same by the clock.
    """

    error: float
    unseen: float
    psnr: float
    seconds: float
    wall: float


def fit(case: str, folder: Path, size: int = 256, settings: Sequence[str] = ()) -> Score:
    """Render a clip, fit the first moment and the motion through the command line, and score the result."""
    path, clip = CASES[case]
    workspace = folder / f"{path.stem}.a4d"
    before = Path.cwd()
    os.chdir(folder)
    try:
        _run("preprocess", path, "--clip", clip, "--frames", FRAMES, "--views", 4, "--test-views", 4, "--size", size)
        _run("fit-static", workspace, "--set", "scene.count=3000")
        began, begun = time.process_time(), time.monotonic()
        options = [part for setting in settings for part in ("--set", setting)]
        _run("fit-dynamic", workspace, "--from", "fit-static", "--accept", *options)
        seconds, wall = time.process_time() - began, time.monotonic() - begun
    finally:
        os.chdir(before)
    return score(Workspace.open(workspace), seconds, wall)


def score(workspace: Workspace, seconds: float, wall: float) -> Score:
    """Compare the newest scene of a workspace with what is known of its clip."""
    truth = load_ground_truth(workspace)
    vertices, faces = torch.as_tensor(truth.vertices), torch.as_tensor(truth.faces)
    scene, frames = load_scene(workspace.scene("fit-dynamic")), load_frames(workspace)
    # The scene keeps the vertices of each material together.
    nearest = torch.cdist(vertices[0], scene.rest_points("vertices")).argmin(1)
    with torch.no_grad():
        found = scene.moved_points("vertices", torch.linspace(0, 1, len(vertices)).tolist())[:, nearest]
    error = (found - vertices).norm(dim=-1)
    rest = (vertices - vertices[0]).norm(dim=-1)
    train = [frames.cameras[i] for i in frames.select("train") if float(frames.times[i]) == 0]
    hidden = ~torch.stack([seen_vertices(Mesh(moment, faces), train) for moment in vertices])
    return Score(
        float(error.mean() / rest.mean()),
        float(error[hidden].mean() / rest[hidden].mean()),
        compare_views(scene, frames, "test")["psnr"],
        seconds,
        wall,
    )


def seen_vertices(mesh: Mesh, cameras: Sequence[Cameras]) -> torch.Tensor:
    """(V,) whether a camera sees one of the faces around a vertex, wherever the file cuts the surface open."""
    seen = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    for camera in cameras:
        face = rasterise(mesh, camera).face.unique()
        seen[mesh.faces[face[face >= 0]].flatten()] = True
    _, place = mesh.vertices.unique(dim=0, return_inverse=True)
    return torch.zeros(int(place.max()) + 1, dtype=torch.bool).index_put((place[seen],), torch.tensor(True))[place]


def _run(*arguments: object) -> None:
    code = command([*map(str, arguments), "-q"])
    if code:
        raise SystemExit(code)


def main() -> None:
    """Print a line per clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--arap", type=float, default=None, help="weight of the energy; the profile's if not given")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    settings = options.settings + ([] if options.arap is None else [f"objectives.2.weight={options.arap}"])
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            result = fit(case, Path(folder), options.size, settings)
        print(
            f"{case:7s} vertex error {100 * result.error:5.1f} % of the shape at rest, {100 * result.unseen:5.1f} % "
            f"where nobody looks; held-out {result.psnr:.1f} dB; {result.seconds:.0f} s of processor time, "
            f"{result.wall:.0f} s by the clock",
            flush=True,
        )


if __name__ == "__main__":
    main()
