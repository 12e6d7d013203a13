"""Whole data sets of clips, as the tests of their readers need them."""

from collections.abc import Iterable
from pathlib import Path

from a4d.io.captures.multi_view_dataset import MultiViewClip, write_clip, write_index


def write_dataset(root: Path, clips: Iterable[MultiViewClip], *, with_images: bool = False) -> int:
    """Write clips, then the index; returns how many clips the data set now has."""
    for clip in clips:
        write_clip(root, clip, with_images=with_images)
    return write_index(root)
