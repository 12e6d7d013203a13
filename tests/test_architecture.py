"""The direction of the imports, read from the source: who may know whom."""

import ast
import functools
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from a4d import objectives, scenes, views

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[1]

LAYERS = [
    {
        *("errors", "documents", "config", "interruption", "runtime", "memory", "console", "naming", "kernel_cache"),
        *("randomness", "__init__"),
    },
    {"geometry"},
    {"io", "pixels", "framing", "matting", "render", "metrics", "optimisers", "trainable"},
    {"datasets"},
    {"scenes", "priors"},
    {"objectives", "views"},
    {"optimise", "training", "export", "evaluation", "estimation"},
    {"workspace"},
    {"running", "contents", "intake", "fitting"},
    {"stages"},
    {"commands", "cli", "__main__"},
]
"""Bottom to top; a module may import its own layer and those below."""


def modules():
    """Every source file with its dotted name; the folder `stages/` is `a4d.stages`."""
    for top, prefix in ((ROOT / "a4d", "a4d"), (ROOT / "stages", "a4d.stages")):
        for file in sorted(top.rglob("*.py")):
            yield file, ".".join([prefix, *file.relative_to(top).with_suffix("").parts])


@functools.cache
def imports(file):
    """The names of all `a4d` modules that a file imports, anywhere in it, but for type checking."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "a4d")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return {name for name in found if name.split(".")[0] == "a4d" and name != "a4d"}


def layer(name):
    part = name.split(".")[1]
    ranks = [rank for rank, names in enumerate(LAYERS) if part in names]
    return ranks[0] if ranks else None


def test_every_module_belongs_to_a_layer():
    assert [name for _, name in modules() if layer(name) is None] == []


def test_no_module_imports_a_higher_layer():
    upward = [
        f"{name} imports {target}"
        for file, name in modules()
        for target in sorted(imports(file))
        if layer(target) is not None and layer(target) > layer(name)
    ]
    assert upward == []


def test_the_library_does_not_import_stages_nor_a_stage_another_nor_a_prior_a_scene():
    wrong = []
    for file, name in modules():
        for target in imports(file):
            stage = target.startswith("a4d.stages")
            if stage and not (name.startswith("a4d.stages") and target == name):
                wrong.append(f"{name} imports {target}")
            if name.startswith("a4d.priors") and target.startswith("a4d.scenes"):
                wrong.append(f"{name} imports {target}")
    assert wrong == []


TABLES = ("a4d.scenes", "a4d.views", "a4d.objectives", "a4d.objectives.priors", "a4d.priors.loading")
"""The modules that choose a class by its kind."""

EXCEPTIONS = {"a4d.priors": ("a4d.priors", "a4d.training"), "a4d.views": ("a4d.views",)}
"""Rooms whose modules may name what is in a room: one builds on another, is personalised, is trained as what it is."""


def concrete_classes():
    """The classes behind all kinds of the four nouns, by the name of their module and their own."""
    tables = (scenes.KINDS, views.KINDS, objectives.KINDS)
    found = {tuple(target.split(":")) for table in tables for target in table.values()}
    families = {"Prior", "UNetPrior", "PriorSettings"}
    trees = {name: ast.parse(file.read_text(encoding="utf-8")) for file, name in modules()}
    while True:
        derived = {
            (name, node.name)
            for name, tree in trees.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            and {base.id for base in node.bases if isinstance(base, ast.Name)} & families
        }
        names = {name for _, name in derived}
        if names <= families:
            return found | {(module, name) for module, name in derived if name != "UNetPrior"}
        families |= names


def names_imported(file):
    """What a module imports from others, anywhere in it, as pairs of module and name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def circle(imported):
    """The names along a circle in `imported`, which modules each imports, from one back to itself; else none."""
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    files = {name.removesuffix(".__init__"): file for file, name in modules()}
    imported = {}
    for name, file in files.items():
        targets = {target for module, used in names_imported(file) for target in (module, f"{module}.{used}")}
        imported[name] = (targets & files.keys()) - {name}
    assert circle(imported) == []
    assert len(circle({**imported, "a4d.errors": {"a4d.optimise"}})) > 2


def imports_within_folders():
    """For every folder that holds code, which of its files and folders imports which other, by its dotted name."""
    files = {name.removesuffix(".__init__"): file for file, name in modules()}
    found = defaultdict(lambda: defaultdict(set))
    for name, file in files.items():
        for module, used in names_imported(file):
            for target in {module, f"{module}.{used}"} & files.keys():
                pairs = zip(name.split("."), target.split("."), strict=False)
                depth, apart = next(((at, pair) for at, pair in enumerate(pairs) if len(set(pair)) > 1), (0, ()))
                if apart:
                    found[".".join(name.split(".")[:depth])][apart[0]].add(apart[1])
    return found


def test_no_folders_import_each_other_in_a_circle():
    found = imports_within_folders()
    assert {"scenes", "render"} <= found["a4d"].keys()
    assert {folder: circle(imported) for folder, imported in found.items() if circle(imported)} == {}


def test_no_module_outside_the_tables_names_a_concrete_scene_view_set_objective_or_prior():
    concrete = concrete_classes()
    known = {name for _, name in concrete}
    assert {"TetmeshScene", "ObservedViews", "ScoreDistillation", "ExactPrior", "MVDream", "ReleasedPrior"} <= known
    wrong = [
        f"{name} names {used}"
        for file, name in modules()
        if name.removesuffix(".__init__") not in TABLES
        for module, used in sorted(set(names_imported(file)) & concrete)
        if not any(module.startswith(room) and name.startswith(able) for room, able in EXCEPTIONS.items())
    ]
    assert wrong == []


def test_the_check_sees_an_import_inside_a_function(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from a4d.stages import export\n    import a4d.cli\n")
    assert imports(file) == {"a4d.stages", "a4d.cli"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs tomllib")
def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.parent for file in (ROOT / "a4d").rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {
        "a4d.stages",
        "a4d.stages.profiles",
        "a4d.recipes",
    }
    assert set(listed) == found
    assert all((folder / "__init__.py").is_file() for folder in folders)
