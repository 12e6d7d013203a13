"""A subject cut out by a network that is named, and never by one that is not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_birefnet import save_tiny, tiny_network
from tiny_sam2 import save_tiny as save_sam2

from a4d.estimation.sam2 import Sam2
from a4d.io.films.video import write_video
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
    result = a4d("preprocess", "in.png")
    assert result.code == 7, "of stripes nobody knows the subject, and no network is asked"


def test_another_name_is_refused_with_those_that_there_are(a4d) -> None:
    result = a4d("preprocess", "in.png", "--matting", "magic")
    assert result.code == 3
    assert "grabcut" in result.err
    assert "birefnet" in result.err


def test_a_film_is_followed_by_a_network_that_can_and_recorded(a4d, tmp_path: Path, monkeypatch) -> None:
    """What a random network outlines is anything: that of two points it was trained for, this one is told."""
    film = [np.full((64, 64, 3), 0.4) for _ in range(4)]
    for moment, frame in enumerate(film):
        frame[20:44, 8 + 8 * moment : 32 + 8 * moment] = 0.9, 0.1, 0.1
    write_video("film.mp4", film, 8)

    def pointed(self: Sam2, film, subject, order):
        for index, _, __ in sweep(self, film, subject, order):
            shifted = np.roll(subject, 8 * (index - order[0]), axis=1)
            yield index, torch.from_numpy(np.where(shifted, 4.0, -4.0).astype(np.float32)), index != 3

    sweep = Sam2.sweep
    monkeypatch.setattr(Sam2, "sweep", pointed)
    options = ("--matting", "sam2", "--weights", f"sam2={save_sam2(tmp_path / 'sam2')}", "--size", 64)
    result = a4d("preprocess", "film.mp4", *options, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["matting"] == "sam2"
    assert result.json["metrics"]["masks_doubtful"] == 0.25
    assert "not seen in 1 of 4 frames, the first of them 00003" in result.err
    alphas = [read_image(f"film.a4d/images/{index:05d}.png")[..., 3] for index in range(4)]
    assert alphas[3].max() == 0
    middles = [float((alpha.sum(0) @ np.arange(64)) / alpha.sum()) for alpha in alphas[:3]]
    assert np.diff(middles).min() > 5
    record = json.loads(Path("film.a4d/stages/preprocess/record.json").read_text())
    assert [weights["id"] for weights in record["weights"]] == ["sam2"]
