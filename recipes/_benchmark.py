"""What the benchmarks' recipes cannot say in bash.

python _benchmark.py list FOLDER             a line per captioned picture: its name, path and caption, apart by tabs
python _benchmark.py table FILE.json...      a row per result of `a4d evaluate --json`, named like its file
python _benchmark.py scores FILE.json...     a row per text of `evaluate --compare turntable --json`, a column per judge
"""

from __future__ import annotations

import sys
from pathlib import Path

from a4d.console import print_table
from a4d.datasets.captioned_pictures import captioned_pictures
from a4d.documents import parse_json
from a4d.errors import A4DError
from a4d.evaluation.table import COLUMNS, scores_by_judge, table_of


def main(task: str, *arguments: str) -> None:
    """Do one of them."""
    if task == "list":
        for each in captioned_pictures(Path(arguments[0])):
            print(each.name, each.path, each.caption, sep="\t")
        return
    files = [Path(argument) for argument in arguments]
    results = {file.stem: parse_json(file.read_text("utf-8"), str(file)) for file in files}
    if task == "table":
        print_table(["", *COLUMNS.values()], table_of(results))
        return
    scores = scores_by_judge(results.values())
    judges = list(dict.fromkeys(judge for each in scores.values() for judge in each))
    print_table(["CLIP score", *judges], table_of(scores, judges))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except A4DError as error:
        print(f"a4d: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from error
