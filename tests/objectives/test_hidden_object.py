"""Distilled against exact priors, every kind of scene becomes the object that they show; with a mistake it does not."""

import pytest
from hidden_object import START, Asked, distilled

KINDS = list(START)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "asked",
    [
        Asked(),
        Asked(form="noise"),
        Asked(views=4),
        Asked(cameras="continuous"),
        Asked(cameras="continuous", prompt="a ring"),
        Asked(cameras="continuous", prompt="an animal", views=4),
    ],
    ids=str,
)
def test_the_hidden_object_is_found(kind, asked):
    found = distilled(kind, asked)
    assert found.psnr > 22
    assert found.iou > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "asked", [Asked(mistake="sign"), Asked(views=4, mistake="order"), Asked(mistake="schedule")], ids=str
)
def test_a_mistake_in_the_prior_hides_it(kind, asked):
    assert distilled(kind, asked).psnr < 22
