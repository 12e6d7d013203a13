"""Running a recipe as a user would, with this environment's programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_recipe(tmp_path):
    """A function that runs a recipe by its name in an empty folder."""

    def run(name: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": programs, "A4D_ENVIRONMENT": "active", **variables}
        command = ["bash", str(ROOT / "recipes" / name), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run
