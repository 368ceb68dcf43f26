"""Hostile descriptions: no JSON, too much of it, false claims about arrays."""

import json
from collections.abc import Iterator
from typing import Any

from hostile_archives import CONTENTS, TEXT, text_with

ARRAYS: dict[str, Any] = CONTENTS["arrays"]
JUNK: list[Any] = [None, True, -1, 2.5, 10**12, "", "64", [], {}, [[]], {"object": 0}, {"number": "nan"}]


def texts() -> Iterator[tuple[str, bytes]]:
    """Texts in place of JSON."""
    yield "no text", b""
    yield "no JSON", b"hello"
    yield "cut JSON", TEXT[:-1]
    yield "more than JSON", TEXT + b"{}"
    yield "a mark of its encoding", b"\xef\xbb\xbf" + TEXT
    yield "UTF-16", TEXT.decode().encode("utf-16")
    yield "no UTF-8", TEXT.replace(b"model", b"\xff\xfe\xfd\xfc\xfb")
    yield "a list", b"[" + TEXT + b"]"
    yield "a number", b"1"
    yield "NaN", TEXT.replace(b"0.5", b"NaN")
    yield "Infinity", TEXT.replace(b"0.5", b"-Infinity")
    yield "a number that becomes infinite", TEXT.replace(b"0.5", b"1e999")
    yield "a number of many digits", TEXT.replace(b"0.5", b"9" * 4000)
    yield "a fraction of many digits", TEXT.replace(b"0.5", b"0." + b"9" * 4000)
    yield "a key twice", TEXT.replace(b'"frozen"', b'"ties":{},"frozen"')
    yield "a key twice at the top", TEXT.replace(b'"archive":1', b'"archive":1,"archive":1')
    yield "deep lists", text_with(more=0).replace(b'"more":0', b'"more":' + b"[" * 50_000 + b"]" * 50_000)
    yield "deep dicts", text_with(more=0).replace(b'"more":0', b'"more":' + b'{"a":' * 50_000 + b"0" + b"}" * 50_000)
    yield "deep, and open", b"[" * 1_000_000
    yield "quotes, and open", b'"' + b'\\"' * 1_000_000
    yield "many lists", b"[" + b"[]," * 1_000_000 + b"[]]"
    yield "many dicts", b"[" + b"{}," * 95_000 + b"{}]"
    yield "many keys", b"{" + b",".join(b'"%d":0' % i for i in range(300_000)) + b"}"
    yield "long text", text_with(more="x" * 5_000_000)
    yield "long text within the limit", text_with(more="x" * 4_000_000)


def contents() -> Iterator[tuple[str, bytes]]:
    """Invalid keys and array specs."""
    for junk in JUNK:
        yield f"archive: {junk!r}", text_with(archive=junk)
        yield f"arrays: {junk!r}", text_with(arrays=junk)
        yield f"description: {junk!r}", text_with(description=junk)
        yield f"an array: {junk!r}", text_with(arrays={**ARRAYS, "0.weight": junk})
        yield f"a shape: {junk!r}", text_with(arrays={**ARRAYS, "0.weight": ["float32", junk]})
        yield f"a dtype: {junk!r}", text_with(arrays={**ARRAYS, "0.weight": [junk, [3, 2]]})
        yield f"a size: {junk!r}", text_with(arrays={**ARRAYS, "0.weight": ["float32", [3, junk]]})
    for dtype in ("object", "<f4", "float128", "complex64", "str", "V8", "datetime64[s]", "float64", "int32", "f,f"):
        yield f"dtype {dtype}", text_with(arrays={**ARRAYS, "0.weight": [dtype, [3, 2]]})
    for shape in ([10**9, 10**9], [2**63], [0, 10**18], [-3, -2], [6], [2, 3], [1] * 40, [3, 2, 1], [3.0, 2.0]):
        yield f"shape {shape!r:.20}", text_with(arrays={**ARRAYS, "0.weight": ["float32", shape]})
    yield "a newer archive", text_with(archive=2)
    yield "an archive of another time", text_with(archive=10**50)
    yield "another key", text_with(more=1)
    yield "keys in another order", json.dumps(dict(reversed(CONTENTS.items())), separators=(",", ":")).encode()
    for key in CONTENTS:
        yield f"no {key}", json.dumps({k: v for k, v in CONTENTS.items() if k != key}).encode()
    for name in ("", "/0", "../0", "a/../b", "a\\b", "C:a", "a\nb", "x" * 2000, "configuration/0", "0.weight "):
        yield f"an array called {name!r:.20}", text_with(arrays={**ARRAYS, name: ["float32", [1]]})
    yield "no arrays", text_with(arrays={})
