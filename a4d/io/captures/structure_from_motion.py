"""Cameras of photographs by structure from motion, through pycolmap."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import BackendUnavailableError, InvalidInputError, QualityError
from a4d.io.captures.capture import image_size
from a4d.io.files import muted_terminal
from a4d.io.pictures.images import list_images

SINGLE = "Pictures of several things are fitted one by one: `a4d fit-static PICTURE`"
"""What helps where photographs are none of one thing."""


def reconstruct_cameras(images: Path, scratch: Path) -> Path:
    """Extract and match features and build a sparse model (Schönberger and Frahm 2016).

    Args:
        images: folder of photographs of one static thing, taken with one camera; their pixels count as stored,
            whatever their EXIF orientation.
        scratch: an empty folder for the database and the model.

    Returns:
        the folder of the largest model, in COLMAP's binary format.

    Raises:
        InvalidInputError: they are not from one camera, as single pictures of several things are not.
        BackendUnavailableError: pycolmap is not installed.
        QualityError: no two photographs could be joined.
    """
    _require_one_camera(images)
    try:
        import pycolmap
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"structure from motion needs pycolmap ({error})",
            f"{SINGLE}. Of several photographs of one thing, run `pip install a4d[colmap]`, or give --cameras",
        ) from None
    database = scratch / "database.db"
    with muted_terminal():
        pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.SINGLE)
        pycolmap.match_exhaustive(database)
        models = pycolmap.incremental_mapping(database, images, scratch / "models")
    if not models:
        raise QualityError(
            "no two photographs could be joined", f"Take more of them, closer together, with texture. {SINGLE}"
        )
    best = max(models, key=lambda index: models[index].num_reg_images())
    return scratch / "models" / str(best)


def _require_one_camera(images: Path) -> None:
    """Refuse what are no photographs of one thing: a single picture, and pictures of several sizes."""
    paths = list_images(images)
    count, sizes = len(paths), {image_size(path) for path in paths}
    if count < 2 or len(sizes) > 1:
        what = "a single picture" if count < 2 else f"pictures of {len(sizes)} sizes"
        raise InvalidInputError(f"{images} holds {what}, which are no photographs of one thing by one camera", SINGLE)
