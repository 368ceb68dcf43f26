"""Atomic file replacement: a file is written completely or not at all."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, TypeAlias, TypeGuard, overload

from deepbp.errors import ArgumentTypeError, ConfigurationError, shown

try:
    import fcntl
except ImportError:  # Windows has no such locks: leftovers of killed processes stay there
    fcntl = None  # type: ignore[assignment]

FileLike: TypeAlias = str | os.PathLike[str] | BinaryIO
"""The name of a file, or a binary stream."""

NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opening a pipe waits for its other end


@overload
def whole_file(path: str | os.PathLike[str], *, binary: Literal[False] = False) -> AbstractContextManager[TextIO]: ...


@overload
def whole_file(path: FileLike, *, binary: Literal[True]) -> AbstractContextManager[BinaryIO]: ...


@contextmanager
def whole_file(path: FileLike, *, binary: bool = False) -> Iterator[Any]:
    """Open a file for writing that replaces an old one atomically; a write that fails leaves the old one as it is.

    The text, or with ``binary`` the bytes, go to a temporary file in the same folder, are flushed to the disk, and the
    file is then renamed. The new file has the permissions of the old one; a symbolic link stays, and the file that it
    leads to is replaced. Temporary files that killed processes have left behind are removed. Any number of threads and
    processes may write one path at once: the last one to finish wins. Instead of a path, a binary stream gets all bytes
    in one call of ``write``.

    Raises:
        ArgumentTypeError: when the path is no file name, or the stream is one of text.
        ConfigurationError: when the path names a folder or a device.
        OSError: when the folder does not exist, the file is read-only, the disk is full, and so on.
    """
    if binary and is_stream(path):
        if isinstance(path, TextIOBase):
            raise ArgumentTypeError(
                f"path: expected a binary stream, got one of text, {path!r}: open it with mode 'wb'"
            )
        made = BytesIO()
        yield made
        path.write(made.getvalue())
        return
    assert not isinstance(path, BinaryIO)
    try:
        target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
        old = _existing(target)
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {shown(path)}") from None
    except ValueError as error:  # a null character, or text that no file system can encode
        raise ConfigurationError(f"path: expected a file name, got {shown(path)}: {error}") from None
    _remove_leftovers(target)
    temporary: Path | None = None
    try:
        if old is not None and (not old.st_mode & 0o222 or not os.access(target, os.W_OK)):
            raise PermissionError(errno.EACCES, "The file is read-only")
        temporary, descriptor = _locked_file(target, 0o666 if old is None else 0o600)
        with open(descriptor, "wb") if binary else open(descriptor, "w", newline="", encoding="utf-8") as file:
            yield file
            file.flush()
            if old is not None:
                _copy_permissions(old, descriptor, temporary)
            os.fsync(descriptor)
            if fcntl is None:
                file.close()  # Windows renames no open file
            os.replace(temporary, target)  # under the lock: no other writer takes the file for a leftover
        _sync_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        what = error.strerror or str(error)
        raise OSError(error.errno, f"{what}: nothing was written, an old file is as it was", str(path)) from error


def is_stream(source: Any) -> TypeGuard[BinaryIO]:
    """Whether this is an open file or anything else that is written to, or read from, like one."""
    return not isinstance(source, str | os.PathLike) and (hasattr(source, "write") or hasattr(source, "read"))


def _existing(target: Path) -> os.stat_result | None:
    """The status of the file that is to be replaced, if there is one."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):  # renaming would replace a device by a file
        raise ConfigurationError(f"path: expected a file name, got {target}, which is a folder or a device")
    return found


def _temporary_stem(target: Path) -> str:
    """What the names of the target's temporary files begin with: a long name would exceed the system's limit."""
    name = os.fsencode(target.name)
    return f".{target.name if len(name) <= 100 else sha256(name).hexdigest()}."


def _locked_file(target: Path, mode: int) -> tuple[Path, int]:
    """Create a temporary file and lock it, which tells other writers that it is no leftover.

    Between the two another writer may lock, and remove, the file as a leftover; this one then creates another.
    """
    while True:
        path = target.parent / f"{_temporary_stem(target)}{os.getpid()}.{os.urandom(4).hex()}.tmp"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_WAITING | getattr(os, "O_CLOEXEC", 0), mode)
        if fcntl is None or (_lock(descriptor) is not False and os.fstat(descriptor).st_nlink):
            return path, descriptor
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()


def _copy_permissions(old: os.stat_result, descriptor: int, temporary: Path) -> None:
    if hasattr(os, "fchown"):
        with suppress(OSError):  # only the superuser may give files away
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.chmod(descriptor if os.chmod in os.supports_fd else temporary, old.st_mode & 0o777)


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of this target whose process has died, which has released their lock."""
    name = re.compile(rf"{re.escape(_temporary_stem(target))}\d+\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # creating the file reports a folder that cannot be read
        for leftover in [entry.path for entry in os.scandir(target.parent) if name.fullmatch(entry.name)]:
            with suppress(OSError):
                descriptor = os.open(leftover, os.O_RDONLY | NO_WAITING)
                try:
                    if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor):
                        os.unlink(leftover)
                finally:
                    os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock this file for as long as it is open: False where somebody else holds the lock, None where there are none."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _sync_folder(folder: Path) -> None:
    """Flush a folder, and thereby a rename in it, to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
