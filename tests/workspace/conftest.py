"""A raw input, a workspace, and a way to run the small stages of `counting`."""

import sys

import counting
import pytest
from rich.console import Console

from a4d.running.runner import Options, execute
from a4d.workspace.source import Source
from a4d.workspace.workspace import Metadata, Workspace


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """A raw input in the current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "picture.png"
    path.write_bytes(b"pixels")
    return path


@pytest.fixture
def run():
    """Run a stage by name, as the command line would."""

    def run(stage="count", target="picture.png", **options):
        values = {
            key: options.pop(key)
            for key in list(options)
            if key in (*counting.CountConfig.model_fields, "copies", "matting")
        }
        console = Console(file=sys.stderr, width=200)
        return execute(
            counting.STAGES[stage], str(target), Options(values=values, **options), console, counting.STAGES.__getitem__
        )

    return run


@pytest.fixture
def workspace(tmp_path):
    """An empty workspace made from a text."""
    return Workspace.create(
        tmp_path / "text.a4d", Metadata(name="text", source=Source(kind="text", text="a corgi", sha256="0"))
    )
