"""The safetensors format, which many other programs read and write.

The metadata of a file that deepbp writes hold its description, under ``deepbp``, and, as the format has no checksums,
the SHA-256 digest of the description and of all arrays. Source: https://github.com/huggingface/safetensors.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, BinaryIO

import numpy as np

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.storage import LIMIT
from deepbp.storage.atomic import FileLike, whole_file
from deepbp.storage.contents import (
    CHUNK,
    LONGEST_NAME,
    Spec,
    StoredArrays,
    contents_text,
    file_size,
    opened,
    read_at,
    read_contents,
)
from deepbp.storage.json_codec import LONGEST, check_limits, from_text
from deepbp.typing import Array

METADATA, DESCRIPTION, DIGEST = "__metadata__", "deepbp", "deepbp_sha256"
CODES = {"BOOL": "bool"} | {
    f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
CODES |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}


def write_tensors(path: FileLike, description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Serialize a JSON object and arrays to a ``.safetensors`` file, atomically; see ``write_archive``."""
    specs = Spec.of_all(arrays)
    text = contents_text(description, specs)
    numbers = {name: spec.to_bytes(arrays[name]) for name, spec in specs.items()}
    digest = sha256(text)
    for part in numbers.values():
        digest.update(part)
    header: dict[str, Any] = {METADATA: {DESCRIPTION: text.decode(), DIGEST: digest.hexdigest()}}
    codes, start = {dtype: code for code, dtype in CODES.items()}, 0
    in_order = sorted(specs, key=lambda name: -specs[name].stored.itemsize)  # so that all numbers are aligned
    for name in in_order:
        end = start + specs[name].size
        header[name] = {"dtype": codes[specs[name].dtype], "shape": specs[name].shape, "data_offsets": (start, end)}
        start = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    try:
        check_limits(encoded)
    except FileFormatError as error:
        raise ConfigurationError(f"description: with its arrays, {error}") from None
    with whole_file(path, binary=True) as file:
        file.writelines((len(encoded).to_bytes(8, "little"), encoded, *(numbers[name] for name in in_order)))


@contextmanager
def open_tensors(path: str | os.PathLike[str] | bytes, limit: int = LIMIT) -> Iterator[StoredArrays]:
    """Open a file, and verify it where deepbp has written it; its arrays stay on the disk until they are read.

    Raises FileFormatError as ``open_archive`` does. A file of another program has the description None and no
    checksum, so only its structure is verified.
    """
    with opened(path, limit) as file:
        yield _verified(file)


def _verified(file: BinaryIO) -> StoredArrays:
    """Compare the tensors with the description and the digest, where the metadata hold them."""
    size = int.from_bytes(read_at(file, 0, min(8, file_size(file))), "little")
    if not 2 <= size <= file_size(file) - 8:
        raise FileFormatError(f"expected a safetensors file, got one that claims a header of {size:,} bytes")
    if size > LONGEST:
        raise FileFormatError(f"expected a header of at most {LONGEST:,} bytes, got {size:,}")
    try:
        header = from_text(read_at(file, 8, size))
        metadata = header.pop(METADATA, {})
        specs, starts = _tensors(header, 8 + size, file_size(file))
    except FileFormatError as error:
        raise FileFormatError(f"the file is damaged, or no safetensors file: {error}") from None
    stored = StoredArrays(None, specs, lambda name: _read_array(file, name, specs[name], starts[name]))
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FileFormatError(f"{METADATA}: expected texts by name, got {metadata!r:.100}")
    if DESCRIPTION not in metadata:
        return stored
    text = metadata[DESCRIPTION].encode(errors="surrogatepass")
    try:
        description, described = read_contents(text)
    except FileFormatError as error:
        raise error.placed(f"metadata {DESCRIPTION!r}") from None
    if described != specs:
        raise FileFormatError("the tensors are not those that the description lists")
    digest = sha256(text)
    for name, spec in described.items():
        for start in range(starts[name], end := starts[name] + spec.size, CHUNK):
            digest.update(read_at(file, start, min(CHUNK, end - start)))
    if metadata.get(DIGEST) != digest.hexdigest():
        raise FileFormatError("its checksum is wrong: the file is damaged")
    return StoredArrays(description, described, stored.array)


def _tensors(header: dict[str, Any], start: int, end: int) -> tuple[dict[str, Spec], dict[str, int]]:
    """The specs of the tensors and the positions of their numbers, which fill the file between two positions."""
    specs, offsets = {}, {}
    for name, entry in header.items():
        place = f"tensor {name!r:.100}"
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise FileFormatError(f"{place}: expected a name of at most {LONGEST_NAME} printable characters")
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise FileFormatError(f"{place}: expected its dtype, shape and data_offsets, got {entry!r:.100}")
        dtype, offsets[name] = entry["dtype"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in CODES:
            raise FileFormatError(f"{place}: expected numbers that NumPy has, got {dtype!r:.100}: .float() converts it")
        specs[name] = Spec.read(name, [CODES[dtype], entry["shape"]])
        if not isinstance(offsets[name], list) or [type(one) for one in offsets[name]] != [int, int]:
            raise FileFormatError(f"{place}: expected two data_offsets, got {offsets[name]!r:.100}")
    starts, position = {}, start
    for name, (begin, after) in sorted(offsets.items(), key=lambda item: item[1]):
        starts[name], position = position, position + specs[name].size
        if [start + begin, start + after] != [starts[name], position]:
            raise FileFormatError(
                f"tensor {name!r:.100}: expected data_offsets [{starts[name] - start}, {position - start}] for "
                f"{specs[name].dtype} of shape {specs[name].shape}, got [{begin}, {after}]"
            )
    if position != end:
        raise FileFormatError(f"expected {position:,} bytes, as its header says, got {end:,}: was it cut off?")
    return specs, starts


def _read_array(file: BinaryIO, name: str, spec: Spec, start: int) -> Array:
    array = spec.empty()
    file.seek(start)
    if file.readinto(array.reshape(-1).view(np.uint8).data) != spec.size:  # type: ignore[attr-defined]
        raise FileFormatError("the file became shorter while it was read")
    return spec.native(name, array)
