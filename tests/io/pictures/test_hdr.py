"""Radiance pictures written by another library, and files that are none."""

import cv2
import numpy as np
import pytest

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.pictures.hdr import read_hdr


def test_radiance_beyond_one_is_read_back(tmp_path):
    picture = np.random.default_rng(0).uniform(0.1, 40, (6, 12, 3)).astype(np.float32)
    cv2.imwrite(str(tmp_path / "light.hdr"), picture[..., ::-1])
    found = read_hdr(tmp_path / "light.hdr")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, picture, atol=0.01 * picture.max())
    assert found.max() > 30


def test_a_real_environment(real_data):
    found = read_hdr(real_data / "env_hdri" / "mud_road_puresky_1k.hdr")
    assert found.shape == (512, 1024, 3)
    assert found[:256].mean() > found[256:].mean() > 0


def test_refusals_name_the_file(tmp_path):
    cv2.imwrite(str(tmp_path / "whole.hdr"), np.ones((8, 16, 3), np.float32))
    content = (tmp_path / "whole.hdr").read_bytes()
    broken = {
        "none.hdr": b"\x89PNG not at all",
        "headless.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
        "huge.hdr": content.replace(b"-Y 8 +X 16", b"-Y 80000 +X 160000"),
        "short.hdr": content[: len(content) // 2],
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInputError, match=name):
            read_hdr(tmp_path / name)
    with pytest.raises(MissingInputError):
        read_hdr(tmp_path / "absent.hdr")
