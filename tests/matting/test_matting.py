"""Mattes against the alpha and colours from which the pictures were composed."""

import sys
import types

import cv2
import numpy as np
import pytest

from a4d.errors import A4DError, BackendUnavailableError, InvalidInputError, UsageError
from a4d.io.pictures.images import read_image, write_image
from a4d.matting.drawing import find_drawing
from a4d.matting.edges import decontaminate
from a4d.matting.matte import matte
from a4d.matting.prominence import barrier_distance
from a4d.matting.uniform import find_backdrop
from a4d.pixels import composite

RANDOM = np.random.default_rng(0)


def subject(size: int = 192, softness: float = 1.0) -> np.ndarray:
    """A ring and a bar in warm varying colours, with known soft alpha and a hole."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    distance = np.abs(np.hypot(x - 0.5, y - 0.42) - 0.2) - 0.08
    bar = np.maximum(np.abs(x - 0.5) - 0.05, np.abs(y - 0.75) - 0.14)
    alpha = np.clip(0.5 - np.minimum(distance, bar) * size / (2 * softness), 0, 1)
    colours = [0.75 + 0.2 * np.sin(9 * x), 0.3 + 0.15 * np.sin(11 * y), 0.1 + 0.1 * x]
    return np.stack([*colours, alpha], axis=-1).astype(np.float32)


def backdrop(kind: str, size: int = 192) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    flat = {
        "white": np.ones((size, size, 3)),
        "grey": np.full((size, size, 3), 0.5),
        "black": np.zeros((size, size, 3)),
        "green": np.broadcast_to([0.1, 0.7, 0.25], (size, size, 3)),
        "gradient": np.stack([0.55 + 0.3 * y + 0.05 * x] * 3, axis=-1),
        "vignette": np.stack([0.85 - 0.3 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)] * 3, axis=-1),
        "noisy": 0.6 + RANDOM.normal(0, 0.015, (size, size, 3)),
    }
    return np.clip(flat[kind], 0, 1).astype(np.float32)


@pytest.mark.parametrize("kind", ["white", "grey", "black", "green", "gradient", "vignette", "noisy"])
@pytest.mark.parametrize(
    ("softness", "of_alpha", "at_edge", "of_colour", "composed"),
    [(1.0, 2e-3, 0.05, 2e-3, 1e-3), (2.0, 0.01, 0.16, 0.03, 0.01)],
)
def test_keying_recovers_alpha_and_colours(kind, softness, of_alpha, at_edge, of_colour, composed):
    truth, ground = subject(softness=softness), backdrop(kind)
    result = matte(composite(truth, ground))
    assert result.method == "uniform"
    alpha = result.rgba[..., 3]
    edge = (truth[..., 3] > 0) & (truth[..., 3] < 1)
    assert np.abs(alpha - truth[..., 3]).mean() < of_alpha
    assert np.abs(alpha - truth[..., 3])[edge].mean() < at_edge
    visible = truth[..., 3] > 0.3
    assert np.abs(result.rgba - truth)[visible][:, :3].mean() < of_colour
    # The proof of clean colours: over another ground the picture is what the truth gives.
    for other in ((1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
        assert np.abs(composite(result.rgba, other) - composite(truth, other)).mean() < composed


def test_the_subject_may_touch_the_border():
    truth = np.roll(subject(), 40, axis=0)
    truth[:40] = 0
    result = matte(composite(truth, (1.0, 1.0, 1.0)))
    assert np.abs(result.rgba[..., 3] - truth[..., 3]).mean() < 0.008


def table(size: int = 192) -> np.ndarray:
    """A grey-blue top on two legs, which stand apart."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    top = (np.abs(x - 0.5) < 0.3) & (np.abs(y - 0.35) < 0.1)
    legs = (np.abs(np.abs(x - 0.5) - 0.24) < 0.04) & (y > 0.35) & (y < 0.8)
    colours = [0.3 + 0.1 * x, 0.35 + 0 * x, 0.5 + 0.1 * np.sin(14 * y)]
    return np.stack([*colours, top | legs], axis=-1).astype(np.float32)


@pytest.mark.parametrize("ground", [(1.0, 1.0, 1.0), (0.6, 0.6, 0.6), (0.93, 0.9, 0.84)])
def test_soft_shadows_and_the_floor_between_legs_are_background(ground):
    y, x = (np.mgrid[:192, :192] + 0.5) / 192
    shadow = 1 - 0.45 * np.exp(-(((x - 0.5) / 0.32) ** 2) - ((y - 0.8) / 0.06) ** 2)
    truth = table()
    found = matte(composite(truth, (np.array(ground) * shadow[..., None]).astype(np.float32)))
    assert found.method == "uniform"
    alpha = found.rgba[..., 3]
    assert np.minimum(alpha, truth[..., 3]).sum() / np.maximum(alpha, truth[..., 3]).sum() > 0.95
    assert alpha[int(0.6 * 192) : int(0.78 * 192), 80:112].max() < 0.05


@pytest.mark.parametrize("ground", [(1.0, 1.0, 1.0), (0.6, 0.6, 0.6), (0.93, 0.9, 0.84)])
@pytest.mark.parametrize("half_width", [0.46, 0.2])
def test_a_slab_that_sticks_out_or_lies_between_feet_is_background(ground, half_width):
    y, x = (np.mgrid[:384, :384] + 0.5) / 384
    truth = table(384)
    slab = np.where((np.abs(x - 0.5) < half_width) & (np.abs(y - 0.79) < 0.025), 0.75, 1.0)
    alpha = matte(composite(truth, (np.array(ground) * slab[..., None]).astype(np.float32))).rgba[..., 3]
    assert np.minimum(alpha, truth[..., 3]).sum() / np.maximum(alpha, truth[..., 3]).sum() > 0.95
    assert alpha[(slab < 1) & (truth[..., 3] == 0)].mean() < 0.05


def test_the_sole_of_a_shoe_and_a_white_belly_are_the_subjects():
    y, x = (np.mgrid[:384, :384] + 0.5) / 384
    sole = (np.abs(x - 0.5) < 0.36) & (np.abs(y - 0.72) < 0.04)
    upper = (np.abs(x - 0.5) < 0.35) & (y > 0.4) & (y <= 0.68)
    shoe = np.where(upper[..., None], (0.7, 0.15, 0.1), np.where(sole[..., None], 0.85, 1.0)).astype(np.float32)
    assert matte(shoe).rgba[..., 3][sole].mean() > 0.95
    animal = composite(table(384), (1.0, 1.0, 1.0))
    belly = (np.abs(x - 0.5) < 0.19) & (np.abs(y - 0.485) < 0.035)
    animal[belly] = 0.85
    assert matte(animal).rgba[..., 3][belly].mean() > 0.95


def test_whoever_wants_an_emblem_of_two_colours_hears_that_a_part_is_left_out():
    picture = np.ones((96, 96, 3), np.float32)
    picture[20:76, 10:50] = (0.8, 0.1, 0.1)
    alone = matte(picture)
    picture[40:60, 64:84] = (0.1, 0.1, 0.8)
    both = matte(picture)
    assert alone.notes == ()
    assert both.rgba[50, 74, 3] == 0
    assert "other colours" in both.notes[0]


def statue(size: int, *, sunk: float) -> tuple[np.ndarray, np.ndarray]:
    """A red bar on a grey block, so far within it, before white; and where the block is seen."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    picture = np.ones((size, size, 3), np.float32)
    block, bar = (np.abs(x - 0.5) < 0.25) & (np.abs(y - 0.8) < 0.05), (np.abs(x - 0.5) < 0.1) & (y > 0.15)
    bar &= y < 0.75 + sunk
    picture[block], picture[bar] = 0.75, (0.8, 0.15, 0.1)
    return picture, block & ~bar


@pytest.mark.parametrize("size", [192, 512])
def test_a_plinth_carries_its_subject_and_a_floor_surrounds_it(size):
    picture, block = statue(size, sunk=0)
    carried = matte(picture)
    assert carried.rgba[..., 3][block].mean() > 0.95
    assert "stands on counts as a part of it" in carried.notes[0]
    picture, block = statue(size, sunk=0.05)
    surrounded = matte(picture)
    assert surrounded.rgba[..., 3][block].mean() < 0.05
    assert "counts as the floor" in surrounded.notes[0]


def compressed(picture: np.ndarray) -> np.ndarray:
    coded = cv2.imencode(".jpg", np.rint(255 * picture), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.float32) / 255


@pytest.mark.parametrize("colour", [(0.7, 0.2, 0.1), (0.35, 0.35, 0.35)])
def test_a_shadow_that_fades_within_few_pixels_is_background_whatever_the_subjects_colour(colour):
    y, x = (np.mgrid[:384, :384] + 0.5) / 384
    light = 1 - 0.55 * np.exp(-(((x - 0.62) / 0.25) ** 2) - ((y - 0.8) / 0.018) ** 2)
    truth = table(384)
    truth[..., :3] = colour
    alpha = matte(compressed(composite(truth, (np.ones(3) * light[..., None]).astype(np.float32)))).rgba[..., 3]
    assert np.minimum(alpha, truth[..., 3]).sum() / np.maximum(alpha, truth[..., 3]).sum() > 0.95


def test_the_pale_top_of_a_foot_is_the_subjects():
    y, x = (np.mgrid[:384, :384] + 0.5) / 384
    animal = composite(table(384), (1.0, 1.0, 1.0))
    animal[(np.abs(np.abs(x - 0.5) - 0.24) < 0.12) & (np.abs(y - 0.78) < 0.03)] = 0.3, 0.35, 0.5
    top = (np.abs(x - 0.74) < 0.08) & (np.abs(y - 0.775) < 0.015)
    animal[top] = 0.85
    assert matte(animal).rgba[..., 3][top].mean() > 0.95


def test_the_rim_of_a_floor_goes_with_it():
    y, x = (np.mgrid[:384, :384] + 0.5) / 384
    away, truth = np.hypot((x - 0.5) / 0.42, (y - 0.79) / 0.08), table(384)
    light = np.where(away < 0.94, 0.88, np.where(away < 1, 0.6, 1.0))
    alpha = matte(composite(truth, (np.ones(3) * light[..., None]).astype(np.float32))).rgba[..., 3]
    assert alpha[(away < 1.1) & (truth[..., 3] == 0)].mean() < 0.03


def test_a_pale_outline_does_not_let_the_background_in():
    y, x = (np.mgrid[:192, :192] + 0.5) / 192
    away = np.hypot(x - 0.5, y - 0.5) / 0.35
    ball = np.where((away < 1)[..., None], 1 - 0.4 * (x + y)[..., None] * np.ones(3), 1.0)
    # A patch as pale as the background, but not quite, behind a gap of three pixels in the outline.
    patch, gap = np.hypot(x - 0.42, y - 0.42) < 0.14, (np.abs(x - y) < 0.01) & (x < 0.45)
    ball[(patch | gap) & (away < 1)] = 0.985
    alpha = matte(ball.astype(np.float32)).rgba[..., 3]
    assert alpha[patch].mean() > 0.98


def test_fragments_stay_where_they_are_large_and_of_the_subjects_colours():
    picture = composite(subject(), (1.0, 1.0, 1.0))
    twin, stranger, crumb = (slice(150, 185), slice(10, 50)), (slice(150, 185), slice(150, 185)), (slice(8, 12),) * 2
    picture[twin] = picture[160, 96]
    picture[stranger] = 0.1, 0.2, 0.9
    picture[crumb] = picture[160, 96]
    alpha = matte(picture).rgba[..., 3]
    assert alpha[twin].mean() > 0.9
    assert alpha[stranger].max() == 0
    assert alpha[crumb].max() == 0


def test_backdrop_is_fitted_and_photos_have_none():
    ground = backdrop("gradient") + RANDOM.normal(0, 0.01, (192, 192, 3)).astype(np.float32)
    found = find_backdrop(np.clip(composite(subject(), ground), 0, 1))
    assert np.abs(found.colours - backdrop("gradient")).max() < 0.01
    assert found.noise == pytest.approx(0.01, rel=0.25)
    assert find_backdrop(textured()) is None


def line_drawing(size: int = 320, *, has_gap: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A figure of pen strokes on paper in uneven light, and all that its outline encloses."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    body = np.hypot((x - 0.5) / 0.24, (y - 0.62) / 0.26) - 1
    head = np.hypot((x - 0.5) / 0.15, (y - 0.26) / 0.15) - 1
    outline, pen = np.minimum(0.24 * body, 0.15 * head), 0.01
    stroke = (np.abs(outline) < pen) | (np.abs(np.hypot(x - 0.5, y - 0.62) - 0.08) < pen)
    if has_gap:
        stroke &= np.hypot(x - 0.74, y - 0.62) > 0.012
    light = (
        0.85 - 0.15 * x + 0.04 * np.sin(7 * x) * np.sin(9 * y) + np.random.default_rng(1).normal(0, 0.008, (size, size))
    )
    picture = np.where(stroke[..., None], (0.2, 0.15, 0.5), light[..., None] * (1, 0.98, 0.94))
    return np.clip(picture, 0, 1).astype(np.float32), outline < pen


@pytest.mark.parametrize("has_gap", [False, True])
def test_what_the_lines_of_a_drawing_enclose_is_the_subject(has_gap):
    picture, inside = line_drawing(has_gap=has_gap)
    found = matte(picture)
    assert found.method == "drawing"
    assert "--matting uniform" in found.notes[0]
    alpha = found.rgba[..., 3]
    assert np.minimum(alpha, inside).sum() / np.maximum(alpha, inside).sum() > 0.97
    assert (alpha[inside] > 0.4).mean() > 0.998
    # A keyed drawing is hollow, which who wants it can have.
    assert matte(picture, "uniform").rgba[230:250, 130:190, 3].mean() < 0.1


@pytest.mark.parametrize("size", [128, 1600])
def test_a_hatched_drawing_is_cut_out_alike_at_any_size(size):
    picture, inside = line_drawing(400)
    picture[inside & (np.add.outer(np.arange(400), np.arange(400)) % 30 < 8)] = (0.2, 0.15, 0.5)
    found = matte(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if size < 400 else cv2.INTER_LINEAR))
    assert found.method == "drawing"
    alpha = cv2.resize(found.rgba[..., 3], (400, 400), interpolation=cv2.INTER_AREA)
    assert np.minimum(alpha, inside).sum() / np.maximum(alpha, inside).sum() > 0.95


def framed(picture: np.ndarray, place: int = 12, thickness: int = 6) -> np.ndarray:
    """A picture with a black frame along its border."""
    corner = picture.shape[1] - 1 - place
    return cv2.rectangle(picture.copy(), (place, place), (corner, corner), (0.0, 0.0, 0.0), thickness)


def test_a_frame_that_is_drawn_around_a_drawing_is_none_of_it():
    picture, inside = line_drawing()
    found = matte(framed(0.6 * picture + 0.3))
    assert (found.method, len(found.notes)) == ("drawing", 2)
    assert "frame" in found.notes[1]
    alpha = found.rgba[..., 3]
    assert np.minimum(alpha, inside).sum() / np.maximum(alpha, inside).sum() > 0.97


def test_a_frame_may_fill_a_strip_but_for_what_is_drawn_in_it():
    strip = np.full((10, 1000, 3), 0.95, np.float32)
    strip[[0, -1]] = strip[:, [0, -1]] = 0
    strip[3:7, 300:600] = 0.3
    drawing = find_drawing(strip)
    assert drawing is not None
    assert drawing.has_frame
    assert drawing.subject[4:6, 310:590].all()
    assert not drawing.subject[:, 700:].any()


def test_a_drawn_window_with_little_in_it_is_no_frame():
    paper = np.full((320, 320, 3), 0.9, np.float32)
    found = matte(framed(cv2.circle(paper, (200, 160), 6, (0.1, 0.1, 0.1), 2)))
    assert (found.method, len(found.notes)) == ("drawing", 1)
    assert found.rgba[20:300, 20:300, 3].min() > 0.9


def test_rings_and_pale_things_are_no_drawings():
    """What is wider than a stroke keeps its holes, and so does what is as pale as the paper but shaded."""
    assert matte(composite(subject(), backdrop("white"))).rgba[75:85, 90:100, 3].max() < 0.05
    y, x = (np.mgrid[:192, :192] + 0.5) / 192
    across = (np.hypot(x - 0.5, y - 0.5) - 0.28) / 0.12
    shade = 1 - 0.5 * np.clip(across, -1, 1) ** 2
    ring = np.where(np.abs(across) < 1, shade, 1.0)[..., None] * np.ones(3)
    found = matte(ring.astype(np.float32))
    assert found.method == "uniform"
    assert found.rgba[90:102, 90:102, 3].max() < 0.05


def test_a_drawing_without_lines_is_refused():
    with pytest.raises(InvalidInputError, match="no lines"):
        matte(np.full((64, 64, 3), 0.9, np.float32), "drawing")


def test_real_drawings(real_data):
    for name, overlap in (("char1", 0.94), ("char2", 0.82)):
        folder = real_data / "drawn_characters/characters" / name
        found, truth = matte(read_image(folder / "texture.png")), read_image(folder / "mask.png")[..., 0]
        assert found.method == "drawing"
        alpha = found.rgba[..., 3]
        assert np.minimum(alpha, truth).sum() / np.maximum(alpha, truth).sum() > overlap, name


def textured(size: int = 192) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    waves = [
        0.4 + 0.2 * np.sin(40 * x + 9 * y) + 0.1 * np.sin(31 * y),
        0.5 + 0.2 * np.sin(37 * y - 12 * x),
        0.6 + 0 * x,
    ]
    return np.clip(np.stack(waves, axis=-1) + RANDOM.normal(0, 0.03, (size, size, 3)), 0, 1).astype(np.float32)


def test_grabcut_finds_a_subject_before_a_textured_ground():
    y, x = (np.mgrid[:192, :192] + 0.5) / 192
    alpha = np.clip(0.5 + (0.27 - np.hypot(x - 0.52, y - 0.5)) * 192 / 2, 0, 1)
    truth = np.stack([0.85 + 0 * x, 0.25 + 0.1 * np.sin(20 * x), 0.1 + 0 * x, alpha], axis=-1).astype(np.float32)
    result = matte(composite(truth, textured()))
    assert result.method == "grabcut"
    found = result.rgba[..., 3]
    assert np.minimum(found, alpha).sum() / np.maximum(found, alpha).sum() > 0.97
    assert result.notes == ()


def test_doubt_is_admitted():
    assert "mask" in matte(textured(), method="grabcut").notes[0]


def test_barrier_distance_is_the_range_a_path_must_cross():
    colours = np.zeros((21, 31, 1), np.float32)
    colours[5:16, 5:26] = 7  # a wall
    colours[8:13, 8:23] = 2  # behind it
    seeds = np.zeros((21, 31), bool)
    seeds[0] = True
    distance = barrier_distance(colours, seeds)
    np.testing.assert_array_equal(distance, np.where(colours[..., 0] == 0, 0, 7))


def test_given_alpha_is_kept_and_its_hidden_colours_replaced():
    image = subject()
    image[image[..., 3] == 0] = 0, 1, 0, 0
    result = matte(image)
    assert result.method == "alpha"
    np.testing.assert_array_equal(result.rgba[..., 3], image[..., 3])
    assert result.rgba[..., 1].max() < 0.5
    opaque = np.concatenate([composite(subject(), (1.0, 1.0, 1.0)), np.ones((192, 192, 1), np.float32)], axis=-1)
    assert matte(opaque).method == "uniform"


def test_given_mask_is_the_answer(tmp_path):
    truth = subject()
    image = composite(truth, textured())
    result = matte(image, mask=truth[..., 3])
    assert result.method == "mask"
    np.testing.assert_array_equal(result.rgba[..., 3], truth[..., 3])
    assert np.abs(result.rgba - truth)[truth[..., 3] > 0.5][:, :3].mean() < 0.02
    write_image(tmp_path / "mask.png", truth[..., 3])
    from_file = matte(image, mask=tmp_path / "mask.png")
    np.testing.assert_allclose(from_file.rgba[..., 3], truth[..., 3], atol=1 / 255)
    with pytest.raises(InvalidInputError, match="192x192"):
        matte(image, mask=np.ones((3, 4), np.float32))


def test_colours_are_unmixed_from_a_known_ground():
    truth, ground = subject(softness=4), backdrop("green")
    rgba = decontaminate(composite(truth, ground), truth[..., 3], ground)
    visible = truth[..., 3] > 0.05
    assert np.abs(rgba - truth)[visible][:, :3].max() < 0.2
    assert np.abs(rgba - truth)[visible][:, :3].mean() < 5e-3
    mixed = np.abs(composite(truth, ground) - truth[..., :3])[visible].mean()
    assert np.abs(rgba - truth)[visible][:, :3].mean() < mixed / 5


def test_nothing_is_an_error_and_everything_is_a_note():
    for image, options in (
        (np.zeros((32, 32, 4), np.float32), {}),
        (np.ones((32, 32, 3), np.float32), {}),
        (np.ones((32, 32, 3), np.float32), {"mask": np.zeros((32, 32), np.float32)}),
        (np.ones((1, 1, 3), np.float32), {}),
        (np.ones((32, 32, 3), np.float32), {"method": "alpha"}),
        (textured(), {"method": "uniform"}),
    ):
        with pytest.raises(InvalidInputError) as caught:
            matte(image, **options)
        assert caught.value.remedy
    full = matte(textured(), mask=np.ones((192, 192), np.float32))
    assert "fills" in full.notes[0]
    with pytest.raises(UsageError):
        matte(textured(), method="magic")
    with pytest.raises(UsageError):
        matte(textured(), method="mask")


def test_any_size_and_content_gives_a_matte_or_an_error_of_ours():
    for height, width in ((1, 50), (8, 8), (9, 200), (33, 17), (64, 64)):
        for image in (
            RANDOM.random((height, width, 3)),
            RANDOM.random((height, width, 4)),
            np.tile(np.linspace(0, 1, width)[None, :, None], (height, 1, 3)),
            RANDOM.integers(0, 2, (height, width, 3)),
        ):
            for method in ("auto", "grabcut"):
                try:
                    rgba = matte(image.astype(np.float32), method).rgba
                except A4DError as error:
                    assert str(error).count("\n") == 0  # noqa: PT017
                else:
                    assert rgba.shape == (height, width, 4)
                    assert rgba.dtype == np.float32
                    assert rgba.min() >= 0
                    assert rgba.max() <= 1


def test_rembg_is_optional(monkeypatch):
    image = composite(subject(), textured())
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install a4d\[rembg\]"):
        matte(image, method="rembg")
    network = types.ModuleType("rembg")
    network.remove = lambda samples, only_mask: np.rint(subject()[..., 3] * 255).astype(np.uint8)
    monkeypatch.setitem(sys.modules, "rembg", network)
    result = matte(image, method="rembg")
    assert result.method == "rembg"
    np.testing.assert_allclose(result.rgba[..., 3], subject()[..., 3], atol=1 / 255)


def test_real_subjects_over_plain_grounds(real_data):
    for name, overlap in (("chair", 0.98), ("flamingo", 0.92), ("horse", 0.95), ("robot", 0.96)):
        truth = read_image(real_data / f"images_triposr/{name}.png")
        result = matte(composite(truth, (0.5, 0.5, 0.5)))
        assert result.method == "uniform"
        alpha = result.rgba[..., 3]
        assert np.minimum(alpha, truth[..., 3]).sum() / np.maximum(alpha, truth[..., 3]).sum() > overlap, name
        np.testing.assert_array_equal(matte(truth).rgba[..., 3], truth[..., 3])


def test_real_photos(real_data):
    panda = real_data / "images_animate124/data/panda-dance"
    alpha, truth = matte(read_image(panda / "image.jpg")).rgba[..., 3], read_image(panda / "rgba.png")[..., 3]
    assert np.minimum(alpha, truth).sum() / np.maximum(alpha, truth).sum() > 0.88
    photos = real_data / "images_natural"
    assert matte(read_image(photos / "coffee.png")).notes == ()
    assert matte(read_image(photos / "rocket.jpg")).notes != ()
    result = matte(read_image(photos / "astronaut.png"))
    assert result.rgba[:280, 150:300, 3].mean() > 0.5  # the head
    assert result.rgba[:150, :120, 3].mean() < 0.1  # the flag
