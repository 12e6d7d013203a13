"""Films from several sides taken in: their subject cut out, and beside a mesh how well it stands where they show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from a4d.intake.common import naming
from a4d.intake.cutting import Cutter
from a4d.intake.given_views import take_views
from a4d.intake.mesh_views import PlacedMesh
from a4d.intake.settings import GivenViews
from a4d.io.captures.multi_view_folder import Excerpt, MultiViewFolder
from a4d.pixels import Array
from a4d.workspace.transaction import Transaction


def take_films(
    work: Transaction, config: GivenViews, clip: MultiViewFolder, cut_out: Cutter, mesh: PlacedMesh | None = None
) -> dict[str, Any]:
    """Write the frames of all films, each cut out, and their cameras and times.

    Args:
        work: takes images and cameras.
        config: what is taken of the films, and where their cameras stood.
        clip: the films.
        cut_out: finds the subject of each frame.
        mesh: that their first moment should show; None checks nothing.

    Raises:
        InvalidInputError: the films differ in length or size, a frame shows no subject, or cameras are damaged.
        UsageError: the views cannot be chosen as asked.
    """
    excerpt = Excerpt(config.start, config.end, config.fps, config.max_size)
    notes = set[str]()

    def alone(view: Path, frame: Array) -> Array:
        with naming(view):
            found = cut_out(frame)
        notes.update(found.notes)
        return found.rgba

    facts = take_views(work, config, clip, excerpt, alone, mesh)
    for note in sorted(notes):
        work.warn(note)
    return facts
