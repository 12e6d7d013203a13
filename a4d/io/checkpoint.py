"""A run's state on disk: everything that its next step depends on, in one file that is either whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from a4d.documents import parse_json
from a4d.errors import InvalidInputError
from a4d.io.files import atomic_path
from a4d.io.tensor_files import read_tensors


def save_state(path: Path, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Write named tensors of several parts, and plain facts, in one rename.

    Args:
        path: a safetensors file.
        parts: tensors by part and name, such as `scene`, `weights` and `optimiser`.
        facts: such as the step; must be JSON.
    """
    tensors = {
        f"{part}:{name}": value.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, value in named.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps(dict(facts))})


def load_state(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """What `save_state` wrote, or None where there is no such file.

    Raises:
        InvalidInputError: there is one that cannot be read.
    """
    if not path.is_file():
        return None
    parts: dict[str, dict[str, Tensor]] = {}
    try:
        tensors, texts = read_tensors(path)
        facts: dict[str, Any] = parse_json(texts.get("facts", ""), f"the header of {path}")
    except InvalidInputError as error:
        raise InvalidInputError(error.problem, "Remove it to start anew, or train --from its weights") from None
    for label, tensor in tensors.items():
        part, _, name = label.partition(":")
        parts.setdefault(part, {})[name] = tensor
    return parts, facts
