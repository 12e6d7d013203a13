"""Files by content: hashes that are computed once, lists of folders, and writes that happen whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from a4d.errors import WorkspaceError
from a4d.io.files import hash_file


class FileStamp(BaseModel):
    """What a file held when a run read or wrote it.

    Args:
        path: relative to the workspace with `/`, or absolute for a file outside it.
        sha256: of the content, in hexadecimal.
        size: bytes.
        mtime_ns: a file whose size and modification time are unchanged is not hashed again.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    path: str
    sha256: str
    size: int
    mtime_ns: int


def stamp(path: Path, name: str, known: FileStamp | None = None) -> FileStamp:
    """The present content of a file; its hash is taken from `known` where size and modification time agree."""
    status = path.stat()
    same = known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns)
    sha256 = known.sha256 if same and known is not None else hash_file(path)
    return FileStamp(path=name, sha256=sha256, size=status.st_size, mtime_ns=status.st_mtime_ns)


def is_as_recorded(path: Path, recorded: FileStamp) -> bool:
    """Whether a file is there and holds what it held."""
    try:
        return path.is_file() and stamp(path, recorded.path, recorded).sha256 == recorded.sha256
    except FileNotFoundError:  # a writer is just replacing it
        return False


def files_below(path: Path) -> list[Path]:
    """The file itself, or every file below a folder in sorted order; nothing where the path does not exist."""
    if path.is_file():
        return [path]
    # Unlike `Path.rglob` it takes folders that vanish meanwhile for empty ones.
    children = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sorted(child for child in children if child.is_file())


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path of the workspace is one of some folders, or lies in one."""
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def name_in(root: Path, path: Path) -> str:
    """A path as the records spell it: relative to the workspace where it lies in it, otherwise absolute."""
    absolute, root = (Path(os.path.abspath(each)) for each in (path, root))  # noqa: PTH100  (takes `..` out, too)
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)


def stamps_of(root: Path, paths: Iterable[Path], known: Mapping[str, FileStamp]) -> list[FileStamp]:
    """The content of files and folders, one entry per file; absent paths, and such as vanish meanwhile, have none."""
    files = {name_in(root, file): file for path in paths for file in files_below(path)}
    stamps = []
    for name, file in files.items():
        with suppress(FileNotFoundError):
            stamps.append(stamp(file, name, known.get(name)))
    return stamps


def write_whole(path: Path, text: str) -> None:
    """Write a text file that a reader sees either as it was or complete, also after a power cut."""
    staged = path.with_name(f".{path.name}.new")
    try:
        staged.unlink(missing_ok=True)
        # Paths may hold bytes that are no text; in JSON the escapes that stand for them here mean the same.
        with staged.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Rename a file over a file, or a folder to a free name; a target on another file system gets a copy."""
    try:
        os.replace(source, target)  # noqa: PTH105  (the tests count the renames of a commit here)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(source, target)


def discard(path: Path) -> None:
    """Delete a file or a folder; a missing one is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_FREE = "Free some space, then run the same command again"
_OWNED = "Check who owns the folder, or copy it to a place of your own"
_MISPLACED = "a file stands where a folder belongs, or a folder where a file belongs"
_AWAY = "Move what stands there away, then run the same command again"
_STORAGE_ERRORS = {
    errno.ENOSPC: ("cannot write", "the disk is full", _FREE),
    errno.EDQUOT: ("cannot write", "the disk quota is used up", _FREE),
    errno.EROFS: (
        "cannot write",
        "the file system is read-only",
        "Work in, or copy the workspace to, a place where you may write",
    ),
    errno.ENAMETOOLONG: ("cannot write", "the name is too long", "Choose a shorter one"),
    errno.EFBIG: ("cannot write", "it is larger than the system allows", "Raise `ulimit -f`, or use another disk"),
    errno.EACCES: ("cannot read or write", "permission denied", _OWNED),
    errno.EPERM: ("cannot read or write", "permission denied", _OWNED),
    errno.EIO: ("cannot read or write", "the disk fails", "Copy what is left to another disk, and go on there"),
    errno.ESTALE: ("cannot read or write", "the network file system has lost it", "Run the same command again"),
    errno.ENOENT: ("cannot read or write", "it is not there any more", "Run the same command again"),
    errno.ENOTDIR: ("cannot read or write", _MISPLACED, _AWAY),
    errno.EISDIR: ("cannot read or write", _MISPLACED, _AWAY),
    errno.EEXIST: ("cannot read or write", _MISPLACED, _AWAY),
    errno.ENOTEMPTY: ("cannot read or write", _MISPLACED, _AWAY),
}


def storage_error(error: BaseException, place: Path) -> WorkspaceError | None:
    """What a disk can do to a command as a user's error; None where the exception is something else.

    Libraries that write through native code lose the error number, so that their message is looked at, too.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and "No space left on device" in str(error):
        number = errno.ENOSPC
    if number not in _STORAGE_ERRORS:
        return None
    failed, problem, remedy = _STORAGE_ERRORS[number]
    return WorkspaceError(f"{failed} {getattr(error, 'filename', None) or place}: {problem}", remedy)
