import json
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from glb_rules import checked_glb
from PIL import Image
from welded_mesh import read_mesh

from a4d import __version__
from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh
from a4d.io.arrays import mesh_arrays
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.glb import GlbBuilder, Target, add_primitive
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.obj import write_obj
from a4d.io.assets.ply import PointCloud, read_point_cloud, write_ply_mesh, write_point_cloud
from a4d.io.pictures.colour import linear_from_srgb, srgb_from_linear

TETRAHEDRON = Mesh(
    vertices=torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]),
    faces=torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
    colours=torch.tensor([[0.0, 0.5, 1.0], [0.25, 0.02, 0.75], [1.0, 1.0, 0.0], [0.2, 0.4, 0.6]]),
)


def sphere(subdivisions: int) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions)
    vertices = torch.tensor(np.array(shape.vertices), dtype=torch.float32)
    return Mesh(vertices, torch.tensor(np.array(shape.faces)), vertices / 2 + 0.5)


def sorted_by_position(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort(mesh.vertices.numpy().T)
    return mesh.vertices.numpy()[order], mesh.colours.numpy()[order]


def write_glb(path, mesh):
    write_asset(path, static_asset("t", primitive_from_mesh(mesh)))


def test_transfer_curve_at_published_points():
    np.testing.assert_allclose(linear_from_srgb(np.array([0, 0.04045, 0.5, 1])), [0, 0.0031308, 0.21404, 1], atol=1e-5)
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)


def test_glb_bytes_of_a_triangle(tmp_path):
    triangle = Mesh(TETRAHEDRON.vertices[:3], torch.tensor([[0, 1, 2]]))
    flat = replace(primitive_from_mesh(triangle), normals=None)
    write_asset(tmp_path / "t.glb", static_asset("t", flat))
    text = (
        b'{"asset":{"version":"2.0","generator":"a4d VERSION"},"materials":[{"name":"surface","pbrMetallicRoughness":'
        b'{"baseColorFactor":[1.0,1.0,1.0,1.0],"metallicFactor":0.0,"roughnessFactor":0.9}}],"bufferViews":['
        b'{"buffer":0,"byteOffset":0,"byteLength":36,"target":34962},'
        b'{"buffer":0,"byteOffset":36,"byteLength":6,"target":34963}],"accessors":['
        b'{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3","min":[0.0,0.0,0.0],"max":[1.0,2.0,0.0]},'
        b'{"bufferView":1,"componentType":5123,"count":3,"type":"SCALAR"}],'
        b'"meshes":[{"name":"t","primitives":[{"attributes":{"POSITION":0},"indices":1,"mode":4,"material":0}]}],'
        b'"nodes":[{"name":"t","mesh":0}],"scenes":[{"nodes":[0]}],"scene":0,"buffers":[{"byteLength":42}]}'
    )
    text = text.replace(b"VERSION", __version__.encode())
    text += b" " * (-len(text) % 4)
    binary = struct.pack("<9f3H2x", 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 2)
    expected = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
    expected += struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    assert (tmp_path / "t.glb").read_bytes() == expected


def test_glb_keeps_the_specification_and_the_colours(tmp_path):
    path = tmp_path / "s.glb"
    mesh = sphere(2)
    write_asset(path, static_asset("ball", primitive_from_mesh(mesh), Material(is_double_sided=True)))
    document, arrays = checked_glb(path.read_bytes())
    primitive = document["meshes"][0]["primitives"][0]
    colours = arrays[primitive["attributes"]["COLOR_0"]]
    assert document["accessors"][primitive["attributes"]["COLOR_0"]]["normalized"] is True
    assert (colours[:, 3] == 65535).all()
    np.testing.assert_allclose(colours[:, :3] / 65535, linear_from_srgb(mesh.colours.numpy()), atol=1e-5)
    assert document["materials"][0]["doubleSided"] is True
    assert document["nodes"][0] == {"name": "ball", "mesh": 0}
    # On a sphere about the origin a normal is the position.
    np.testing.assert_allclose(arrays[primitive["attributes"]["NORMAL"]], mesh.vertices.numpy(), atol=0.03)


def test_glb_of_many_vertices_takes_wide_indices(tmp_path):
    for count, component in ((65535, 5123), (65536, 5125)):
        vertices = torch.rand(count, 3, generator=torch.Generator().manual_seed(0))
        write_glb(tmp_path / "m.glb", Mesh(vertices, torch.tensor([[0, 1, count - 1]])))
        document, _ = checked_glb((tmp_path / "m.glb").read_bytes())
        assert document["accessors"][-1]["componentType"] == component


def test_builder_holds_what_animation_needs(tmp_path):
    builder = GlbBuilder()
    arrays = mesh_arrays(tmp_path, TETRAHEDRON)
    primitive = add_primitive(builder, arrays.vertices, arrays.faces, arrays.normals, arrays.colours)
    deltas = np.full((4, 3), 0.5, np.float32)
    primitive["targets"] = [{"POSITION": builder.add_accessor(deltas, Target.VERTICES, has_bounds=True)}]
    primitive["material"] = builder.append("materials", {})
    mesh = builder.append("meshes", {"primitives": [primitive], "weights": [0.0]})
    node = builder.append("nodes", {"mesh": mesh})
    times = builder.add_accessor(np.array([0.0, 1.0], np.float32), has_bounds=True)
    weights = builder.add_accessor(np.array([0.0, 1.0], np.float32))
    sampler = {"input": times, "output": weights, "interpolation": "LINEAR"}
    channel = {"sampler": 0, "target": {"node": node, "path": "weights"}}
    builder.append("animations", {"samplers": [sampler], "channels": [channel]})
    inverse_bind = np.eye(4, dtype=np.float32)[None].repeat(2, axis=0)
    inverse_bind[1, :3, 3] = (7, 8, 9)
    matrices = builder.add_accessor(inverse_bind)
    builder.add_scene([node])
    document, arrays = checked_glb(builder.to_bytes())
    assert document["accessors"][times]["min"] == [0.0]
    assert arrays[matrices][1].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 8, 9, 1]
    assert "target" not in document["bufferViews"][document["accessors"][matrices]["bufferView"]]
    with pytest.raises(ValueError, match="padded"):
        builder.add_accessor(np.zeros((4, 3), np.uint16), Target.VERTICES)
    with pytest.raises(ValueError, match="no accessor"):
        builder.add_accessor(np.zeros((4, 3)), Target.VERTICES)


@pytest.mark.parametrize("write", [write_glb, write_obj, write_ply_mesh])
def test_written_meshes_come_back(tmp_path, write):
    suffix = {write_glb: ".glb", write_obj: ".obj", write_ply_mesh: ".ply"}[write]
    mesh = sphere(3)
    write(tmp_path / f"s{suffix}", mesh)
    back = read_mesh(tmp_path / f"s{suffix}")
    assert back.is_closed
    assert back.volume == pytest.approx(mesh.volume, rel=1e-5)
    positions, colours = sorted_by_position(back)
    expected_positions, expected_colours = sorted_by_position(mesh)
    np.testing.assert_allclose(positions, expected_positions, atol=1e-6)
    np.testing.assert_allclose(colours, expected_colours, atol=1e-4 if suffix == ".glb" else 0.51 / 255 + 1e-6)
    loaded = trimesh.load(tmp_path / f"s{suffix}", force="mesh")
    assert loaded.is_watertight
    np.testing.assert_allclose(np.asarray(loaded.vertex_normals), np.asarray(loaded.vertices), atol=0.02)


@pytest.mark.parametrize("write", [write_obj, write_ply_mesh])
def test_empty_and_damaged_meshes_are_not_written(tmp_path, write):
    damaged = TETRAHEDRON.with_vertices(TETRAHEDRON.vertices * float("nan"))
    empty = Mesh(TETRAHEDRON.vertices, torch.zeros(0, 3, dtype=torch.int64))
    for mesh in (damaged, empty):
        with pytest.raises(InvalidInputError):
            write(tmp_path / "x.any", mesh)
    assert not list(tmp_path.iterdir())


def test_obj_takes_a_material_or_colours(tmp_path):
    write_obj(tmp_path / "coloured.obj", TETRAHEDRON)
    loaded = trimesh.load(tmp_path / "coloured.obj", force="mesh", process=False)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, TETRAHEDRON.colours.numpy(), atol=0.51 / 255)
    assert not (tmp_path / "coloured.mtl").exists()
    write_obj(tmp_path / "plain.obj", Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces))
    loaded = trimesh.load(tmp_path / "plain.obj", force="mesh")
    assert loaded.visual.material.main_color[:3].tolist() == [255, 255, 255]
    # Other programs write both.
    both = (tmp_path / "coloured.obj").read_text().replace("o coloured", "mtllib plain.mtl\nusemtl surface")
    (tmp_path / "both.obj").write_text(both)
    np.testing.assert_allclose(
        sorted_by_position(read_mesh(tmp_path / "both.obj"))[1], sorted_by_position(TETRAHEDRON)[1], atol=0.51 / 255
    )


def test_ply_mesh_bytes(tmp_path):
    triangle = Mesh(TETRAHEDRON.vertices[:3], torch.tensor([[0, 1, 2]]), torch.tensor([[0.0, 0.5, 1.0]] * 3))
    write_ply_mesh(tmp_path / "t.ply", triangle)
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 3\n"
        b"property float x\nproperty float y\nproperty float z\n"
        b"property float nx\nproperty float ny\nproperty float nz\n"
        b"property uchar red\nproperty uchar green\nproperty uchar blue\n"
        b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = b"".join(struct.pack("<6f3B", *p, 0, 0, 1, 0, 128, 255) for p in ((0, 0, 0), (1, 0, 0), (0, 2, 0)))
    assert (tmp_path / "t.ply").read_bytes() == header + body + struct.pack("<B3i", 3, 0, 1, 2)


def test_point_clouds(tmp_path):
    generator = np.random.default_rng(0)
    cloud = PointCloud(generator.normal(size=(50, 3)), generator.random((50, 3)).astype(np.float32))
    write_point_cloud(tmp_path / "p.ply", cloud)
    back = read_point_cloud(tmp_path / "p.ply")
    np.testing.assert_allclose(back.positions, cloud.positions, rtol=1e-6)
    np.testing.assert_allclose(back.colours, cloud.colours, atol=0.51 / 255)
    write_point_cloud(tmp_path / "plain.ply", PointCloud(cloud.positions))
    assert read_point_cloud(tmp_path / "plain.ply").colours is None


@pytest.mark.parametrize("order", ["little", "big", "ascii"])
def test_point_cloud_behind_lists(tmp_path, order):
    """Elements and properties of varying length before and inside the vertices are stepped over."""
    name = order if order == "ascii" else f"binary_{order}_endian"
    header = (
        f"ply\nformat {name} 1.0\nelement face 2\nproperty list uchar int vertex_indices\nelement vertex 2\n"
        "property double x\nproperty list ushort float weights\nproperty double y\nproperty double z\n"
        "property ushort red\nproperty ushort green\nproperty ushort blue\nend_header\n"
    )
    mark = "<" if order == "little" else ">"
    body = struct.pack(f"{mark}B3iB4i", 3, 0, 1, 1, 4, 0, 1, 1, 0)
    body += struct.pack(f"{mark}dH2f2d3H", 1.5, 2, 0.1, 0.2, -2.0, 3.0, 65535, 0, 13107)
    body += struct.pack(f"{mark}dH2d3H", 4.0, 0, 5.0, 6.0, 0, 0, 0)
    if order == "ascii":
        body = b"3 0 1 1\n4 0 1 1 0\n1.5 2 .1 .2 -2 3 65535 0 13107\n4 0 5 6 0 0 0\n"
    (tmp_path / "p.ply").write_bytes(header.encode() + body)
    cloud = read_point_cloud(tmp_path / "p.ply")
    assert cloud.positions.tolist() == [[1.5, -2, 3], [4, 5, 6]]
    np.testing.assert_allclose(cloud.colours, [[1, 0, 0.2], [0, 0, 0]], atol=1e-6)
    (tmp_path / "p.ply").write_bytes(header.encode() + body[: len(body) * 2 // 3])
    with pytest.raises(InvalidInputError, match="truncated"):
        read_point_cloud(tmp_path / "p.ply")


def test_scene_graph_is_applied_and_mirrored_parts_are_turned(tmp_path):
    """Two instances of one closed shape, one moved, one mirrored: the volume is twice, the winding outward."""
    builder = GlbBuilder()
    arrays = mesh_arrays(tmp_path, TETRAHEDRON)
    primitive = add_primitive(builder, arrays.vertices, arrays.faces, arrays.normals, arrays.colours)
    primitive["material"] = builder.append("materials", {})
    mesh = builder.append("meshes", {"primitives": [primitive]})
    moved = builder.append("nodes", {"mesh": mesh, "translation": [10, 0, 0]})
    mirrored = builder.append("nodes", {"mesh": mesh, "scale": [-2, 1, 1]})
    builder.add_scene([builder.append("nodes", {"children": [moved, mirrored], "translation": [0, 5, 0]})])
    (tmp_path / "two.glb").write_bytes(builder.to_bytes())
    back = read_mesh(tmp_path / "two.glb")
    assert back.is_closed
    assert back.volume == pytest.approx(3.0)
    assert back.vertices.min(0).values.tolist() == [-2, 5, 0]
    assert back.vertices.max(0).values.tolist() == [11, 7, 3]


def textured_quad(folder, factor=None) -> SimpleNamespace:
    """A quad in glTF whose corners lie at the centres of a 2x2 texture."""
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [128, 128, 128]]], np.uint8)
    Image.fromarray(colours).save(folder / "t.png")
    builder = GlbBuilder()
    positions = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    uv = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [1.75, -0.25]], np.float32)
    attributes = {
        "POSITION": builder.add_accessor(positions, Target.VERTICES, has_bounds=True),
        "TEXCOORD_0": builder.add_accessor(uv, Target.VERTICES),
    }
    indices = builder.add_accessor(np.array([0, 2, 1, 1, 2, 3], np.uint16), Target.INDICES)
    view = builder.add_bytes((folder / "t.png").read_bytes())
    builder.append("images", {"bufferView": view, "mimeType": "image/png"})
    builder.append("textures", {"source": 0})
    surface = {"baseColorTexture": {"index": 0}}
    if factor is not None:
        surface["baseColorFactor"] = factor
    material = builder.append("materials", {"pbrMetallicRoughness": surface})
    primitive = {"attributes": attributes, "indices": indices, "material": material}
    node = builder.append("nodes", {"mesh": builder.append("meshes", {"primitives": [primitive]})})
    builder.add_scene([node])
    (folder / "q.glb").write_bytes(builder.to_bytes())
    return SimpleNamespace(path=folder / "q.glb", positions=positions, colours=colours.reshape(4, 3) / 255)


def test_textures_become_vertex_colours(tmp_path):
    quad = textured_quad(tmp_path)
    back = read_mesh(quad.path)
    order = np.lexsort(quad.positions.T)
    positions, colours = sorted_by_position(back)
    np.testing.assert_allclose(positions, quad.positions[order])
    np.testing.assert_allclose(colours, quad.colours[order], atol=1e-3)
    # A factor of one half in linear light is 0.735 of the code value at full brightness.
    halved = read_mesh(textured_quad(tmp_path, [0.5, 0.5, 0.5, 1.0]).path)
    np.testing.assert_allclose(sorted_by_position(halved)[1][order.argsort()[0]], [0.7354, 0, 0], atol=2e-3)


def test_face_colours_and_welding(tmp_path):
    lines = ["ply", "format ascii 1.0", "element vertex 4", *(f"property float {a}" for a in "xyz"), "element face 4"]
    lines += ["property list uchar int vertex_indices", *(f"property uchar {c}" for c in ("red", "green", "blue"))]
    lines += ["end_header", *(" ".join(map(str, v)) for v in TETRAHEDRON.vertices.tolist())]
    lines += [f"3 {a} {b} {c} {60 * i} 0 255" for i, (a, b, c) in enumerate(TETRAHEDRON.faces.tolist())]
    (tmp_path / "f.ply").write_text("\n".join(lines) + "\n")
    loose, welded = deform(read_asset(tmp_path / "f.ply")), read_mesh(tmp_path / "f.ply")
    assert (len(loose.vertices), len(welded.vertices)) == (12, 4)
    assert welded.is_closed
    np.testing.assert_allclose(loose.colours[loose.faces[2], :3].numpy(), [[120 / 255, 0, 1]] * 3, atol=1e-6)
    corner = welded.vertices.sum(1).argmin()
    np.testing.assert_allclose(welded.colours[corner].numpy(), [60 / 255, 0, 1], atol=1e-6)


def test_refusals_name_the_remedy(tmp_path):
    (tmp_path / "a.fbx").write_bytes(b"Kaydara FBX Binary")
    with pytest.raises(InvalidInputError, match="export it as glTF"):
        read_mesh(tmp_path / "a.fbx")
    with pytest.raises(MissingInputError):
        read_mesh(tmp_path / "a.obj")
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(InvalidInputError, match="positive area"):
        read_mesh(tmp_path / "flat.obj")
    (tmp_path / "nan.obj").write_text("v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n")
    with pytest.raises(InvalidInputError, match="not finite"):
        read_mesh(tmp_path / "nan.obj")
    (tmp_path / "far.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    with pytest.raises(InvalidInputError):
        read_mesh(tmp_path / "far.obj")


@pytest.mark.parametrize("corpus", ["meshes_trimesh_models", "meshes_misc"])
def test_every_file_of_a_corpus_is_read_or_refused(real_data, corpus):
    meshes, refused = {}, {}
    for path in sorted((real_data / corpus).rglob("*")):
        if path.is_file():
            try:
                meshes[path.name] = read_mesh(path)
            except InvalidInputError as error:
                refused[path.name] = str(error)
    assert not any("\n" in message for message in refused.values())
    for mesh in meshes.values():
        assert mesh.vertices.isfinite().all()
        assert mesh.faces.max() < len(mesh.vertices)
    if corpus == "meshes_misc":
        assert meshes["spot.obj"].is_closed
        assert meshes["bob_tri.obj"].is_closed
        # The same cow as OBJ and as GLB, one with its texture as a file, one embedded.
        np.testing.assert_allclose(meshes["cow.glb"].colours.mean(0), meshes["spot.obj"].colours.mean(0), atol=0.01)
    else:
        assert {"unit_cube.STL", "suzanne.ply", "Duck.glb", "cubevc.glb", "ballA.off", "fuze.obj"} <= meshes.keys()
        assert {
            "obj_points.obj",
            "ply_empty_bin.ply",
            "stl_empty_ascii.stl",
            "plane.xaml",
            "points_bin.ply",
        } <= refused.keys()
        assert meshes["unit_cube.STL"].volume == pytest.approx(1.0)
        np.testing.assert_allclose(meshes["cubevc.glb"].colours[0].numpy(), [1, 0, 1], atol=1e-6)


def test_gltf_samples_of_khronos(real_data):
    box = read_mesh(next((real_data / "gltf_khronos" / "BoxVertexColors").rglob("*.glb")))
    assert box.is_closed
    assert box.colours is not None
    document = json.loads(next((real_data / "gltf_blenderio_roundtrip" / "01_cube").glob("*.gltf")).read_text())
    assert document["asset"]["version"] == "2.0"
    cube = read_mesh(real_data / "gltf_blenderio_roundtrip" / "01_cube" / "01_cube.gltf")
    assert (len(cube.vertices), len(cube.faces)) == (8, 12)
