"""What a file holds, a JSON object and arrays by name, and the limits that protect a reader from hostile files."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from attrs import frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataTypeError, DeepBPError, FileFormatError, shown
from deepbp.storage import LIMIT
from deepbp.storage.atomic import NO_WAITING
from deepbp.storage.json_codec import DTYPES, from_text, to_text
from deepbp.typing import Array, Shape

CHUNK = 2**20  # bytes that are read at once to compute a checksum

LONGEST_NAME, MOST_AXES, MOST_ARRAYS, LONGEST_MESSAGE = 1000, 32, 20_000, 1000


@contextmanager
def opened(path: str | os.PathLike[str] | bytes, limit: int = LIMIT) -> Iterator[BinaryIO]:
    """Open a file, or its contents, for reading, and put its name in front of each FileFormatError raised in the block.

    What any error of the block says about the file is escaped and shortened; see ``_make_printable``.

    Raises:
        ArgumentTypeError, ConfigurationError: for an invalid path or limit.
        FileFormatError: for a folder, a device, an empty file, or one larger than the limit.
        OSError: when there is no such file, or it may not be read.
    """
    try:
        source = Path("bytes" if isinstance(path, bytes) else path)
        kind = stat.S_IFREG if isinstance(path, bytes) else os.stat(source).st_mode  # opening acts upon some devices
    except TypeError:
        raise ArgumentTypeError(f"path: expected a file name, got {shown(path)}") from None
    except ValueError as error:
        raise ConfigurationError(f"path: expected a file name, got {shown(path)}: {error}") from None
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ArgumentTypeError(f"limit: expected a number of bytes, got {shown(limit)}")
    try:
        _check_kind(kind)
        with BytesIO(path) if isinstance(path, bytes) else open(source, "rb", opener=_without_waiting) as file:
            if not isinstance(file, BytesIO):
                _check_kind(os.fstat(file.fileno()).st_mode)  # again: it may have been replaced since
            size = file_size(file)
            if size == 0:
                raise FileFormatError("expected a file of deepbp, got an empty one")
            if size > limit:
                raise FileFormatError(f"expected at most {limit:,} bytes, got {size:,}: pass limit={size} to read it")
            yield file
    except DeepBPError as error:
        _make_printable(error)
        if isinstance(error, FileFormatError):
            error.placed(_printable(str(source)))
        raise error from error.__cause__


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | NO_WAITING)


def read_stream(stream: BinaryIO, limit: int = LIMIT) -> bytes:
    """Read a binary stream from its position to its end. Raises FileFormatError for more than ``limit`` bytes."""
    pieces, size = [], 0
    while piece := stream.read(CHUNK):
        if not isinstance(piece, bytes):
            raise ArgumentTypeError(
                f"path: expected a binary stream, got one of text, {stream!r}: open it with mode 'rb'"
            )
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise FileFormatError(f"expected at most {limit:,} bytes, got more from {stream!r:.100}: pass limit=...")
    return b"".join(pieces)


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise FileFormatError(f"expected a file, got {what}")


def _make_printable(error: BaseException | None) -> None:
    """Escape and shorten the messages of an error and its causes: a file's text may be long, or control terminals."""
    while error is not None:
        texts = (str(error),) if isinstance(error, DeepBPError) else error.args
        error.args = tuple(_printable(text) if isinstance(text, str) else text for text in texts)
        error.__notes__ = [_printable(note) for note in getattr(error, "__notes__", ())]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _printable(text: str) -> str:
    half = LONGEST_MESSAGE // 2
    shown = text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} … {text[-half:]}"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in shown)


def file_size(file: BinaryIO) -> int:
    """The size in bytes."""
    if isinstance(file, BytesIO):
        return file.getbuffer().nbytes
    return os.fstat(file.fileno()).st_size


def read_at(file: BinaryIO, start: int, size: int) -> bytes:
    """Read exactly ``size`` bytes from a position. Raises FileFormatError where the file ends earlier."""
    if start < 0 or start + size > file_size(file):
        raise FileFormatError(
            f"expected {size:,} bytes from byte {start:,} on, got the end of the file: was it cut off?"
        )
    file.seek(start)
    found = file.read(size)
    if len(found) != size:
        raise FileFormatError("the file became shorter while it was read")
    return found


@frozen
class Spec:
    """The dtype and the shape of an array in a file."""

    dtype: str
    shape: Shape

    @classmethod
    def of(cls, name: str, array: Any) -> Self:
        """The spec of an array that is to be written. Raises DataTypeError for objects, text, dates and so on."""
        if not isinstance(array, np.ndarray):
            raise ArgumentTypeError(f"array {name!r}: expected an array, got {shown(array)}")
        if array.dtype.name not in DTYPES:
            raise DataTypeError(f"array {name!r}: expected numbers, got {array.dtype}: a file holds no other arrays")
        if array.ndim > MOST_AXES:
            raise ConfigurationError(f"array {name!r}: expected at most {MOST_AXES} axes, got {array.ndim}")
        return cls(array.dtype.name, array.shape)

    @classmethod
    def of_all(cls, arrays: Mapping[str, Any]) -> dict[str, Self]:
        """The specs of all arrays that are to be written; validates their names and number, too."""
        if not isinstance(arrays, Mapping):
            raise ArgumentTypeError(f"arrays: expected arrays by name, got {shown(arrays)}")
        if len(arrays) > MOST_ARRAYS:
            raise ConfigurationError(f"arrays: expected at most {MOST_ARRAYS:,}, got {len(arrays):,}")
        return {check_name(name): cls.of(name, array) for name, array in arrays.items()}

    @classmethod
    def read(cls, name: str, described: Any) -> Self:
        """Validate ``[dtype, shape]``, the form of a spec in a file. Raises FileFormatError."""
        place = f"array {name!r}"
        if not isinstance(described, list) or len(described) != 2:
            raise FileFormatError(f"{place}: expected its dtype and its shape, got {described!r:.100}")
        dtype, shape = described
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise FileFormatError(f"{place}: expected a dtype of numbers, got {dtype!r:.100}")
        if not isinstance(shape, list) or len(shape) > MOST_AXES:
            raise FileFormatError(f"{place}: expected a shape of at most {MOST_AXES} axes, got {shape!r:.100}")
        if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
            raise FileFormatError(f"{place}: expected sizes that are whole numbers of at least 0, got {shape!r:.100}")
        return cls(dtype, tuple(shape))

    @property
    def stored(self) -> "np.dtype[Any]":
        """The dtype in the file, which is little-endian on every machine."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def size(self) -> int:
        """The size of the numbers in bytes."""
        return prod(self.shape) * self.stored.itemsize

    def header(self) -> bytes:
        """The header of a ``.npy`` file, version 1.0, in the one form that deepbp writes."""
        text = f"{{'descr': {self.stored.str!r}, 'fortran_order': False, 'shape': {self.shape}, }}"
        text += " " * (-(10 + len(text) + 1) % 64) + "\n"  # aligned as NumPy does it
        return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()

    def to_bytes(self, array: Array) -> memoryview:
        """The numbers as the file holds them; copies only where the memory layout differs."""
        return np.ascontiguousarray(array, self.stored).reshape(-1).view(np.uint8).data

    def empty(self) -> Array:
        """An array to read the numbers into."""
        return np.empty(self.shape, self.stored)

    def native(self, name: str, array: Array) -> Array:
        """The array in this machine's byte order. Raises FileFormatError for truth values that are not 0 or 1."""
        if self.dtype == "bool" and (array.view(np.uint8) > 1).any():
            raise FileFormatError(f"array {name!r}: expected truth values, got a byte that is neither 0 nor 1")
        return array.astype(self.dtype, copy=False)


@frozen
class StoredArrays:
    """An open file: a JSON object, the spec of each array, and a function that reads one array by name."""

    description: dict[str, Any] | None  # None where another program has written the file
    specs: dict[str, Spec]
    array: Callable[[str], Array]


def check_name(name: Any) -> str:
    """Validate a name that is safe for a file in an archive, such as ``"0.weight"`` or ``"optimizer/mean"``."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ConfigurationError(f"expected a name of 1 to {LONGEST_NAME} characters, got {name!r:.100}")
    if name[0] == "/" or {"", ".", ".."} & set(name.split("/")) or not name.isprintable() or {"\\", ":"} & set(name):
        raise ConfigurationError(
            f"expected a name of printable characters, relative and without '..', \\ and :, got {name!r:.100}"
        )
    return name


VERSION = 1
KEYS = ("archive", "description", "arrays")


def contents_text(description: dict[str, Any], specs: Mapping[str, Spec]) -> bytes:
    """The JSON text of a description and the specs of the arrays. Raises as ``to_text`` does."""
    if not isinstance(description, dict):
        raise ArgumentTypeError(f"description: expected a dict, got {description!r:.100}")
    arrays = {name: [spec.dtype, list(spec.shape)] for name, spec in specs.items()}
    return to_text(dict(zip(KEYS, (VERSION, description, arrays), strict=True)))


def read_contents(text: bytes) -> tuple[dict[str, Any], dict[str, Spec]]:
    """Parse and validate the JSON text that ``contents_text`` makes. Raises FileFormatError for any other text."""
    contents = from_text(text)
    check_version(contents.get("archive"), VERSION, "the archive")
    if tuple(contents) != KEYS:
        raise FileFormatError(f"expected the keys {list(KEYS)}, got {list(contents)!r:.200}")
    _, description, arrays = contents.values()
    if not isinstance(description, dict) or not isinstance(arrays, dict):
        raise FileFormatError("expected a description and a table of arrays, got something else")
    if len(arrays) > MOST_ARRAYS:
        raise FileFormatError(f"arrays: expected at most {MOST_ARRAYS:,}, got {len(arrays):,}")
    try:
        return description, {check_name(name): Spec.read(name, described) for name, described in arrays.items()}
    except ConfigurationError as error:
        raise FileFormatError(f"arrays: {error}") from None


def check_version(version: Any, newest: int, what: str) -> None:
    """Validate the version of a format. Raises FileFormatError for one that this deepbp does not know."""
    if type(version) is not int or version < 1:
        raise FileFormatError(f"expected the version of {what}, a whole number of at least 1, got {version!r:.100}")
    if version > newest:
        raise FileFormatError(
            f"{what} has version {version}, and this deepbp reads versions up to {newest}: install a newer deepbp"
        )
