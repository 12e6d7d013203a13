"""Pictures on surfaces: files of textured assets look like the assets, also those that were textured here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from showing import Showing

from a4d.export import texturing
from a4d.export.given_asset import GivenAsset
from a4d.export.moments import Moments
from a4d.export.subject import Subject, Surface
from a4d.export.surface_options import PHOTOGRAPHED_FACES, SurfaceOptions
from a4d.export.surfaces import coloured, write_glb, write_obj_file
from a4d.export.texturing import FILLED, FrontPicture, Looks, bake_scene, texture_size
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.placement import Orientation, normalising, placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.primitives import torus
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.metrics import psnr
from a4d.render.asset import AssetRenderer
from a4d.render.baking import SurfacePoints, bake_normal_map, bake_texture, texture_map
from a4d.render.render import Render


def striped(points: SurfacePoints) -> torch.Tensor:
    """(N, 3) sRGB with edges that vertex colours could not show."""
    waves = torch.sin(25 * points.positions + torch.tensor([0.0, 1.0, 2.0]))
    return 0.5 + 0.35 * torch.tanh(4 * waves)


def ring(size: int = 512) -> Asset:
    """A ring with pictures of colours, metal, roughness and dents."""
    unwrapped = unwrap(torus(sections=32), size)

    def dents(points: SurfacePoints) -> torch.Tensor:
        return points.normals + 0.4 * torch.sin(30 * points.positions)

    factors = bake_texture(
        unwrapped, lambda points: torch.cat([0 * points.positions[:, :1], 0.5 + points.positions[:, 1:]], 1), size
    )
    material = Material(
        "gold & clay",
        base_colour=(0.9, 0.7, 1.0, 1.0),
        base_colour_map=texture_map(bake_texture(unwrapped, striped, size)),
        metallic=0.5,
        roughness=0.8,
        metallic_roughness_map=texture_map(factors),
        normal_map=texture_map(bake_normal_map(unwrapped, dents, size)),
    )
    return static_asset("ring", unwrapped.primitive(has_tangents=True), material)


def likeness(first: Asset, second: Asset, lighting: str = "unlit") -> float:
    """PSNR in dB of two views over black."""
    cameras = turntable(4, 25.0, 4.0, 30.0, 96)
    shown = []
    for asset in (first, second):
        renderer, surface = AssetRenderer(asset, lighting), deform(asset)
        rgba = torch.stack([renderer.render(surface, cameras[index]).rgba for index in (0, 3)])
        shown.append(rgba[..., :3] * rgba[..., 3:])
    return psnr(*shown)


def test_a_glb_of_a_textured_asset_looks_like_it_in_any_light(tmp_path: Path) -> None:
    asset = ring()
    write_glb(tmp_path / "ring.glb", Subject("ring", None, GivenAsset(asset, asset)))
    read = read_gltf(tmp_path / "ring.glb")
    assert likeness(read, asset) > 50
    assert likeness(read, asset, "shaded") > 45
    flat = replace(asset, materials=(replace(asset.materials[0], normal_map=None),))
    assert likeness(flat, asset, "shaded") < 35, "the dents can be seen, so that their directions count"


def test_an_obj_of_a_textured_asset_is_read_by_other_programs(tmp_path: Path) -> None:
    asset = ring(256)
    assert write_obj_file(tmp_path / "ring.obj", Subject("ring", None, GivenAsset(asset, asset)))["faces"] == 2048
    mesh = trimesh.load(tmp_path / "ring.obj", process=False)
    assert len(mesh.faces) == 2048
    assert mesh.visual.material.name == "gold_clay"
    colours = mesh.visual.material.to_color(mesh.visual.uv)[:, :3] / 255
    own = coloured(Surface(deform(asset), asset.materials)).colours.numpy()
    assert np.abs(colours - own).mean() < 0.02
    assert likeness(read_asset(tmp_path / "ring.obj"), replace(asset, materials=(_plain(asset),))) > 40
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    uses = ("base_colour", "metallic", "normal", "roughness")
    assert pictures == [f"ring_gold_clay_{use}.png" for use in uses]
    with Image.open(tmp_path / "ring_gold_clay_roughness.png") as picture:
        roughness = np.asarray(picture) / 255
    expected = asset.materials[0].metallic_roughness_map.image[..., 1].numpy() * 0.8
    np.testing.assert_allclose(roughness, expected, atol=0.01)
    assert "norm ring_gold_clay_normal.png" in (tmp_path / "ring.mtl").read_text()


def _plain(asset: Asset) -> Material:
    return replace(asset.materials[0], normal_map=None, metallic_roughness_map=None)


def test_a_scene_is_textured_from_its_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texturing, "VIEW_SIZE", 256)
    monkeypatch.setattr(texturing, "VIEWS_PER_RING", 6)
    unwrapped = unwrap(torus(sections=32), 512)
    picture = texture_map(bake_texture(unwrapped, striped, 512))
    asset = static_asset("ring", unwrapped.primitive(), Material(base_colour_map=picture))
    scene = Showing(asset)
    subject = Subject("ring", scene, None, Moments(), SurfaceOptions(texture=512))
    facts = write_glb(tmp_path / "ring.glb", subject)
    assert facts["glb_psnr"] > 33


class Changing(Showing):
    """Blue, as soon as it is seen from below, where no photograph was taken."""

    def render(self, cameras: Cameras, *others: object, **more: object) -> Render:
        render = super().render(cameras, *others, **more)
        is_below = (cameras.positions[:, 1] < 0).float()[:, None, None, None]
        blue = render.alpha * torch.tensor([0.0, 0.0, 1.0])
        return replace(render, rgb=torch.lerp(render.rgb, blue, is_below))


def test_colours_are_those_that_are_seen_from_where_the_photographs_were_taken() -> None:
    unwrapped = unwrap(torus(sections=32), 256)
    grey = static_asset("ring", unwrapped.primitive(), Material(base_colour=(0.5, 0.5, 0.5, 1.0)))
    above = turntable(8, 35.0, 4.0, 40.0, 160)
    cameras = tuple(above[index] for index in range(8))
    blueness = {}
    for name, seen_from in (("all sides", ()), ("photographs", cameras)):
        material = bake_scene(Changing(grey), unwrapped, 0.0, Looks(256, 0.02, None, seen_from))
        made = static_asset("ring", unwrapped.primitive(), material)
        rgba = AssetRenderer(made).render(deform(made), cameras[3]).rgba
        inside = rgba[..., 3] > 0.99
        blueness[name] = float((rgba[..., 2] - rgba[..., 0])[inside].mean())
    assert blueness["photographs"] == pytest.approx(0, abs=0.01)
    assert blueness["all sides"] > 0.03


def test_a_surface_is_as_fine_as_photographs_within_bounds() -> None:
    fine = SurfaceOptions().as_fine_as_photographs(0.01, 1.0)
    assert (fine.cells, fine.faces) == (200, PHOTOGRAPHED_FACES)
    assert [SurfaceOptions().as_fine_as_photographs(pixel, 1.0).cells for pixel in (0.1, 0.001)] == [160, 256]
    asked = SurfaceOptions(resolution=64, faces=500).as_fine_as_photographs(0.01, 1.0)
    assert (asked.cells, asked.faces) == (64, 500)
    assert SurfaceOptions().cells == 160
    assert fine.is_brought_to_renders
    assert not SurfaceOptions().is_brought_to_renders


def test_what_the_picture_shows_is_taken_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texturing, "VIEWS_PER_RING", 4)
    unwrapped = unwrap(torus(sections=32), 256)
    grey = static_asset("ring", unwrapped.primitive(), Material(base_colour=(0.5, 0.5, 0.5, 1.0)))
    painted = Material(base_colour_map=texture_map(bake_texture(unwrapped, striped, 512)))
    camera, behind = turntable(2, 60.0, 3.0, 40.0, 192)[0], turntable(2, -60.0, 3.0, 40.0, 192)[1]
    truth = static_asset("ring", unwrapped.primitive(), painted)
    shown = AssetRenderer(truth).render(deform(truth), camera)
    size = texture_size(unwrapped.mesh, 0.004)
    assert (size * 0.004) ** 2 * FILLED == pytest.approx(
        float(unwrapped.mesh.face_normals.norm(dim=1).sum()) / 2, rel=0.3
    )
    looks = Looks(size, 0.02, FrontPicture(shown.rgba, camera))
    made = static_asset("ring", unwrapped.primitive(), bake_scene(Showing(grey), unwrapped, 0.0, looks))
    again = AssetRenderer(made).render(deform(made), camera).rgba
    inside = (shown.rgba[..., 3] > 0.99) & (again[..., 3] > 0.99)
    apart = (again - shown.rgba)[inside][:, :3].abs().mean(1)
    assert float(apart.quantile(0.6)) < 0.05, "what faces the camera is the picture"
    back = AssetRenderer(made).render(deform(made), behind).rgba
    assert float(back[back[..., 3] > 0.99][:, :3].std()) < 0.05, "what it does not see is the scene's grey"
    elsewhere = FrontPicture(shown.rgba.flip(0).roll(60, 0), camera)
    assert elsewhere.seen_on(unwrapped.mesh) is None


@pytest.mark.slow
def test_spot_textured_anew_looks_like_spot(real_data: Path, tmp_path: Path) -> None:
    asset = read_asset(real_data / "meshes_misc/nvdiffrec/spot/spot.obj")
    asset = placed(asset, normalising(Orientation(), [deform(asset).vertices]))
    subject = Subject("spot", Showing(asset), None, Moments(), SurfaceOptions(texture=1024))
    assert write_glb(tmp_path / "spot.glb", subject)["glb_psnr"] > 35
