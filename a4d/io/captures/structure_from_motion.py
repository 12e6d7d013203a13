"""Cameras of photographs by structure from motion, through pycolmap."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import BackendUnavailableError, QualityError
from a4d.io.files import muted_terminal


def reconstruct_cameras(images: Path, scratch: Path) -> Path:
    """Extract and match features and build a sparse model (Schönberger and Frahm 2016).

    Args:
        images: folder of photographs of one static thing, taken with one camera; their pixels count as stored,
            whatever their EXIF orientation.
        scratch: an empty folder for the database and the model.

    Returns:
        the folder of the largest model, in COLMAP's binary format.

    Raises:
        BackendUnavailableError: pycolmap is not installed.
        QualityError: no two photographs could be joined.
    """
    try:
        import pycolmap
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"structure from motion needs pycolmap ({error})", "Run `pip install a4d[colmap]`, or give --cameras"
        ) from None
    database = scratch / "database.db"
    with muted_terminal():
        pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.SINGLE)
        pycolmap.match_exhaustive(database)
        models = pycolmap.incremental_mapping(database, images, scratch / "models")
    if not models:
        raise QualityError("no two photographs could be joined", "Take more of them, closer together, with texture")
    best = max(models, key=lambda index: models[index].num_reg_images())
    return scratch / "models" / str(best)
