"""Photographs taken in: a folder of them, or a capture that knows their cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import UsageError
from a4d.intake.common import as_rgba, naming, same_size
from a4d.intake.cutting import Cutter
from a4d.intake.settings import CaptureSettings, PhotographSettings
from a4d.intake.trusted_masks import trusted_masks
from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
from a4d.io.captures.capture import CaptureChoice, PosedCapture
from a4d.io.captures.capture_reader import read_capture
from a4d.io.captures.transforms_json import find_transforms, write_transforms
from a4d.io.captures.undistortion import without_distortion
from a4d.io.pictures.images import list_images, read_image, write_image
from a4d.pixels import shrink
from a4d.workspace.transaction import Transaction


def take_photographs(work: Transaction, config: PhotographSettings, cut_out: Cutter) -> dict[str, Any]:
    """Write photographs cut out where they lie, since their cameras will need each image whole and as stored.

    Raises:
        InvalidInputError: a photograph is damaged, or shows no subject.
    """
    paths = list_images(work.workspace.source_path())
    folder = work.replace("images")
    for index, path in enumerate(paths):
        with naming(path):
            found = cut_out(read_image(path, config.max_size, upright=False, warn=work.warn))
        write_image(folder / f"{index:05d}.png", found.rgba)
    work.describe(frame_count=len(paths), notes={"files": [path.name for path in paths], "straightened": False})
    return {"frames": len(paths)}


def take_capture(work: Transaction, config: CaptureSettings) -> dict[str, Any]:
    """Write photographs with cameras: undistorted, reduced, with alpha where it is known, in the canonical frame.

    Raises:
        InvalidInputError: the capture or a photograph is damaged.
        MissingInputError: a photograph is not there.
        UsageError: a model is named of a capture that has none to choose from.
    """
    path = work.workspace.source_path()
    if config.model is not None and find_transforms(path):
        raise UsageError("--model names one of several COLMAP models, and this capture has a transforms.json")
    choice = CaptureChoice(model=config.model, root=path, skip_missing=config.skip_missing, warn=work.warn)
    capture = read_capture(path, choice)
    capture, masks = _as_pinholes(work, config, capture)
    if config.canonical:
        trusted = None if masks is None else trusted_masks(capture, masks)
        capture = transform_capture(capture, canonical_frame(capture, trusted))
    write_transforms(work.output("transforms.json"), capture)
    work.describe(frame_count=len(capture))
    facts: dict[str, Any] = {"frames": len(capture), "masks": masks is not None}
    if capture.points is not None:
        facts["points"] = len(capture.points)
    return facts


def _as_pinholes(
    work: Transaction, config: CaptureSettings, capture: PosedCapture
) -> tuple[PosedCapture, list[NDArray[np.bool_]] | None]:
    """Write the photographs as pinholes would have taken them; the capture that names them, and their masks."""
    straight, steps = without_distortion(capture)
    folder, masks, names, sizes = work.replace("images"), list[Any](), list[Path](), list[tuple[int, int]]()
    for index, path in enumerate(capture.images):
        pixels = read_image(path, upright=False, warn=work.warn)
        mask = None if capture.masks is None else capture.masks[index]
        if mask is not None:
            pixels = as_rgba(
                pixels[..., :3], same_size(read_image(mask, upright=False)[..., 0], pixels.shape[:2], mask)
            )
        step = steps[index]
        pixels = shrink(pixels if step is None else step.apply(pixels), config.max_size)
        names.append(folder / f"{index:05d}.png")
        write_image(names[-1], pixels)
        sizes.append((pixels.shape[1], pixels.shape[0]))
        masks.append(pixels[..., 3] > 0.5 if pixels.shape[2] == 4 else None)
    scale = np.array(sizes) / straight.sizes
    written = replace(
        straight,
        images=tuple(names),
        intrinsics=straight.intrinsics * np.concatenate([scale, scale], axis=1),
        sizes=np.array(sizes, np.int64),
        lenses=None,
        masks=None,
        depths=None,
    )
    return written, _told_of_all(work, capture, masks)


def _told_of_all(
    work: Transaction, capture: PosedCapture, masks: list[NDArray[np.bool_] | None]
) -> list[NDArray[np.bool_]] | None:
    """The masks, where all photographs have one; the user is told where but some of them have."""
    bare = [path.name for path, mask in zip(capture.images, masks, strict=True) if mask is None or mask.all()]
    if not bare:
        return [mask for mask in masks if mask is not None]
    if len(bare) < len(masks):
        work.warn(
            f"{len(bare)} of {len(masks)} photographs do not tell the subject from what is around it, first of all "
            f"{bare[0]}: give masks to all, or to none"
        )
    return None
