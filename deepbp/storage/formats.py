"""The table of file formats: the ending of a file's name chooses one, or the first bytes of a stream."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.storage import LIMIT
from deepbp.storage.atomic import FileLike, is_stream
from deepbp.storage.contents import StoredArrays, read_stream
from deepbp.storage.npz_format import open_archive, write_archive
from deepbp.storage.safetensors_format import open_tensors, write_tensors
from deepbp.typing import Array

Readable: TypeAlias = FileLike | bytes
"""The name of a file, a binary stream, or the contents of a file."""


@frozen
class Format:
    """How files of one ending are written and opened."""

    write: Callable[[FileLike, dict[str, Any], Mapping[str, Array]], None]
    open: Callable[[str | os.PathLike[str] | bytes, int], AbstractContextManager[StoredArrays]]


FORMATS = {".npz": Format(write_archive, open_archive), ".safetensors": Format(write_tensors, open_tensors)}


def write_file(path: FileLike, description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a description and arrays in the format that the ending of the name chooses; see ``write_archive``.

    A binary stream gets an npz file, unless it has a ``name`` with another ending.
    """
    if is_stream(path):
        ending = os.path.splitext(str(getattr(path, "name", "")))[1].lower()
        FORMATS.get(ending, FORMATS[".npz"]).write(path, description, arrays)
    else:
        format_of(path).write(path, description, arrays)


def open_file(path: Readable, limit: int = LIMIT) -> AbstractContextManager[StoredArrays]:
    """Open a file of at most ``limit`` bytes in the format that its ending chooses; see ``open_archive``.

    The format of a stream, which is read to its end, or of ``bytes`` follows from the first bytes.
    """
    contents: Any = read_stream(path, limit) if is_stream(path) else path
    if not isinstance(contents, bytes | bytearray | memoryview):
        return format_of(contents).open(contents, limit)
    contents = bytes(contents)
    if contents.endswith(tuple(map(str.encode, FORMATS))):
        raise ArgumentTypeError(f"path: expected a file name, got {contents!r:.200}: use os.fsdecode(path)")
    return FORMATS[".npz" if contents.startswith(b"PK") else ".safetensors"].open(contents, limit)


def contents_of(path: Readable, limit: int = LIMIT) -> bytes:
    """All bytes of what ``open_file`` opens, which it takes in place of a name; at most ``limit`` of a file."""
    if isinstance(path, bytes | bytearray | memoryview):
        return bytes(path)
    if is_stream(path):
        return read_stream(path, limit)
    format_of(path)
    with Path(path).open("rb") as file:  # type: ignore[arg-type]  # no stream
        return read_stream(file, limit)


def format_of(path: Any) -> Format:
    """The format that a name's ending chooses. Raises ArgumentTypeError or ConfigurationError where there is none."""
    try:
        ending = Path(path).suffix.lower()
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {shown(path)}") from None
    if ending not in FORMATS:
        raise ConfigurationError(f"path: expected a name that ends in {' or '.join(FORMATS)}, got {str(path)!r}")
    return FORMATS[ending]
