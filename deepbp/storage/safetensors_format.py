"""The safetensors format, which many other programs read and write, by way of the package safetensors.

The metadata of a file that deepbp writes hold its description, under ``deepbp``, and, as the format has no checksums,
the SHA-256 digest of the description and of all arrays. Source: https://github.com/huggingface/safetensors.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from typing import Any

import numpy as np

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.storage.atomic import whole_file
from deepbp.storage.contents import LIMIT, Spec, StoredArrays, contents_text, file_size, opened, read_at, read_contents
from deepbp.storage.json_codec import LONGEST, check_limits
from deepbp.typing import Array

DESCRIPTION, DIGEST = "deepbp", "deepbp_sha256"
CODES = {"BOOL": "bool"} | {
    f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
CODES |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}


def write_tensors(path: str | os.PathLike[str], description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Serialize a JSON object and arrays to a ``.safetensors`` file, atomically; see ``write_archive``."""
    save = _library("safetensors.numpy").save
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
def open_tensors(path: str | os.PathLike[str], limit: int = LIMIT) -> Iterator[StoredArrays]:
    """Open a file, and verify it where deepbp has written it; its arrays stay on the disk until they are read.

    Raises FileFormatError as ``open_archive`` does. A file of another program has the description None and no
    checksum, so only its structure is verified.
    """
    with opened(path, limit) as file:
        # The library verifies the structure, but only once it has parsed the header, which could be a large one.
        size = int.from_bytes(read_at(file, 0, min(8, file_size(file))), "little")
        if not 2 <= size <= file_size(file) - 8:
            raise FileFormatError(f"expected a safetensors file, got one that claims a header of {size:,} bytes")
        if size > LONGEST:
            raise FileFormatError(f"expected a header of at most {LONGEST:,} bytes, got {size:,}")
        safetensors = _library("safetensors")
        try:
            with safetensors.safe_open(os.fspath(path), framework="numpy") as tensors:
                yield _verified(tensors)
        except safetensors.SafetensorError as error:
            raise FileFormatError(f"the file is damaged, or no safetensors file: {error}") from None


def _verified(file: Any) -> StoredArrays:
    """Compare the tensors with the description and the digest, where the metadata hold them."""
    specs = {name: _spec(name, file.get_slice(name)) for name in file.keys()}  # noqa: SIM118  # it is no dict
    metadata = file.metadata() or {}
    stored = StoredArrays(None, specs, lambda name: _read_array(file, name, specs[name]))
    if DESCRIPTION not in metadata:
        return stored
    text = metadata[DESCRIPTION].encode()
    try:
        description, described = read_contents(text)
    except FileFormatError as error:
        raise error.placed(f"metadata {DESCRIPTION!r}") from None
    if described != specs:
        raise FileFormatError("the tensors are not those that the description lists")
    if metadata.get(DIGEST) != _digest(text, described, stored.array):
        raise FileFormatError("its checksum is wrong: the file is damaged")
    return StoredArrays(description, described, stored.array)


def _read_array(file: Any, name: str, spec: Spec) -> Array:
    return spec.native(name, np.array(file.get_tensor(name), spec.stored))


def _spec(name: str, tensor: Any) -> Spec:
    dtype = tensor.get_dtype()
    if dtype not in CODES:
        raise FileFormatError(
            f"tensor {name!r:.100}: expected numbers that NumPy has, got {dtype!r:.100}: .float() converts it"
        )
    return Spec.read(name, [CODES[dtype], tensor.get_shape()])


def _digest(text: bytes, names: Iterable[str], read: Callable[[str], Array]) -> str:
    digest = sha256(text)
    for name in names:
        array = read(name)
        digest.update(Spec.of(name, array).to_bytes(array))
    return digest.hexdigest()


def _library(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError("safetensors: it is not installed: pip install 'deepbp[safetensors]'") from None
