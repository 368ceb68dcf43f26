"""Hostile safetensors files."""

import json
from collections.abc import Iterator
from typing import Any

from built_files import build_tensors
from hostile_archives import TEXT

GOOD_TENSORS = build_tensors(TEXT)
SIZE = int.from_bytes(GOOD_TENSORS[:8], "little")
HEADER: dict[str, Any] = json.loads(GOOD_TENSORS[8 : 8 + SIZE])
DATA = GOOD_TENSORS[8 + SIZE :]
JUNK: list[Any] = [1, None, [], {}, "", {"a": 1}]


def file_of(header: Any, data: bytes = DATA) -> bytes:
    """A file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensors() -> Iterator[tuple[str, bytes]]:
    """Damaged files, files with false claims, files of other programs."""
    for length in range(0, len(GOOD_TENSORS), 61):
        yield f"cut off after {length} bytes", GOOD_TENSORS[:length]
    yield "a byte more", GOOD_TENSORS + b"\0"
    for size in (0, 1, SIZE - 1, SIZE + 1, 10**8, 2**63, 2**64 - 1):
        yield f"a header of {size} bytes", size.to_bytes(8, "little") + GOOD_TENSORS[8:]
    yield "a long header", file_of(b" " * 5_000_000 + b"{}")
    yield "a deep header", file_of(b"[" * 100_000 + b"]" * 100_000)
    yield "a header that is a list", file_of([HEADER])
    yield "zeros", bytes(5000)
    yield "other numbers", file_of(HEADER, b"\1" + DATA[1:])
    yield "no description", file_of({**HEADER, "__metadata__": {"format": "pt"}})
    yield "no metadata", file_of({name: entry for name, entry in HEADER.items() if name != "__metadata__"})
    for key in HEADER["__metadata__"]:
        rest = {name: text for name, text in HEADER["__metadata__"].items() if name != key}
        yield f"no {key}", file_of({**HEADER, "__metadata__": rest})
        for junk in JUNK:
            yield f"{key}: {junk!r}", file_of({**HEADER, "__metadata__": {**rest, key: junk}})
    for junk in JUNK:
        yield f"metadata: {junk!r}", file_of({**HEADER, "__metadata__": junk})
        yield f"a tensor: {junk!r}", file_of({**HEADER, "0.weight": junk})
    for key, value in (
        ("dtype", "BF16"),
        ("dtype", "F64"),
        ("dtype", "F8_E4M3"),
        ("dtype", 1),
        ("dtype", []),
        ("shape", [3]),
        ("shape", [2, 3]),
        ("shape", [-3, -2]),
        ("shape", [10**12, 10**12]),
        ("shape", "a"),
        ("data_offsets", [0, 23]),
        ("data_offsets", [24, 0]),
        ("data_offsets", [8, 32]),
        ("data_offsets", [0, 10**15]),
        ("data_offsets", [-24, 0]),
        ("data_offsets", []),
    ):
        yield f"{key} {value}", file_of({**HEADER, "0.weight": {**HEADER["0.weight"], key: value}})
    yield "another tensor", file_of({**HEADER, "a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    yield "a tensor less", file_of({name: entry for name, entry in HEADER.items() if name != "0.weight"})
    yield "a name twice", file_of(json.dumps(HEADER).replace('"0.bias"', '"0.weight"').encode())
