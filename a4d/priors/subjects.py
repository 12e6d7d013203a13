"""What a prompt is about: its leading noun phrases, by a small rule of English."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those some any each every several many my your his her its our their one two three four "
    "five six"
)
JOINTS = _words("and or & plus ,")
PREPOSITIONS = _words(
    "of in on at by for with without from to into onto over under above below behind beside between near inside "
    "outside around through across along against among as like next during"
)
CLAUSES = _words("that which who whose where while")
"""What begins a clause behind a noun."""

VERBS = _words(
    "is are was were be has have had does do can will sits stands holds wears eats rides runs walks flies jumps looks "
    "carries made"
)
"""Forms of frequent ones that are hardly ever nouns."""

ENDS = PREPOSITIONS | CLAUSES | VERBS
PICTURES = _words(
    "photo photograph picture image shot rendering render painting drawing sketch illustration model closeup"
)
"""What shows a subject, where `of` follows on it."""

NOUNS_IN_ING = _words("building ceiling earring painting wedding pudding being morning evening clothing")

_WORD = re.compile(r"<token(?::[^<>]*)?>|[^\s,.;:!?()\"]+|[,.;:!?()\"]")


def subjects(prompt: str) -> list[str]:
    """The things that a prompt names one beside the other, each without its determiner.

    A phrase ends at the first preposition, verb or punctuation mark; a conjunction with a determiner behind it begins
    another ("a dog and a cat", but "a black and white cat"). What stands before `of` is passed over where it is a kind
    of picture ("a photo of a fox"). A word in -ing is an adjective right behind the determiner ("a running dog") and a
    verb elsewhere ("a panda eating bamboo"); one in -ed is a verb before a preposition ("a cake covered in sugar").

    Args:
        prompt: in English, without the name of a view.

    Returns:
        at least one, as it is written in the prompt; the whole prompt where nothing of it is a noun phrase.
    """
    matches = _past_picture(list(_WORD.finditer(prompt)))
    words = [match[0].lower() for match in matches]
    found: list[str] = []
    start = 0
    while start < len(words):
        start = _first(words, start)
        stop = _end(words, start)
        if stop > start:
            found.append(prompt[matches[start].start() : matches[stop - 1].end()])
        if not _begins_another(words, stop):
            break
        start = stop + 1
    return found or [prompt.strip()]


def _past_picture(matches: list[re.Match[str]]) -> list[re.Match[str]]:
    """The words behind "a photo of", or all."""
    words = [match[0].lower() for match in matches]
    if "of" in words and words.index("of") and words[words.index("of") - 1] in PICTURES:
        return matches[words.index("of") + 1 :]
    return matches


def _first(words: list[str], start: int) -> int:
    """Where the words behind determiners begin."""
    while start < len(words) and words[start] in DETERMINERS:
        start += 1
    return start


def _end(words: list[str], start: int) -> int:
    """The index behind the last word of a phrase."""
    for index in range(start, len(words)):
        word, following = words[index], words[index + 1] if index + 1 < len(words) else ""
        is_participle = word.endswith("ing") and re.search("[aeiouy]", word[:-3]) and word not in NOUNS_IN_ING
        is_done_to = word.endswith("ed") and following in ENDS
        is_mark = not word[0].isalnum() and word[0] not in "<&"
        if word in ENDS or is_mark or (index > start and (is_participle or is_done_to)):
            return index
        if _begins_another(words, index):
            return index
    return len(words)


def _begins_another(words: list[str], index: int) -> bool:
    """Whether a conjunction or a comma stands here, and a determiner behind it."""
    return index + 1 < len(words) and words[index] in JOINTS and words[index + 1] in DETERMINERS
