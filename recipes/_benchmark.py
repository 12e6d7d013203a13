"""What animate124_benchmark.sh cannot say in bash.

python _benchmark.py list FOLDER             a line per captioned picture: its name, path and caption, apart by tabs
python _benchmark.py table FILE.json...      a row per result of `a4d evaluate --json`, named like its file
"""

from __future__ import annotations

import sys
from pathlib import Path

from a4d.console import print_table
from a4d.datasets.captioned_pictures import captioned_pictures
from a4d.documents import parse_json
from a4d.errors import A4DError
from a4d.evaluation.table import COLUMNS, table_of


def main(task: str, *arguments: str) -> None:
    """Do the one or the other."""
    if task == "list":
        for each in captioned_pictures(Path(arguments[0])):
            print(each.name, each.path, each.caption, sep="\t")
    else:
        files = [Path(argument) for argument in arguments]
        results = {file.stem: parse_json(file.read_text("utf-8"), str(file)) for file in files}
        print_table(["", *COLUMNS.values()], table_of(results))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except A4DError as error:
        print(f"a4d: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from error
