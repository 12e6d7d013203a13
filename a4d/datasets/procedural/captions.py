"""Sentences about procedural objects: synonyms at random, attributes left out at random."""

from __future__ import annotations

import numpy as np

from a4d.datasets.procedural.creatures import Creature
from a4d.datasets.procedural.vocabulary import FAMILIES, MOTIONS


def describe(
    creature: Creature,
    motion: str,
    random: np.random.Generator,
    dropout: float = 0.2,
) -> str:
    """A caption, such as "a striped red robot with blue legs is waving".

    Args:
        creature: what it is about.
        motion: of the vocabulary; empty for an object at rest.
        random: chooses the words.
        dropout: probability with which each attribute is left out; the motion never is.
    """
    colours = creature.colours
    adjectives = []
    if creature.pattern and random.random() >= dropout:
        adjectives.append({"stripes": "striped", "checks": "checkered", "spots": "spotted"}[creature.pattern])
    if random.random() >= dropout / 2:
        adjectives.append(colours["body"])
    noun = str(random.choice(FAMILIES[creature.family]))
    named = ("head", "legs") if creature.family == "quadruped" else ("head", "arms", "legs")
    clauses = [
        f"{colours[part]} {'body' if creature.family == 'stack' and part == 'legs' else part}"
        for part in named
        if colours[part] != colours["body"] and random.random() >= dropout
    ]
    sentence = " ".join(["a", *adjectives, noun])
    if clauses:
        sentence += " with " + " and ".join(clauses)
    return f"{sentence} is {random.choice([*MOTIONS[motion], motion_participle(motion)])}" if motion else sentence


def motion_participle(motion: str) -> str:
    """The plainest word for a motion."""
    return MOTIONS[motion][0]
