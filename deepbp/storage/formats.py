"""The two formats of files, by the ending of their names."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.storage.contents import LIMIT
from deepbp.storage.npz_format import Archive, open_archive, write_archive
from deepbp.storage.safetensors_format import Tensors, open_tensors, write_tensors
from deepbp.typing import Array


def write_file(path: str | os.PathLike[str], description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """As ``write_archive`` does, in the format that the name's ending asks for."""
    (write_archive if _ending(path) == ".npz" else write_tensors)(path, description, arrays)


def open_file(
    path: str | os.PathLike[str], limit: int = LIMIT
) -> "AbstractContextManager[Archive] | AbstractContextManager[Tensors]":
    """As ``open_archive`` does, in the format that the name's ending asks for."""
    return (open_archive if _ending(path) == ".npz" else open_tensors)(path, limit=limit)


def _ending(path: str | os.PathLike[str]) -> str:
    try:
        ending = Path(path).suffix.lower()
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {path!r}") from None
    if ending not in (".npz", ".safetensors"):
        raise ConfigurationError(f"path: expected a name that ends in .npz or .safetensors, got {str(path)!r}")
    return ending
