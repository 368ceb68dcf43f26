"""The table of file formats: the ending of a file's name chooses one."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.storage.contents import LIMIT, StoredArrays
from deepbp.storage.npz_format import open_archive, write_archive
from deepbp.storage.safetensors_format import open_tensors, write_tensors
from deepbp.typing import Array

PathLike: TypeAlias = str | os.PathLike[str]


@frozen
class Format:
    """How files of one ending are written and opened."""

    write: Callable[[PathLike, dict[str, Any], Mapping[str, Array]], None]
    open: Callable[[PathLike, int], AbstractContextManager[StoredArrays]]


FORMATS = {".npz": Format(write_archive, open_archive), ".safetensors": Format(write_tensors, open_tensors)}


def write_file(path: PathLike, description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a description and arrays in the format that the ending of the name chooses; see ``write_archive``."""
    format_of(path).write(path, description, arrays)


def open_file(path: PathLike, limit: int = LIMIT) -> AbstractContextManager[StoredArrays]:
    """Open a file of at most ``limit`` bytes in the format that its ending chooses; see ``open_archive``."""
    return format_of(path).open(path, limit)


def format_of(path: PathLike) -> Format:
    """The format that a name's ending chooses. Raises ArgumentTypeError or ConfigurationError where there is none."""
    try:
        ending = Path(path).suffix.lower()
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    if ending not in FORMATS:
        raise ConfigurationError(f"path: expected a name that ends in {' or '.join(FORMATS)}, got {str(path)!r}")
    return FORMATS[ending]
