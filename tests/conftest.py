"""Options and fixtures that every test may use."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from a4d.runtime import prepare_process

# Before anything imports torch: waiting threads that spin would take the cores from those that work.
prepare_process()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--rehearse", action="store_true", help="run the tests that need a card without one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes minutes; run with --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def real_data() -> Path:
    """Third-party inputs beside the checkout, where there are any."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real inputs beside the checkout")
    return folder


@pytest.fixture
def card(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[str]:
    """The CUDA device; with --rehearse one that is pretended, or the CPU where torch cannot pretend."""
    import torch
    from pretended_device import can_pretend, pretended_device

    if request.config.getoption("--rehearse"):
        with pretended_device() if can_pretend() else contextlib.nullcontext("cpu") as device:
            yield device
        return
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.cuda.reset_peak_memory_stats()
    yield "cuda"
    record_property("memory", torch.cuda.max_memory_allocated())


@pytest.fixture
def within(record_property: Callable[[str, object], None]) -> Callable[[str, float, float], None]:
    """Asserts that a figure is at most its limit, and leaves what was compared for the table of tests/gpu.sh."""

    import torch

    def check(compared: str, figure: float, limit: float) -> None:
        figure = float(torch.as_tensor(figure).detach())
        record_property("measured", json.dumps([compared, figure, limit]))
        assert figure <= limit, f"{compared}: {figure:.3g}, of at most {limit:.3g}"

    return check


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def a4d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run a command line in this process, in an empty folder."""
    from a4d.__main__ import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Finished:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Finished(int(code), out, err)

    return run


@pytest.fixture(scope="session")
def a4d_in() -> Callable[..., Finished]:
    """Run a command line in this process and in a folder that is named first, for what several tests share."""
    from a4d.__main__ import main

    def run(folder: Path, *arguments: object) -> Finished:
        out, err, former = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main([str(argument) for argument in arguments])
        finally:
            os.chdir(former)
        return Finished(int(code), out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def creature_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated animal from the front, 160 pixels, with alpha."""
    import torch

    from a4d.geometry.cameras import orbit
    from a4d.geometry.primitives import creature
    from a4d.io.pictures.images import write_image
    from a4d.render.mesh import render_mesh

    camera = orbit(torch.tensor([10.0]), torch.tensor([5.0]), 2.8, 40.0, 160, 160)
    render = render_mesh(creature(), camera)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0]
    path = tmp_path_factory.mktemp("pictures") / "creature.png"
    write_image(path, rgba.clamp(0, 1).numpy())
    return path


@pytest.fixture(scope="session")
def creature_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated animal from 16 training and 4 held-out views of 96 pixels, as a Blender NeRF data set."""
    import torch
    from blender_capture import write_blender_capture

    from a4d.geometry.cameras import orbit
    from a4d.geometry.primitives import creature

    cameras = {}
    for split, count, turn in (("train", 16, 0.0), ("test", 4, 11.0)):
        azimuth = torch.arange(count) * 360.0 / count + turn
        elevation = torch.tensor([-20.0, 10.0, 40.0])[torch.arange(count) % 3]
        cameras[split] = orbit(azimuth, elevation, 2.8, 40.0, 96, 96)
    return write_blender_capture(tmp_path_factory.mktemp("captures") / "creature", creature(), cameras)


@pytest.fixture(scope="session")
def four_views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the generated animal from four sides, 16 pixels, preprocessed."""
    from blender_capture import preprocess_capture, write_blender_capture

    from a4d.geometry.cameras import turntable
    from a4d.geometry.primitives import creature, paint

    capture = tmp_path_factory.mktemp("four") / "animal"
    cameras = turntable(4, 10.0, 2.6, 40.0, 16)
    return preprocess_capture(write_blender_capture(capture, paint(creature(resolution=24)), {"train": cameras}))
