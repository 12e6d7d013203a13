"""Folders of pictures with captions, and the table of what came of them."""

import json

import pytest

from a4d.datasets.captioned_pictures import captioned_pictures as read
from a4d.errors import InvalidInputError, MissingInputError, OutsideError
from a4d.evaluation import table


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture")


def test_a_list_names_pictures_and_one_with_alpha_is_taken_first(tmp_path):
    put(tmp_path, "fox/image.jpg", "fox/rgba.png", "data/panda/image.jpg")
    entries = [("panda", "a panda\n is  dancing"), ("fox", "a fox is jumping"), ("absent", "nothing")]
    (tmp_path / "benchmark.json").write_text(json.dumps([{"name": n, "caption": c} for n, c in entries]))
    assert [(each.name, each.path.relative_to(tmp_path).as_posix(), each.caption) for each in read(tmp_path)] == [
        ("panda", "data/panda/image.jpg", "a panda is dancing"),
        ("fox", "fox/rgba.png", "a fox is jumping"),
    ]


def test_captions_may_lie_beside_the_pictures(tmp_path):
    put(tmp_path, "b/image.png", "a/image.webp", "c/image.png")
    for name in "ba":
        (tmp_path / name / "caption.txt").write_text(f"{name} is waving\n")
    assert [each.caption for each in read(tmp_path)] == ["a is waving", "b is waving"]


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(MissingInputError):
        read(tmp_path / "none")
    with pytest.raises(MissingInputError, match="no picture with a caption"):
        read(tmp_path)
    (tmp_path / "benchmark.json").write_text('[{"name": "../fox", "caption": "it runs"}]')
    with pytest.raises(OutsideError):
        read(tmp_path)
    (tmp_path / "benchmark.json").write_text('{"fox": "it runs"}')
    with pytest.raises(InvalidInputError, match="`name` and `caption`"):
        read(tmp_path)


def test_the_table_has_a_row_for_each_result_and_their_mean():
    files = {"fox": {"clip_i": 0.5, "foreground_psnr": 30.0}, "panda": {"clip_i": 0.9, "clip_r": 1.0}}
    rows = table.table_of(files)
    assert rows[0] == ["fox", "0.5", "", "", "30", "", ""]
    assert rows[-1] == ["mean", "0.7", "1", "", "30", "", ""]
