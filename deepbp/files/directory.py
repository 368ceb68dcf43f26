"""The directory of an archive: which members it has, held against every byte of the file that is not in a member."""

from typing import BinaryIO

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.files.arrays import MOST_ARRAYS, check_name
from deepbp.files.members import CENTRAL, CENTRAL_EXTRA, END, Member, end
from deepbp.files.opening import file_size, read_at

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
