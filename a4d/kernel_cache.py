"""Numba's `njit` with a cache on disk that damage, other processes and closed folders cannot break."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle  # noqa: TID251  (Numba's own form of compiled code, in a folder of this user alone)
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator
from numba.core.serialize import dumps

logger = logging.getLogger(__name__)

DIGEST_BYTES = hashlib.sha256().digest_size


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, whose `cache=True` keeps what is compiled in `cache_folder()`, or nowhere if there is none."""

    def compile_lazily(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache and cache_folder() is not None:
            dispatcher._cache = KernelCache(function)  # noqa: SLF001  (there is no public way to choose one)
        return dispatcher

    return compile_lazily


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled kernels are kept, which is said once if it is not the usual place; None is nowhere.

    The first that can be written of `$NUMBA_CACHE_DIR`, the user's cache, and a folder among the temporary files.
    """
    wanted = [Path(os.environ["NUMBA_CACHE_DIR"])] if os.environ.get("NUMBA_CACHE_DIR") else []
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    wanted.append(Path(cache) / "a4d" / "kernels")
    for folder in wanted:
        # Where nobody knows the home, it is left as `~`.
        if folder.is_absolute() and _is_writable(folder):
            return folder
    fallback = Path(tempfile.gettempdir()) / f"a4d-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    if _is_writable(fallback) and _is_private(fallback):
        logger.warning("%s cannot be written: compiled kernels are kept in %s", wanted[0], fallback)
        return fallback
    logger.warning("%s cannot be written: kernels are compiled anew in every run", wanted[0])
    return None


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Whether a folder is this user's alone: everybody may make one of its name, and what lies in it is executed."""
    status = folder.lstat()
    return not hasattr(os, "getuid") or (
        stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    )


class _Locator(InTreeCacheLocator):
    """Puts the files of a module into a folder of their own below `cache_folder()`, which is made with the first."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        super().__init__(function, source)
        self._source = source
        self._cache_path = str((cache_folder() or Path()) / self.get_suitable_cache_subpath(source))

    def get_source_stamp(self) -> tuple[Any, ...]:
        """Of all modules of the function's folder: what is compiled holds the code of the kernels that it calls."""
        stamps = [(file.name, file.stat()) for file in sorted(Path(self._source).parent.glob("*.py"))]
        return (super().get_source_stamp(), *((name, stamp.st_mtime, stamp.st_size) for name, stamp in stamps))

    def ensure_cache_path(self) -> None:
        """Numba would try each of them, at every start."""


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  (Numba's attribute)


class KernelCache(FunctionCache):
    """The compiled forms of one function."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = KernelFiles(
            Path(self._cache_path), self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def _load_overload(self, signature: Any, target: Any) -> Any:
        try:
            return super()._load_overload(signature, target)
        except Exception:  # whatever stands in a file that is whole but of other versions of what it was made with
            logger.debug("a kernel in %s is of no use and is compiled anew", self._cache_path, exc_info=True)
            return None


class KernelFiles:
    """A file per compiled form, behind its digest, and no index: processes that compile at once cannot mix them up.

    Args:
        folder: is made when something is saved.
        name: of the function.
        source: says in which state the function's source was.
    """

    def __init__(self, folder: Path, name: str, source: Any) -> None:
        self.folder, self.name, self.source = folder, name, source

    def load(self, key: Any) -> Any:
        """What was saved; None where there is nothing, or it was damaged since."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _warn_once(f"compiled kernels cannot be read and are compiled anew: {error}")
            return None
        digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            _warn_once(f"compiled kernels in {self.folder.parent} are damaged and are compiled anew")
            return None
        saved_key, value = pickle.loads(data)  # noqa: S301
        return value if saved_key == key else None

    def save(self, key: Any, value: Any) -> None:
        """Keep a compiled form, if there is room; other processes see all of it or nothing."""
        data = dumps((key, value))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            staged = self._path(key).with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            try:
                staged.write_bytes(hashlib.sha256(data).digest() + data)
                staged.replace(self._path(key))
            finally:
                staged.unlink(missing_ok=True)
        except OSError as error:
            _warn_once(f"compiled kernels cannot be kept: {error}")

    def flush(self) -> None:
        """Forget all compiled forms of the function."""
        for path in self.folder.glob(f"{self.name}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        identity = repr((numba.__version__, self.source, key)).encode()
        return self.folder / f"{self.name}.{hashlib.sha256(identity).hexdigest()[:24]}.nbc"


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)
