"""Pictures of every kind against what was put into them, and damaged ones against the promise of one error type."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.io import imread

from a4d.errors import A4DError, InvalidInputError, MissingInputError, WorkspaceError
from a4d.io.pictures.images import list_images, read_depth, read_image, write_depth, write_image

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (12, 17, 3), dtype=np.uint8)
WITH_ALPHA = RANDOM.integers(0, 256, (12, 17, 4), dtype=np.uint8)
GREY = COLOURS[..., 0]
DEEP = RANDOM.integers(0, 65536, (12, 17, 4), dtype=np.uint16)


def saved(folder: Path, picture: Image.Image, name: str, **options) -> Path:
    picture.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_colours_come_back_exactly(tmp_path, suffix):
    image = read_image(saved(tmp_path, Image.fromarray(COLOURS), f"a.{suffix}"))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, COLOURS / 255, atol=1e-7)


def test_straight_alpha_keeps_the_colours_beneath_it(tmp_path):
    for name, options in (("a.png", {}), ("a.webp", {"lossless": True, "exact": True}), ("a.tiff", {})):
        image = read_image(saved(tmp_path, Image.fromarray(WITH_ALPHA), name, **options))
        np.testing.assert_allclose(image, WITH_ALPHA / 255, atol=1e-7)


def test_grey_bilevel_and_palette(tmp_path):
    grey = read_image(saved(tmp_path, Image.fromarray(GREY), "grey.png"))
    np.testing.assert_allclose(grey, np.repeat(GREY[..., None], 3, -1) / 255, atol=1e-7)
    bits = read_image(saved(tmp_path, Image.fromarray(GREY > 127), "bits.png"))
    np.testing.assert_array_equal(bits[..., 0], GREY > 127)
    grey_alpha = read_image(saved(tmp_path, Image.fromarray(WITH_ALPHA[..., :2], "LA"), "la.png"))
    np.testing.assert_allclose(grey_alpha[..., [0, 3]], WITH_ALPHA[..., :2] / 255, atol=1e-7)
    palette = Image.fromarray(GREY // 64)
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    image = read_image(saved(tmp_path, palette, "palette.png", transparency=bytes([0, 128, 255, 255])))
    table = np.array([[255, 0, 0, 0], [0, 255, 0, 128], [0, 0, 255, 255], [9, 8, 7, 255]]) / 255
    np.testing.assert_allclose(image, table[GREY // 64], atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_kept(tmp_path, suffix, channels):
    samples = DEEP[..., 0] if channels == 1 else DEEP[..., :channels]
    bgr = samples if channels == 1 else samples[..., [2, 1, 0, 3][:channels]]
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), bgr)
    expected = np.repeat(samples[..., None], 3, -1) if channels == 1 else samples
    np.testing.assert_allclose(read_image(path), expected / 65535, atol=1e-7)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_exif_orientation_is_undone(tmp_path, orientation, suffix):
    upright = np.zeros((40, 64, 3), np.uint8)
    upright[:20, :32] = 255, 0, 0
    upright[20:, 32:] = 0, 0, 255
    transposes = [None, 0, 3, 1, 5, 2, 6, 4]  # how a camera lays the picture down, in Pillow's numbering of operations
    operation = transposes[orientation - 1]
    picture = Image.fromarray(upright)
    stored = picture if operation is None else picture.transpose(Image.Transpose(operation))
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path, stored, f"a.{suffix}", exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    image = read_image(path)
    assert image.shape == (40, 64, 3)
    assert np.abs(image - upright / np.float32(255)).mean() < 0.02


def test_big_endian_grey_of_sixteen_bits(tmp_path):
    picture = Image.frombytes("I;16B", (17, 12), DEEP[..., 0].astype(">u2").tobytes())
    image = read_image(saved(tmp_path, picture, "a.tiff"))
    np.testing.assert_allclose(image, np.repeat(DEEP[..., :1], 3, -1) / 65535, atol=1e-7)


def test_orientation_of_deep_pictures(tmp_path):
    samples = cv2.imencode(".png", DEEP[..., [2, 1, 0]])[1].tobytes()
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    path = tmp_path / "deep.png"
    path.write_bytes(samples[:33] + chunk + samples[33:])
    np.testing.assert_allclose(read_image(path), np.rot90(DEEP[..., :3], -1) / 65535, atol=1e-7)


def test_cmyk_jpeg(tmp_path):
    flat = Image.new("RGB", (32, 24), (200, 60, 30))
    image = read_image(saved(tmp_path, flat.convert("CMYK"), "a.jpg", quality=95))
    np.testing.assert_allclose(image.mean((0, 1)), np.array([200, 60, 30]) / 255, atol=0.02)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    image = read_image(saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(image[..., :3], np.broadcast_to([1, 0, 0], (6, 8, 3)), atol=0.01)


def test_reduction_averages_instead_of_skipping(tmp_path):
    stripes = np.zeros((400, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    image = read_image(saved(tmp_path, Image.fromarray(stripes), "a.png"), max_size=60)
    assert image.shape == (40, 60, 3)
    np.testing.assert_allclose(image, 0.5, atol=0.02)
    assert read_image(tmp_path / "a.png", max_size=1000).shape == (400, 600, 3)


def test_reduction_does_not_mix_hidden_colours_in(tmp_path):
    samples = np.zeros((64, 64, 4), np.uint8)
    samples[..., 1] = 255
    samples[:, :31] = 255, 0, 0, 255
    for path in (saved(tmp_path, Image.fromarray(samples), "a.png"), tmp_path / "deep.png"):
        if path.name == "deep.png":
            cv2.imwrite(str(path), samples[..., [2, 1, 0, 3]].astype(np.uint16) * 257)
        image = read_image(path, max_size=16)
        assert image[image[..., 3] > 0.1][:, 1].max() < 0.02


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    written = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def test_refusals_name_the_file(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "huge.png").write_bytes(png_of_size(30000, 30000))
    (tmp_path / "large.png").write_bytes(png_of_size(10001, 10000))
    (tmp_path / "vector.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name in ("empty.png", "text.png", "folder.png", "huge.png", "large.png", "vector.png"):
        with pytest.raises(InvalidInputError, match=name) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    for name in ("huge.png", "large.png"):
        with pytest.raises(InvalidInputError, match="megapixels"):
            read_image(tmp_path / name)
    with pytest.raises(MissingInputError, match=r"none\.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(A4DError):
        read_image(tmp_path / "nul\0.png")


def test_damage_anywhere_is_refused_or_read_but_never_a_crash(tmp_path, capfd, damaged):
    originals = {}
    for form, picture in {
        "PNG": Image.fromarray(WITH_ALPHA),
        "JPEG": Image.fromarray(COLOURS),
        "GIF": Image.fromarray(COLOURS),
        "WEBP": Image.fromarray(WITH_ALPHA),
        "TIFF": Image.fromarray(COLOURS),
        "BMP": Image.fromarray(COLOURS),
        "PPM": Image.fromarray(COLOURS),
    }.items():
        stream = io.BytesIO()
        picture.save(stream, form)
        originals[form] = stream.getvalue()
    originals["deep"] = cv2.imencode(".png", DEEP)[1].tobytes()
    originals["deep-tiff"] = cv2.imencode(".tiff", DEEP)[1].tobytes()
    path = tmp_path / "broken"
    for content in originals.values():
        for broken in damaged(content, 60):
            path.write_bytes(broken)
            with suppress(A4DError):  # refused, as it may be
                assert np.isfinite(read_image(path)).all()
    assert capfd.readouterr().err == ""


def test_depth_is_relative_or_in_metres(tmp_path):
    depth = np.linspace(0, 6, 200, dtype=np.float32).reshape(10, 20)
    write_depth(tmp_path / "d.png", depth, unit=1e-3)
    np.testing.assert_allclose(read_depth(tmp_path / "d.png", unit=1e-3), depth, atol=5.1e-4)
    assert imread(tmp_path / "d.png").max() == 6000
    write_depth(tmp_path / "r.png", depth / 6)
    np.testing.assert_allclose(read_depth(tmp_path / "r.png"), depth / 6, atol=1e-5)
    metres = saved(tmp_path, Image.fromarray(depth), "f.tiff")
    np.testing.assert_array_equal(read_depth(metres), depth)
    with pytest.raises(InvalidInputError, match=r"f\.tiff"):
        read_image(metres)
    with pytest.raises(InvalidInputError, match="coloured"):
        read_depth(saved(tmp_path, Image.fromarray(COLOURS), "c.png"))


def test_written_pictures_are_read_back_by_others(tmp_path):
    write_image(tmp_path / "a.png", WITH_ALPHA.astype(np.float32) / 255)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), WITH_ALPHA)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), -1)[..., [2, 1, 0, 3]], WITH_ALPHA)
    write_image(tmp_path / "a.png", GREY[..., None].astype(np.float32) / 255)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), GREY)
    write_image(tmp_path / "a.png", np.array([[[-1.0, 0.5, 2.0]]], np.float32))
    np.testing.assert_array_equal(imread(tmp_path / "a.png")[0, 0], [0, 128, 255])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_image(tmp_path / "a.png", np.ones((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match="finite"):
        write_image(tmp_path / "a.png", np.full((2, 2, 3), np.nan, np.float32))
    with pytest.raises(WorkspaceError, match="cannot write"):
        write_image(tmp_path / "a.png" / "b.png", np.ones((2, 2, 3), np.float32))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert read_image(tmp_path / "a.png").min() == 1


def test_folders_are_listed_in_natural_order(tmp_path):
    for name in ("frame10.png", "frame9.png", "frame1.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in list_images(tmp_path)] == ["frame1.JPG", "frame9.png", "frame10.png"]
    with pytest.raises(MissingInputError):
        list_images(tmp_path / "none")
    with pytest.raises(InvalidInputError):
        list_images(tmp_path / "notes.txt")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InvalidInputError, match="bare"):
        list_images(tmp_path / "bare")


def test_pngsuite(real_data, capfd):
    files = sorted((real_data / "images_robustness/pngsuite/png").glob("*.png"))
    assert len(files) > 150
    images = {}
    for file in files:
        if file.name.startswith("x"):
            with pytest.raises(InvalidInputError, match=file.name):
                read_image(file)
        else:
            images[file] = read_image(file)
    assert capfd.readouterr().err == ""
    for file, image in images.items():
        other = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)  # keeps the upper 8 of 16 bits
        assert image.shape[:2] == other.shape[:2]
        np.testing.assert_allclose(image[..., :3], other / 255, atol=1.01 / 255, err_msg=file.name)


def test_pngsuite_transparency(real_data):
    folder = real_data / "images_robustness/pngsuite/png"
    for name in ("tbbn0g04", "tbwn0g16", "tbbn2c16", "tbrn2c08", "tbwn3p08", "tm3n3p02", "basn4a16", "basn6a08"):
        image = read_image(folder / f"{name}.png")
        assert image.shape == (32, 32, 4), name
        assert image[..., 3].min() < 0.1, name
    assert read_image(folder / "tp0n2c08.png").shape == (32, 32, 3)
    np.testing.assert_allclose(np.unique(read_image(folder / "tm3n3p02.png")[..., 3] * 3).round(3), [0, 1, 2, 3])


def test_real_pictures(real_data):
    with pytest.raises(InvalidInputError, match=r"truncated\.jpg"):
        read_image(real_data / "images_natural/truncated.jpg")
    assert read_image(real_data / "images_natural/imageio/wikkie.png").shape == (512, 512, 3)
    for file in (real_data / "images_triposr").glob("*.png"):
        np.testing.assert_allclose(read_image(file), imread(file) / 255, atol=1e-6)
    depth = read_depth(real_data / "images_animate124/data/fox-game/depth.png")
    assert depth.shape == (1024, 1024)
    assert 0 <= depth.min() < depth.max() <= 1
