"""Safetensors files as everything here reads them: the header is checked against the file before a byte is taken."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4d.documents import parse_json
from a4d.errors import InvalidInputError
from a4d.io.files import atomic_path, require_file

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Size of an element by the format's name of its type."""

LONGEST_HEADER = 100_000_000
"""Bytes, as the format sets it."""

FACTS = "__metadata__"


@dataclass(frozen=True)
class TensorHeader:
    """What a safetensors file says of itself.

    Args:
        shapes: of its tensors, by name.
        facts: texts by name, empty where there are none.
    """

    shapes: dict[str, tuple[int, ...]]
    facts: dict[str, str]


def read_tensor_header(path: Path) -> TensorHeader:
    """Names and shapes of the tensors in a file, and its texts; no tensor is read.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: the header breaks the format, or does not describe the rest of the file byte by byte.
    """
    require_file(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size - 8, LONGEST_HEADER):
                raise _damaged(path, f"its header would be {length} bytes long, and the file has {size}")
            text = file.read(length).decode("utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, f"byte {8 + error.start} of its header is no text") from None
    content = parse_json(text, f"the header of {path}")
    if not isinstance(content, dict):
        raise _damaged(path, "its header is no JSON object")
    facts = content.pop(FACTS, None) or {}
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise _damaged(path, f"'{FACTS}' in its header is no list of texts by name")
    end = 0
    entries = [(*_extent(path, name, entry), name) for name, entry in content.items()]
    for start, stop, name in sorted(entries):
        if start != end:
            raise _damaged(path, f"its tensor '{name:.60}' begins at byte {start} of the data, where byte {end} is due")
        end = stop
    if 8 + length + end != size:
        raise _damaged(path, f"its header describes {8 + length + end} bytes, and the file has {size}")
    return TensorHeader({name: tuple(entry["shape"]) for name, entry in content.items()}, facts)


def _extent(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """First byte of a tensor within the data and the one after its last."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)]} if all(
            type(side) is int and side >= 0 for side in shape
        ):
            if dtype not in ITEM_BYTES:
                raise _damaged(path, f"its tensor '{name:.60}' has the unknown type {dtype:.20}")
            if stop - start != math.prod(shape) * ITEM_BYTES[dtype]:
                raise _damaged(
                    path, f"its tensor '{name:.60}' of shape {shape!s:.60} does not fill its {stop - start} bytes"
                )
            return start, stop
    raise _damaged(path, f"its tensor '{name:.60}' lacks a type, a shape or a place")


def _damaged(path: Path, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{path} is damaged: {reason}")


def read_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file by name, on a device, and its texts.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    facts = read_tensor_header(path).facts
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidInputError(f"{path} is damaged: its tensors cannot be read") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write tensors on the CPU one by one; those that are mapped from a file need not fit into memory together.

    Args:
        path: of the file, which is whole or not there.
        tensors: by name, of types that safetensors and torch call by the same names.
        facts: texts by name.

    Raises:
        WorkspaceError: it cannot be written.
    """
    import torch

    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64",
             torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}  # fmt: skip
    header: dict[str, Any] = {FACTS: dict(facts)} if facts else {}
    start = 0
    for name, tensor in tensors.items():
        stop = start + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    # The data begin at a multiple of eight, so that readers may map them.
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.detach().reshape(-1).view(torch.uint8).numpy().data)
