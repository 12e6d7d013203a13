"""A paper in one file: which section a run takes, and what is said of one that nobody takes."""

from pathlib import Path

import pytest
import yaml

from a4d.commands import table
from a4d.errors import ConfigError
from a4d.priors import recipes
from a4d.running.sections import settings_of

FILES = sorted((Path(__file__).parents[2] / "recipes").glob("*/*.yaml"))


def write(path: Path, values: object) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_run_takes_its_own_section_else_its_stage_s(tmp_path: Path) -> None:
    sections = {
        "distill": {"iterations": 20},
        "coarse": {"stage": "distill", "iterations": 5},
        "export": None,
    }
    file = write(tmp_path / "paper.yaml", sections)
    assert settings_of(file, "distill", "coarse", table.RUNS) == {"iterations": 5}
    assert settings_of(file, "distill", "fine", table.RUNS) == {"iterations": 20}
    assert settings_of(file, "distill", None, table.RUNS) == {"iterations": 20}
    # A name that a user gave to a run of another stage is no mistake.
    assert settings_of(file, "export", "coarse", table.RUNS) == {}
    plain = write(tmp_path / "plain.yaml", {"iterations": 3, "scene": {"kind": "field"}})
    assert settings_of(plain, "distill", "coarse", table.RUNS) == {"iterations": 3, "scene": {"kind": "field"}}


@pytest.mark.parametrize(
    ("sections", "problem", "remedy"),
    [
        ({"export": {}, "distil": {"iterations": 1}}, "distil'", "'distill'"),
        ({"export": {}, "coarse": {"stage": "distil"}}, "coarse.stage: distil'", "'distill'"),
        ({"export": {}}, "distill'", "export"),
        ({"distill": [1]}, "must hold settings", ""),
        ({"distill": {"stage": "export"}}, "is the name of a stage", "Name it like a run"),
    ],
)
def test_an_unknown_section_is_said_with_the_nearest(tmp_path: Path, sections, problem: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(write(tmp_path / "paper.yaml", sections), "distill", None, table.RUNS)
    assert problem in caught.value.problem
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_section_of_a_recipe_is_one_of_a_stage_and_knows_its_settings(file: Path) -> None:
    for name, section in yaml.safe_load(file.read_text()).items():
        stage = (section or {}).get("stage", name)
        known = table.find_stage(stage).config.model_fields
        assert set(settings_of(file, stage, name, table.RUNS)) <= known.keys()


def test_the_priors_of_a_recipe_are_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "recipes" / "toy"
    folder.mkdir(parents=True)
    runs = {
        "distill": {"profile": "distill-text"},
        "more": {"stage": "distill", "objectives": [{"prior": "mine"}], "priors": {"mine": {"kind": "zero123-xl"}}},
    }
    write(folder / "paper.yaml", runs)
    place = recipes.shipped
    monkeypatch.setattr(recipes, "shipped", lambda name: tmp_path / name if name == "recipes" else place(name))
    recipes.named_in_recipes.cache_clear()
    try:
        assert recipes.priors_of("toy", {"mvdream-2.1", "zero123-xl"}) == ["mvdream-2.1", "zero123-xl"]
        assert recipes.recipes_with("zero123-xl") == ["toy"]
    finally:
        recipes.named_in_recipes.cache_clear()
