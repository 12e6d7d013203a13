"""Two small stages: one that takes text files in, one that counts to a number and can be interrupted."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from a4d.config import Config
from a4d.errors import InvalidInputError
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.record import Plan
from a4d.workspace.transaction import Transaction


class TakeConfig(Config):
    matting: Literal["alpha", "colour"] = Field("alpha", description="How the subject is cut out.")
    mask: Path | None = Field(None, description="A mask.")
    copies: int = 2


def take(transaction: Transaction, config: TakeConfig, runtime: Runtime) -> dict[str, Any]:
    source = transaction.workspace.source_path()
    content = source.read_bytes()
    if content.startswith(b"bad"):
        raise InvalidInputError(f"{source} is damaged", "Give another one")
    images = transaction.replace("images")
    for index in range(config.copies):
        (images / f"{index:05d}.png").write_bytes(content + bytes([index]))
    transaction.output("transforms.json").write_text(json.dumps({"frames": []}))
    transaction.describe(frame_count=config.copies, notes={"crop": [0, 1]})
    return {"frames": config.copies}


class Nested(Config):
    rate: float = 0.5


class CountConfig(Config):
    iterations: int = Field(5, ge=1, description="How far to count.")
    from_scene: str | None = None
    fast: bool = False
    fail_at: int | None = None
    failure: str = "bug"
    level: int | Literal["auto"] = "auto"
    nested: Nested = Nested()


FAILURES = {
    "bug": lambda: RuntimeError("it broke"),
    "memory": MemoryError,
    "disk": lambda: OSError(28, "No space left on device", "/somewhere/file"),
    "native": lambda: RuntimeError("Error while serializing: No space left on device (os error 28)"),
}


def count(transaction: Transaction, config: CountConfig, runtime: Runtime) -> dict[str, Any]:
    state = transaction.checkpoint / "state.txt"
    done = int(state.read_text()) if state.exists() else 0
    transaction.backends["counting"] = "fingers"
    with transaction.metrics.open("a") as metrics:
        for step in range(done, config.iterations):
            if step == config.fail_at:
                raise FAILURES[config.failure]()  # noqa: RSE102
            metrics.write(json.dumps({"step": step + 1}) + "\n")
            if runtime.stop.signal_number is not None:
                state.write_text(str(step + 1))
                runtime.stop.raise_if_requested()
    scene = transaction.scene()
    (scene / "scene.yaml").write_text(f"kind: count\nto: {config.iterations}\n")
    (scene / "numbers.txt").write_text("".join(f"{i + runtime.seed}\n" for i in range(config.iterations)))
    transaction.output(f"exports/{transaction.name}.txt").write_text(str(config.iterations))
    return {"last": config.iterations, "resumed_from": done}


TAKE = Stage(
    name="take",
    summary="Take a picture in.",
    example="a4d take picture.png",
    config=TakeConfig,
    run=take,
    inputs=lambda workspace, config: [workspace.path / "source"],
    makes="images",
    writes=("images/", "transforms.json"),
)
COUNT = Stage(
    name="count",
    summary="Count.",
    example="a4d count picture.png",
    config=CountConfig,
    run=count,
    inputs=lambda workspace, config: [workspace.path / "images", workspace.path / "transforms.json"],
    needs=("take",),
    writes_scene=True,
    resumable=True,
    memory_knobs=("--iterations",),
)
STAGES = {"take": TAKE, "count": COUNT}


def plan_of(name="count", **config):
    """A plan without inputs."""
    return Plan(stage=name, code_version=1, config=config, seed=0, input_paths=[], inputs=[])


def tree(path):
    """Every file below a folder with its content."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
