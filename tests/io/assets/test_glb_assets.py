import itertools
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from glb_rules import checked_glb
from gltf_files import GltfBuilder, gltf_files, read, triangle, two_bones
from gltf_validator import errors, installed_validator

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Channel, Clip, Curve
from a4d.geometry.assets.assembly import (
    MorphMotion,
    morphing_asset,
    moving_asset,
    primitive_from_mesh,
    skinned_asset,
    static_asset,
)
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material, TextureMap
from a4d.geometry.assets.posing import PosedMesh, deform, pose
from a4d.geometry.assets.reposing import reposed, rig_of
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.deformation.skinning_decomposition import decompose_skinning
from a4d.geometry.primitives import icosphere, torus
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.glb_material import PictureOptions, texture_transform
from a4d.io.assets.gltf.reader import read_gltf
from a4d.render.baking import bake_vertex_colours


def rewritten(asset: Asset, tmp_path: Path, pictures: PictureOptions | None = None) -> tuple[Asset, dict, list]:
    path = tmp_path / "written.glb"
    write_asset(path, asset, pictures)
    return read_gltf(path), *checked_glb(path.read_bytes())


def assert_same_map(first: TextureMap | None, second: TextureMap | None) -> None:
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert (first.uv_set, first.wrap, first.is_smooth) == (second.uv_set, second.wrap, second.is_smooth)
        assert torch.equal(first.image, second.image)
        torch.testing.assert_close(first.transform, second.transform)


def assert_same_material(first: Material, second: Material) -> None:
    for field in fields(Material):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name.endswith("_map"):
            assert_same_map(a, b)
        elif field.name == "emission":
            assert a == pytest.approx(b)
        else:
            assert a == b, field.name


def assert_same_pose(first: PosedMesh, second: PosedMesh, tolerance: float = 1e-5) -> None:
    size = max(1.0, float(first.vertices.abs().max()))
    torch.testing.assert_close(first.vertices, second.vertices, rtol=0, atol=tolerance * size)
    assert torch.equal(first.faces, second.faces)
    assert torch.equal(first.uvs, second.uvs)
    assert torch.equal(first.materials, second.materials)
    # Colours pass through 16 bits of linear light.
    torch.testing.assert_close(first.colours, second.colours, rtol=0, atol=1e-4)
    for a, b in ((first.normals, second.normals), (first.tangents, second.tangents)):
        # A direction that the file leaves out or that vanishes is not stored.
        is_given = a[:, :3].norm(dim=1) > 0.5
        torch.testing.assert_close(a[is_given], b[is_given], rtol=0, atol=1e-4)


def assert_survives(asset: Asset, tmp_path: Path, clips: int = 3) -> None:
    again, *_ = rewritten(asset, tmp_path)
    assert again.nodes.names == asset.nodes.names
    assert torch.equal(again.nodes.parents, asset.nodes.parents)
    torch.testing.assert_close(again.nodes.rest, asset.nodes.rest, rtol=0, atol=1e-12)
    assert [clip.name for clip in again.clips] == [clip.name for clip in asset.clips if clip.channels]
    assert [skin.name for skin in again.skins] == [skin.name for skin in asset.skins]
    for first, second in zip(asset.materials, again.materials, strict=True):
        assert_same_material(first, second)
    written = [mesh for mesh in asset.meshes if any(len(primitive.faces) for primitive in mesh.primitives)]
    assert [mesh.name for mesh in again.meshes] == [mesh.name for mesh in written]
    assert [mesh.morph_names for mesh in again.meshes] == [mesh.morph_names for mesh in written]
    if any(asset.meshes[instance.mesh] in written for instance in asset.instances):
        for clip, time in itertools.product((None, *range(min(clips, len(again.clips)))), (0.21, 0.77)):
            first = deform(asset, None if clip is None else asset.clips[clip], time)
            assert_same_pose(first, deform(again, None if clip is None else again.clips[clip], time))


def real_files(real_data: Path, *folders: str) -> list[Path]:
    return [path for folder in folders for path in gltf_files(real_data / folder)]


def test_khronos_assets_survive_saving(real_data: Path, tmp_path: Path) -> None:
    for path in real_files(real_data, "gltf_khronos"):
        asset = read_gltf(path)
        if asset.nodes.names and asset.meshes:
            assert_survives(asset, tmp_path, 2)


@pytest.mark.slow
def test_other_assets_survive_saving(real_data: Path, tmp_path: Path) -> None:
    for path in real_files(
        real_data, "gltf_blenderio_roundtrip", "rigged_kaykit", "rigged_momentum", "rigged_quaternius"
    ):
        asset = read_gltf(path)
        if asset.nodes.names and any(mesh.primitives for mesh in asset.meshes):
            assert_survives(asset, tmp_path)


def test_a_skin_below_an_armature_survives(tmp_path: Path) -> None:
    asset = read(two_bones(), tmp_path)
    assert_survives(asset, tmp_path)
    again, document, _ = rewritten(asset, tmp_path)
    # The scene showed node 3 before node 2; the mesh's node comes first because it leads to something seen.
    assert document["scenes"][0]["nodes"] == [2, 3]
    assert again.clips[0].duration == 1.0
    torch.testing.assert_close(again.skins[0].inverse_bind, asset.skins[0].inverse_bind)


def test_every_property_of_a_material_survives(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(1)

    def picture(channels: int, **more: object) -> TextureMap:
        image = torch.randint(0, 256, (4, 6, channels), generator=random).float() / 255
        settings = {"uv_set": 0, "wrap": ("repeat", "repeat"), "is_smooth": True, "transform": torch.eye(2, 3)}
        return TextureMap(image, **{**settings, **more})

    turned = torch.tensor([[0.6, 1.6, 0.1], [-0.8, 1.2, 0.2]]) * torch.tensor([[0.5], [0.5]])
    material = Material(
        name="enamel",
        base_colour=(0.1, 0.2, 0.3, 0.4),
        base_colour_map=picture(4, uv_set=1, wrap=("clamp", "mirror")),
        metallic=0.25,
        roughness=0.75,
        metallic_roughness_map=picture(3, is_smooth=False),
        normal_map=picture(3, transform=turned),
        normal_scale=0.5,
        occlusion_map=picture(3),
        occlusion_strength=0.3,
        emission=(2.0, 4.0, 1.0),
        emission_map=picture(3),
        alpha_mode="mask",
        alpha_cutoff=0.35,
        is_double_sided=True,
        is_unlit=True,
    )
    flat = primitive_from_mesh(icosphere(subdivisions=1))
    uvs = torch.rand(2, len(flat.positions), 2, generator=random)
    asset = static_asset("ball", replace(flat, uvs=uvs), material)
    again, document, _ = rewritten(asset, tmp_path)
    assert_same_material(again.materials[0], material)
    assert_same_pose(deform(asset), deform(again))
    assert [image["name"] for image in document["images"]][:2] == ["enamel base colour", "enamel metallic roughness"]
    shared = replace(material, occlusion_map=material.metallic_roughness_map)
    assert len(rewritten(static_asset("ball", replace(flat, uvs=uvs), shared), tmp_path)[1]["images"]) == 4


def test_pictures_as_jpeg_stay_close_and_alpha_stays_exact(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 32)[:, None, None].expand(32, 32, 3).contiguous()
    opaque = TextureMap(ramp, 0, ("repeat", "repeat"), True, torch.eye(2, 3))
    clear = replace(opaque, image=torch.cat([ramp, ramp[..., :1]], dim=-1))
    flat = primitive_from_mesh(icosphere(subdivisions=1), torch.zeros(42, 2))
    asset = static_asset("ball", flat, Material(base_colour_map=clear, emission_map=opaque, emission=(1.0, 1.0, 1.0)))
    again, document, _ = rewritten(asset, tmp_path, PictureOptions("jpeg"))
    assert [image["mimeType"] for image in document["images"]] == ["image/png", "image/jpeg"]
    torch.testing.assert_close(again.materials[0].base_colour_map.image, clear.image, rtol=0, atol=0.5 / 255 + 1e-6)
    torch.testing.assert_close(again.materials[0].emission_map.image, ramp, rtol=0, atol=0.03)


@pytest.mark.parametrize("scale", [(0.5, 2.0), (0.0, 1.0), (1.0, -3.0)])
@pytest.mark.parametrize("rotation", [0.0, 2.5])
def test_texture_transforms_are_taken_apart(scale: tuple[float, float], rotation: float) -> None:
    cosine, sine = np.cos(rotation), np.sin(rotation)
    linear = np.array([[cosine, sine], [-sine, cosine]]) * scale
    parts = texture_transform(torch.tensor(np.column_stack([linear, [0.25, -0.5]])))
    cosine, sine = np.cos(parts["rotation"]), np.sin(parts["rotation"])
    rebuilt = np.array([[cosine, sine], [-sine, cosine]]) * parts["scale"]
    np.testing.assert_allclose(rebuilt, linear, atol=1e-12)
    assert parts["offset"] == [0.25, -0.5]


def test_jumps_and_lone_splines_and_repeated_joints_become_valid(tmp_path: Path) -> None:
    file = triangle()
    asset = read(file, tmp_path)
    jump = Curve(torch.tensor([0.0, 1, 1, 1, 2]).double(), torch.eye(5, 3).double())
    spline = Curve(torch.tensor([0.5]).double(), torch.tensor([[[9.0, 9, 9], [2, 2, 2], [9, 9, 9]]]).double(), "cubic")
    channels = (
        Channel(0, "scale", replace(jump, values=jump.values * 7)),
        Channel(0, "scale", spline),
        Channel(0, "translation", jump),
        Channel(0, "weights", jump),
    )
    again, document, _ = rewritten(replace(asset, clips=(Clip("jump", channels), Clip("none", ()))), tmp_path)
    assert len(document["animations"]) == 1
    (clip,) = again.clips
    assert [channel.target for channel in clip.channels] == ["scale", "translation"]
    assert clip.channels[0].curve.at(0.5).tolist() == [2, 2, 2]
    torch.testing.assert_close(clip.channels[1].curve.at(0.999999), jump.values[1], rtol=0, atol=1e-5)
    assert float(clip.channels[1].curve.at(1.001).abs().max()) == 0

    skinned = read(two_bones(), tmp_path)
    primitive = skinned.meshes[0].primitives[0]
    repeated = Influences(torch.tensor([[1, 0, 1, 1, 0]]).repeat(6, 1), torch.full((6, 5), 0.2))
    mesh = replace(skinned.meshes[0], primitives=(replace(primitive, influences=repeated),))
    again, _, _ = rewritten(replace(skinned, meshes=(mesh,)), tmp_path)
    influences = again.meshes[0].primitives[0].influences
    torch.testing.assert_close(influences.weights[:, :2], torch.tensor([[0.6, 0.4]]).repeat(6, 1))
    assert influences.weights.shape == (6, 8)


def test_what_cannot_be_written_is_refused_or_left_out(tmp_path: Path) -> None:
    asset = read(triangle(), tmp_path)
    primitive = asset.meshes[0].primitives[0]

    def shown(**changes: object) -> Asset:
        return replace(asset, meshes=(replace(asset.meshes[0], primitives=(replace(primitive, **changes),)),))

    with pytest.raises(InvalidInputError, match="not finite"):
        write_asset(tmp_path / "x.glb", shown(positions=primitive.positions * torch.inf))
    again, *_ = rewritten(shown(normals=torch.zeros(3, 3)), tmp_path)
    assert again.meshes[0].primitives[0].normals.tolist() == [[0, 1, 0]] * 3
    write_asset(tmp_path / "x.glb", shown(faces=torch.zeros(0, 3, dtype=torch.int64)))
    assert read_gltf(tmp_path / "x.glb").instances == ()
    write_asset(tmp_path / "x.glb", read(GltfBuilder(), tmp_path))
    assert len(read_gltf(tmp_path / "x.glb").nodes) == 0


def waving(frames: int = 17) -> torch.Tensor:
    """A ring whose far side is bent up and down, (T, V, 3)."""
    mesh = torus(sections=24)
    angle = torch.sin(torch.arange(frames) * 0.35)[:, None] * (mesh.vertices[:, 0] + 0.7)
    x, y, z = (mesh.vertices[:, axis].expand(frames, -1) for axis in range(3))
    return torch.stack([x, angle.cos() * y - angle.sin() * z, angle.sin() * y + angle.cos() * z], dim=2)


def generated_assets() -> dict[str, Asset]:
    """One asset of each kind that we make ourselves."""
    frames = waving()
    surface = primitive_from_mesh(replace(torus(sections=24), vertices=frames[0]))
    bones = decompose_skinning(frames, 6)
    angle = torch.arange(13).double() / 4
    spin = torch.eye(4).double().repeat(13, 1, 1)
    spin[:, 0, 0], spin[:, 0, 2], spin[:, 2, 0], spin[:, 2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    spin[:, 1, 3] = angle * 0.1
    pivot = Skeleton(("pivot",), torch.tensor([-1]), torch.eye(4).double()[None])
    return {
        "textured": bake_vertex_colours("ring", torus(sections=24), 128),
        "morphing": morphing_asset("ring", surface, MorphMotion(frames, 1 / 24, 0.01)),
        "held": morphing_asset("ring", surface, MorphMotion(frames, 1 / 24, 0.1, "step")),
        "skinned": skinned_asset("ring", replace(surface, influences=bones.influences), {"wave": bones.motion(1 / 24)}),
        "moving": moving_asset("ring", surface, Motion(pivot, spin[:, None], 0.1)),
    }


def test_generated_assets_keep_the_rules_and_pose_the_same(tmp_path: Path) -> None:
    for name, asset in generated_assets().items():
        again, document, _ = rewritten(asset, tmp_path)
        assert len(document["scenes"]) == 1
        for clip, time in itertools.product(range(len(asset.clips)), (0.0, 0.123, 0.5, 9.0)):
            expected = deform(asset, asset.clips[clip], time)
            torch.testing.assert_close(
                deform(again, again.clips[clip], time).vertices, expected.vertices, rtol=0, atol=1e-5, msg=name
            )
        scene = trimesh.load(tmp_path / "written.glb", process=False)
        (geometry,) = scene.geometry.values()
        assert len(geometry.faces) == len(deform(asset).faces)


@pytest.mark.slow
def test_the_official_validator_finds_no_error(real_data: Path, tmp_path: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    paths = []
    for name, asset in generated_assets().items():
        paths.append(tmp_path / f"{name}.glb")
        write_asset(paths[-1], asset)
    folders = ("gltf_khronos", "gltf_blenderio_roundtrip", "rigged_kaykit", "rigged_momentum", "rigged_quaternius")
    for number, path in enumerate(real_files(real_data, *folders)):
        paths.append(tmp_path / f"{number} {path.stem}.glb")
        write_asset(paths[-1], read_gltf(path))
    assert errors(script, paths) == {}


def test_a_joint_whose_place_is_a_matrix_takes_a_motion(tmp_path: Path) -> None:
    file = two_bones()
    noise = np.random.default_rng(0).normal(0, 1e-7, (4, 3))
    lower = np.eye(4)
    lower[:, :3] += noise
    lower[3, :3] = (0.0, 0.4, 0.0)
    file.json["nodes"][1]["matrix"] = lower.ravel().tolist()
    asset = read(file, tmp_path)
    rig = rig_of(asset)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    local = rig.rest.double().repeat(2, 1, 1, 1)
    local[1, rig.names.index("lower"), :3, :3] = turn
    motion = Motion(rig, local, 0.5)
    lent = reposed(asset, motion)
    back, document, _ = rewritten(lent, tmp_path)
    assert not any("matrix" in node for node in document["nodes"] if node.get("name") == "lower")
    joints = [lent.nodes.names.index(name) for name in rig.names]
    for time, world in zip((0.0, 0.5), motion.world_from_joint, strict=True):
        for each in (lent, back):
            posed = pose(each, each.clips[0], time)
            torch.testing.assert_close(posed.positions[joints], world[:, :3, 3], atol=1e-5, rtol=0)
