"""From an image of something to that something alone, with straight alpha and clean colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from a4d.errors import BackendUnavailableError, InvalidInputError, UsageError
from a4d.io.pictures.images import read_image, to_bytes
from a4d.matting.drawing import find_drawing
from a4d.matting.edges import decontaminate, soft_edges
from a4d.matting.grabcut import find_subject
from a4d.matting.methods import Method
from a4d.matting.uniform import find_backdrop, key
from a4d.pixels import SOLID, Array, extend_colours

MIN_SIDE = 8
"""Pixels below which a picture shows nothing that could be told from its background."""

FLOOR = "What lies flat under the subject counts as the floor and is left out: if it is a part of it, give a mask"
"""What is said of a foot or a low base, which may look like a floor."""

PLINTH = "What the subject stands on counts as a part of it: if it is the floor, give a mask"
"""What is said of a block under a subject, which may be a floor seen from the side."""

OTHERS = "Parts of other colours beside the largest are left out: if they belong to the subject, give a mask"
"""What is said of an emblem or a group, which may look like a subject among things that are not it."""

LINES = "What the lines of this drawing enclose is taken for the subject: holes in it need `--matting uniform`"
"""What is said of a ring that is drawn, or of a thing of wires, which may look like a drawing."""

FRAME = "The frame that is drawn around the drawing is left out: if it is a part of it, give a mask"
"""What is said of a window or a screen, which may look like a frame."""

SURE = 0.7
"""How sure GrabCut must be of a photo's subject: below, the user is told to look."""


@dataclass(frozen=True)
class Matte:
    """A subject that was cut out.

    Args:
        rgba: (H, W, 4) straight alpha; the colours are the subject's own, also beyond its outline.
        method: which method or model made it; never `auto`.
        notes: sentences that the user should see, such as that the subject fills the image.
        certainty: in [0, 1], where the subject had to be looked for; None where something tells it.
    """

    rgba: Array
    method: str
    notes: tuple[str, ...] = ()
    certainty: float | None = None


def matte(
    image: Array, method: Method = "auto", mask: Array | Path | str | None = None, *, must_show: bool = True
) -> Matte:
    """Cut the subject out of an image.

    Args:
        image: (H, W, 3) or (H, W, 4) sRGB in [0, 1].
        method: `alpha` takes the image's own; `drawing` what lines on paper enclose; `uniform` keys a plain backdrop
            out; `grabcut` looks for the most prominent thing; `rembg` asks a network, where that package is installed
            (it fetches its weights itself); `auto` is the first of alpha, drawing, uniform and grabcut that applies.
        mask: the answer, (H, W) in [0, 1] or the file of one (alpha, or else brightness); it overrides `method`.
        must_show: an image of which nothing is left is an error; otherwise it becomes transparent.

    Raises:
        InvalidInputError: nothing is left of the image, the mask has another shape, or the method does not apply.
        BackendUnavailableError: `rembg` is not installed or cannot run.
        UsageError: there is no such method.
    """
    if method not in get_args(Method):
        raise UsageError(f"there is no matting method '{method}'", f"Choose from {', '.join(get_args(Method))}")
    rgb = image[..., :3]
    if mask is not None:
        found = Matte(decontaminate(rgb, _given_mask(mask, rgb.shape[:2])), "mask")
    elif method == "mask":
        raise UsageError("the matting method 'mask' needs a mask", "Give one with --mask")
    elif method == "person":
        raise UsageError("the matting method 'person' cuts out of one image or film", "Choose another matting method")
    elif method == "rembg":
        found = Matte(decontaminate(rgb, _ask_rembg(rgb)), "rembg")
    else:
        found = plain_matte(image, method) or _by_looking(rgb)
    if not must_show and not (found.rgba[..., 3] > SOLID).any():
        return Matte(nothing_of(image), found.method)
    return replace(found, notes=(*found.notes, *_notes(found.rgba[..., 3], found.method)))


def plain_matte(image: Array, method: Method, *, is_of_film: bool = False) -> Matte | None:
    """What an image's own alpha, lines or a plain backdrop say; None where the subject has to be looked for.

    Args:
        image: (H, W, 3) or (H, W, 4) sRGB in [0, 1].
        method: `auto`, `alpha`, `drawing`, `uniform` or `grabcut`.
        is_of_film: frames of films are no drawings unless that is the method.

    Raises:
        InvalidInputError: the image is too small, or the method does not apply.
    """
    if method == "alpha" or (method == "auto" and _alpha_speaks(image)):
        return Matte(_by_alpha(image), "alpha")
    rgb = image[..., :3]
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InvalidInputError(f"the image is {width}x{height} pixels, too small to find a subject in", "Give a mask")
    drawn = None
    if method == "drawing" or (method == "auto" and not is_of_film):
        drawn = _drawn_matte(rgb, is_said=method == "drawing")
    return drawn or (None if method == "grabcut" else _keyed_matte(rgb, is_said=method == "uniform"))


def _keyed_matte(rgb: Array, *, is_said: bool) -> Matte | None:
    """What differs from a plain backdrop; None where there is none, unless there is said to be one."""
    backdrop = find_backdrop(rgb)
    if backdrop is None:
        if is_said:
            raise InvalidInputError("the background is not uniform", "Choose another matting method or give a mask")
        return None
    keyed = key(rgb, backdrop)
    alpha = soft_edges(rgb, keyed.subject, _edge_radius(rgb), backdrop.colours, backdrop.noise)
    doubts = {FLOOR: keyed.has_floor, PLINTH: keyed.has_plinth, OTHERS: keyed.has_others}
    notes = tuple(note for note, applies in doubts.items() if applies)
    return Matte(decontaminate(rgb, alpha, backdrop.colours), "uniform", notes)


def _drawn_matte(rgb: Array, *, is_said: bool) -> Matte | None:
    """What the lines of a drawing enclose; None where the picture is none, unless it is said to be one."""
    drawing = find_drawing(rgb)
    if drawing is None and is_said:
        raise InvalidInputError("there are no lines in the drawing", "Choose another matting method or give a mask")
    if drawing is None or not (is_said or drawing.is_plain):
        return None
    alpha = soft_edges(rgb, drawing.subject, _edge_radius(rgb), drawing.paper)
    notes = (LINES, FRAME) if drawing.has_frame else (LINES,)
    return Matte(decontaminate(rgb, alpha, drawing.paper), "drawing", notes)


def outlined(
    rgb: Array,  # (H, W, 3)
    subject: NDArray[np.bool_],  # (H, W)
) -> Array:
    """(H, W, 4) a subject whose hard mask GrabCut found, with soft edges."""
    return decontaminate(rgb, soft_edges(rgb, subject, _edge_radius(rgb)))


def _edge_radius(rgb: Array) -> int:
    return max(2, round(0.006 * max(rgb.shape[:2])))


def brightness_or_alpha(picture: Array) -> Array:
    """(H, W) what a picture says as a mask: its alpha, if it is anywhere transparent, else its brightness."""
    return picture[..., 3] if _alpha_speaks(picture) else picture[..., :3].mean(axis=-1)


def nothing_of(image: Array) -> Array:
    """(H, W, 4) an image of which nothing is left."""
    return np.concatenate([image[..., :3], np.zeros_like(image[..., :1])], axis=-1)


def _alpha_speaks(image: Array) -> bool:
    return image.shape[2] == 4 and bool(image[..., 3].min() < 0.99)


def _by_alpha(image: Array) -> Array:
    if image.shape[2] != 4:
        raise InvalidInputError("the image has no alpha channel", "Choose another matting method or give a mask")
    return extend_colours(image)


def _by_looking(rgb: Array) -> Matte:
    """Look for the most prominent thing."""
    subject, certainty = find_subject(rgb)
    doubt = "The subject is hard to tell from its background: look at the matte, or give a mask"
    return Matte(outlined(rgb, subject), "grabcut", () if certainty >= SURE else (doubt,), certainty)


def _given_mask(mask: Array | Path | str, shape: tuple[int, ...]) -> Array:
    if isinstance(mask, np.ndarray):
        alpha, name = mask, "the mask"
    else:
        alpha, name = brightness_or_alpha(read_image(mask)), f"the mask {mask}"
    if alpha.ndim == 3 and alpha.shape[2] == 1:
        alpha = alpha[..., 0]
    if alpha.shape != shape:
        raise InvalidInputError(
            f"{name} is {alpha.shape[1]}x{alpha.shape[0]} but the image {shape[1]}x{shape[0]} pixels",
            "Give a mask of the image's size",
        )
    return np.clip(alpha.astype(np.float32), 0, 1)


def _ask_rembg(rgb: Array) -> Array:
    remedy = "Run `pip install a4d[rembg]`, or choose another matting method"
    try:
        import rembg
    except ImportError:
        raise BackendUnavailableError("the matting method 'rembg' is not installed", remedy) from None
    try:
        answer = rembg.remove(to_bytes(rgb), only_mask=True)
    except Exception as error:  # it fetches weights: whatever a network can do
        raise BackendUnavailableError(f"rembg does not run: {' '.join(str(error).split())}", remedy) from None
    return np.asarray(answer, np.float32).reshape(rgb.shape[:2]) / np.float32(255)


def _notes(alpha: Array, method: str) -> tuple[str, ...]:
    """What is remarkable about a matte.

    Raises:
        InvalidInputError: there is nothing in it.
    """
    covered = float((alpha > SOLID).mean())
    if covered == 0:
        what = "the mask covers nothing" if method == "mask" else "no subject is left of the image"
        raise InvalidInputError(what, "Give a mask, or an image whose subject stands out")
    if covered > 0.98:
        return ("The subject fills the whole image, so its outline is the image's border",)
    return ()
