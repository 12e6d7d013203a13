"""One image taken in: cut out, centred and scaled."""

from __future__ import annotations

from typing import Any

from a4d.config import plain
from a4d.errors import QualityError
from a4d.framing import crop_around, cut
from a4d.intake.common import as_filmed, as_rgba, naming, same_size, write_filmed
from a4d.intake.cutting import Cutter
from a4d.intake.person_cutter import PersonCutter
from a4d.intake.settings import ImageSettings
from a4d.io.depth_maps import nearness, read_depth_map
from a4d.io.pictures.images import read_image, write_depth, write_image
from a4d.matting.matte import matte
from a4d.pixels import SOLID, Array
from a4d.workspace.transaction import Transaction

UNSURE = 0.65
"""Certainty below which what was found by looking is not taken for the subject unasked.

Of 13 photographs those whose subject was found whole have 0.73 to 0.97, and the others 0.47 to 0.64.
"""


def take_image(
    work: Transaction, config: ImageSettings, cut_out: Cutter, person: PersonCutter | None = None
) -> dict[str, Any]:
    """Write one image in its frame, and its depth map; the crop is noted so that results can be placed back.

    Args:
        work: takes the image.
        config: what is known of it.
        cut_out: finds its subject, where no mask says it.
        person: cuts the subject out in its place.

    Raises:
        InvalidInputError: the image or a map is damaged, or no subject is found.
        UsageError: a map is of another aspect ratio.
        QualityError: nothing tells the subject from what is around it, and no method was chosen.
    """
    path = work.workspace.source_path()
    image = read_image(path, max_size=4 * config.size, warn=work.warn)
    with naming(path):
        found = (person or cut_out)(image) if config.mask is None else matte(image, mask=config.mask)
        if person is not None:
            person.require_found()
    if config.method == "auto" and found.certainty is not None and found.certainty < UNSURE:
        raise QualityError(
            f"{path}: nothing tells its subject from what is around it (certainty {found.certainty:.2f})",
            "Run `a4d preprocess` with --mask FILE or a model (--matting birefnet), or take what is found by looking "
            "(--matting grabcut)",
        )
    for note in found.notes:
        work.warn(note)
    alpha: Array = found.rgba[..., 3]
    crop = crop_around(alpha, config.size, config.margin)
    write_image(work.replace("images") / "00000.png", cut(found.rgba, crop))
    if config.depth is not None:
        stored = same_size(read_depth_map(config.depth), image.shape[:2], config.depth)
        is_nearness = config.depth_larger == "nearer" and stored.min() >= 0 and stored.max() <= 1
        near = stored if is_nearness else nearness(stored, alpha > SOLID, config.depth_larger)
        framed = cut(as_rgba(near, alpha), crop)
        write_depth(work.replace("depth") / "00000.png", framed[..., 0])
    if config.visibility:
        write_filmed(work, crop, 1)
    if person is not None:
        person.write(work, crop)
    work.describe(frame_count=1, notes={"crop": plain(crop), "matting": found.method, **as_filmed(work)})
    return {"frames": 1, "matting": found.method, "coverage": float((alpha > SOLID).mean())}
