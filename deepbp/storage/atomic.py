"""Atomic file replacement: a file is written completely or not at all."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, overload

from deepbp.errors import ArgumentTypeError, ConfigurationError

try:
    import fcntl
except ImportError:  # Windows has no such locks: leftovers of killed processes stay there
    fcntl = None  # type: ignore[assignment]


@overload
def whole_file(path: str | os.PathLike[str], *, binary: Literal[False] = False) -> AbstractContextManager[TextIO]: ...


@overload
def whole_file(path: str | os.PathLike[str], *, binary: Literal[True]) -> AbstractContextManager[BinaryIO]: ...


@contextmanager
def whole_file(path: str | os.PathLike[str], *, binary: bool = False) -> Iterator[Any]:
    """Open a file for writing that replaces an old one atomically; a write that fails leaves the old one as it is.

    The text, or with ``binary`` the bytes, go to a temporary file in the same folder, are flushed to the disk, and the
    file is then renamed. Temporary files that killed processes have left behind are removed.

    Raises:
        ArgumentTypeError: when the path is no file name.
        ConfigurationError: when the path names a folder or a device.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    try:
        target = Path(path)
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    if target.exists() and not target.is_file():  # renaming would replace a device by a file
        raise ConfigurationError(f"path: expected a file name, got {target}, which is a folder or a device")
    _remove_leftovers(target)
    temporary = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") if binary else open(temporary, "x", newline="", encoding="utf-8") as file:
            _lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = error.strerror or str(error)
        raise OSError(error.errno, f"{what}: nothing was written, an old file is as it was", str(target)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of this target whose process has died, which has released their lock."""
    name = re.compile(rf"\.{re.escape(target.name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # opening the file reports a folder that cannot be read
        for leftover in [Path(entry) for entry in os.scandir(target.parent) if name.fullmatch(entry.name)]:
            with suppress(OSError), open(leftover, "rb") as file:
                if _lock(file.fileno()):
                    leftover.unlink()


def _lock(descriptor: int) -> bool:
    """Lock this file for as long as it is open; False where another process holds the lock."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another process, or a file system without locks
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Flush a folder, and thereby a rename in it, to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
