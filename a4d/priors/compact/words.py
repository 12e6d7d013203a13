"""Prompts to rows of the network's word table; words that it does not know are replaced or reported."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from a4d.datasets.procedural.named_colours import colour_named
from a4d.datasets.procedural.vocabulary import MOTIONS, SILENT, words

logger = logging.getLogger(__name__)

SYNONYMS: dict[str, str] = {
    # things
    "man": "person", "woman": "person", "boy": "person", "girl": "person", "child": "person", "human": "person",
    "character": "figure", "toy": "doll", "android": "robot", "knight": "figure", "monster": "figure",
    "cat": "animal", "fox": "animal", "cow": "animal", "sheep": "animal", "pig": "animal", "lion": "animal",
    "wolf": "dog", "puppy": "dog", "pony": "horse", "donkey": "horse", "bear": "creature", "dinosaur": "creature",
    "tiger": "animal", "panda": "doll", "squirrel": "animal", "monkey": "doll", "chimpanzee": "doll",
    "kangaroo": "doll",
    "crocodile": "animal", "crab": "animal", "eagle": "animal", "bird": "animal", "fish": "animal", "rabbit": "animal",
    "astronaut": "person", "skeleton": "person", "rocket": "tower", "shuttle": "tower", "candle": "tower",
    "statue": "totem", "column": "tower", "bottle": "tower", "lamp": "tower", "block": "pile", "stack": "pile",
    # patterns and parts
    "dotted": "spotted", "dappled": "spotted", "checked": "checkered", "stripy": "striped", "stripes": "striped",
    "arm": "arms", "hands": "arms", "leg": "legs", "feet": "legs", "foot": "legs", "face": "head", "torso": "body",
    # motions in other forms
    "spins": "spin", "rotate": "rotating", "rotates": "rotating", "turns": "turning", "turn": "turning",
    "jumps": "jump", "hops": "hopping", "hop": "hopping", "leap": "leaping", "leaps": "leaping",
    "bounce": "bouncing", "bounces": "bouncing", "sways": "sway", "rock": "rocking", "swing": "swinging",
    "nods": "nod", "bow": "bowing", "bows": "bowing", "waves": "wave", "greets": "greeting",
    "stretches": "stretch", "grows": "growing", "shakes": "shake", "tremble": "trembling", "trembles": "trembling",
    "shivers": "shivering", "walks": "walk", "marches": "marching", "march": "marching", "strolling": "walking",
}  # fmt: skip
"""Words outside of the vocabulary by those within that mean the same, or nearly so."""

NEAREST_MOTIONS: dict[str, tuple[str, ...]] = {
    "spinning": ("whirling", "rolling", "orbiting"),
    "jumping": ("flying", "falling", "skipping", "rising", "hovering", "launching", "landing", "surfing"),
    "swaying": (
        "dancing", "wobbling", "swimming", "floating", "waddling", "dangling", "skating", "playing", "flapping",
        "flickering", "burning", "blooming", "moving", "wiggling", "riding", "rowing", "drifting", "balancing",
    ),
    "nodding": (
        "eating", "drinking", "talking", "speaking", "singing", "roaring", "barking", "looking", "reading", "typing",
        "pecking", "chewing", "sniffing", "sleeping", "breathing", "yawning", "biting",
    ),
    "waving": ("clapping", "boxing", "punching", "pointing", "throwing", "kicking", "fighting", "cooking"),
    "shaking": ("laughing", "crying", "vibrating", "sneezing", "coughing"),
    "walking": (
        "running", "trotting", "galloping", "crawling", "climbing", "sneaking", "limping", "skiing", "chasing",
    ),
}  # fmt: skip
"""What the model has never seen move, by the one of its motions that comes nearest."""

NOTHING, UNKNOWN = 0, 1
_ROWS = {word: 2 + row for row, word in enumerate(words())}
_MOVING = {word for name, phrases in MOTIONS.items() for word in (name, *(phrase.split()[0] for phrase in phrases))}


def _forms(name: str) -> Iterator[str]:
    """A verb in -ing, and in the third person: dancing and dances, swimming and swims."""
    yield name
    stem = name.removesuffix("ing")
    for base in (stem, stem[:-1]) if stem[-2:-1] == stem[-1] else (stem,):
        yield from (f"{base}s", f"{base}es")


_NEAREST = {form: near for near, far in NEAREST_MOTIONS.items() for name in far for form in _forms(name)}
_reported: set[str] = set()


def encode_prompts(
    prompts: Sequence[str],
    length: int,
) -> Tensor:
    """(S, length) int64 rows of the word table; an empty prompt is all padding, as when training dropped it.

    Words that mean the same as one of the vocabulary become it; a motion that it lacks becomes the nearest one, with a
    warning that names it; others are left out. Either is said once.
    """
    rows = torch.full((len(prompts), length), NOTHING, dtype=torch.int64)
    foreign: list[str] = []
    for row, prompt in zip(rows, prompts, strict=True):
        spoken = _spoken(prompt)
        known = [understood(word) for word in spoken]
        foreign += [word for word, meant in zip(spoken, known, strict=True) if not meant or word in _NEAREST]
        ids = [_ROWS[word] for word in known if word][:length]
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    _report(foreign)
    return rows


def understood(word: str) -> str:
    """The word of the vocabulary that a lower-case word is taken for; empty where there is none."""
    return word if word in _ROWS else SYNONYMS.get(word) or _NEAREST.get(word) or colour_named(word) or ""


def share_understood(prompt: str) -> float:
    """Share of a prompt's words that are taken for one of the vocabulary, of those that say something; 0 of none."""
    spoken = _spoken(prompt)
    return sum(map(bool, map(understood, spoken))) / max(len(spoken), 1)


def _spoken(prompt: str) -> list[str]:
    """The words that say something."""
    return [word for word in re.findall(r"[a-z]+", prompt.lower()) if word not in SILENT]


def names_a_motion(prompt: str) -> bool:
    """Whether a prompt says how something moves, in words that the model understands."""
    spoken = re.findall(r"[a-z]+", prompt.lower())
    return any(understood(word) in _MOVING for word in spoken)


def report_missing_motions(prompts: Sequence[str]) -> None:
    """Warn of prompts that are not empty and name no motion that the model knows; each is named once."""
    for prompt in prompts:
        if prompt and not names_a_motion(prompt) and prompt not in _reported:
            _reported.add(prompt)
            known = ", ".join(phrases[0] for phrases in MOTIONS.values())
            logger.warning("the compact prior knows no motion in %r: it knows %s", prompt, known)


def _report(foreign: Sequence[str]) -> None:
    new = [word for word in dict.fromkeys(foreign) if word not in _reported]
    _reported.update(new)
    for word in new:
        if word in _NEAREST:
            logger.warning(
                "the compact prior has never seen %s; %s is the nearest motion that it knows", word, _NEAREST[word]
            )
    left_out = [word for word in new if word not in _NEAREST]
    if left_out:
        logger.warning("the compact prior does not know the words %s and leaves them out", ", ".join(left_out))
