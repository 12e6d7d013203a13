"""Networks of `.tflite` files through LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a4d.errors import BackendUnavailableError
from a4d.io.files import muted_terminal
from a4d.pixels import Array

PERSON_MODEL = "blazepose"
"""The entry of the catalogue that finds people, their joints and their outlines."""


def require_litert() -> Any:
    """The class of LiteRT's interpreters.

    Raises:
        BackendUnavailableError: it is not installed, or cannot run here.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"people are found through LiteRT, which is not here: {str(error).splitlines()[0]}",
            "Run `pip install a4d[person]`",
        ) from None
    return Interpreter


class LiteNetwork:
    """A network of a `.tflite` file on one core of the CPU.

    Args:
        path: the file.
        outputs: shapes of its outputs in their order.

    Raises:
        BackendUnavailableError: LiteRT is not installed, or the file is damaged or another network.
    """

    def __init__(self, path: Path, outputs: Sequence[tuple[int, ...]]) -> None:
        interpreter_class = require_litert()
        try:
            with muted_terminal():
                self._interpreter = interpreter_class(model_path=str(path), num_threads=1)
                self._interpreter.allocate_tensors()
            self._input = self._interpreter.get_input_details()[0]["index"]
            details = self._interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise BackendUnavailableError(f"{path} is damaged or no network for LiteRT: {reason:.120}") from None
        if [tuple(each["shape"]) for each in details] != list(outputs):
            raise BackendUnavailableError(f"{path} is another network than the one that is expected")
        self._outputs = [each["index"] for each in details]

    def __call__(self, picture: Array) -> list[Array]:
        """The outputs for a batch of one picture (1, H, W, 3)."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(picture, np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
