"""Every file of the negative corpora through the command line: one line, the right exit code, never a traceback."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from a4d.workspace.source import SUFFIXES

CORPORA = ("gltf_validator_negative", "meshes_trimesh_models", "rigged_momentum")
UNUSABLE = {2, 3, 4}
"""Usage, invalid, and a file that it refers to is missing."""


def mesh_files(folder: Path) -> list[Path]:
    known = {suffix for suffix, kind in SUFFIXES.items() if kind == "mesh"}
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA)
def test_no_file_of_the_corpora_ends_in_a_traceback(a4d, real_data: Path, tmp_path: Path, corpus: str) -> None:
    rows, table = [], Counter[str]()
    for path in mesh_files(real_data / corpus):
        given = real_data / corpus / path.relative_to(real_data / corpus)
        result = a4d("preprocess", given, "--size", 16, "--views", 1, "--test-views", 0, "--clip", "none", "--json")
        lines = result.err.strip().splitlines()
        last = lines[-1] if lines else ""
        verdict = "taken" if result.code == 0 else "refused" if result.code in UNUSABLE else "wrong"
        if result.code and (not last.startswith("a4d: ") or "Traceback" in result.err or "a bug" in last):
            verdict = "wrong"
        table[verdict] += 1
        rows.append(f"{verdict:8} {result.code:3} {path.relative_to(real_data)}  {last[:150]}")
        for made in Path.cwd().glob("*.a4d*"):
            if result.code:
                rows.append(f"left     {made}")
                table["left"] += 1
            shutil.rmtree(made)
    report = "\n".join([f"{corpus}: {dict(table)}", *rows])
    (tmp_path / "report.txt").write_text(report)
    print(report)
    assert table["wrong"] == table["left"] == 0, report
    # The validator's own cases are fragments that show nothing, whether they keep the rules or not.
    assert (table["taken"] > 0) == (corpus != "gltf_validator_negative")


@pytest.mark.slow
def test_an_fbx_file_is_refused_with_advice(a4d, real_data: Path) -> None:
    for path in sorted(real_data.rglob("*.fbx")):
        result = a4d("preprocess", path)
        assert (result.code, len(result.err.strip().splitlines())) == (3, 1)
        assert "Blender" in result.err
        assert not list(Path.cwd().glob("*.a4d*"))
