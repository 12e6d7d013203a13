"""The words of the procedural captions: what things, colours, patterns and motions are called."""

from __future__ import annotations

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.13, 0.12),
    "orange": (0.97, 0.55, 0.10),
    "yellow": (0.97, 0.87, 0.15),
    "green": (0.16, 0.62, 0.20),
    "teal": (0.10, 0.72, 0.72),
    "blue": (0.13, 0.30, 0.85),
    "purple": (0.52, 0.18, 0.72),
    "pink": (0.98, 0.56, 0.75),
    "brown": (0.48, 0.28, 0.13),
    "grey": (0.55, 0.55, 0.57),
    "black": (0.10, 0.10, 0.12),
}
"""sRGB in [0, 1]."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "biped": ("robot", "person", "figure", "doll"),
    "quadruped": ("animal", "dog", "horse", "creature"),
    "stack": ("snowman", "tower", "totem", "pile"),
}

PATTERNS: dict[str, tuple[str, ...]] = {
    "stripes": ("striped",),
    "checks": ("checkered",),
    "spots": ("spotted",),
}

MOTIONS: dict[str, tuple[str, ...]] = {
    "spin": ("spinning", "rotating", "turning around", "twirling"),
    "jump": ("jumping", "hopping", "leaping", "bouncing"),
    "sway": ("swaying", "rocking", "leaning left and right", "swinging"),
    "nod": ("nodding", "bowing the head", "agreeing", "nodding the head"),
    "wave": ("waving", "greeting", "waving a hand", "saying hello"),
    "stretch": ("stretching", "growing taller", "elongating", "stretching up"),
    "shake": ("shaking", "trembling", "shivering", "shaking quickly"),
    "walk": ("walking", "marching", "walking in place", "stepping"),
}
"""By the name of the motion; each is also known by its name, such as "jump"."""

PARTS = ("body", "head", "arms", "legs")

SILENT = ("a", "an", "the", "is", "are", "it", "its", "with", "and", "of", "in", "that", "to", "very")
"""Words that say nothing the model needs; left out of what it reads."""


def words() -> tuple[str, ...]:
    """Every word that a caption may hold but the silent ones, in a fixed order."""
    phrases = [*COLOURS, *PARTS, *MOTIONS]
    for table in (FAMILIES, PATTERNS, MOTIONS):
        phrases += [phrase for group in table.values() for phrase in group]
    spoken = [word for phrase in phrases for word in phrase.split() if word not in SILENT]
    return tuple(dict.fromkeys(spoken))
