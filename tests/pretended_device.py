"""A card that is pretended: its tensors lie in host memory but say otherwise, and meet only each other.

What a first run on a GPU would stumble over is found without one: tensors of two devices in one operation, generators
of the host that are to draw on the device, arrays of numpy made of what lies there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only
from typing_extensions import Self

NAME = "pretended"
aten = torch.ops.aten
CROSSING = {aten.copy_.default, aten._to_copy.default}
"""Operations between devices."""
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operations whose indices may lie in host memory."""
WITHOUT_SCALARS = {aten.cat.default, aten.stack.default, aten.gather.default, aten.index_select.default}
"""Operations that refuse the host's scalars, which arithmetic takes."""


def can_pretend() -> bool:
    """Whether this torch lets a device be written in Python."""
    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


class PretendedTensor(Tensor):
    """A tensor on the pretended device.

    Args:
        held: the same numbers in host memory.
    """

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"pretended {self.held!r}"


class _PretendedDevice(TorchDispatchMode):
    """Catches what makes tensors on the device out of none that lie there."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


def _run(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation on the host, once its tensors are known to lie together."""
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    is_there = [isinstance(each, PretendedTensor) for each in tensors]
    target = kwargs.get("device")
    lands = any(is_there) if target is None else torch.device(target).type == NAME
    if operation not in CROSSING:
        if any(is_there) and not all(is_there):
            _require_one_device(operation, args, tensors)
        if lands:
            _require_generator(kwargs.get("generator"))
    if operation is aten.copy_.default:
        lands = is_there[0]
    on_host = dict(kwargs, device=torch.device("cpu")) if target is not None and lands else kwargs
    found = operation(*_held(args), **_held(on_host))
    if not lands:
        return args[0] if operation is aten.copy_.default else found
    wrapped = tree_map_only(Tensor, PretendedTensor, found)
    return return_and_correct_aliasing(operation, args, kwargs, wrapped) if any(is_there) else wrapped


def _held(values: Any) -> Any:
    return tree_map_only(PretendedTensor, lambda each: each.held, values)


def _require_one_device(operation: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """Raises RuntimeError where a card would: the host's scalars and indices are welcome, but not to be written to."""
    strangers = [each for each in tensors if not isinstance(each, PretendedTensor)]
    if operation in INDEXING and isinstance(args[0], PretendedTensor):
        strangers = [each for each in args[2:3] if isinstance(each, Tensor) and not isinstance(each, PretendedTensor)]
    welcome = operation not in WITHOUT_SCALARS and all(each.ndim == 0 for each in strangers)
    written = operation._schema.is_mutable and any(each is args[0] for each in strangers)
    if strangers and (written or not welcome):
        shapes = [tuple(each.shape) for each in strangers]
        raise RuntimeError(f"expected all tensors on one device, but {operation} got {shapes} of the host's")


def _require_generator(generator: torch.Generator | None) -> None:
    if generator is not None and generator.device.type != NAME:
        raise RuntimeError(f"expected a generator on {NAME}, not on {generator.device.type}")


@contextlib.contextmanager
def pretended_device() -> Iterator[str]:
    """Its name for `to()` and `device=`, which stands for nothing after the context."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME)
        # From now on whoever computes a graph again on the host asks it, too, as the machine's only accelerator.
        getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with torch.autograd.set_multithreading_enabled(False), _PretendedDevice(), _reading_by_way_of_the_host():
            yield NAME
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


@contextlib.contextmanager
def _reading_by_way_of_the_host() -> Iterator[None]:
    """safetensors knows no devices but torch's own."""
    import safetensors

    opened: Callable[..., Any] = safetensors.safe_open

    @contextlib.contextmanager
    def safe_open(path: Any, framework: str, device: str = "cpu") -> Iterator[Any]:
        with opened(path, framework=framework) as file:
            yield _Placed(file, device)

    safetensors.safe_open = safe_open
    try:
        yield
    finally:
        safetensors.safe_open = opened


class _Placed:
    """A file whose tensors are moved once they are read."""

    def __init__(self, file: Any, device: str) -> None:
        self.file, self.device = file, device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def get_tensor(self, name: str) -> Tensor:
        return self.file.get_tensor(name).to(self.device)
