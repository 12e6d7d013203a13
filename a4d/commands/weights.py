"""`a4d weights`: the models that recipes and `a4d evaluate` name, their terms and sizes; fetch and check them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from a4d.console import format_size, make_console, print_json, print_table
from a4d.errors import BackendUnavailableError, UsageError
from a4d.priors.catalogue import cached, catalogue, check, fetch, find, parse_overrides, with_bases
from a4d.priors.hub import Offer
from a4d.priors.recipes import recipes_with


class Action(str, Enum):
    """What to do with weights."""

    list = "list"
    fetch = "fetch"
    check = "check"


def weights(
    action: Annotated[Action, typer.Argument(help="Show the catalogue, download, or verify what is here.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the catalogue, or recipes that use them.")
    ] = None,
    weights: Annotated[list[str] | None, typer.Option("--weights", help="A folder to use: NAME=PATH.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List, fetch or check the weights of models; only what is named is fetched."""
    overrides = parse_overrides(weights or [])
    chosen = with_bases(names or [])
    if action is Action.fetch:
        if not chosen:
            raise UsageError("nothing to fetch is named", "See `a4d weights list`")
        rows = _fetch(chosen)
    elif action is Action.check:
        rows = _check(chosen or _present(overrides), overrides)
    else:
        rows = [_row(name) for name in chosen or catalogue()]
    _print(rows, json)
    if broken := [row for row in rows if row.get("problem")]:
        raise BackendUnavailableError(f"{broken[0]['problem']}")


def _present(overrides: dict[str, Path]) -> list[str]:
    return [name for name, entry in catalogue().items() if name in overrides or cached(entry) is not None]


def _row(name: str, folder: Path | None = None) -> dict[str, Any]:
    entry = find(name)
    folder = folder or cached(entry)
    return {
        "name": name,
        "bytes": entry.bytes,
        "licence": entry.terms,
        "recipes": recipes_with(name),
        "repositories": list(entry.repositories),
        "revision": entry.revision,
        "released": entry.released,
        "folder": None if folder is None else str(folder),
    }


def _fetch(names: list[str]) -> list[dict[str, Any]]:
    console = make_console()

    def fetched(name: str) -> Path:
        """The folder of the weights of a name, which are announced before they come."""
        terms = find(name).terms

        def announce(offer: Offer) -> None:
            place = f"{offer.source.repository} at {offer.commit[:12]}"
            console.print(f"{name}: {format_size(offer.bytes)}, {terms}, from {place}")
            if offer.source.revision is None:
                console.print(f"warning: no commit of {offer.source.repository} is pinned; this is its newest")

        return fetch(name, announce)

    return [_row(name, fetched(name)) for name in names]


def _check(names: list[str], overrides: dict[str, Path]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        try:
            folder = check(name, overrides)
            rows.append({**_row(name, folder), "found_revision": folder.name if name not in overrides else None})
        except BackendUnavailableError as error:
            rows.append({**_row(name, overrides.get(name)), "problem": str(error)})
    return rows


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"weights": rows})
        return
    table = [
        [
            row["name"],
            format_size(row["bytes"]),
            row["licence"],
            ", ".join(row["recipes"]) or "-",
            row.get("problem") or row["folder"] or "not here",
        ]
        for row in rows
    ]
    print_table(["name", "size", "licence", "recipes", "folder"], table)
