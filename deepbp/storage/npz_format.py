"""The npz format: a zip archive of NumPy arrays, written and read byte by byte."""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from struct import Struct
from typing import Any, BinaryIO

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.storage.atomic import whole_file
from deepbp.storage.contents import (
    LIMIT,
    MOST_ARRAYS,
    Spec,
    check_name,
    contents_text,
    file_size,
    opened,
    read_at,
    read_contents,
)
from deepbp.storage.json_codec import LONGEST
from deepbp.typing import Array

VERSION, UTF8, STORED, FIRST_DAY, LARGE = 45, 0x800, 0, 0x21, 0xFFFFFFFF
UNIX_FILE = 0o100644 << 16
LOCAL = Struct("<4s5H3I2H")
LOCAL_EXTRA = Struct("<2H2Q")
CENTRAL = Struct("<4s6H3I5H2I")
CENTRAL_EXTRA = Struct("<2H3Q")
END = Struct("<4sQ2H2I4Q" + "4sIQI" + "4s4H2IH")  # the record, the locator of it, and the one of small zip files
END_RECORD = 56


@frozen
class Member:
    """A file in the archive: ``size`` bytes with the checksum ``crc``, whose header is at ``offset``."""

    name: str
    crc: int
    size: int
    offset: int

    @property
    def start(self) -> int:
        """Where its bytes begin."""
        return self.offset + LOCAL.size + len(self.name.encode()) + LOCAL_EXTRA.size

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.start + self.size

    def header(self) -> bytes:
        """What stands before its bytes."""
        name = self.name.encode()
        sizes = (LARGE, LARGE, len(name), LOCAL_EXTRA.size)
        fixed = LOCAL.pack(b"PK\3\4", VERSION, UTF8, STORED, 0, FIRST_DAY, self.crc, *sizes)
        return fixed + name + LOCAL_EXTRA.pack(1, LOCAL_EXTRA.size - 4, self.size, self.size)

    def entry(self) -> bytes:
        """Its entry in the archive's directory."""
        name = self.name.encode()
        sizes = (LARGE, LARGE, len(name), CENTRAL_EXTRA.size)
        made_by = 3 << 8 | VERSION  # with Unix's permissions
        fixed = CENTRAL.pack(
            b"PK\1\2", made_by, VERSION, UTF8, STORED, 0, FIRST_DAY, self.crc, *sizes, 0, 0, 0, UNIX_FILE, LARGE
        )
        return fixed + name + CENTRAL_EXTRA.pack(1, CENTRAL_EXTRA.size - 4, self.size, self.size, self.offset)


def end(count: int, size: int, offset: int) -> bytes:
    """What stands at the end of an archive of ``count`` members: how large its directory is, and where."""
    record = (b"PK\6\6", END_RECORD - 12, VERSION, VERSION, 0, 0, count, count, size, offset)
    small = (b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, LARGE, LARGE, 0)
    return END.pack(*record, b"PK\6\7", 0, offset + size, 1, *small)


MOST_MEMBERS = MOST_ARRAYS + 1  # and the description
LARGEST = 4 * 2**20  # bytes of all entries

Entry = tuple[int, ...]


def read_directory(file: BinaryIO) -> list[Member]:
    """The members, one after another, that fill the file from its first byte to its directory.

    Raises FileFormatError unless the directory, the headers of the members and the end of the file are, byte by byte,
    what ``write_archive`` would have written for these members.
    """
    if read_at(file, 0, 4) != b"PK\3\4":
        raise FileFormatError("expected a file of deepbp, got one that is no archive")
    tail = read_at(file, file_size(file) - END.size, END.size)
    count, size, offset = END.unpack(tail)[7:10]
    if not tail.startswith(b"PK\6\6"):
        raise FileFormatError("the end of the archive is damaged or cut off, or deepbp did not write it")
    if offset + size != file_size(file) - END.size:
        raise FileFormatError(f"its directory of {size:,} bytes at byte {offset:,} does not fill the file")
    if tail != end(count, size, offset):
        raise FileFormatError("the end of the archive is damaged, or deepbp did not write it")
    if size > LARGEST or count > MOST_MEMBERS:
        raise FileFormatError(f"expected at most {MOST_MEMBERS:,} members, got {count:,} in {size:,} bytes")
    members = _members(read_at(file, offset, size), count, offset)
    if (members[-1].end if members else 0) != offset:
        raise FileFormatError("there are bytes between the members and the directory")
    for member in members:
        if read_at(file, member.offset, member.start - member.offset) != member.header():
            raise FileFormatError(f"member {member.name!r}: its header does not agree with the directory")
    return members


def _members(directory: bytes, count: int, end_of_members: int) -> list[Member]:
    members: list[Member] = []
    names: set[str] = set()
    start = offset = 0
    for position in range(count):
        place = f"member {position}"
        fixed = directory[start : start + CENTRAL.size]
        if len(fixed) < CENTRAL.size:
            raise FileFormatError(f"{place}: its entry is cut off")
        fields = CENTRAL.unpack(fixed)
        rest = start + CENTRAL.size + fields[10]
        name = _name(directory[start + CENTRAL.size : rest], place)
        place = f"member {name!r}"
        _refuse_kinds(place, fields)
        if name in names:
            raise FileFormatError(f"{place}: there are two of this name")
        extra = directory[rest : rest + CENTRAL_EXTRA.size]
        if len(extra) < CENTRAL_EXTRA.size:
            raise FileFormatError(f"{place}: its entry is cut off")
        member = Member(name, fields[7], CENTRAL_EXTRA.unpack(extra)[2], offset)
        entry = member.entry()
        if directory[start : start + len(entry)] != entry:
            raise FileFormatError(f"{place}: its entry in the directory is damaged, or deepbp did not write it")
        if member.end > end_of_members:
            raise FileFormatError(f"{place}: its {member.size:,} bytes are more than the file has")
        members.append(member)
        names.add(name)
        start, offset = start + len(entry), member.end
    if start != len(directory):
        raise FileFormatError(f"its directory has more than the {count:,} entries that it says")
    return members


def _name(encoded: bytes, place: str) -> str:
    try:
        name = encoded.decode()
        check_name(name.removesuffix(".npy"))  # the limit is one of names of arrays
        return name
    except UnicodeDecodeError:
        raise FileFormatError(f"{place}: expected a name in UTF-8, got {encoded[:100]!r}") from None
    except ConfigurationError as error:
        raise FileFormatError(f"{place}: {error}") from None


def _refuse_kinds(place: str, fields: Entry) -> None:
    """What other zip files may have, and these never."""
    flags, method, attributes = fields[3], fields[4], fields[15]
    if flags & 1:
        raise FileFormatError(f"{place}: it is encrypted")
    if method != 0:
        raise FileFormatError(f"{place}: it is compressed (method {method}): deepbp stores members as they are")
    if attributes >> 28 not in (0, 0o10):
        raise FileFormatError(f"{place}: it is a link, a folder or a device")


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
def open_archive(path: str | os.PathLike[str], limit: int = LIMIT) -> "Iterator[Archive]":
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
