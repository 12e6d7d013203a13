"""Which paths of a file are followed: by their text, and by the links on their way."""

import os
from pathlib import Path

import pytest

from a4d.errors import OutsideError
from a4d.io.containment import contained, links_and_devices, stays_inside


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "..", "a/../../b", "C:/x", "C:x", "\\\\host\\x", "..\\x", "\\x", "a\0b", "link/x", "loop"],
)
def test_a_path_that_leads_out_is_refused_by_name(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    (inside / "loop").symlink_to("loop")
    with pytest.raises(OutsideError):
        contained(inside, name)


def test_paths_and_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    inside, alias = tmp_path / "inside", tmp_path / "alias"
    (inside / "images").mkdir(parents=True)
    (inside / "images/a.png").write_bytes(b"a")
    (inside / "b.png").symlink_to("images/a.png")
    alias.symlink_to(inside)
    for name in ("images/a.png", "./images/a.png", "b.png", "..a/b", "we\\ird.png", "not/there/yet"):
        assert contained(inside, name) == inside / name
        assert contained(alias, name) == alias / name


def test_content_stores_of_the_hub_and_of_dvc_count_as_inside_unless_they_are_links(
    tmp_path: Path,
) -> None:
    hub = tmp_path / "hub"
    folder = hub / "snapshots" / "1a2b" / "photos"
    folder.mkdir(parents=True)
    (hub / "blobs").mkdir()
    (hub / "blobs" / "77aa").write_bytes(b"a")
    (folder / "a.png").symlink_to("../../../blobs/77aa")
    assert stays_inside(folder, folder / "a.png")
    (tmp_path / ".dvc/cache/files").mkdir(parents=True)
    (tmp_path / ".dvc/cache/files/3f").write_bytes(b"b")
    (folder / "b.png").symlink_to(tmp_path / ".dvc/cache/files/3f")
    assert stays_inside(folder, folder / "b.png")
    (hub / "blobs").rename(tmp_path / "elsewhere")
    (hub / "blobs").symlink_to(tmp_path / "elsewhere")
    assert not stays_inside(folder, folder / "a.png")


def test_links_and_devices_are_found_without_following_one(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/b/pipe")
    found = [path.relative_to(tmp_path).as_posix() for path in links_and_devices(tmp_path)]
    assert found == ["a/b/pipe", "a/dangling", "a/up"]
    assert list(links_and_devices(tmp_path, depth=1)) == [tmp_path / name for name in ("a/b", "a/dangling", "a/up")]
