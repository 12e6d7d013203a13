"""Text of YAML and JSON to plain values; what would mislead a person or exhaust the machine is refused by its place."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from typing import Any, NoReturn

import yaml

from a4d.errors import InvalidInputError

DEEPEST = 64
"""Levels of nesting; no document of sense has more."""

MOST_NODES = 100_000
"""Scalars, lists and mappings of a YAML document, every use of an alias counted as all that it stands for."""

LONGEST_NUMBER = 400
"""Characters; the largest double has 309 digits."""

PLAINLY = {
    "'\\t'": "a tab stands where spaces belong",
    "found another document": "a second document begins",
    "unhashable": "a key is a list or a mapping",
    "could not determine a constructor": "it has a tag that is not taken",
    "end>": "it ends too early",
    "unexpected end": "it ends too early",
}
"""What the YAML parser says, and what is meant."""


def parse_yaml(text: str, where: str) -> Any:
    """The value of one YAML document of plain tags, None where there is none.

    Args:
        text: the document.
        where: names it in errors, such as its path.

    Raises:
        InvalidInputError: no YAML, several documents, a key twice, a number without end, nesting beyond `DEEPEST`, or
            more than `MOST_NODES` nodes.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" at line {mark.line + 1}" if mark is not None else ""
        raise InvalidInputError(f"{where} is not valid YAML{at}: {_in_words(error)}") from None
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{where} is not valid YAML: it holds a character that text does not have") from error
    except ValueError as error:
        raise InvalidInputError(f"{where} is not valid YAML: it has an escape that means no character") from error


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON document.

    Args:
        text: the document.
        where: names it in errors, such as its path.

    Raises:
        InvalidInputError: no JSON, a key twice, a number that is not finite or without end, or nesting without end.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_constant=_constant, parse_float=_finite, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{where} is not valid JSON at line {error.lineno}: {error.msg.lower()}") from None
    except RecursionError:
        raise InvalidInputError(f"{where} is nested too deeply for a JSON document") from None
    except _RefusedError as error:
        raise InvalidInputError(f"{where} {error}") from None
    if "\\u" in text and not _is_text(json.dumps(value, ensure_ascii=False)):
        raise InvalidInputError(f"{where} holds half a character that stands alone")
    return value


def _is_text(text: str) -> bool:
    """Whether a text can be written; escapes may name halves of UTF-16's pairs, which alone are no characters.

    Those that stand for the bytes of a file's name that is not UTF-8 (PEP 383) may: a record holds such names.
    """
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


class _RefusedError(ValueError):
    """What is wrong with a JSON document, as the end of a sentence."""


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise _RefusedError(f"has the key '{twice:.60}' twice in one object")
    return values


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"holds {name}, which is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"holds the number {digits:.20}, which is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise _RefusedError(f"holds a number of {len(digits)} digits")
    return int(digits)


def _in_words(error: yaml.MarkedYAMLError) -> str:
    """The parser's complaint, without its marks, the most usual mistakes in words of ours."""
    problem = (error.problem or error.context or "it cannot be read").removeprefix("but ")
    return next((words for phrase, words in PLAINLY.items() if phrase in problem), problem)


def _misplaced(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """The safe loader with bounds, for which a key that is given twice is a mistake."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.nodes = 0
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose as the base does, counting levels and nodes; an alias counts as all that it stands for."""
        event = self.peek_event()
        self.depth += 1
        if self.depth > DEEPEST:
            raise _misplaced("it is nested too deeply", event.start_mark)
        before = self.nodes
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self.sizes:
                raise _misplaced("an alias stands inside itself", event.start_mark)
            self.nodes += self.sizes[id(node)]
        else:
            self.nodes += 1
            self.sizes[id(node)] = self.nodes - before
        if self.nodes > MOST_NODES:
            raise _misplaced(f"it has over {MOST_NODES} values", event.start_mark)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct as the base does, after a look at the keys as they are written: merged ones may be overridden."""
        seen = set[tuple[str, str]]()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise _misplaced(f"the key '{key.value:.60}' is given twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct as the base does; what looks like a number or a date and is none says so by its line."""
        if isinstance(node, yaml.ScalarNode) and not _is_text(node.value):
            raise _misplaced("half a character stands alone", node.start_mark)
        is_text = node.tag == "tag:yaml.org,2002:str"
        if isinstance(node, yaml.ScalarNode) and not is_text and len(node.value) > LONGEST_NUMBER:
            raise _misplaced("it holds a number without end", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:  # the constructors of tagged scalars raise whatever their conversion raises
            raise _misplaced(f"'{node.value!s:.60}' is no value of its kind", node.start_mark) from None
