"""What export writes, by the official validator."""

from dataclasses import replace
from pathlib import Path

import pytest
from gltf_validator import errors, installed_validator
from test_surfaces import waving
from test_textured import ring

from a4d.export.subject import GivenAsset, Subject
from a4d.export.surfaces import write_glb
from a4d.geometry.file_frames import frame_of_files


@pytest.mark.slow
def test_every_kind_of_exported_glb_keeps_the_rules(tmp_path: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    textured = ring(128)
    subjects = {
        "morph": waving(),
        "bones": waving("bones"),
        "bones in another frame": replace(waving("bones"), frame_from_world=frame_of_files("z", 3.0)),
        "textured morph": waving(texture=128),
        "textured bones": waving("bones", texture=128),
        "all pictures": Subject("ring", None, GivenAsset(textured, textured)),
    }
    paths = [tmp_path / f"{name}.glb" for name in subjects]
    for path, subject in zip(paths, subjects.values(), strict=True):
        write_glb(path, subject)
    assert errors(script, paths) == {}
