from dataclasses import replace

import pytest
import torch
import trimesh
from glb_rules import checked_glb
from waving import Waving

from a4d.errors import QualityError, UsageError
from a4d.export import surfaces
from a4d.export.moments import Moments
from a4d.export.subject import Subject
from a4d.export.surface_options import SurfaceOptions
from a4d.export.surfaces import write_glb, write_obj_file, write_sequence
from a4d.geometry.assets.animating import AnimationOptions
from a4d.geometry.assets.file_frames import frame_of_files
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import turntable
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.obj import write_obj
from a4d.metrics import psnr
from a4d.render.asset import AssetRenderer
from a4d.render.mesh import render_mesh

MOMENTS = Moments(tuple(frame / 12 for frame in range(13)), 1 / 12)


def waving(animation: str = "morph", tolerance: float = 1e-3, **options) -> Subject:
    surface = SurfaceOptions(animation=AnimationOptions(animation, tolerance, 8), **options)
    return Subject("ring", Waving(), None, MOMENTS, surface)


@pytest.mark.parametrize(("animation", "within"), [("morph", 2e-3), ("bones", 2e-2)])
def test_a_glb_follows_every_vertex_of_a_moving_scene(tmp_path, animation, within):
    facts = write_glb(tmp_path / "ring.glb", waving(animation))
    read = read_gltf(tmp_path / "ring.glb")
    (clip,) = read.clips
    for frame, time in enumerate(MOMENTS.times):
        truth = Waving().mesh(time)
        posed = deform(read, clip, frame / 12)
        assert float((posed.vertices - truth.vertices).norm(dim=1).max()) < within
        assert float((posed.colours[:, :3] - truth.colours).abs().max()) < 2e-3
    assert facts["closed"]
    assert (len(read.skins), bool(read.meshes[0].morph_names)) == ((1, False) if animation == "bones" else (0, True))
    assert facts.get("bones", 0) == (8 if animation == "bones" else 0)


def test_a_coarser_tolerance_needs_fewer_keys(tmp_path):
    keys = [write_glb(tmp_path / "ring.glb", waving(tolerance=tolerance))["keys"] for tolerance in (0, 0.02, 0.1)]
    assert keys[0] == len(MOMENTS.times) > keys[1] > keys[2]


def test_a_texture_shows_what_the_scene_showed_and_moves_with_it(tmp_path):
    assert write_glb(tmp_path / "ring.glb", waving(texture=256))["glb_psnr"] > 35
    read = read_gltf(tmp_path / "ring.glb")
    assert read.materials[0].base_colour_map.image.shape == (256, 256, 3)
    assert read.meshes[0].primitives[0].colours is None
    cameras = turntable(4, 25.0, 3.0, 40.0, 96)
    for frame, view in ((0, 0), (5, 1), (5, 2)):
        truth = render_mesh(Waving().mesh(MOMENTS.times[frame]), cameras[view]).rgb[0]
        shown = AssetRenderer(read).render(deform(read, read.clips[0], frame / 12), cameras[view]).rgba
        assert psnr(shown[..., :3] * shown[..., 3:], truth) > 35


def test_a_surface_of_changing_faces_is_a_sequence(tmp_path):
    subject = replace(waving(), scene=Waving(splits=True))
    assert not subject.has_fixed_topology
    assert write_sequence(tmp_path / "frames", subject, ".ply") == {"ply_frames": 13, "same_topology": False}
    for frame in (0, 7):
        read = trimesh.load(tmp_path / f"frames/frame_{frame:05d}.ply", process=False)
        truth = subject.scene.mesh(MOMENTS.times[frame])
        torch.testing.assert_close(torch.tensor(read.vertices).float(), truth.vertices, rtol=0, atol=1e-6)
        assert torch.equal(torch.tensor(read.faces).long(), truth.faces)


@pytest.mark.parametrize("animation", ["morph", pytest.param("bones", marks=pytest.mark.slow)])
def test_a_surface_of_changing_faces_is_registered_to_one_mesh_that_moves(tmp_path, animation):
    moments = Moments(MOMENTS.times[:3], 1 / 12)
    subject = replace(waving(animation), scene=Waving(splits=True), moments=moments)
    facts = write_glb(tmp_path / "ring.glb", subject)
    assert facts["registration_p95"] == max(max(fit["covering"], fit["covered"]) for fit in facts["registration"])
    assert (len(facts["registration"]), facts["registration_flipped"]) == (3, 0)
    assert facts["registration_p95"] < 1
    checked_glb((tmp_path / "ring.glb").read_bytes())
    opened = trimesh.load(tmp_path / "ring.glb", force="mesh", process=False)
    assert len(opened.faces) == len(Waving().mesh().faces)
    read = read_gltf(tmp_path / "ring.glb")
    still = Waving().mesh().vertices
    for frame in (1, 2):
        truth = Waving().mesh(moments.times[frame]).vertices
        posed = deform(read, read.clips[0], frame / 12)
        error = (posed.vertices - truth).norm(dim=1).mean()
        assert float(error) < 0.25 * float((still - truth).norm(dim=1).mean())


def test_a_textured_sequence_shares_one_picture(tmp_path):
    subject = waving(texture=128)
    assert write_sequence(tmp_path / "frames", subject, ".obj")["same_topology"]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir() if path.suffix != ".obj") == [
        "materials.mtl",
        "materials_surface_base_colour.png",
    ]
    for frame in (0, 4):
        read = trimesh.load(tmp_path / f"frames/frame_{frame:05d}.obj", process=False)
        posed = deform(subject.asset, subject.clip, frame / 12)
        torch.testing.assert_close(torch.tensor(read.vertices).float(), posed.vertices, rtol=0, atol=1e-5)
        colours = read.visual.material.to_color(read.visual.uv)[:, :3] / 255
        truth = Waving().mesh().colours
        nearest = torch.cdist(deform(subject.asset).vertices, Waving().mesh().vertices).argmin(1)
        assert abs(torch.tensor(colours) - truth[nearest]).mean() < 0.02


def test_an_obj_file_has_colours_or_a_picture_and_the_frame_that_was_asked_for(tmp_path):
    moved = replace(waving(), frame_from_world=frame_of_files("z", 10.0))
    write_obj_file(tmp_path / "plain.obj", moved)
    read = trimesh.load(tmp_path / "plain.obj", process=False)
    x, y, z = Waving().mesh().vertices.unbind(1)
    expected = 10 * torch.stack([x, -z, y], dim=1)
    torch.testing.assert_close(torch.tensor(read.vertices).float(), expected, rtol=0, atol=1e-4)
    assert read.volume == pytest.approx(1000 * Waving().mesh().volume, rel=1e-4)
    assert write_glb(tmp_path / "moved.glb", moved)["glb_psnr"] > 35
    torch.testing.assert_close(deform(read_gltf(tmp_path / "moved.glb")).vertices, expected, rtol=0, atol=1e-4)
    assert not list(tmp_path.glob("*.mtl"))


def test_a_file_that_reads_back_differently_is_refused(tmp_path, monkeypatch):
    wrong = replace(waving(), scene=Waving(still=True), frame_from_world=frame_of_files("y", 1.001))
    monkeypatch.setattr(surfaces, "write_asset", lambda path, asset: surfaces_write(path, wrong.asset))
    with pytest.raises(QualityError, match="vertices that are") as refused:
        write_glb(tmp_path / "ring.glb", replace(waving(), scene=Waving(still=True)))
    assert refused.value.exit_code == 7
    monkeypatch.setattr(surfaces, "write_asset", lambda path, asset: surfaces_write(path, replace(asset, clips=())))
    with pytest.raises(QualityError, match="0 of 1 animations"):
        write_glb(tmp_path / "ring.glb", waving())
    monkeypatch.setattr(surfaces, "write_obj", lambda path, mesh: write_obj(path, replace(mesh, faces=mesh.faces[1:])))
    with pytest.raises(QualityError, match="faces in trimesh"):
        write_obj_file(tmp_path / "ring.obj", waving())


surfaces_write = surfaces.write_asset


def test_what_a_subject_has_not_is_said(tmp_path):
    with pytest.raises(UsageError, match="no scene"):
        replace(waving(), scene=None).require_scene()
