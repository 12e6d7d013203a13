"""Names out of what users give."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from a4d.naming import MOST_BYTES, TEXT_BYTES, as_argument, bounded, name_of_text

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a fox is running", "a-fox-is-running"),
        ("狐狸在奔跑", "狐狸在奔跑"),
        ("лиса бежит", "лиса-бежит"),
        ("run2", "run2"),
    ],
)
def test_a_few_words_in_lower_case_are_their_own_name_in_any_script(text: str, name: str) -> None:
    assert name_of_text(text) == name


def test_texts_that_differ_have_names_that_differ() -> None:
    long = "a fox that walks slowly through the high grass and then "
    texts = [
        "a fox", "A fox", "a fox.", "a fox!", "a  fox", "a-fox", "a_fox", "!!!", "???", "🦊", "🐺", "-", "--help",
        f"{long}jumps", f"{long}sleeps", "x" * 300, "x" * 301, "ab" * 200, "é", "e\u0301", "\udcff", "\udcfe",
        "狐" * 100, "狐" * 101,
    ]  # fmt: skip
    names = [name_of_text(text) for text in texts]
    assert len({name.lower() for name in names}) == len(texts)
    for name in names:
        assert len(os.fsencode(name)) <= TEXT_BYTES + 9
        assert name.replace("-", "x").isalnum()
        assert name[0] != "-"


@pytest.mark.parametrize("letter", ["a", "é", "狐", "🦊", "\udcff"])
def test_a_long_name_is_cut_between_letters_and_says_what_was_cut(letter: str) -> None:
    long = letter * 240
    name = bounded(long)
    assert len(os.fsencode(name)) in range(MOST_BYTES - 4, MOST_BYTES + 1)
    assert long.startswith(name[:-9])
    assert name != bounded(long + letter)
    assert bounded("fox") == "fox"


def test_a_script_asks_without_loading_anything_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "a4d.naming"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for kind, value, name in (("text", "A fox", name_of_text("A fox")), ("file", "some/-x.tar.glb", "-x.tar")):
        done = subprocess.run([*command, kind, value], env=environment, capture_output=True, text=True)
        assert done.stdout == f"{name}\n"
        assert not {"numpy", "torch", "pydantic", "typer"} & {
            line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
        }


@pytest.mark.parametrize("path", ["-x.a4d", "my fox.a4d", "$(reboot).a4d", "--help.a4d", "it's.a4d"])
def test_a_path_in_a_command_is_one_argument_and_no_option(path: str) -> None:
    (word,) = shlex.split(as_argument(Path(path)))
    assert Path(word) == Path(path)
    assert not word.startswith("-")
