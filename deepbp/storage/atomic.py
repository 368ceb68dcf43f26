"""Files that are written whole or not at all."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, overload

from deepbp.errors import ArgumentTypeError, ConfigurationError

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a process leaves behind there when it dies is not cleaned up
    fcntl = None  # type: ignore[assignment]


@overload
def whole_file(path: str | os.PathLike[str], *, binary: Literal[False] = False) -> AbstractContextManager[TextIO]: ...


@overload
def whole_file(path: str | os.PathLike[str], *, binary: Literal[True]) -> AbstractContextManager[BinaryIO]: ...


@contextmanager
def whole_file(path: str | os.PathLike[str], *, binary: bool = False) -> Iterator[Any]:
    """A file to write to, which takes the place of an old one at the end; a write that fails leaves that alone.

    The text, or with ``binary`` the bytes, go to a new file in the same folder, reach the disk, and are then renamed.
    What processes that died while they wrote this file have left behind is removed.

    Raises:
        ArgumentTypeError: when the path is no file name.
        ConfigurationError: when it is the name of a folder or a device.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    try:
        target = Path(path)
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    if target.exists() and not target.is_file():  # a rename would put a file in the place of a device
        raise ConfigurationError(f"path: expected a file name, got {target}, which is a folder or a device")
    _remove_remains(target)
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


def _remove_remains(target: Path) -> None:
    """Remove the temporary files of this target that nobody writes to any more: their lock died with the process."""
    name = re.compile(rf"\.{re.escape(target.name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # a folder that cannot be read is told of when the file is opened
        for remains in [Path(entry) for entry in os.scandir(target.parent) if name.fullmatch(entry.name)]:
            with suppress(OSError), open(remains, "rb") as file:
                if _lock(file.fileno()):
                    remains.unlink()


def _lock(descriptor: int) -> bool:
    """Hold this file for as long as it is open, unless another process does."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another process, or a file system without locks
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk once its folder is, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
