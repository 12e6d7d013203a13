"""Data sets of people of any layout that is read here."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import InvalidInputError
from a4d.io.people import gaussian_avatar, instant_avatar, neuman, people_snapshot
from a4d.io.people.people_sequence import PeopleSequence

LAYOUTS = (people_snapshot, instant_avatar, gaussian_avatar, neuman)


def is_people(folder: Path) -> bool:
    """Whether a folder is a person's sequence, by the files in it; none of them is read."""
    return any(layout.is_layout(folder) for layout in LAYOUTS)


def read_people(folder: Path) -> PeopleSequence:
    """Read a sequence; no picture is looked at before it is asked for.

    Raises:
        MissingInputError: something that belongs to the sequence is not there.
        InvalidInputError: it is damaged, asks to run something, or is of no layout that is known here.
        BackendUnavailableError: a package that reads it is not installed.
    """
    for layout in LAYOUTS:
        if layout.is_layout(folder):
            return layout.read(folder)
    raise InvalidInputError(f"{folder} is no sequence of a person", "Known are InstantAvatar's and NeuMan's layouts")
