"""Every recipe says what it is for, without an environment and before it looks at anything else."""

from pathlib import Path

import pytest

RECIPES = sorted(path.name for path in (Path(__file__).parents[2] / "recipes").glob("[a-z]*.sh"))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["absent.mp4", "--accept", "--help"]])
def test_help_is_the_head_of_the_recipe_and_no_failure(run_recipe, recipe: str, arguments: list[str]) -> None:
    asked = run_recipe(recipe, *arguments, A4D_ENVIRONMENT="", A4D_PYTHON="/absent/python3")
    assert (asked.returncode, asked.stderr) == (0, "")
    title, usage, *rest = asked.stdout.splitlines()
    assert title.endswith((".", "motion"))
    assert any(line.startswith(f"  bash recipes/{recipe}") for line in (usage, *rest))
    assert "#" not in asked.stdout
    assert "set -euo" not in asked.stdout


def test_help_behind_two_dashes_is_the_name_of_a_file(run_recipe) -> None:
    named = run_recipe("animatable_dreamer.sh", "--", "-h")
    assert (named.returncode, named.stderr.strip()) == (4, "there is no './-h'")
