"""Prompts to rows of the network's word table; words that it does not know are replaced or reported."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.datasets.procedural.vocabulary import SILENT, words

log = logging.getLogger(__name__)

SYNONYMS: dict[str, str] = {
    # colours
    "crimson": "red", "scarlet": "red", "golden": "yellow", "gold": "yellow", "blond": "yellow", "lime": "green",
    "cyan": "teal", "turquoise": "teal", "aqua": "teal", "navy": "blue", "azure": "blue", "violet": "purple",
    "magenta": "pink", "rose": "pink", "beige": "brown", "tan": "brown", "wooden": "brown", "gray": "grey",
    "silver": "grey", "white": "grey", "metallic": "grey", "dark": "black",
    # things
    "man": "person", "woman": "person", "boy": "person", "girl": "person", "child": "person", "human": "person",
    "character": "figure", "toy": "doll", "android": "robot", "knight": "figure", "monster": "figure",
    "cat": "animal", "fox": "animal", "cow": "animal", "sheep": "animal", "pig": "animal", "lion": "animal",
    "wolf": "dog", "puppy": "dog", "pony": "horse", "donkey": "horse", "bear": "creature", "dinosaur": "creature",
    "statue": "totem", "column": "tower", "bottle": "tower", "lamp": "tower", "block": "pile", "stack": "pile",
    # patterns and parts
    "dotted": "spotted", "dappled": "spotted", "checked": "checkered", "stripy": "striped", "stripes": "striped",
    "arm": "arms", "hands": "arms", "leg": "legs", "feet": "legs", "foot": "legs", "face": "head", "torso": "body",
    # motions
    "spins": "spin", "rotate": "rotating", "rotates": "rotating", "turns": "turning", "turn": "turning",
    "whirling": "twirling", "jumps": "jump", "hops": "hopping", "hop": "hopping", "leap": "leaping",
    "bounce": "bouncing", "bounces": "bouncing", "sways": "sway", "rock": "rocking", "swing": "swinging",
    "nods": "nod", "bow": "bowing", "bows": "bowing", "waves": "wave", "greets": "greeting",
    "stretches": "stretch", "grows": "growing", "shakes": "shake", "tremble": "trembling", "trembles": "trembling",
    "shivers": "shivering", "wobbling": "swaying", "walks": "walk", "marches": "marching", "march": "marching",
    "runs": "walking", "running": "walking", "run": "walking", "trotting": "walking", "galloping": "walking",
    "strolling": "walking", "dancing": "swaying", "dances": "swaying",
}  # fmt: skip
"""Words outside of the vocabulary by the nearest one within."""

NOTHING, UNKNOWN = 0, 1
_ROWS = {word: 2 + row for row, word in enumerate(words())}
_reported: set[str] = set()


def encode_prompts(
    prompts: Sequence[str],
    length: int,
) -> Tensor:
    """(S, length) int64 rows of the word table; an empty prompt is all padding, as when training dropped it.

    Words that have a synonym in the vocabulary become it, the others are left out and named once in a warning.
    """
    rows = torch.full((len(prompts), length), NOTHING, dtype=torch.int64)
    foreign: list[str] = []
    for row, prompt in zip(rows, prompts, strict=True):
        spoken = [word for word in re.findall(r"[a-z]+", prompt.lower()) if word not in SILENT]
        known = [word if word in _ROWS else SYNONYMS.get(word, "") for word in spoken]
        foreign += [word for word, meant in zip(spoken, known, strict=True) if not meant]
        ids = [_ROWS[word] for word in known if word][:length]
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    new = [word for word in dict.fromkeys(foreign) if word not in _reported]
    if new:
        _reported.update(new)
        log.warning("the compact prior does not know the words %s and leaves them out", ", ".join(new))
    return rows
