"""No number of the settings is without a limit, and what asks for more memory than there is never begins."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import torch
import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from small_avatar import tracked

from a4d import memory
from a4d.commands.table import COMMANDS, STAGES
from a4d.config import Config, parse
from a4d.errors import ExitCode, OutOfMemoryError
from a4d.geometry.primitives import icosphere
from a4d.memory import TRAINED_NUMBER, Demand, available_bytes, in_words, require_memory
from a4d.scenes import KINDS, scene_class
from a4d.scenes.seed import Seed

TOO_LARGE = 2 * 10**12

HARMLESS = {
    "Adam.", "Arap.", "Crop.", "DensityControl.", "Entry.", "RateSchedule.", "TrainingConfig.",
    "Schedule.steps", "Schedule.delay", "Schedule.repeat", "Turns.first", "Turns.every",
    "iterations", "log_every", "every", "warm_up", "look_every", "reset_every", "sh_degree_every", "turn", "chosen",
    "start", "end", "stop", "frame", "alone", "together", "stride", "held_out", "images_at_once", "samples_at_once",
    "resolution",
}  # fmt: skip
"""Whole numbers without a limit of their own: they count steps, choose among what is there, or split work into parts;
`SurfaceConfig.resolution` has a check of its own, and a cell's memory is estimated."""


def settings() -> list[type[Config]]:
    """Every configuration class of the package and its stages."""
    import a4d.stages

    for package, prefix in ((a4d, "a4d."), (a4d.stages, "a4d.stages.")):
        for module in pkgutil.walk_packages(package.__path__, prefix):
            if not module.name.endswith(("tinycudann", "gsplat", "nvdiffrast", "__main__")):
                importlib.import_module(module.name)

    def below(model: type[Config]) -> Iterator[type[Config]]:
        for child in model.__subclasses__():
            yield child
            yield from below(child)

    return [model for model in dict.fromkeys(below(Config)) if model.__module__.startswith("a4d.")]


def inflated(annotation: Any) -> Iterator[Any]:
    """Values of an annotation in which every number is far too large, one for each member of a union with any."""
    origin, members = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        yield annotation(TOO_LARGE)
    elif origin is Annotated:
        yield from inflated(members[0])
    elif origin in (Union, types.UnionType):
        for member in members:
            yield from inflated(member)
    elif origin is tuple and members[-1] is Ellipsis:
        yield from ([value] for value in inflated(members[0]))
    elif origin is tuple:
        parts = [next(inflated(member), None) for member in members]
        if None not in parts:
            yield parts
    elif origin is list:
        yield from ([value] for value in inflated(members[0]))
    elif origin is dict and members[1] in (int, float):
        yield {("x" if members[0] is str else 0): members[1](TOO_LARGE)}


def test_every_number_of_every_configuration_is_bounded_above() -> None:
    checked, unbounded = 0, []
    for model in settings():
        for name, field in model.model_fields.items():
            for value in inflated(field.annotation):
                checked += 1
                try:
                    model.model_validate({field.alias or name: value})
                except ValidationError as error:
                    if any(problem["loc"][:1] == (name,) for problem in error.errors()):
                        continue
                unbounded.append(f"{model.__name__}.{name}: {value}")
    assert checked > 150
    assert unbounded == []


def own_limit(field: FieldInfo) -> bool:
    """Whether a field says its largest value itself."""
    return "le=" in repr(field) or "lt=" in repr(field)


def test_whole_numbers_that_memory_or_a_loop_depends_on_have_limits_of_their_own() -> None:
    bare = {
        f"{model.__name__}.{name}"
        for model in settings()
        for name, field in model.model_fields.items()
        if any(isinstance(number, int) for value in inflated(field.annotation) for number in flat(value))
        and not own_limit(field)
    }
    named = {name for name in bare if {name, f"{name.split('.')[0]}.", name.split(".")[1]} & HARMLESS}
    assert bare - named == set()


def flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from flat(item)
    elif isinstance(value, dict):
        yield from flat(list(value.values()))
    else:
        yield value


def test_every_number_of_a_command_line_has_a_limit() -> None:
    from a4d.commands.options import with_options

    for module, _, name in (entry[0].partition(":") for entry in COMMANDS.values()):
        command = with_options(getattr(importlib.import_module(module), name))
        for parameter in inspect.signature(command).parameters.values():
            kinds = {kind for kind in flat_types(parameter.annotation) if kind in (int, float)}
            if not kinds or parameter.name in CHECKED_BY_SETTINGS:
                continue
            option = next(
                item for item in parameter.annotation.__metadata__ if isinstance(item, typer.models.OptionInfo)
            )
            assert option.max is not None, f"{name} --{parameter.name}"


CHECKED_BY_SETTINGS = {
    "rank", "image_dropout", "iterations", "steps", "hours", "batch", "workers",  # those of `train-prior`
    "elevation",
}  # fmt: skip


def flat_types(annotation: Any) -> Iterator[Any]:
    members = get_args(annotation)
    if get_origin(annotation) is Annotated:
        members = members[:1]
    yield annotation
    for member in members:
        yield from flat_types(member)


SMALL = {
    "articulated": {"count": 3000},
    "gaussians": {"count": 3000, "sh_degree": 2},
    "gaussian_motion": {"count": 3000, "motion": {"kind": "hexplane", "planes": {"features": 32}}},
    "field": {"encoding": {"levels": 12, "table": 2**14}, "time": {"kind": "grid-stack", "count": 4}},
    "tetmesh": {"surface": {"resolution": 24}, "material": {"encoding": {"levels": 8, "table": 2**14}}},
    "avatar": {"texels": 72},
    "fixed_mesh": {"material": {"encoding": {"levels": 8, "table": 2**14}}},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_scene_takes_as_much_as_it_says(kind: str) -> None:
    scenes = scene_class(kind)
    spec = {"kind": kind, **SMALL[kind]}
    seed = (
        Seed(mesh=icosphere(0.8)) if kind.startswith(("gauss", "fixed", "artic")) else Seed(radius=0.8, body=tracked(2))
    )
    scene = scenes.begin(spec, seed, torch.Generator().manual_seed(0))
    trained = sum(parameter.numel() for parameter in scene.parameters())
    kept = sum(buffer.numel() * buffer.element_size() for buffer in scene.buffers())
    taken = TRAINED_NUMBER * trained + kept
    said = scenes.memory(parse(scenes.config_class, spec, "scene"))
    # A Gaussian also takes what its render does, which no tensor of the scene shows.
    count = 0.6 * 72**2 if kind == "avatar" else 3000
    drawn = 160 * count if kind in ("articulated", "gaussians", "gaussian_motion", "avatar") else 0
    assert 0.6 * taken < said - drawn < 1.1 * taken


@pytest.fixture
def four_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which that much is free."""
    monkeypatch.setattr(memory, "available_bytes", lambda device="cpu": 4 * 10**9)


EXTREMES = {
    "scene.count=2000000000": 3,
    "scene.count=20000000": 6,
    "scene={kind: gaussians, sh_degree: 3, count: 19000000}": 6,
    "scene={kind: field, encoding: {levels: 32, table: 16777216, features: 8, base_resolution: 512}}": 6,
    "scene={kind: tetmesh, surface: {resolution: 512}}": 6,
    "scene={kind: tetmesh, surface: {resolution: 500, extraction: flexicubes}}": 6,
    "proxies={count: 1000, size: 4096}": 6,
    "views.extra={kind: orbit, batch: 4096, size: 4096}": 6,
    "views.extra={kind: orbit, batch: 1000000000000}": 3,
    "iterations=9999999999999": 3,
    "objectives.0.blur=1e300": 3,
    "objectives.0.weight={from: 0, to: 1, steps: 5, curve: exponential}": 3,
    "optimiser.rates.means=.inf": 3,
    "seed.radius=1.0e+200": 3,
    "frame=99999999999999999999999999": 3,
}


@pytest.mark.parametrize("setting", EXTREMES)
def test_an_extreme_setting_ends_before_anything_is_written(
    a4d, creature_picture: Path, four_gigabytes: None, setting: str
) -> None:
    shutil.copy(creature_picture, "creature.png")
    result = a4d("fit-static", "creature.png", "--set", setting)
    assert (result.code, result.out, len(result.err.splitlines())) == (EXTREMES[setting], "", 1), result.err
    assert [path.name for path in Path().iterdir()] == ["creature.png"]
    if result.code == ExitCode.OUT_OF_MEMORY:
        section = setting.split("=", maxsplit=1)[0].split(".", maxsplit=1)[0]
        assert "4 GB are free on this machine" in result.err
        assert f"Lower {section}." in result.err


OTHERS = [
    ("distill", "a fox", "--set", "views={a: {kind: orbit, batch: 512, frames: 64, size: 512}}"),
    ("distill", "a fox", "--set", "scene={kind: gaussians, count: 20000000, sh_degree: 3}"),
    ("export", "--texture", 8192, "--set", "size=4096"),
    ("preprocess", "ball.obj", "--size", 99999),
    ("preprocess", "ball.obj", "--views", 99999),
    ("preprocess", "ball.obj", "--frames", 99999999),
    ("make-dataset", "--procedural", 10**9, "--output", "set"),
    ("make-dataset", "--procedural", 8, "--output", "set", "--size", 4096, "--views", 1000),
    ("train-prior", "compact", "--output", "run", "--steps", 1, "--batch", 10**9),
    (
        "train-prior",
        "compact",
        "--output",
        "run",
        "--steps",
        1,
        "--set",
        "data.size=1024",
        "--set",
        "data.images=16384",
    ),
    ("train-prior", "compact", "--output", "run", "--steps", 10**13),
]


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: " ".join(map(str, command))[:60])
def test_other_commands_end_before_anything_is_written_too(a4d, four_gigabytes: None, command: tuple) -> None:
    from a4d.io.assets.obj import write_obj

    write_obj(Path("ball.obj"), icosphere(1.0))
    if command[0] == "export":
        assert a4d("preprocess", "ball.obj", "--views", 1, "--test-views", 0, "--size", 16).code == 0
        command = ("export", "ball.a4d", *command[1:])
    before = sorted(Path().rglob("*"))
    result = a4d(*command)
    assert result.code in (2, 3, 6), result.err
    assert "Traceback" not in result.err
    assert sorted(Path().rglob("*")) == before


def test_the_message_names_the_largest_demand_and_its_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    demands = [Demand("scene", 3 * 10**9), Demand("views.novel", 2 * 10**9, on_device=False)]
    monkeypatch.setattr(memory, "available_bytes", lambda device="cpu": 4 * 10**9)
    with pytest.raises(OutOfMemoryError) as caught:
        require_memory("distill", demands, "cpu", ("scene.count", "views.*.size"))
    assert str(caught.value) == (
        "distill needs at least 5 GB of memory, most of it for 'scene', and 4 GB are free on this machine. "
        "Lower scene.count"
    )
    # On a card only what computes there counts, and the rest is the machine's.
    require_memory("distill", demands, "cuda", ())


def test_what_is_free_is_told_by_the_system_and_its_limits() -> None:
    free = available_bytes()
    assert free is None or 10**7 < free < 10**14
    if sys.platform == "linux":
        script = "ulimit -v 3000000; exec %s -c 'from a4d.memory import available_bytes as a; print(a())'"
        limited = subprocess.run(["bash", "-c", script % sys.executable], capture_output=True, text=True, check=True)
        assert 0 < int(limited.stdout) < 3_000_000 * 1024
    assert [in_words(count) for count in (999, 123_456, 8_100_000_000, 10**16)] == [
        "999 bytes", "123 kB", "8.1 GB", "10,000 TB",
    ]  # fmt: skip


def test_all_stages_that_make_pictures_or_scenes_say_what_they_need() -> None:
    from a4d.commands.table import find_stage

    assert {name for name in STAGES if find_stage(name).memory is None} == {"estimate-pose"}
