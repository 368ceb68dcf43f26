"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from deepbp.errors import ArgumentTypeError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A text file to write to, which takes the place of an old one at the end; a write that fails leaves that alone.

    The text goes to a new file in the same folder, reaches the disk, and is then renamed.

    Raises:
        ArgumentTypeError: when the path is no file name.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    try:
        target = Path(path)
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    temporary = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "x", newline="", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
