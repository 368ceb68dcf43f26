"""A ``.safetensors`` file of a description and arrays, which many other programs read, and those that they write.

The description stands in its metadata, under ``deepbp``; as the format has no checksums, one of everything stands
beside it. It needs the package safetensors. Source: https://github.com/huggingface/safetensors.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, BinaryIO

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.storage.atomic import whole_file
from deepbp.storage.contents import LIMIT, Spec, contents_text, file_size, opened, read_at, read_contents
from deepbp.storage.json_codec import LONGEST, check_limits, from_text
from deepbp.typing import Array

METADATA, DESCRIPTION, DIGEST = "__metadata__", "deepbp", "deepbp_sha256"
DTYPES = {"BOOL": "bool"} | {
    f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
DTYPES |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}


def write_tensors(path: str | os.PathLike[str], description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """As ``write_archive`` does, in this format."""
    _need_safetensors()
    from safetensors.numpy import save

    specs = Spec.of_all(arrays)
    text = contents_text(description, specs)
    in_order = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    metadata = {DESCRIPTION: text.decode(), DIGEST: _digest(text, specs, in_order.__getitem__)}
    data = save(in_order, metadata)
    try:
        check_limits(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except FileFormatError as error:
        raise ConfigurationError(f"description: with its arrays, {error}") from None
    with whole_file(path, binary=True) as file:
        file.write(data)


@contextmanager
def open_tensors(path: str | os.PathLike[str], limit: int = LIMIT) -> "Iterator[Tensors]":
    """The file, with its arrays still on the disk: verified where deepbp has written it.

    Raises FileFormatError as ``open_archive`` does. Of a file of another program, whose description is None, only the
    structure can be verified: such files have no checksums.
    """
    with opened(path, limit) as file:
        header = _read_header(file)
        _need_safetensors()
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(os.fspath(path), framework="numpy") as tensors:
                if set(tensors.keys()) != set(header) - {METADATA}:
                    raise FileFormatError("the file changed while it was read")
                yield Tensors.of(header, tensors)
        except SafetensorError as error:
            raise FileFormatError(f"the file is damaged, or no safetensors file: {error}") from None


@frozen
class Tensors:
    """A file of arrays, and of a description where deepbp has written it."""

    description: dict[str, Any] | None
    specs: dict[str, Spec]
    _file: Any

    @classmethod
    def of(cls, header: dict[str, Any], file: Any) -> "Tensors":
        """Hold what the header says against the description and the checksum, where there are any."""
        specs = {name: _spec(name, entry) for name, entry in header.items() if name != METADATA}
        metadata = header.get(METADATA, {})
        if not isinstance(metadata, dict) or not isinstance(metadata.get(DESCRIPTION, ""), str):
            raise FileFormatError("expected metadata of text by name")
        if DESCRIPTION not in metadata:
            return cls(None, specs, file)
        text = metadata[DESCRIPTION].encode()
        try:
            description, described = read_contents(text)
        except FileFormatError as error:
            raise error.placed(f"metadata {DESCRIPTION!r}") from None
        if described != specs:
            raise FileFormatError("the tensors are not those that the description tells of")
        made = cls(description, described, file)
        if metadata.get(DIGEST) != _digest(text, described, made.array):
            raise FileFormatError("its checksum is wrong: the file is damaged")
        return made

    def array(self, name: str) -> Array:
        """One array, by name."""
        array: Array = self._file.get_tensor(name)
        spec = self.specs[name]
        if Spec(array.dtype.name, array.shape) != spec:
            raise FileFormatError(f"tensor {name!r}: expected {spec.dtype} of shape {spec.shape}, got another")
        return spec.finished(name, np.array(array, spec.stored))


def _read_header(file: BinaryIO) -> dict[str, Any]:
    size = int.from_bytes(read_at(file, 0, min(8, file_size(file))), "little")
    if not 2 <= size <= file_size(file) - 8:
        raise FileFormatError(f"expected a safetensors file, got one that claims a header of {size:,} bytes")
    if size > LONGEST:
        raise FileFormatError(f"expected a header of at most {LONGEST:,} bytes, got {size:,}")
    try:
        return from_text(read_at(file, 8, size))
    except FileFormatError as error:
        raise error.placed("header") from None


def _spec(name: str, entry: Any) -> Spec:
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if dtype not in DTYPES:
        raise FileFormatError(
            f"tensor {name!r:.100}: expected numbers that NumPy has, got {dtype!r:.100}: .float() converts it"
        )
    return Spec.read(name, [DTYPES[dtype], shape])


def _digest(text: bytes, names: Mapping[str, Any], read: Any) -> str:
    digest = sha256(text)
    for name in names:
        array = read(name)
        digest.update(Spec.of(name, array).to_bytes(array))
    return digest.hexdigest()


def _need_safetensors() -> None:
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        raise ConfigurationError("safetensors: it is not installed: pip install 'deepbp[safetensors]'") from None
