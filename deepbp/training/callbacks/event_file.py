"""The file format of TensorBoard, as much of it as numbers need: so writing it needs no other framework.

A file is a row of records, each with its length and checksums; a record is an ``Event`` of Protocol Buffers:

    Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog log = 7 }
    Summary { repeated Value value = 1 }      Value { string tag = 1; float simple_value = 2 }

Source: tensorflow/core/util/event.proto and lib/io/record_writer.h; the checksum: RFC 3720, appendix B.4.
"""

import struct
from collections.abc import Mapping
from functools import cache
from os import PathLike
from time import time

import numpy as np

STARTED = b"\x08\x01"
"""A ``SessionLog`` of status START: what earlier files say about this step and later ones is hidden."""


def append(path: str | PathLike[str], step: int, values: Mapping[str, float], *, begins: bool = False) -> None:
    """Add numbers of a step, by their tags, at the end of a file; one that does not exist yet is begun.

    Args:
        begins: a training starts with this step, perhaps once more.
    """
    with open(path, "ab") as file:
        if file.tell() == 0:
            file.write(_record(_event(0, 3, b"brain.Event:2")))
        if begins:
            file.write(_record(_event(step, 7, STARTED)))
        summary = b"".join(_field(1, _field(1, tag.encode()) + b"\x15" + _float(v)) for tag, v in values.items())
        file.write(_record(_event(step, 5, summary)))


def _event(step: int, number: int, content: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time()) + b"\x10" + _varint(step) + _field(number, content)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _float(value: float) -> bytes:
    with np.errstate(over="ignore"):  # what float32 cannot hold is drawn as infinity
        return np.array(value).astype("<f4").tobytes()


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(crc32c(length)) + data + _masked(crc32c(data))


def _masked(checksum: int) -> bytes:
    """Rotated and shifted, for the checksum of data that hold checksums is weak."""
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check with Castagnoli's polynomial."""
    table, checksum = _table(), 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


@cache
def _table() -> list[int]:
    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        return byte

    return [entry(byte) for byte in range(256)]
