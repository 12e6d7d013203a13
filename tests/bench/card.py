"""What a4d does on a card, in one table: its CUDA tests, the parity of backends, a step of every prior at full size.

python tests/bench/card.py                      all of it, on the CUDA device
python tests/bench/card.py --rehearse           the same with tiny sizes and no card
python tests/bench/card.py --tests FILE... --priors NAME...   a part of it

Exits with 1 when a row failed, and when none has passed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import full_size
import tiny_size
from priors import GIGA, StepCost, measure_step

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SECONDS = 470.0
"""Of the whole; what has not run by then has failed."""
TEST_SECONDS = 200.0
PRIOR_SECONDS = 75.0
REHEARSAL_SECONDS = 900.0
"""Of each of the three in a rehearsal, for the CPU may be busy with other things."""
OVERHEAD = 0.25
"""Of a step on a card, beside the render, the encoder and the prediction."""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at.

    Args:
        name: of the test or the prior.
        compared: with what, or what the figure is.
        figure: what was found; None where nothing was measured.
        limit: the most it may be.
        seconds: that the test took, or a step.
        memory: bytes at most; None where nobody counted.
        verdict: `passed`, `failed` or `skipped`, with the reason behind it.
    """

    name: str
    compared: str
    figure: float | None
    limit: float | None
    seconds: float
    memory: int | None
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEADINGS`."""
        numbers = ("" if number is None else f"{number:.3g}" for number in (self.figure, self.limit))
        memory = "" if self.memory is None else f"{self.memory / GIGA:.2f} GB"
        return (self.name, self.compared, *numbers, f"{self.seconds:.2f}", memory, self.verdict)


HEADINGS = ("name", "compared", "figure", "limit", "seconds", "memory", "verdict")


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--tests", nargs="*", type=Path, help="files; all that have a test marked gpu")
    parser.add_argument("--priors", nargs="*", help="names; all")
    parser.add_argument("--prior-seconds", type=float, help="in which a prior has to end")
    options = parser.parse_args()
    end = time.monotonic() + (REHEARSAL_SECONDS if options.rehearse else SECONDS)
    deadline = options.prior_seconds
    if deadline is None:
        deadline = REHEARSAL_SECONDS if options.rehearse else PRIOR_SECONDS
    tests = marked_files() if options.tests is None else options.tests
    rows = list(test_rows(tests, options.rehearse)) if tests else []
    entries = tiny_size.PRIORS if options.rehearse else full_size.PRIORS
    for name in entries if options.priors is None else options.priors:
        rows.append(prior_row(name, options.rehearse, min(deadline, end - time.monotonic())))
        print(f"{name}: {rows[-1].verdict}", file=sys.stderr, flush=True)
    print(table(rows))
    verdicts = [row.verdict.partition(":")[0] for row in rows]
    print(", ".join(f"{verdicts.count(kind)} {kind}" for kind in ("passed", "failed", "skipped")))
    return int("failed" in verdicts or "passed" not in verdicts)


def marked_files() -> list[Path]:
    """Test modules that need a card somewhere."""
    return sorted(path for path in TESTS.rglob("test_*.py") if "mark.gpu" in path.read_text(encoding="utf-8"))


def test_rows(files: Sequence[Path], rehearse: bool) -> Iterator[Row]:
    """Rows of what these files test on a card, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        # In JUnit's newer form a test has no properties.
        report_options = [f"--junitxml={report}", "-o", "junit_family=xunit1", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "--slow", "-W", "default", *report_options]
        command += [*(["--rehearse"] if rehearse else []), *map(str, files)]
        began, deadline = time.monotonic(), REHEARSAL_SECONDS if rehearse else TEST_SECONDS
        try:
            code = subprocess.run(command, cwd=ROOT, timeout=deadline, stdout=sys.stderr).returncode
        except subprocess.TimeoutExpired:
            code = None
        if code in (0, 1) and report.exists():
            yield from reported_rows(report)
        else:
            reason = f"ended after {deadline:.0f} s" if code is None else f"pytest ended with {code}"
            yield Row("tests", "", None, None, time.monotonic() - began, None, f"failed: {reason}")


def reported_rows(report: Path) -> Iterator[Row]:
    """A row for every figure of every test, from pytest's report in JUnit's format."""
    for case in ET.parse(report).iter("testcase"):
        module = case.get("classname", "").rpartition(".")[2]
        name = "::".join(filter(None, (module, case.get("name"))))
        found = [(each.get("name"), each.get("value", "")) for each in case.iter("property")]
        memory = next((int(value) for key, value in found if key == "memory"), None)
        seconds, verdict = float(case.get("time", 0)), verdict_of(case)
        measured = [json.loads(value) for key, value in found if key == "measured"]
        for compared, figure, limit in measured[:-1]:
            yield Row(name, compared, figure, limit, seconds, memory, "passed")
        # A test ends with the first figure that is beyond its limit.
        yield Row(name, *(measured[-1] if measured else ("", None, None)), seconds, memory, verdict)


def verdict_of(case: ET.Element) -> str:
    """In a word, and the first line of why."""
    for tag, verdict in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if (outcome := case.find(tag)) is not None:
            return f"{verdict}: {outcome.get('message', '').strip().partition(chr(10))[0]}"
    return "passed"


def prior_row(name: str, rehearse: bool, deadline: float) -> Row:
    """A step of a prior in a process of its own, which may hang or run out of memory.

    Args:
        name: of the prior.
        rehearse: with a tiny one on the CPU.
        deadline: seconds.
    """
    began = time.monotonic()
    # Forked, for imports take longer than the step; this process itself must not touch CUDA.
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_step, args=(sender, name, rehearse))
    process.start()
    sender.close()
    found: Any = f"ended after {max(deadline, 0):.3g} s"
    if receiver.poll(max(deadline, 0)):
        try:
            found = receiver.recv()
        except EOFError:
            process.join()
            found = f"its process ended with {process.exitcode}"
    process.kill()
    process.join()
    compared = f"broken gradients of a step, {'float32' if rehearse else 'bfloat16'}"
    if not isinstance(found, StepCost):
        return Row(name, compared, None, 0, time.monotonic() - began, None, f"failed: {found}")
    verdict = "passed" if found.broken == 0 else "failed: the gradient at the scene is not finite or is zero"
    if verdict == "passed" and not rehearse and found.overhead > OVERHEAD:
        return Row(
            name, "overhead of a step", found.overhead, OVERHEAD, found.seconds["whole"], found.peak,
            "failed: too much of the step is spent beside the prior",
        )  # fmt: skip
    return Row(name, compared, found.broken, 0, found.seconds["whole"], found.peak, verdict)


def send_step(sender: Connection, name: str, rehearse: bool) -> None:
    """What a step costs, or why there was none."""
    try:
        if rehearse:
            cost = measure_step(name, tiny_size.PRIORS[name], "cpu", "float32", 1)
        else:
            cost = measure_step(name, full_size.PRIORS[name], "cuda", "bfloat16", 2)
    except Exception as error:  # whatever a card may raise belongs in the table
        sender.send(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    else:
        sender.send(cost)


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned columns."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(HEADINGS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[-1]])
        for cells in lines
    )


if __name__ == "__main__":
    raise SystemExit(main())
