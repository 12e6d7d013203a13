"""The picture of joints and the file that waits for their pairs, whatever the joints are called."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from a4d.contents.joint_pairs import Lender, joints_text, load_joints
from a4d.errors import ConfigError
from a4d.export.joint_chart import spread, write_joint_chart
from a4d.geometry.assets.skinned_surface import SkinnedSurface
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.primitives import box
from a4d.io.pictures.images import read_image

ODD = ("hips", "mixamorig:Hips", "a: b", "no", "1e3", "tail\nupper: hips", "Knochen ü # 2", "- end", "左足", "😀arm")


def chain(names: tuple[str, ...]) -> Skeleton:
    rest = torch.eye(4).repeat(len(names), 1, 1)
    rest[1:, 2, 3] = 0.1
    return Skeleton(names, torch.arange(len(names)) - 1, rest)


def bar(names: tuple[str, ...]) -> SkinnedSurface:
    """A box that hangs on the first two joints of a chain, but for its end."""
    mesh = box((0.3, 0.2, 1.0))
    along = mesh.vertices[:, 2]
    weights = torch.zeros(len(along), len(names))
    weights[along < 0, 0] = weights[(along >= 0) & (along < 0.4), 1] = 1
    return SkinnedSurface(mesh, chain(names), weights)


def test_any_name_is_read_back_as_it_was(tmp_path: Path) -> None:
    path, pairs = tmp_path / "joints.yaml", dict(zip(ODD, reversed(ODD), strict=True))
    path.write_text(joints_text(bar(ODD), "chart.png", Lender("walk\n.bvh", chain(ODD), pairs)))
    assert load_joints(path) == pairs
    path.write_text(joints_text(bar(ODD), "chart.png", Lender("walk.bvh", chain(ODD))))
    assert yaml.safe_load(path.read_text()) == dict.fromkeys(ODD)
    with pytest.raises(ConfigError, match="pairs no joints"):
        load_joints(path)
    path.write_text(joints_text(bar(("a", "a", "b")), "chart.png"))
    assert list(yaml.safe_load(path.read_text())) == ["a", "b"]


def test_names_stand_apart_in_the_order_of_their_joints_and_near_them() -> None:
    wanted = np.array([50.0, 52.0, 51.0, 300.0, 10.0])
    placed = spread(wanted, 20.0, 30.0, 500.0)
    assert np.diff(np.sort(placed)).min() >= 20 - 1e-9
    np.testing.assert_array_equal(placed.argsort(), wanted.argsort())
    assert placed[3] == pytest.approx(300)
    assert placed.min() == pytest.approx(30)
    crowd = spread(np.full(9, 480.0), 20.0, 30.0, 500.0)
    np.testing.assert_allclose(np.sort(crowd), np.arange(340, 501, 20))
    assert len(spread(np.empty(0), 20.0, 30.0, 500.0)) == 0


def test_the_picture_grows_with_the_joints_and_shows_parts_in_their_colours(tmp_path: Path) -> None:
    sizes = {}
    for count in (3, 80):
        write_joint_chart(tmp_path / "chart.png", bar(tuple(f"joint_{joint:02d}" for joint in range(count))))
        picture = read_image(tmp_path / "chart.png")[..., :3]
        sizes[count] = picture.shape[:2]
        is_coloured = picture.max(-1) - picture.min(-1) > 0.2
        assert 0.02 < float(is_coloured.mean()) < 0.6
    assert sizes[3][0] == 720
    assert sizes[80][0] >= 40 * 22
