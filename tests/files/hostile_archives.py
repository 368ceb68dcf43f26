"""Hostile archives: cut off, damaged, with false claims, too large."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import evolve
from built_files import NETWORKS, build_archive, build_zip, text_of

from deepbp.storage.contents import Spec
from deepbp.storage.npz_format import Member, end

TEXT = text_of(NETWORKS[0])
GOOD = build_archive(TEXT)
CONTENTS: dict[str, Any] = json.loads(TEXT)
ARRAYS = {name: Spec.read(name, described) for name, described in CONTENTS["arrays"].items()}
PARTS = [("description.json", TEXT), *((f"{n}.npy", s.header() + bytes(s.size)) for n, s in ARRAYS.items())]


def text_with(**changed: Any) -> bytes:
    """The description with some of its keys changed."""
    return json.dumps({**CONTENTS, **changed}, separators=(",", ":")).encode()


def npy(header: str, data: bytes = bytes(24), version: int = 1) -> bytes:
    """A .npy file that says this."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def with_part(position: int, content: bytes) -> bytes:
    """The archive with another content of one member, its checksum being right."""
    parts = list(PARTS)
    parts[position] = (parts[position][0], content)
    return build_zip(parts)


def with_members(*changes: tuple[int, dict[str, Any]]) -> bytes:
    """The archive with members that lie about themselves, in header and directory alike."""
    data, members, offset = b"", [], 0
    for position, (name, content) in enumerate(PARTS):
        member = Member(name, zlib.crc32(content), len(content), offset)
        member = evolve(member, **next((change for at, change in changes if at == position), {}))
        data += member.header() + content
        members.append(member)
        offset += len(member.header()) + len(content)
    directory = b"".join(member.entry() for member in members)
    return data + directory + end(len(members), len(directory), offset)


def with_bytes(where: bytes, offset: int, new: bytes) -> bytes:
    """The archive with other bytes at each place where these stand."""
    changed, at = bytearray(GOOD), GOOD.find(where)
    while at >= 0:
        changed[at + offset : at + offset + len(new)] = new
        at = GOOD.find(where, at + 1)
    return bytes(changed)


def by_zipfile(**options: Any) -> bytes:
    """The members in an archive as zipfile writes it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", **options) as archive:
        for name, content in PARTS:
            archive.writestr(name, content)
    return written.getvalue()


def by_numpy(**arrays: Any) -> bytes:
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


def cut_and_bent() -> Iterator[tuple[str, bytes]]:
    for length in {*range(0, len(GOOD), 41), *range(len(GOOD) - 100, len(GOOD), 7)}:
        yield f"cut off after {length} bytes", GOOD[:length]
    yield "a byte more", GOOD + b"\0"
    yield "a byte before", b"\0" + GOOD
    yield "twice", GOOD + GOOD
    yield "a gap before the directory", GOOD[: GOOD.index(b"PK\1\2")] + b"\0" + GOOD[GOOD.index(b"PK\1\2") :]
    yield "zeros", bytes(5000)
    yield "ones", b"\xff" * 5000
    yield "text", b"hello\n"
    yield "signatures", b"PK\3\4" * 1000
    yield "a pickle", b"\x80\x04\x95" + bytes(100)
    yield "an image", b"\x89PNG\r\n\x1a\n" + bytes(100)
    yield "only an end", end(0, 0, 0)
    yield "no members", build_zip([])
    yield "an end that counts too many", GOOD[:-98] + end(2**40, *_directory())
    yield "an end that counts too few", GOOD[:-98] + end(1, *_directory())
    yield "a directory beyond the file", GOOD[:-98] + end(3, 2**40, _directory()[1])
    yield "a directory before the file", GOOD[:-98] + end(3, _directory()[0], 2**64 - 500)
    yield "a comment", GOOD[:-2] + b"\5\0hello"


def _directory() -> tuple[int, int]:
    start = GOOD.index(b"PK\1\2")
    return len(GOOD) - 98 - start, start


def members() -> Iterator[tuple[str, bytes]]:
    for at in range(3):
        for name in (
            "/0.weight.npy",
            "../../etc/passwd",
            "a/../../b",
            "a\\b",
            "C:\\a",
            "",
            "a//b",
            "x" * 2000,
            "a\nb",
            "\0",
        ):
            yield f"member {at} is called {name!r:.20}", with_members((at, {"name": name}))
        yield f"member {at} has another checksum", with_members((at, {"crc": 1}))
        yield f"member {at} claims 7 TiB", with_members((at, {"size": 7 * 2**40}))
        yield f"member {at} claims all there is", with_members((at, {"size": 2**64 - 1}))
        yield f"member {at} claims nothing", with_members((at, {"size": 0}))
        yield f"member {at} lies elsewhere", with_members((at, {"offset": 2**63}))
        yield f"member {at} is missing", build_zip([part for i, part in enumerate(PARTS) if i != at])
        if at < 2:
            yield f"member {at} comes last", build_zip([*(part for i, part in enumerate(PARTS) if i != at), PARTS[at]])
        yield f"member {at} comes twice", build_zip([*PARTS, PARTS[at]])
        yield f"member {at} is empty", with_part(at, b"")
    yield "another member", build_zip([*PARTS, ("1.weight.npy", PARTS[1][1])])
    yield "another member that is no array", build_zip([*PARTS, ("run.py", b"print()")])
    yield "encrypted", with_bytes(b"PK\1\2", 8, b"\1\x08")
    yield "encrypted, as the headers of the members say", with_bytes(b"PK\3\4", 6, b"\1\x08")
    yield "compressed", with_bytes(b"PK\1\2", 10, b"\x08\0")
    yield "compressed in an unknown way", with_bytes(b"PK\1\2", 10, b"\x63\0")
    yield "links", with_bytes(b"PK\1\2", 40, b"\xff\xa1")
    yield "folders", with_bytes(b"PK\1\2", 40, b"\xed\x41")
    yield "names in no encoding", with_bytes(b"0.weight", 0, b"\xff\xfe.weigh")
    yield "local names that differ", GOOD.replace(b"0.weight.npy", b"1.weight.npy", 1)
    for signature, positions in ((b"PK\3\4", range(4, 30)), (b"PK\1\2", range(4, 46)), (b"PK\6\6", range(4, 98))):
        for at in positions:
            yield f"byte {at} after {signature!r}", with_bytes(signature, at, bytes([0x5A]))
    yield "written by zipfile", by_zipfile()
    yield "written by zipfile, deflated", by_zipfile(compression=zipfile.ZIP_DEFLATED)
    yield "written by zipfile, by LZMA", by_zipfile(compression=zipfile.ZIP_LZMA)
    yield "written by NumPy", by_numpy(a=np.zeros(3))
    yield "written by NumPy, with objects", by_numpy(a=np.array([{}], dtype=object))
    yield "a bomb", _bomb()


def _bomb() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("description.json", bytes(50_000_000))
    return written.getvalue()


def headers_of_arrays() -> Iterator[tuple[str, bytes]]:
    right = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
    wrong = {
        "columns first": right.replace("False", "True"),
        "another dtype": right.replace("<f4", ">f4"),
        "objects": right.replace("<f4", "|O"),
        "fields": right.replace("'<f4'", "[('a', '<f4')]"),
        "another shape": right.replace("(3, 2)", "(2, 3)"),
        "a negative shape": right.replace("(3, 2)", "(-1, 2)"),
        "an absurd shape": right.replace("(3, 2)", "(999999999999, 999999999999)"),
        "a shape too small": right.replace("(3, 2)", "(1, 2)"),
        "a call": "__import__('os').system('false')",
        "brackets": "(" * 10_000 + ")" * 10_000,
        "another order": "{'shape': (3, 2), 'fortran_order': False, 'descr': '<f4', }",
    }
    for what, header in wrong.items():
        yield f"a header of {what}", with_part(1, npy(header))
    yield "a header of version 2", with_part(1, npy(right, version=2))
    yield "an array a byte short", with_part(1, npy(right, bytes(23)))
    yield "an array a byte long", with_part(1, npy(right, bytes(25)))
    yield "an array without its header", with_part(1, bytes(24))
