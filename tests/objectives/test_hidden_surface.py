"""X-Dreamer's two stages recover a hidden object: its shape from normal maps, its material from lit renders."""

import pytest
import torch
from hidden_surface import MATT, METAL, found_material, found_surface

from a4d.fitting.seed_settings import ShapeConfig
from a4d.fitting.seeds import shape_seed
from a4d.geometry.primitives import torus
from a4d.scenes.seed import Seed

ELLIPSOID = shape_seed(ShapeConfig(kind="ellipsoid", radius=0.6, axes=(0.7, 0.8, 1.0)))
WRONG = Seed(mesh=torus())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(ELLIPSOID, id="ellipsoid"), pytest.param(WRONG, id="wrong mesh")])
def test_a_hidden_shape_is_found_in_two_phases(seed: Seed) -> None:
    found = found_surface(seed)
    assert found.scene.mesh().is_closed
    assert found.chamfer < 0.5
    assert found.normal_consistency > 0.94
    assert found.iou > 0.94
    assert found.seconds < 60


@pytest.mark.slow
def test_a_hidden_material_is_told_from_its_light() -> None:
    found, baked = found_material(), found_material("albedo")
    assert found.psnr > 19
    assert found.relit > 17
    assert found.relit > baked.relit + 4
    torch.testing.assert_close(torch.tensor(found.metal), torch.tensor(METAL), rtol=0, atol=0.15)
    torch.testing.assert_close(torch.tensor(found.matt), torch.tensor(MATT), rtol=0, atol=0.15)
