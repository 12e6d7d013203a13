"""Whether a file of tensors is that of a network that is written here, and of which sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from a4d.config import Config, parse
from a4d.documents import parse_json
from a4d.errors import BackendUnavailableError, ConfigError, InvalidInputError
from a4d.io.tensor_files import read_tensor_header
from a4d.priors.weights_folder import REMEDY

SIZES = "config"
"""Under which a safetensors file says its sizes, where they are not the released ones."""

Sizes = TypeVar("Sizes", bound=Config)


def stated_sizes(path: Path, kind: type[Sizes]) -> Sizes:
    """The sizes in the header of a safetensors file, else the released ones.

    Raises:
        BackendUnavailableError: the header says no such sizes.
    """
    said = read_tensor_header(path).facts.get(SIZES) if path.suffix == ".safetensors" else None
    if said is None:
        return kind()
    try:
        return parse(kind, parse_json(said, f"the header of {path}"))
    except (ConfigError, InvalidInputError) as error:
        raise BackendUnavailableError(f"{path} cannot be loaded: {error.problem}", REMEDY) from None


def require_fit(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that a file holds all tensors of a network, of the right shapes, and no others.

    Raises:
        BackendUnavailableError: it does not.
    """
    wrong = [name for name in {**expected, **tensors} if name not in tensors or name not in expected]
    wrong += [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    if wrong:
        problem = f"{path} is incomplete or another architecture: {len(wrong)} tensors do not fit, first {wrong[0]:.80}"
        raise BackendUnavailableError(problem, REMEDY)
