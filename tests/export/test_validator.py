"""What export writes, by the official validator."""

from dataclasses import replace
from pathlib import Path

import pytest
from gltf_files import gltf_files
from gltf_validator import errors, installed_validator
from small_avatar import tracked
from test_avatar_out import painted as painted_avatar
from test_glb_extensions import painted
from test_surfaces import waving
from test_textured import ring

from a4d.export.given_asset import GivenAsset
from a4d.export.moments import Moments
from a4d.export.subject import Subject
from a4d.export.surfaces import write_glb
from a4d.geometry.assets.file_frames import frame_of_files
from a4d.io.assets.gltf.reader import read_gltf
from a4d.scenes import load_scene


@pytest.mark.slow
def test_every_kind_of_exported_glb_keeps_the_rules(tmp_path: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    textured = ring(128)
    avatar = load_scene(painted_avatar(tmp_path / "person.a4d", tracked(5)) / "scenes/fit-dynamic")
    subjects = {
        "morph": waving(),
        "bones": waving("bones"),
        "bones in another frame": replace(waving("bones"), frame_from_world=frame_of_files("z", 3.0)),
        "textured morph": waving(texture=128),
        "textured bones": waving("bones", texture=128),
        "avatar": Subject("person", avatar, moments=Moments((0.0, 0.5, 1.0), 0.5)),
        "all pictures": Subject("ring", None, GivenAsset(textured, textured)),
    }
    paths = [tmp_path / f"{name}.glb" for name in subjects]
    for path, subject in zip(paths, subjects.values(), strict=True):
        write_glb(path, subject)
    assert errors(script, paths) == {}


@pytest.mark.slow
def test_what_is_carried_through_an_export_keeps_the_rules(tmp_path: Path, real_data: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    given = [painted().write(tmp_path / "painted.glb"), *gltf_files(real_data / "gltf_blenderio_roundtrip")]
    paths = []
    for number, path in enumerate(given):
        asset = read_gltf(path)
        if asset.instances and len(asset.nodes) < 100:
            paths.append(tmp_path / f"{number}_{path.stem}.glb")
            write_glb(paths[-1], Subject(path.stem, None, GivenAsset(asset, asset)))
    assert len(paths) > 40
    assert errors(script, paths) == {}
