"""Fit surfaces with textures to 16 views of generated objects and of textured ones, and score shape, views and files.

python tests/bench/tetmesh_fit.py [--only spot] [--lit] [--set scene.surface.resolution=48]

Chamfer distances are in per cent of the diagonal of the true shape's box. The file is the textured GLB, read back and
rendered like the scene.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from a4d.runtime import Runtime, prepare_process

prepare_process()

import torch  # noqa: E402
import yaml  # noqa: E402
from capture_fit import carve, observe  # noqa: E402
from field_fit import SPOT, in_unit_ball  # noqa: E402
from rich.console import Console  # noqa: E402
from welded_mesh import read_mesh  # noqa: E402

from a4d.config import set_value  # noqa: E402
from a4d.evaluation.views import compare_views  # noqa: E402
from a4d.geometry.cameras import orbit  # noqa: E402
from a4d.geometry.mesh import Mesh  # noqa: E402
from a4d.geometry.primitives import creature, torus  # noqa: E402
from a4d.io.assets.glb_asset import write_asset  # noqa: E402
from a4d.io.assets.gltf.reader import read_gltf  # noqa: E402
from a4d.io.pictures.images import write_image  # noqa: E402
from a4d.metrics import psnr, surface_distances  # noqa: E402
from a4d.objectives import build_objectives  # noqa: E402
from a4d.optimise import LoopConfig, Problem, optimise  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.render.environment import studio  # noqa: E402
from a4d.render.mesh_gradients import view_mesh  # noqa: E402
from a4d.render.render import Render  # noqa: E402
from a4d.render.shaded_mesh import TextureCoordinates, render_material  # noqa: E402
from a4d.render.shading import SurfaceMaterial, decode_srgb  # noqa: E402
from a4d.render.textured_material import TexturedMaterial  # noqa: E402
from a4d.scenes.meshes.tetmesh import TetmeshScene  # noqa: E402
from a4d.scenes.protocols import AssetOptions  # noqa: E402
from a4d.views import Frames, build_views  # noqa: E402

PROFILE = Path(__file__).resolve().parents[2] / "stages" / "profiles" / "fit-static-tetmesh.yaml"
FILES = {
    "spot": SPOT,
    "bob": SPOT.parents[1] / "bob" / "bob_tri.obj",
    "cow": SPOT.parents[2] / "pytorch3d" / "tests" / "data" / "cow.glb",
}


def lit(mesh: Mesh, frames: Frames) -> Frames:
    """The same views in the light of the built-in environment, of a rough dielectric in the mesh's colours."""
    assert mesh.colours is not None
    images = []
    for rgba, camera in zip(frames.rgba, frames.cameras, strict=True):
        view = view_mesh(mesh.vertices, mesh.faces, camera)
        colours = view.interpolate(decode_srgb(mesh.colours))[view.fragments.is_covered]
        rough = torch.full_like(colours[:, 0], 0.6)
        material = SurfaceMaterial(colours, torch.zeros_like(rough), rough)
        render = render_material(view, mesh, lambda _, material=material: material, studio())
        straight = render.rgb[0] / render.alpha[0].clamp_min(1e-3)
        images.append(torch.cat([straight.clamp(0, 1), rgba[..., 3:]], dim=-1))
    return dataclasses.replace(frames, rgba=images)


def from_file(scene: TetmeshScene, path: Path) -> tuple[Render, Render]:
    """The scene, and the file that it is exported to, from three sides."""
    write_asset(path, scene.asset(AssetOptions()))
    asset = read_gltf(path)
    part = asset.meshes[0].primitives[0]
    mesh, mode = Mesh(part.positions, part.faces), scene.config.shading
    cameras = orbit(torch.tensor([30.0, 130, 250]), torch.tensor([15.0, -10, 40]), 2.8, 40.0, 256, 256)
    view = view_mesh(mesh.vertices, mesh.faces, cameras)
    material = TexturedMaterial(asset.materials[part.material])
    coordinates = TextureCoordinates(part.uvs[0], part.faces)
    with torch.no_grad():
        back = render_material(view, mesh, material, scene.lighting, mode, coordinates, wants=("normal",))
        return scene.render(cameras, wants=("normal",)), back


def shape(mesh: Mesh, truth: Mesh) -> str:
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    found = surface_distances(mesh, truth, 0.01 * diagonal)
    chamfer = 100 * found.chamfer / diagonal
    return f"Chamfer {chamfer:.2f} %, F {found.f_score:.3f}, normals {found.normal_consistency:.3f}"


def fit(mesh: Mesh, frames: Frames, profile: dict[str, Any], pictures: Path | None) -> None:
    """Print two lines: the start, and the result."""
    scene = TetmeshScene.begin(profile["scene"], carve(frames), generator(0, "begin"))
    print(f"{'':10s} start: {shape(scene.mesh(), mesh)}", flush=True)
    views, objectives = build_views(profile["views"]), build_objectives(profile["objectives"])
    loop = {"iterations": profile["iterations"], "optimiser": profile["optimiser"], "preview_seconds": 1000}
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        problem = Problem(scene, views, objectives, frames)
        optimise(problem, LoopConfig.model_validate(loop), Path(folder), Runtime(console=Console(quiet=True)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        seen, file = from_file(scene, Path(folder) / "fit.glb")
    held_out = compare_views(scene, frames, "test")
    print(
        f"{'':10s} {profile['iterations']} iterations in {seconds:.1f} s ({cpu:.1f} s of CPU time): "
        f"{shape(scene.mesh(), mesh)}, {len(scene.mesh().faces)} faces, held-out {held_out['psnr']:.1f} dB, "
        f"file {psnr(file.rgb.clamp(0, 1), seen.rgb.clamp(0, 1)):.1f} dB",
        flush=True,
    )
    if pictures:
        rows = [seen.rgb, file.rgb, (seen.channels["normal"] + 1) / 2]
        sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows])
        write_image(pictures, sheet.clamp(0, 1).numpy())


def main() -> None:
    """Fit every subject whose file there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only")
    parser.add_argument("--lit", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    profile = yaml.safe_load(PROFILE.read_text())
    for assignment in options.set:
        set_value(profile, assignment)
    subjects = {"creature": creature(), "torus": torus()}
    subjects |= {name: in_unit_ball(read_mesh(path)) for name, path in FILES.items() if path.is_file()}
    for name, mesh in subjects.items():
        if options.only in (None, name):
            frames = observe(mesh)
            print(f"{name}, {'lit' if options.lit else 'unlit'}", flush=True)
            picture = options.pictures / f"{name}.png" if options.pictures else None
            fit(mesh, lit(mesh, frames) if options.lit else frames, profile, picture)


if __name__ == "__main__":
    main()
