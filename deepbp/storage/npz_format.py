"""The npz format: an uncompressed zip archive of NumPy arrays, in exactly one byte sequence for given contents.

The archive begins with ``description.json``, which lists the dtype and shape of every array. The position and length of
every structure follow from that list, so the reader parses no zip structures: it constructs the headers and the
directory that deepbp would have written and compares them with the file. Every byte is then either covered by a
checksum or compared; the only size that is taken from a header is that of the description, which is limited.

``numpy.load`` and ``zipfile`` read these files, but cannot replace this reader: ``zipfile`` ignores many header fields,
accepts bytes in front of, between and behind the members (it reads the same contents after 1,951 of the 11,264 one-bit
changes of a small archive), and loads a directory of any size. It cannot replace the writer either: the bytes that
``zipfile`` and ``numpy.lib.format`` write differ between releases.
"""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from struct import Struct
from typing import Any, BinaryIO

import numpy as np
from attrs import frozen

from deepbp.errors import FileFormatError
from deepbp.storage import LIMIT
from deepbp.storage.atomic import FileLike, whole_file
from deepbp.storage.contents import (
    CHUNK,
    Spec,
    StoredArrays,
    contents_text,
    file_size,
    opened,
    read_at,
    read_contents,
)
from deepbp.storage.json_codec import LONGEST
from deepbp.typing import Array

# The structures of a zip file (APPNOTE.TXT 6.3, sections 4.3.7 to 4.3.16), all with 64-bit sizes: the local header in
# front of a member, its entry in the directory, and the three records at the end.
VERSION, UTF8, STORED, FIRST_DAY, LARGE = 45, 0x800, 0, 0x21, 0xFFFFFFFF
MADE_BY, UNIX_FILE = 3 << 8 | VERSION, 0o100644 << 16
LOCAL, LOCAL_EXTRA = Struct("<4s5H3I2H"), Struct("<2H2Q")
CENTRAL, CENTRAL_EXTRA = Struct("<4s6H3I5H2I"), Struct("<2H3Q")
END = Struct("<4sQ2H2I4Q" + "4sIQI" + "4s4H2IH")

DESCRIPTION = "description.json"


@frozen
class Member:
    """A file in the archive: ``size`` bytes with the CRC-32 checksum ``crc``, whose header begins at ``offset``."""

    name: str
    crc: int
    size: int
    offset: int

    @property
    def start(self) -> int:
        """Position of the first byte of the contents."""
        return self.offset + LOCAL.size + len(self.name.encode()) + LOCAL_EXTRA.size

    @property
    def end(self) -> int:
        """Position of the next member."""
        return self.start + self.size

    def header(self) -> bytes:
        """The local header, in front of the contents."""
        name = self.name.encode()
        lengths = (LARGE, LARGE, len(name), LOCAL_EXTRA.size)
        fixed = LOCAL.pack(b"PK\3\4", VERSION, UTF8, STORED, 0, FIRST_DAY, self.crc, *lengths)
        return fixed + name + LOCAL_EXTRA.pack(1, LOCAL_EXTRA.size - 4, self.size, self.size)

    def entry(self) -> bytes:
        """The entry in the directory."""
        name = self.name.encode()
        fields = (VERSION, UTF8, STORED, 0, FIRST_DAY, self.crc, LARGE, LARGE, len(name), CENTRAL_EXTRA.size)
        fixed = CENTRAL.pack(b"PK\1\2", MADE_BY, *fields, 0, 0, 0, UNIX_FILE, LARGE)
        return fixed + name + CENTRAL_EXTRA.pack(1, CENTRAL_EXTRA.size - 4, self.size, self.size, self.offset)


def directory(members: list[Member]) -> bytes:
    """The directory of these members, and the records at the end of the archive."""
    entries = b"".join(member.entry() for member in members)
    return entries + end(len(members), len(entries), members[-1].end)


def end(count: int, size: int, offset: int) -> bytes:
    """The end of an archive: a directory of ``count`` entries, ``size`` bytes from position ``offset`` on."""
    record = (b"PK\6\6", 44, VERSION, VERSION, 0, 0, count, count, size, offset)
    locator = (b"PK\6\7", 0, offset + size, 1)
    return END.pack(*record, *locator, b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, LARGE, LARGE, 0)


def write_archive(path: FileLike, description: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Serialize a JSON object and arrays to an ``.npz`` file, atomically.

    The file replaces an old one only when it is complete and on the disk. ``numpy.load`` can read it.

    >>> import numpy as np
    >>> from deepbp.files import read_archive, write_archive
    >>> write_archive("run.npz", {"rate": 0.1}, {"mean": np.array([1.5, 2.0])})
    >>> read_archive("run.npz")
    ({'rate': 0.1}, {'mean': array([1.5, 2. ])})

    Args:
        path: name of the file, which should end in ``.npz``.
        description: dicts with text as keys, lists, text, finite numbers, bools and None.
        arrays: arrays of numbers or truth values, by name.

    Raises:
        ArgumentTypeError, ConfigurationError, DataTypeError: for contents that such a file cannot hold, before it is
            opened.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    specs = Spec.of_all(arrays)
    parts: list[tuple[str, bytes, bytes | memoryview]] = [(DESCRIPTION, b"", contents_text(description, specs))]
    parts += [(_member_name(name), spec.header(), spec.to_bytes(arrays[name])) for name, spec in specs.items()]
    members: list[Member] = []
    for name, header, numbers in parts:
        crc = zlib.crc32(numbers, zlib.crc32(header))
        members.append(Member(name, crc, len(header) + len(numbers), members[-1].end if members else 0))
    with whole_file(path, binary=True) as file:
        for member, (_, header, numbers) in zip(members, parts, strict=True):
            file.writelines((member.header(), header, numbers))
        file.write(directory(members))


def read_archive(path: str | os.PathLike[str], *, limit: int = LIMIT) -> tuple[dict[str, Any], dict[str, Array]]:
    """Deserialize the JSON object and the arrays of a file that ``write_archive`` has written.

    >>> import numpy as np
    >>> from deepbp.files import read_archive, write_archive
    >>> write_archive("run.npz", {}, {"mean": np.zeros(2)})
    >>> read_archive("run.npz", limit=100)
    Traceback (most recent call last):
    deepbp.errors.FileFormatError: run.npz: expected at most 100 bytes, got 681: pass limit=681 to read it

    Raises:
        FileFormatError: for a file that is damaged anywhere, is of another kind, or is larger than ``limit`` bytes.
            Memory is allocated only for bytes that the file has.
        OSError: when there is no such file, or it may not be read.
    """
    with open_archive(path, limit) as archive:
        return archive.description or {}, {name: archive.array(name) for name in archive.specs}


@contextmanager
def open_archive(path: str | os.PathLike[str] | bytes, limit: int = LIMIT) -> Iterator[StoredArrays]:
    """Open and verify an archive; its arrays stay on the disk until they are read. Raises as ``read_archive`` does."""
    with opened(path, limit) as file:
        yield _verified(file)


def _verified(file: BinaryIO) -> StoredArrays:
    """Compare every byte of the file with what ``write_archive`` writes for these contents, in little memory."""
    first, end_of_file = _first_member(file), file_size(file)
    try:
        _check_contents(file, first)
        description, specs = read_contents(read_at(file, first.start, first.size))
    except FileFormatError as error:
        raise error.placed(DESCRIPTION) from None
    # The description determines what comes next: where each member begins, its size, and its header up to a checksum.
    members = [first]
    for name, spec in specs.items():
        header = spec.header()
        if spec.size > end_of_file:
            raise FileFormatError(f"array {name!r}: its {spec.size:,} bytes are more than the file has")
        member = _member_at(file, members[-1].end, _member_name(name), len(header) + spec.size)
        _check_contents(file, member)
        if read_at(file, member.start, len(header)) != header:
            raise FileFormatError(
                f"member {member.name!r}: expected {spec.dtype} of shape {spec.shape}, as {DESCRIPTION} says, got "
                "another header"
            )
        members.append(member)
    if read_at(file, member_end := members[-1].end, end_of_file - member_end) != directory(members):
        raise FileFormatError("its directory, at the end, is damaged or cut off, or deepbp did not write the file")
    by_name = dict(zip(specs, members[1:], strict=True))
    return StoredArrays(description, specs, lambda name: _read_array(file, name, specs[name], by_name[name]))


def _read_array(file: BinaryIO, name: str, spec: Spec, member: Member) -> Array:
    array, header = spec.empty(), spec.header()
    numbers = array.reshape(-1).view(np.uint8).data
    file.seek(member.start + len(header))
    file.readinto(numbers)  # type: ignore[attr-defined]
    if zlib.crc32(numbers, zlib.crc32(header)) != member.crc:
        raise FileFormatError(f"member {member.name!r}: it changed while it was read")
    return spec.native(name, array)


def _member_name(array_name: str) -> str:
    return f"{array_name}.npy"


def _first_member(file: BinaryIO) -> Member:
    """The description: the one member whose size is read from its header."""
    length = Member(DESCRIPTION, 0, 0, 0).start
    header = read_at(file, 0, min(length, file_size(file)))
    if header[:4] != b"PK\3\4":
        raise FileFormatError("expected a file of deepbp, got one that is no archive")
    if len(header) < length:
        raise FileFormatError("the first header is incomplete: was the file cut off?")
    if header[LOCAL.size : -LOCAL_EXTRA.size] != DESCRIPTION.encode():
        raise FileFormatError(f"expected an archive of deepbp, whose first member is {DESCRIPTION}")
    member = _member_at(file, 0, DESCRIPTION, LOCAL_EXTRA.unpack(header[-LOCAL_EXTRA.size :])[2])
    if member.size > LONGEST:
        raise FileFormatError(f"{DESCRIPTION}: expected at most {LONGEST:,} bytes, got {member.size:,}")
    return member


def _member_at(file: BinaryIO, offset: int, name: str, size: int) -> Member:
    """The member that must begin here, with the checksum that its header states."""
    header = read_at(file, offset, Member(name, 0, 0, 0).start)
    _, _, flags, method, _, _, crc, *_ = LOCAL.unpack(header[: LOCAL.size])
    member = Member(name, crc, size, offset)
    if header != member.header():
        what = "its header is damaged, or deepbp did not write it"
        if method != STORED:
            what = f"it is compressed (method {method}): deepbp stores members as they are"
        raise FileFormatError(f"member {name!r}: {'it is encrypted' if flags & 1 else what}")
    return member


def _check_contents(file: BinaryIO, member: Member) -> None:
    crc = 0
    for start in range(member.start, member.end, CHUNK):
        crc = zlib.crc32(read_at(file, start, min(CHUNK, member.end - start)), crc)
    if crc != member.crc:
        raise FileFormatError(f"member {member.name!r}: its checksum is wrong: the file is damaged")
