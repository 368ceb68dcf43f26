"""The bytes of a zip file around its members, in the one form that deepbp writes and reads.

Members are stored, not compressed: weights hardly shrink (7 % at a hundredth of the speed), and a size that a header
claims can be held against the bytes that are there. Sizes take 64 bits, and dates are left at their first day, so
that these bytes follow from names, sizes and checksums alone: a reader builds them again and compares.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
"""

from struct import Struct

from attrs import frozen

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
