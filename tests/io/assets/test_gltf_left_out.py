"""What a file holds and an asset lacks is listed; what it does not lack is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gltf_files import GltfBuilder, read, triangle

from a4d.errors import InvalidInputError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.left_out import left_out_warning, unshown_looks
from a4d.geometry.assets.posing import deform


def left_out(file: GltfBuilder, tmp_path: Path) -> list[str]:
    return list(read(file, tmp_path).left_out)


def test_a_plain_file_has_nothing_left_out_whatever_it_declares(tmp_path: Path) -> None:
    file = triangle()
    file.json["extensionsUsed"] = ["KHR_materials_clearcoat", "EXT_unheard_of", "KHR_draco_mesh_compression"]
    file.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point"}]}}
    file.json["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    file.add("images", uri="gone.png")  # which no texture uses
    assert left_out(file, tmp_path) == []


def test_nodes_that_are_hidden_or_elsewhere_cameras_and_lights(tmp_path: Path) -> None:
    file = triangle(name="seen")
    hidden = {"KHR_node_visibility": {"visible": False}}
    file.add("nodes", name="off", mesh=0, children=[2], extensions=hidden)
    file.add("nodes", name="below", mesh=0, extensions={"KHR_node_visibility": {"visible": True}})
    file.add("nodes", name="other", mesh=0)
    file.add("nodes", camera=0, extensions={"KHR_lights_punctual": {"light": 0}})
    file.add("nodes", extensions={"KHR_lights_punctual": {"light": 0}})
    file.json |= {"scenes": [{"nodes": [0, 1, 4, 5]}, {"nodes": [3]}], "scene": 0}
    asset = read(file, tmp_path)
    assert len(deform(asset).faces) == 1
    assert list(asset.left_out) == [
        "the hidden nodes 'off', 'below'",
        "the node 'other' outside the scene that is shown",
        "1 camera",
        "2 lights",
    ]


def test_points_lines_attributes_and_targets(tmp_path: Path) -> None:
    file = triangle()
    primitives = file.json["meshes"][0]["primitives"]
    positions, ones = primitives[0]["attributes"]["POSITION"], file.accessor(np.ones((3, 3)))
    primitives[0]["attributes"] |= {"COLOR_0": ones, "COLOR_1": ones, "_HEAT": ones}
    primitives[0]["targets"] = [{"POSITION": ones, "COLOR_0": ones}]
    primitives += [{"attributes": {"POSITION": positions}, "mode": mode, "targets": [{}]} for mode in (0, 1, 3)]
    file.json["meshes"][0]["name"] = "cloud"
    assert left_out(file, tmp_path) == [
        "the attribute 'COLOR_1' of mesh 'cloud'",
        "the attribute '_HEAT' of mesh 'cloud'",
        "what morph targets do to 'COLOR_0' of mesh 'cloud'",
        "the points of mesh 'cloud'",
        "the lines of mesh 'cloud'",
    ]


def test_animations_of_other_things_variants_and_textures_of_unknown_formats(tmp_path: Path) -> None:
    file = triangle()
    pointer = {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": "/materials/0/alphaCutoff"}}}
    shown = "/nodes/0/extensions/KHR_node_visibility/visible"
    switch = {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": shown}}}
    sampler = {"input": file.accessor([0.0, 1]), "output": file.accessor([0.0, 1])}
    channels = [{"sampler": 0, "target": target} for target in (pointer, switch)]
    file.add("animations", samplers=[sampler], channels=channels)
    file.add("textures", extensions={"KHR_texture_basisu": {"source": 0}})
    file.add("images", uri="a.ktx2")
    (tmp_path / "a.ktx2").write_bytes(b"\xabKTX 20")
    file.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": 0}})
    file.json["extensions"] = {"KHR_materials_variants": {"variants": [{"name": "red"}, {}]}}
    mapped = {"KHR_materials_variants": {"mappings": [{"material": 0, "variants": [0]}]}}
    file.json["meshes"][0]["primitives"][0] |= {"material": 0, "extensions": mapped}
    assert left_out(file, tmp_path) == [
        "the material variants 'red', 1",
        f"what animation 'animation 1' does to '/materials/0/alphaCutoff', '{shown}'",
        "KHR_texture_basisu of texture 0",
    ]


def test_unknown_extensions_are_named_with_those_that_have_them(tmp_path: Path) -> None:
    file = triangle(name="root", extensions={"EXT_a": {}})
    for number in range(6):
        file.add("nodes", name=f"n{number}", extensions={"EXT_b": {}})
    file.json["meshes"][0]["extensions"] = {"EXT_a": {}}
    file.json["extensions"] = {"VRMC_vrm": {}}
    assert left_out(file, tmp_path) == [
        "EXT_a of node 'root' and mesh 0",
        "EXT_b of nodes 'n0', 'n1', 'n2', 'n3' and 2 more",
        "VRMC_vrm",
    ]


@pytest.mark.parametrize(
    ("name", "values", "is_kept"),
    [
        ("KHR_materials_sheen", {"sheenColorFactor": [1, 0, 0.5], "deep": {"list": [{"a": None}]}}, True),
        ("EXT_of_a_vendor", {"gloss": 3, "note": "x", "someTexture": {"index": 0, "scale": 0.5}}, True),
        ("EXT_of_numbers", {"values": [{"index": 3}]}, False),  # of what, we cannot know
        ("EXT_of_the_root", {"setting": 0}, False),
        ("EXT_nested", {"extensions": {"EXT_inner": {}}}, False),
        ("EXT_of_no_texture", {"someTexture": {"index": 9}}, False),
    ],
)
def test_extensions_of_materials_are_kept_where_they_stand_for_themselves(
    tmp_path: Path, name: str, values: dict[str, Any], is_kept: bool
) -> None:
    file = triangle()
    file.json["extensions"] = {"EXT_of_the_root": {}}
    file.add("textures")
    file.add("materials", name="paint", extensions={name: values})
    file.json["meshes"][0]["primitives"][0]["material"] = 0
    asset = read(file, tmp_path)
    assert (name in asset.materials[0].extensions) == is_kept
    assert (f"{name} of material 'paint'" in asset.left_out) != is_kept
    assert (f"{name} of material 'paint'" in unshown_looks(asset)) == is_kept


def test_a_warning_says_which_results_an_entry_is_about() -> None:
    assert left_out_warning("a.glb", {"glb": [], "obj": []}) is None
    sentence = left_out_warning("a.glb", {"glb": ["1 light"], "obj": ["1 light", "the clip"], "mp4": ["1 light", "x"]})
    assert sentence == "left out of a.glb: 1 light; the clip (obj); x (mp4)"


def test_names_cannot_reach_the_terminal_as_commands(tmp_path: Path) -> None:
    file = triangle()
    file.add("nodes", name="\x1b[31m" + "x" * 500, mesh=0, extensions={"KHR_node_visibility": {"visible": False}})
    (entry,) = left_out(file, tmp_path)
    assert entry.isprintable()
    assert len(entry) < 100


# --- instances


def instanced(count: int, **attributes: Any) -> GltfBuilder:
    file = GltfBuilder(extensionsUsed=["EXT_mesh_gpu_instancing"], extensionsRequired=["EXT_mesh_gpu_instancing"])
    file.mesh()
    accessors = {name: file.accessor(values) for name, values in attributes.items()}
    places = {"EXT_mesh_gpu_instancing": {"attributes": accessors}}
    file.add("nodes", name="tree", mesh=0, translation=[10, 0, 0], scale=[2, 2, 2], extensions=places)
    return file


def test_an_instanced_mesh_stands_at_every_place(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    file = instanced(
        2, TRANSLATION=[[1, 0, 0], [0, 1, 0]], ROTATION=[[0, 0, 0, 1], [0, 0, half, half]], SCALE=[[1, 1, 1], [3, 1, 1]]
    )
    asset = read(file, tmp_path)
    # The node's transform after the place's, which scales, turns by a quarter about z and moves.
    expected = [[12, 0, 0], [14, 0, 0], [12, 2, 0], [10, 2, 0], [10, 8, 0], [8, 2, 0]]
    np.testing.assert_allclose(deform(asset).vertices, expected, atol=1e-5)
    assert asset.nodes.names == ("tree", "tree 1", "tree 2")
    assert asset.left_out == ()


def test_instances_follow_the_clips_of_their_node(tmp_path: Path) -> None:
    file = instanced(2, TRANSLATION=[[1, 0, 0], [0, 1, 0]], _ID=[[0.0, 0, 0]] * 2)
    file.json["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": file.accessor([[0.0, 0, 1]] * 3)}]
    file.clip(0, "weights", [0, 1], [0, 1])
    file.clip(0, "translation", [0, 1], [[0, 0, 0], [0, 0, 5]])
    asset = read(file, tmp_path)
    assert deform(asset, asset.clips[0], 0.5).vertices[:, 2].tolist() == [1.0] * 6
    assert deform(asset, asset.clips[1], 1.0).vertices[:, 2].tolist() == [5.0] * 6
    assert asset.left_out == ("the attribute '_ID' of the instances of node 'tree'",)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"TRANSLATION": [[0.0, 0, 0]] * 2, "SCALE": [[1.0, 1, 1]]}, "different lengths"),
        ({}, "or none"),
        ({"SCALE": [[1.0, 1, 1, 1]]}, "wrong type"),
        ({"TRANSLATION": np.zeros((70000, 3))}, "more than 65536"),
    ],
)
def test_instances_that_do_not_fit_are_refused(tmp_path: Path, attributes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        read(instanced(2, **attributes), tmp_path)


def test_few_bytes_cannot_show_millions_of_faces(tmp_path: Path) -> None:
    file = instanced(2, TRANSLATION=np.zeros((60000, 3)))
    file.json["meshes"][0]["primitives"] = file.json["meshes"][0]["primitives"] * 200
    with pytest.raises(InvalidInputError, match="show 12000000 faces"):
        read(file, tmp_path)


def test_real_files_lack_what_is_said_of_them(real_data: Path) -> None:
    from a4d.io.assets.gltf.reader import read_gltf

    def said(path: str) -> Asset:
        return read_gltf(real_data / "gltf_blenderio_roundtrip" / path)

    assert said("18_variants/18_variants.gltf").left_out == ("the material variants 'Variant_Red', 'Variant_Blue'",)
    assert said("24_gpu_instancing/24_gpu_instancing.gltf").left_out == ()
    factors = said("22_factors/22_factors.gltf")
    assert factors.left_out == ()
    assert len(unshown_looks(factors)) >= 4
