"""The rehearsal of tests/gpu.sh: what its table says, and that a failure anywhere ends it with one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLANTED = """
import json
import pytest

@pytest.mark.gpu
def test_planted(record_property):
    record_property("measured", json.dumps(["twos", 0, 1]))
    record_property("measured", json.dumps(["ones", 2, 1]))
    assert 2 <= 1, "ones"

@pytest.mark.gpu
def test_absent():
    pytest.skip("no such package")
"""


def rehearse(*arguments: object) -> tuple[int, list[list[str]]]:
    """The exit code, and the rows of the table in cells."""
    command = ["bash", "tests/gpu.sh", "--rehearse", *map(str, arguments)]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.stdout.startswith("name "), ended.stderr
    rows = [[cell for cell in line.split("  ") if cell] for line in ended.stdout.splitlines()[1:-1]]
    return ended.returncode, [[cell.strip() for cell in row] for row in rows]


def test_a_rehearsal_has_a_row_for_every_figure_and_prior():
    code, rows = rehearse(
        "--tests", "tests/render/test_card_paths.py", "--priors", "stable-diffusion-1.5", "mvdream-2.1"
    )
    assert code == 0, rows
    named = {row[0]: row for row in rows}
    assert named["stable-diffusion-1.5"][1:4] == ["broken gradients of a step, float32", "0", "0"]
    assert named["mvdream-2.1"][-1] == "passed"
    assert float(named["mvdream-2.1"][4]) > 0
    assert named["mvdream-2.1"][5].endswith("GB")
    similarity = [row for row in rows if row[0] == "test_card_paths::test_structural_similarity"]
    assert [row[1] for row in similarity] == ["values", "gradient by argument 0", "gradient by argument 1"]
    assert all(0 <= float(row[2]) <= float(row[3]) for row in similarity)


@pytest.mark.parametrize("planted", ["test", "prior"])
def test_a_planted_failure_ends_it_with_one(tmp_path, planted):
    file = tmp_path / "test_planted.py"
    file.write_text(PLANTED)
    arguments = {
        "test": ("--tests", "tests/render/test_card_paths.py", file, "--priors"),
        "prior": ("--tests", "--prior-seconds", 0, "--priors", "mv-vdm"),
    }
    code, rows = rehearse(*arguments[planted])
    assert code == 1
    if planted == "prior":
        ((name, *_, verdict),) = rows
        assert (name, verdict) == ("mv-vdm", "failed: ended after 0 s")
        return
    found = [row for row in rows if row[0] in ("test_planted", "test_absent")]
    assert [row[1:4] for row in found[:2]] == [["twos", "0", "1"], ["ones", "2", "1"]]
    assert [row[-1].partition(":")[0] for row in found] == ["passed", "failed", "skipped"]
    assert "no such package" in found[2][-1]
