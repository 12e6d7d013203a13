"""`a4d make-dataset --procedural`: generated clips in the layout of asset clips, one by one the same again."""

import json

import pytest
import torch

from a4d.datasets.procedural.recording import ProceduralRecording, record_procedural
from a4d.errors import ExitCode
from a4d.io.captures.multi_view_dataset import read_clip, read_entries
from a4d.priors.camera_codes import spherical

OPTIONS = ("--procedural", 2, "--views", 3, "--frames", 4, "--size", 48, "--workers", 1)


def test_procedural_clips_are_written_read_and_continued(a4d, tmp_path):
    result = a4d("make-dataset", "--output", "set", *OPTIONS, "--images", "--json")
    assert result.code == 0, result.err
    assert (result.json["written"], result.json["clips"]) == (2, 2)
    index = json.loads((tmp_path / "set" / "uid_info_dict.json").read_text())
    assert set(index) == {"procedural-000000", "procedural-000001"}
    assert len(list((tmp_path / "set" / "videos" / "procedural-000001" / "00").glob("view_*.mp4"))) == 3
    expected = record_procedural(1, "x", ProceduralRecording(3, 4, 24.0, 48, (0, 30), 3.0, 40.0, 0))
    assert index["procedural-000001"]["00"]["text_prompt"] == expected.caption
    clip = read_clip(read_entries(tmp_path / "set")[1])
    azimuth, elevation, radius = spherical(clip.cameras).unbind(-1)
    assert float(elevation[0]) == pytest.approx(expected.elevation, abs=0.01)
    assert float((azimuth[0] - expected.azimuth + 180) % 360 - 180) == pytest.approx(0, abs=0.01)
    torch.testing.assert_close(radius, torch.full((3,), 3.0), atol=1e-3, rtol=0)
    again = a4d("make-dataset", "--output", "set", "--procedural", 3, *OPTIONS[2:], "--images", "--json")
    assert (again.json["written"], again.json["kept"]) == (1, 2)


def test_either_assets_or_procedural_objects(a4d):
    for arguments in ((), ("picture.glb", *OPTIONS), (*OPTIONS, "--depth")):
        result = a4d("make-dataset", *arguments, "--output", "set")
        assert (result.code, len(result.err.splitlines())) == (ExitCode.USAGE, 1)
