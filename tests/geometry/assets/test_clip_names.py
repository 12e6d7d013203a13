"""Names by which animations are asked for."""

import pytest

from a4d.geometry.assets.animation import distinct_names, named_index


@pytest.mark.parametrize(
    ("given", "distinct"),
    [
        (["mixamo.com", "mixamo.com"], ["mixamo.com", "mixamo.com (2)"]),
        (["a", "a", "a (2)", "a"], ["a", "a (3)", "a (2)", "a (4)"]),
        (["", " ", "walk", ""], ["animation 1", "animation 2", "walk", "animation 4"]),
        (["animation 2", ""], ["animation 2", "animation 2 (2)"]),
        ([], []),
    ],
)
def test_every_clip_has_a_name_of_its_own(given: list[str], distinct: list[str]) -> None:
    assert distinct_names(given) == distinct


@pytest.mark.parametrize(
    ("names", "wanted", "index"),
    [
        (["walk", "run"], "run", 1),
        (["walk", "run"], "2", 1),
        (["2", "run"], "2", 0),
        (["Rig|2", "run", "x"], "2", 0),
        (["Rig|Walk", "run"], "walk", 0),
        (["Rig|walk", "walk"], "walk", 1),
        (["Walk", "WALK"], "walk", None),
        (["walk"], "0", None),
        (["walk"], "2", None),
        (["walk"], "-1", None),
        (["walk"], "9" * 5000, None),
        (["walk"], "١", None),
    ],
)
def test_a_clip_is_asked_for_by_name_and_else_by_number(names: list[str], wanted: str, index: int | None) -> None:
    assert named_index(names, wanted) == index
