"""Fit a static scene to every picture below folders and print how faithful each is.

    python tests/bench/pictures.py FOLDER...

A line per picture, against what was cut out of it and against all of it, then the least, the median and the most of all
that could be read.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a4d.runtime import prepare_process

prepare_process()

from a4d.__main__ import main as command  # noqa: E402

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
FIGURES = ("psnr", "iou", "picture_psnr", "contrast_left_out", "seconds")


def pictures(folders: list[Path], left_out: list[str]) -> Iterator[Path]:
    """All picture files below folders, in order, but for those whose path holds one of some words."""
    for folder in folders:
        for path in sorted([folder] if folder.is_file() else folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not any(word in path.as_posix() for word in left_out):
                yield path


def fit(path: Path, folder: Path) -> dict[str, Any] | int:
    """The figures of a picture, or the exit code where it could not be fitted."""
    before, out = Path.cwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out):
            code = command(["fit-static", str(path.absolute()), "--json", "-q"])
    finally:
        os.chdir(before)
    if not out.getvalue():
        return int(code)
    outcome = json.loads(out.getvalue())
    return {**outcome["metrics"], "seconds": outcome["seconds"], "warned": bool(outcome["warnings"])}


def line(name: str, figures: list[Any]) -> str:
    """A row of the table."""
    return f"{name:48s}" + "".join(f"{value:>20}" if isinstance(value, str) else f"{value:20.4g}" for value in figures)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument(
        "--without", nargs="*", default=["depth"], help="words in the paths of files that are no picture"
    )
    options = parser.parse_args()
    print(line("picture", list(FIGURES)))
    results = []
    for path in pictures(options.folders, options.without):
        with tempfile.TemporaryDirectory() as folder:
            found = fit(path, Path(folder))
        if isinstance(found, int):
            print(f"{path.name:48s}exit {found}", flush=True)
            continue
        results.append(found)
        print(line(path.name, [found[name] for name in FIGURES]) + ("  warned" if found["warned"] else ""), flush=True)
    for name, summary in {"least": min, "median": statistics.median, "most": max}.items():
        print(line(name, [summary([result[figure] for result in results]) for figure in FIGURES]))


if __name__ == "__main__":
    main()
