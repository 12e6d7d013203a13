"""Mutations of files, and the check that a reader takes or refuses what comes out in words for people."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from a4d.errors import A4DError

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")
HUGE = (
    b"-1", b"0", b"65535", b"4294967295", b"9223372036854775807", b"1e308", b"-1e308", b"1e999", b"nan", b"inf",
    b"99999999999999999999999999", b"9" * 5000, b"true", b"null", b"", b"{}", b"[]", b'""', b"\xff",
)  # fmt: skip
EXTREME_BYTES = (b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x00\x00\xc0\x7f", b"\xff" * 8)

TELLTALES = re.compile(
    r"Traceback|numpy|buffer size|buffer is|not enough values|too many values|unpack|reshape|broadcast|dtype|"
    r"\.a4d\.partial|\.partial/(?:outputs|source)|"
    r"\\x|\bb'|codec can't|NoneType|has no attribute|object is not|index out of|list index|invalid literal|"
    r"could not convert|KeyError|ValueError|TypeError|struct\.|requires a buffer|Exceeds the limit|int too large|"
    r"not subscriptable|unhashable|pydantic|Errno|memoryview|negative count|zlib|libpng|cv2\.|RuntimeError|Error:",
    re.IGNORECASE,
)
"""Words of libraries and of Python, which say nothing to the owner of a file."""

QUOTED = re.compile(r"(?<!b)'[\w. ]*'")
"""Words of the file itself, which may be any."""

SLOW = 5.0
"""Seconds of the process's own time after which a reader hangs."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One damaged version of a file."""
    mutation = chance.choice(MUTATIONS)
    result = mutation(content, chance)
    return mutated(result, chance) if result and chance.random() < 0.25 else result


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _flip(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.choice((1, 1, 4, 16))):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken)


def _delete(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.choice((1, 4, 16, 64)) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    block = content[start : start + chance.choice((1, 4, 32, 256))]
    return content[:start] + block * chance.choice((2, 3, 50)) + content[start:]


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    value, start = chance.choice(EXTREME_BYTES), chance.randrange(len(content))
    return content[:start] + value + content[start + len(value) :]


def _inflate(content: bytes, chance: random.Random) -> bytes:
    """Another value for one of the numbers in the text, or in the first part of a binary file."""
    numbers = list(NUMBER.finditer(content[:65536]))
    if not numbers:
        return _flip(content, chance)
    number = chance.choice(numbers)
    return content[: number.start()] + chance.choice(HUGE) + content[number.end() :]


def _swap(content: bytes, chance: random.Random) -> bytes:
    """Two words of the text in each other's place."""
    words = list(WORD.finditer(content[:65536]))
    if len(words) < 2:
        return _flip(content, chance)
    first, second = sorted(chance.sample(words, 2), key=lambda word: word.start())
    return b"".join(
        [content[: first.start()], second[0], content[first.end() : second.start()], first[0], content[second.end() :]]
    )


def _line(content: bytes, chance: random.Random) -> bytes:
    """A line less, or twice, or in another place."""
    lines = content.split(b"\n")
    line = lines.pop(chance.randrange(len(lines)))
    for _ in range(chance.choice((0, 1, 2))):
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


MUTATIONS = (_cut, _flip, _flip, _delete, _repeat, _overwrite, _inflate, _inflate, _swap, _line)


@dataclass
class Findings:
    """What came of many damaged versions of a file.

    Args:
        taken: versions that were read all the same.
        messages: of refusals.
        wrong: what no reader should do, each with the seed that makes it again.
    """

    taken: int = 0
    messages: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def fuzz(path: Path, read: Callable[[], object], count: int, names: tuple[str, ...] = ()) -> Findings:
    """Read damaged versions of a file, which is left as it was.

    Args:
        path: the file.
        read: what reads it, by whatever door.
        count: how many versions, each a function of the file's name and its number.
        names: one of which a message should hold; the file's own if none.
    """
    whole, findings = path.read_bytes(), Findings()
    for number in range(count):
        path.write_bytes(mutated(whole, random.Random(f"{path.name} {number}")))
        before = time.process_time()
        try:
            with _guarded():
                read()
            findings.taken += 1
        except A4DError as error:
            message = str(error)
            findings.messages.append(message)
            if found := TELLTALES.search(QUOTED.sub("", message)):
                findings.wrong.append(f"{number}: words of a library, {found[0]!r}: {message}")
            if "\n" in message or not any(name in message for name in names or (path.name,)):
                findings.wrong.append(f"{number}: no line that names the file: {message}")
        except Exception as error:
            findings.wrong.append(f"{number}: {type(error).__name__}: {error!s:.300}")
        if (taken := time.process_time() - before) > SLOW:
            findings.wrong.append(f"{number}: {taken:.1f} seconds")
    path.write_bytes(whole)
    return findings


@contextmanager
def _guarded() -> Iterator[None]:
    """An end to readers that hang or take 4 GB more than there is."""
    import resource

    former = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 30), former[1]))

    def stop(*_: object) -> None:
        raise TimeoutError("it hangs")

    handler = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SLOW)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, former)
