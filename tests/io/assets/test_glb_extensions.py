"""Extensions of materials on their way through a reader and a writer."""

from pathlib import Path

import numpy as np
import pytest
from gltf_files import GltfBuilder, png, triangle
from test_glb_assets import rewritten

from a4d.errors import InvalidInputError
from a4d.io.assets.gltf.reader import read_gltf

PICTURES = [np.full((2, 3 + number, 3), 40 * number, np.uint8) for number in range(4)]
"""Each of another width and colour."""


def painted() -> GltfBuilder:
    """A triangle whose paint has pictures of its own in extensions, in another order than they will be written."""
    file = triangle()
    for picture in PICTURES:
        file.add("images", bufferView=file.view(png(picture)), mimeType="image/png")
    for number in (3, 2, 1, 0):
        file.add("textures", source=number)
    primitive = file.json["meshes"][0]["primitives"][0]
    primitive["attributes"] |= {f"TEXCOORD_{number}": file.accessor(np.eye(3)[:, :2]) for number in range(2)}
    primitive["material"] = 0
    turned = {"KHR_texture_transform": {"rotation": 0.5, "offset": [0.1, 0.2], "scale": [2, 3]}}
    file.add(
        "materials",
        name="paint",
        pbrMetallicRoughness={"baseColorTexture": {"index": 0}},
        normalTexture={"index": 0},
        extensions={
            "KHR_materials_transmission": {"transmissionFactor": 0.25, "transmissionTexture": {"index": 1}},
            "KHR_materials_clearcoat": {
                "clearcoatFactor": 0.5,
                "clearcoatNormalTexture": {"index": 2, "texCoord": 1, "scale": 0.3, "extensions": turned},
                "clearcoatTexture": {"index": 3},
            },
            "KHR_materials_volume": {"attenuationColor": [1, 0.5, 0.25]},
            "KHR_materials_emissive_strength": {"emissiveStrength": 4},
            "KHR_materials_pbrSpecularGlossiness": {"specularFactor": [0.5, 1, 1], "glossinessFactor": 0.75},
        },
    )
    return file


def test_extensions_of_materials_come_through_with_their_textures(tmp_path: Path) -> None:
    asset = read_gltf(painted().write(tmp_path / "given.glb"))
    again, document, _ = rewritten(asset, tmp_path)
    written = document["materials"][0]["extensions"]
    # Nothing glows, so that a strength of the glow says nothing.
    names = {"clearcoat", "pbrSpecularGlossiness", "transmission", "volume"}
    assert {name.removeprefix("KHR_materials_") for name in written} == names
    assert set(document["extensionsUsed"]) == {*written, "KHR_texture_transform"}
    assert "extensionsRequired" not in document
    coat = written["KHR_materials_clearcoat"]
    assert coat["clearcoatFactor"] == 0.5
    assert (coat["clearcoatNormalTexture"]["scale"], coat["clearcoatNormalTexture"]["texCoord"]) == (0.3, 1)
    transform = coat["clearcoatNormalTexture"]["extensions"]["KHR_texture_transform"]
    np.testing.assert_allclose([transform["rotation"], *transform["scale"]], [0.5, 2, 3], atol=1e-6)
    assert written["KHR_materials_volume"] == {"attenuationColor": [1, 0.5, 0.25]}
    assert written["KHR_materials_pbrSpecularGlossiness"]["specularFactor"] == [0.5, 1, 1]
    maps = {
        "transmission": (again.materials[0].transmission_map, 2),
        "normal": (again.materials[0].extensions["KHR_materials_clearcoat"]["clearcoatNormalTexture"]["index"], 1),
        "coat": (again.materials[0].extensions["KHR_materials_clearcoat"]["clearcoatTexture"]["index"], 0),
    }
    for name, (map_, picture) in maps.items():
        np.testing.assert_allclose(map_.image, PICTURES[picture] / 255, atol=1e-6, err_msg=name)
    assert again.materials[0].transmission == 0.25
    assert again.left_out == ()


def test_a_missing_picture_of_an_extension_is_said_and_the_rest_kept(tmp_path: Path) -> None:
    file = triangle()
    file.add("images", uri="gone.png")
    file.add("textures", source=0)
    sheen = {"sheenRoughnessFactor": 0.5, "sheenColorTexture": {"index": 0}}
    file.add("materials", extensions={"KHR_materials_sheen": sheen})
    file.json["meshes"][0]["primitives"][0]["material"] = 0
    asset = read_gltf(file.write(tmp_path / "given.glb"))
    assert asset.left_out == ("the picture 'gone.png', which is missing",)
    _, document, _ = rewritten(asset, tmp_path)
    assert document["materials"][0]["extensions"] == {"KHR_materials_sheen": {"sheenRoughnessFactor": 0.5}}


def test_numbers_that_json_has_no_words_for_are_not_carried(tmp_path: Path) -> None:
    file = triangle()
    file.add("materials", name="odd", extensions={"EXT_odd": {"gloss": float("inf")}})
    file.json["meshes"][0]["primitives"][0]["material"] = 0
    asset = read_gltf(file.write(tmp_path / "given.glb"))
    assert asset.left_out == ("EXT_odd of material 'odd'",)
    _, document, _ = rewritten(asset, tmp_path)
    assert "extensions" not in document["materials"][0]


def test_coordinates_that_no_number_holds_are_refused(tmp_path: Path) -> None:
    file = painted()
    coat = file.json["materials"][0]["extensions"]["KHR_materials_clearcoat"]
    coat["clearcoatNormalTexture"]["extensions"]["KHR_texture_transform"]["scale"] = [1, 1e308]
    with pytest.raises(InvalidInputError, match="texture 2 has a transform"):
        read_gltf(file.write(tmp_path / "given.glb"))
