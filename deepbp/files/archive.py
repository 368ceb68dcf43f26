"""An ``.npz`` file of a description and arrays: written whole or not at all, and read only when all of it is right.

A zip file whose first member, ``description.json``, holds a JSON description and says which arrays follow; each is a
``.npy`` member. Nothing in it is pickled, and ``numpy.load`` opens it, too.
"""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.files.arrays import Spec
from deepbp.files.contents import contents_text, read_contents
from deepbp.files.directory import LARGEST, read_directory
from deepbp.files.members import Member, end
from deepbp.files.opening import LIMIT, opened, read_at
from deepbp.files.text import LONGEST
from deepbp.training.atomic import whole_file
from deepbp.typing import Array

DESCRIPTION = "description.json"
AT_ONCE = 2**20  # bytes, where only their checksum is wanted


def write_archive(path: str | os.PathLike[str], description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a file of these, which takes the place of an old one only once it is complete and on the disk.

    Args:
        path: its name, which should end in ``.npz``.
        description: what JSON can hold: dicts with text as keys, lists, text, finite numbers, bools, None.
        arrays: of numbers or truth values, by name.

    Raises:
        ArgumentTypeError, ConfigurationError, DataTypeError: for what such a file cannot hold, before it is opened.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    specs = Spec.of_all(arrays)
    text = contents_text(description, specs)
    parts: list[tuple[str, bytes, bytes | memoryview]] = [(DESCRIPTION, b"", text)]
    parts += [(_member_name(name), spec.header(), spec.to_bytes(arrays[name])) for name, spec in specs.items()]
    members: list[Member] = []
    for name, header, numbers in parts:
        crc = zlib.crc32(numbers, zlib.crc32(header))
        members.append(Member(name, crc, len(header) + len(numbers), members[-1].end if members else 0))
    directory = b"".join(member.entry() for member in members)
    if len(directory) > LARGEST:  # which no reader would take
        raise ConfigurationError(f"arrays: expected names that take at most {LARGEST:,} bytes, got {len(directory):,}")
    with whole_file(path, binary=True) as file:
        for member, (_, header, numbers) in zip(members, parts, strict=True):
            file.writelines((member.header(), header, numbers))
        file.write(directory + end(len(members), len(directory), members[-1].end))


def read_archive(path: str | os.PathLike[str], *, limit: int = LIMIT) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description and the arrays of a file that ``write_archive`` has written.

    Raises:
        FileFormatError: when the file is damaged in any place, is of another kind, or is larger than ``limit`` bytes.
            Nothing that a file claims is believed: memory is taken for bytes that are there.
        OSError: when there is no such file, or it may not be read.
    """
    with open_archive(path, limit=limit) as archive:
        return archive.description, archive.arrays()


@contextmanager
def open_archive(path: str | os.PathLike[str], *, limit: int = LIMIT) -> "Iterator[Archive]":
    """The archive, verified, with its arrays still on the disk. Raises as ``read_archive`` does."""
    with opened(path, limit) as file:
        yield Archive.of(file)


@frozen
class Archive:
    """A file of a description and arrays that was found to be right."""

    description: dict[str, Any]
    specs: dict[str, Spec]
    _file: BinaryIO
    _members: dict[str, Member]  # by the name of the array

    @classmethod
    def of(cls, file: BinaryIO) -> "Archive":
        """Verify every byte of the file, in little memory."""
        members = read_directory(file)
        if not members or members[0].name != DESCRIPTION:
            raise FileFormatError(f"expected {DESCRIPTION} as the first member")
        first = members.pop(0)
        if first.size > LONGEST:
            raise FileFormatError(f"{DESCRIPTION}: expected at most {LONGEST:,} bytes, got {first.size:,}")
        try:
            _verify(file, first)
            description, specs = read_contents(read_at(file, first.start, first.size))
        except FileFormatError as error:
            raise error.placed(DESCRIPTION) from None
        _compare([member.name for member in members], list(map(_member_name, specs)))
        for member, spec in zip(members, specs.values(), strict=True):
            _verify(file, member)
            header = spec.header()
            if member.size != len(header) + spec.size or read_at(file, member.start, len(header)) != header:
                raise FileFormatError(
                    f"member {member.name!r}: expected {spec.dtype} of shape {spec.shape}, as {DESCRIPTION} says, got "
                    f"another header or another size, {member.size:,} bytes"
                )
        return cls(description, specs, file, dict(zip(specs, members, strict=True)))

    def arrays(self) -> dict[str, Array]:
        """All arrays, by name."""
        return {name: self.array(name) for name in self.specs}

    def array(self, name: str) -> Array:
        """One array, by name."""
        spec, member = self.specs[name], self._members[name]
        array, header = spec.empty(), spec.header()
        numbers = array.reshape(-1).view(np.uint8).data
        self._file.seek(member.start + len(header))
        self._file.readinto(numbers)  # type: ignore[attr-defined]
        if zlib.crc32(numbers, zlib.crc32(header)) != member.crc:
            raise FileFormatError(f"member {member.name!r}: it changed while it was read")
        return spec.finished(name, array)


def _member_name(array_name: str) -> str:
    return f"{array_name}.npy"


def _verify(file: BinaryIO, member: Member) -> None:
    crc = 0
    for start in range(member.start, member.end, AT_ONCE):
        crc = zlib.crc32(read_at(file, start, min(AT_ONCE, member.end - start)), crc)
    if crc != member.crc:
        raise FileFormatError(f"member {member.name!r}: its checksum is wrong: the file is damaged")


def _compare(found: list[str], expected: list[str]) -> None:
    if found == expected:
        return
    missing = sorted(set(expected) - set(found))
    if missing:
        raise FileFormatError(f"member {missing[0]!r}: it is missing, though {DESCRIPTION} tells of it")
    strange = sorted(set(found) - set(expected))
    if strange:
        raise FileFormatError(f"member {strange[0]!r}: {DESCRIPTION} does not tell of it")
    if found != expected:
        raise FileFormatError(f"the members come in another order than in {DESCRIPTION}")
