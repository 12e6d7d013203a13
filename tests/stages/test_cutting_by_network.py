"""A subject cut out by a network that is named, and never by one that is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_birefnet import save_tiny, tiny_network

from a4d.io.pictures.images import read_image, write_image


@pytest.fixture(autouse=True)
def picture(a4d, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # in the folder in which a4d runs
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no weights"))
    y, x = np.mgrid[:96, :96] / 96
    write_image(Path("in.png"), np.stack([0.5 + 0.5 * np.sin(20 * x), y, 0 * x + 0.4], -1).astype(np.float32))


def test_the_network_that_is_named_cuts_out_and_is_recorded(a4d, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "weights", tiny_network())
    options = ("--matting", "birefnet", "--weights", f"birefnet={folder}", "--size", 64)
    result = a4d("preprocess", "in.png", *options, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["matting"] == "birefnet"
    alpha = read_image("in.a4d/images/00000.png")[..., 3]
    assert 0.3 < float(alpha.max()) < 0.8, "what a random network says, which is never sure"
    record = json.loads(Path("in.a4d/stages/preprocess/record.json").read_text())
    assert [weights["id"] for weights in record["weights"]] == ["birefnet"]


def test_its_weights_are_never_fetched_by_a_run(a4d) -> None:
    result = a4d("preprocess", "in.png", "--matting", "birefnet")
    assert (result.code, len(result.err.splitlines())) == (5, 1)
    assert "a4d weights fetch birefnet" in result.err
    assert a4d("preprocess", "in.png", "--json").json["metrics"]["matting"] in ("uniform", "grabcut")


def test_another_name_is_refused_with_those_that_there_are(a4d) -> None:
    result = a4d("preprocess", "in.png", "--matting", "magic")
    assert result.code == 3
    assert "grabcut" in result.err
    assert "birefnet" in result.err
