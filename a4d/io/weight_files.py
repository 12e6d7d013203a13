"""Weights of models: safetensors, and foreign PyTorch checkpoints as far as they hold nothing but tensors."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4d.errors import BackendUnavailableError, InvalidInputError, MissingInputError
from a4d.io.tensor_files import read_tensor_header, read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PYTORCH_SUFFIXES = {".bin", ".ckpt", ".pt", ".pth"}


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, on the CPU; those of a checkpoint's `state_dict` where it has one.

    Names of tensors within dictionaries are joined by dots, as safetensors has them.

    Args:
        path: `.safetensors`, or `.bin`, `.ckpt`, `.pt`, `.pth`, of which code is never run.

    Raises:
        BackendUnavailableError: the file is missing, cut short, or holds Python objects besides tensors.
    """
    if not path.is_file():
        raise BackendUnavailableError(f"there is no weight file {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in PYTORCH_SUFFIXES:
        raise BackendUnavailableError(f"{path} is not a weight file", "Weights are .safetensors, .bin, .ckpt or .pt")
    return _tensors(_read_pytorch(path), path)


def map_checkpoint(path: Path) -> dict[str, Tensor]:
    """Like `read_weights` of a checkpoint, whose tensors lie in the file until they are looked at.

    Every byte is held against the file's check sums first. What was saved by a torch before 1.6 is read into memory.

    Raises:
        BackendUnavailableError: the file is missing, damaged, or holds Python objects besides tensors.
    """
    if not path.is_file():
        raise BackendUnavailableError(f"there is no weight file {path}")
    is_archive = zipfile.is_zipfile(path)
    # What is compressed is refused below, before it is unpacked.
    if is_archive and not _is_compressed(path) and not _is_whole(path):
        raise _incomplete(path)
    return _tensors(_read_pytorch(path, mapped=is_archive), path)


def check_weights(path: Path) -> None:
    """Whether a file is whole, from its index where it has one.

    Raises:
        BackendUnavailableError: it is not.
    """
    if path.suffix != ".safetensors":
        map_checkpoint(path)
        return
    try:
        whole = bool(read_tensor_header(path).shapes)
    except (InvalidInputError, MissingInputError):
        whole = False
    if not whole:
        raise _incomplete(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)[0]
    except InvalidInputError:
        raise _incomplete(path) from None


def _incomplete(path: Path) -> BackendUnavailableError:
    return BackendUnavailableError(f"{path} is damaged or not fully downloaded", "Fetch it again")


def _read_pytorch(path: Path, mapped: bool = False) -> Any:
    import torch

    if _is_compressed(path):
        raise BackendUnavailableError(f"{path} is a compressed archive, which no checkpoint is", "Fetch it again")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)  # noqa: TID251  (the one place)
    except Exception as error:  # a foreign file may fail in any way at all
        if "weights_only" in str(error) or "Unsupported" in str(error):
            problem = f"{path} holds a pickle payload besides tensors, which is not read"
            raise BackendUnavailableError(problem, "Convert it to .safetensors, or use another mirror") from None
        raise _incomplete(path) from None


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile):
        return False


def read_storage(content: bytes) -> NDArray[Any]:
    """(N,) the numbers of a tensor that lies in a foreign pickle as a small checkpoint of its own.

    Raises:
        InvalidInputError: it is anything else.
    """
    import torch

    try:
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251  (as above)
        return torch.tensor([], dtype=storage.dtype).set_(storage).numpy()
    except Exception as error:  # as above
        raise InvalidInputError("it holds a tensor whose numbers cannot be read") from error


def _is_compressed(path: Path) -> bool:
    """Whether a file is an archive that may hold more than its own size; a damaged one is left to the reader."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _tensors(values: Any, path: Path) -> dict[str, Tensor]:
    nested = values.get("state_dict", values) if isinstance(values, Mapping) else {}
    tensors = dict(_named(nested, ""))
    if not tensors:
        raise BackendUnavailableError(f"{path} holds no tensors by name")
    for name, tensor in tensors.items():
        # A tensor may repeat its numbers without end, and would take the memory as soon as it is copied.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise BackendUnavailableError(f"{path} has a tensor '{name:.60}' of more numbers than it stores")
    return tensors


def _named(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested mappings, their keys joined by dots."""
    from torch import Tensor

    for key, value in values.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{key}.")
