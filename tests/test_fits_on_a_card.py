"""Fits on a card go as they do on the CPU."""

import pytest
from small_fits import SCENES, largest_difference, losses

from a4d.render import backends
from a4d.render.gaussians import BACKENDS

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kind", SCENES)
def test_a_fit_goes_as_on_the_cpu(a4d, card, four_views, within, kind):
    if card == "cuda" and kind == "gaussians" and (reason := backends.availability(BACKENDS)["gsplat"]):
        pytest.skip(reason)
    here, there = (losses(a4d, four_views, kind, place) for place in ("cpu", card))
    within("losses of two steps", largest_difference(here, there), 1e-2)
