"""Pictures of several things are no capture of one, and whoever takes them for one is told."""

from pathlib import Path

import pytest
from PIL import Image

from a4d.errors import InvalidInputError
from a4d.io.captures.structure_from_motion import reconstruct_cameras
from a4d.workspace.source import recognise


def save(path: Path, width: int = 16, height: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (200, 90, 30)).save(path)


@pytest.mark.parametrize("root", ["", "data"])
def test_a_folder_per_picture_is_no_capture(tmp_path: Path, root: str) -> None:
    save(tmp_path / root / "panda" / "image.jpg")
    save(tmp_path / root / "fox" / "rgba.png")
    with pytest.raises(InvalidInputError, match="single pictures of several things") as caught:
        recognise(str(tmp_path))
    assert "fox/rgba.png" in caught.value.remedy


@pytest.mark.parametrize(("sizes", "what"), [([(16, 12)], "a single picture"), ([(16, 12), (20, 20)], "of 2 sizes")])
def test_one_picture_and_pictures_of_several_sizes_are_not_joined(tmp_path: Path, sizes, what: str) -> None:
    for index, size in enumerate(sizes):
        save(tmp_path / "photos" / f"{index}.png", *size)
    assert recognise(str(tmp_path / "photos")).kind == "images"
    with pytest.raises(InvalidInputError, match=what) as caught:
        reconstruct_cameras(tmp_path / "photos", tmp_path)
    assert "a4d fit-static PICTURE" in caught.value.remedy
