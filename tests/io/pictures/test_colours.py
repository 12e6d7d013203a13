"""What the numbers in a picture mean: profiles against colour science, marks and curves against their standards."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from profiles import ADOBE_RGB, DISPLAY_P3, SRGB_CURVE, cmyk_profile, grey_profile, power, rgb_profile, table

from a4d.io.films.video import read_video
from a4d.io.pictures.images import read_depth, read_image
from a4d.io.pictures.transfer_functions import ColourSpace

P3, ADOBE = rgb_profile(DISPLAY_P3, SRGB_CURVE), rgb_profile(ADOBE_RGB, power(563 / 256))
RED, BLUE = (200, 40, 30), (30, 60, 200)
TRUTH = {P3: ((218, 0, 4), (17, 61, 208)), ADOBE: ((233, 35, 23), (0, 57, 205))}
"""sRGB of red and blue, relative colorimetric."""


def halves(red: tuple[int, ...] = RED, blue: tuple[int, ...] = BLUE) -> Image.Image:
    picture = Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(red)], (32, 16), red)
    picture.paste(blue, (16, 0, 32, 16))
    return picture


def both(image: np.ndarray) -> np.ndarray:
    return image[8, [4, 28]] * 255


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with another chunk after its header."""
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png[:33] + chunk + png[33:]


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("profile", [P3, ADOBE], ids=["p3", "adobe"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
def test_profiles_become_srgb(tmp_path: Path, suffix: str, profile: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    halves().save(path, icc_profile=profile, **options)
    np.testing.assert_allclose(both(read_image(path)), TRUTH[profile], atol=2)


def test_alpha_and_palettes_pass_through_a_profile(tmp_path: Path) -> None:
    halves((*RED, 90), (*BLUE, 255)).save(tmp_path / "a.png", icc_profile=P3)
    np.testing.assert_allclose(both(read_image(tmp_path / "a.png")), [[218, 0, 4, 90], [17, 61, 208, 255]], atol=1)
    halves().quantize(4).save(tmp_path / "b.png", icc_profile=P3)
    np.testing.assert_allclose(both(read_image(tmp_path / "b.png")), TRUTH[P3], atol=1)


@pytest.mark.parametrize(
    ("curve", "linear"),
    [
        (SRGB_CURVE, lambda v: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)),
        (power(1.8), lambda v: v ** (round(1.8 * 256) / 256)),
        (table(1024, 2.2), lambda v: v**2.2),
        (b"curv" + bytes(8), lambda v: v),
    ],
    ids=["parametric", "power", "table", "identity"],
)
def test_sixteen_bits_keep_their_precision_through_a_profile(tmp_path: Path, curve: bytes, linear) -> None:
    samples = np.random.default_rng(0).integers(2000, 60000, (12, 17, 3), dtype=np.uint16)
    content = cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
    profile = rgb_profile(DISPLAY_P3, curve)
    (tmp_path / "a.png").write_bytes(with_chunk(content, b"iCCP", b"x\0\0" + zlib.compress(profile)))
    light = linear(samples / 65535) @ np.array(DISPLAY_P3)
    srgb = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
    light = np.clip(light @ np.linalg.inv(srgb), 0, 1)
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    found = read_image(tmp_path / "a.png")
    assert np.abs(found - expected)[expected > 0.1].max() < 2e-3
    assert len(np.unique(found)) > 400, "more than 8 bits can hold"


def test_grey_and_cmyk_profiles(tmp_path: Path) -> None:
    halves((55,), (255,)).save(tmp_path / "grey.png", icc_profile=grey_profile(power(1.0)))
    np.testing.assert_allclose(both(read_image(tmp_path / "grey.png")), [[128] * 3, [255] * 3], atol=1)
    halves((55, 99), (255, 255)).save(tmp_path / "alpha.png", icc_profile=grey_profile(power(1.0)))
    np.testing.assert_allclose(both(read_image(tmp_path / "alpha.png"))[0], [128, 128, 128, 99], atol=1)
    deep = Image.fromarray(np.full((16, 32), 55 * 257, np.uint16))
    deep.save(tmp_path / "deep.png", icc_profile=grey_profile(power(1.0)))
    np.testing.assert_allclose(both(read_image(tmp_path / "deep.png")), 127.95, atol=0.1)
    assert both(read_depth(tmp_path / "deep.png"))[0] == pytest.approx(55), "a depth map has no colour"
    inks = Image.new("CMYK", (32, 16), (200, 10, 90, 128))
    inks.save(tmp_path / "inks.jpg", icc_profile=cmyk_profile(), quality=98)
    np.testing.assert_allclose(both(read_image(tmp_path / "inks.jpg")), 118, atol=3)


def test_damaged_and_foreign_profiles_are_named_and_left_out(tmp_path: Path) -> None:
    profiles = {"noise": b"noise" * 60, "torn": P3[:300], "grey": grey_profile(power(1.0)), "inks": cmyk_profile()}
    for name, profile in profiles.items():
        halves().save(tmp_path / f"{name}.png", icc_profile=profile)
        told: list[str] = []
        image = read_image(tmp_path / f"{name}.png", warn=told.append)
        np.testing.assert_allclose(both(image), [RED, BLUE], atol=1e-3)
        assert len(told) == 1, name
        assert told[0].startswith(f"{name}.png: its colour profile")


def test_a_mutated_profile_never_fails_a_sound_picture(tmp_path: Path, damaged) -> None:
    deep = cv2.imencode(".png", np.full((8, 8, 3), 30000, np.uint16))[1].tobytes()
    for broken in damaged(ADOBE, 80):
        content = b"x\0\0" + zlib.compress(broken)
        for whole in (png(halves()), deep):
            (tmp_path / "a.png").write_bytes(with_chunk(whole, b"iCCP", content))
            assert np.isfinite(read_image(tmp_path / "a.png", warn=lambda message: None)).all()


def test_cicp_marks_of_a_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(with_chunk(png(halves()), b"cICP", bytes([12, 13, 0, 1])))
    np.testing.assert_allclose(both(read_image(path)), TRUTH[P3], atol=1)
    path.write_bytes(with_chunk(png(halves()), b"cICP", bytes([1, 13, 0, 1])))
    np.testing.assert_allclose(both(read_image(path)), [RED, BLUE], atol=1e-3)
    white = np.full((16, 32, 3), round(0.5807 * 65535), np.uint16)  # 203 cd/m2 in PQ
    path.write_bytes(with_chunk(cv2.imencode(".png", white)[1].tobytes(), b"cICP", bytes([9, 16, 0, 1])))
    np.testing.assert_allclose(both(read_image(path)), 255, atol=1)


@pytest.mark.parametrize(
    ("transfer", "signal", "nits"),
    [("smpte2084", 0.5081, 100), ("smpte2084", 0.5807, 203), ("arib-std-b67", 0.75, 203), ("arib-std-b67", 0.5, 50.7)],
)
def test_hdr_curves_agree_with_their_standards(transfer: str, signal: float, nits: float) -> None:
    grey = ColourSpace("bt2020", transfer).to_srgb(np.full((1, 1, 3), round(signal * 65535), np.uint16))
    expected = 1.055 * min(nits / 203, 1) ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(grey, expected, atol=4e-3)


def test_animations_have_profiles_too(tmp_path: Path) -> None:
    pictures = [halves(), halves(BLUE, RED)]
    for suffix, options in (("png", {}), ("webp", {"lossless": True})):
        path = tmp_path / f"a.{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, icc_profile=P3, **options)
        frames = list(read_video(path).frames)
        np.testing.assert_allclose(both(frames[0][..., :3]), TRUTH[P3], atol=1)
        np.testing.assert_allclose(both(frames[1][..., :3]), TRUTH[P3][::-1], atol=1)
