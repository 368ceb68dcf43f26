"""Opening a file that may be hostile: what it is and how large are looked at before anything is read."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError

LIMIT = 4 * 2**30
"""The largest file that is read unless another limit is asked for, in bytes."""


@contextmanager
def opened(path: str | os.PathLike[str], limit: int = LIMIT) -> Iterator[BinaryIO]:
    """The file, opened; what is found wrong with it is said with its name in front.

    Raises:
        ArgumentTypeError, ConfigurationError: for a path or limit that makes no sense.
        FileFormatError: for a folder, a device, an empty file, one larger than the limit.
        OSError: when there is none, or it may not be read.
    """
    try:
        source = Path(path)
        kind = os.stat(source).st_mode  # first, for opening a pipe would wait for its other end
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    except ValueError as error:
        raise ConfigurationError(f"path: expected a file name, got {path!r}: {error}") from None
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ArgumentTypeError(f"limit: expected a number of bytes, got {limit!r}")
    try:
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "a device, a pipe or a socket"
            raise FileFormatError(f"expected a file, got {what}")
        with open(source, "rb") as file:
            size = file_size(file)
            if size == 0:
                raise FileFormatError("expected a file of deepbp, got an empty one")
            if size > limit:
                raise FileFormatError(f"expected at most {limit:,} bytes, got {size:,}: pass limit={size} to read it")
            yield file
    except FileFormatError as error:
        raise error.placed(str(source)) from error.__cause__


def file_size(file: BinaryIO) -> int:
    """In bytes."""
    return os.fstat(file.fileno()).st_size


def read_at(file: BinaryIO, start: int, size: int) -> bytes:
    """Exactly so many bytes from there. Raises FileFormatError where the file ends before."""
    if start < 0 or start + size > file_size(file):
        raise FileFormatError(
            f"expected {size:,} bytes from byte {start:,} on, got the end of the file: was it cut off?"
        )
    file.seek(start)
    found = file.read(size)
    if len(found) != size:
        raise FileFormatError("the file became shorter while it was read")
    return found
