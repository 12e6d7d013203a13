"""Real rigs seen by four cameras: minutes of fitting against the rig's own vertices."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))


@pytest.mark.slow
def test_a_galloping_horse_is_followed_from_four_views(real_data: Path, tmp_path: Path) -> None:
    from motion_fit import fit

    found = fit("gallop", tmp_path)
    assert found.error < 0.15
    assert found.psnr > 28
