"""Read a tar archive as a stream, strictly.

Python's tarfile takes a damaged header for the end, keeps every member in memory and needs 40 us
a member; here damage is an error, nothing is kept and a member costs 10 us. Formats: V7, ustar
(POSIX 1003.1-1988), pax (POSIX 1003.1-2001, with the records of star, GNU tar and Go) and GNU.
Sparse files are in runtime.tarsparse.

    header | data, padded to 512 | header | data | ... | two blocks of zeros
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import fsdecode
from typing import Literal, Protocol

from runtime import tarsparse
from runtime.errors import ArchiveError
from runtime.tarsparse import Sparse

BLOCK = 512
_ZEROS = bytes(BLOCK)
_EXTENSION_AT_MOST = 1 << 20  # octets of a pax header or a long name; Go's archive/tar has the same
_EXTENSIONS_AT_MOST = 16  # headers before one member
_SIZE_AT_MOST = 1 << 62
_XATTR = "SCHILY.xattr."
_DECIMAL = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")

Kind = Literal["file", "folder", "symlink", "hardlink", "character", "block", "fifo"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"5": "folder", b"2": "symlink",
    b"1": "hardlink", b"3": "character", b"4": "block", b"6": "fifo",
}  # fmt: skip


class Source(Protocol):
    """Octets in order; read gives fewer than asked only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next octets."""
        ...


@dataclass(slots=True)
class Member:
    """One member's header."""

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    target: str  # of a link
    device: tuple[int, int]  # major and minor of a device
    stored: int  # octets of data in the archive
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sparse: Sparse | None = None


class TarStream:
    """The members of a tar archive, each followed by its data.

    Iterate; read a member's data with `data` before going on, or it is passed over: read as well,
    or with `skip`, which says how far it got. `what` names the archive in errors.
    """

    def __init__(self, source: Source, what: str, skip: Callable[[int], int] | None = None) -> None:
        self._source = source
        self._what = what
        self._skip = skip
        self._left = 0  # octets of the current member's data not read yet
        self._padding = 0
        self.position = 0  # octets read so far

    def __iter__(self) -> Iterator[Member]:
        """Yield each member until the end of the archive."""
        records: list[tuple[str, bytes]] = []
        long: dict[bytes, str] = {}
        extensions = 0
        while header := self._header():
            kind = header[156:157]
            extensions += 1
            if extensions > _EXTENSIONS_AT_MOST:
                raise self.error("it has too many headers before one member")
            if kind == b"x":
                records += _pax_records(self._extension(header), self)
            elif kind == b"g":
                self._extension(header)  # comments for all; Docker passes over them too
            elif kind in (b"L", b"K"):
                long[kind] = fsdecode(self._extension(header).split(b"\0", 1)[0])
            else:
                member = self._member(header, records, long)
                self._map(member, header, records)
                yield member
                self.pass_over()
                records, long, extensions = [], {}, 0
        if extensions:
            raise self.error("it ends after a member's extended header")

    def data(self, size: int) -> bytes:
        """Return the next octets of the current member, empty at its end."""
        wanted = min(size, self._left)
        if not wanted:
            return b""
        chunk = self._exact(wanted)
        self._left -= wanted
        return chunk

    def pass_over(self) -> None:
        """Go to the end of the current member."""
        if self._skip and self._left:
            skipped = self._skip(self._left)
            self.position += skipped
            if skipped < self._left:
                raise self.error(f"it ends within a member, at octet {self.position}")
            self._left = 0
        while self.data(1 << 20):
            pass
        if self._padding:
            # A last member without its padding is complete all the same.
            self.position += len(self._source.read(self._padding))
            self._padding = 0

    def error(self, sentence: str) -> ArchiveError:
        """Return the error that says what is wrong with this archive."""
        return ArchiveError(f"{self._what} cannot be read: {sentence}")

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _exact(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self.position += len(chunk)
        if len(chunk) < size:
            raise self.error(f"it ends within a member, at octet {self.position}")
        return chunk

    def _header(self) -> bytes:
        """Return the next header; empty at the end of the archive."""
        header = self._source.read(BLOCK)
        self.position += len(header)
        if not header or header == _ZEROS:
            return b""
        if len(header) < BLOCK:
            raise self.error(f"it ends within a header, at octet {self.position}")
        claimed = _octal(header[148:156])
        plain = sum(header) - sum(header[148:156]) + 8 * 32
        if claimed != plain and claimed != _signed_sum(header):
            raise self.error(f"no tar header at octet {self.position - BLOCK}")
        return header

    def _extension(self, header: bytes) -> bytes:
        size = self._number(header[124:136], "size")
        if not 0 <= size <= _EXTENSION_AT_MOST:
            raise self.error(f"an extended header claims {size} octets")
        self._expect(size)
        content = self.data(size)
        self.pass_over()
        return content

    def _member(
        self, header: bytes, records: list[tuple[str, bytes]], long: dict[bytes, str]
    ) -> Member:
        name = long.get(b"L") or _name(header)
        kind = _KINDS.get(header[156:157])
        if kind is None:
            raise self.error(f"member {name!r} is of unknown type {header[156:157]!r}")
        member = Member(
            name=name,
            kind=kind,
            mode=self._number(header[100:108], "mode") & 0o7777,
            uid=self._number(header[108:116], "uid"),
            gid=self._number(header[116:124], "gid"),
            mtime_ns=self._number(header[136:148], "mtime") * 10**9,
            target=long.get(b"K") or _text(header[157:257]),
            device=(0, 0),
            stored=self._number(header[124:136], "size"),
        )
        if member.kind in ("character", "block"):
            numbers = header[329:337], header[337:345]
            member.device = self._number(numbers[0], "major"), self._number(numbers[1], "minor")
        for key, value in records:
            self._apply(member, key, value)
        self._screen(member)
        if kind != "file":
            member.stored = 0  # some writers put the size of a hard link's file there
        elif header[156] == 0 and member.name.endswith("/"):
            member.kind = "folder"  # before ustar there was no other way to say so
        return member

    def _apply(self, member: Member, key: str, value: bytes) -> None:
        """Let one pax record override the header; an empty one takes nothing away."""
        if key.startswith(_XATTR):
            member.xattrs[key.removeprefix(_XATTR)] = value
        elif not value:
            return
        elif key in ("path", "GNU.sparse.name"):
            member.name = fsdecode(value)
        elif key == "linkpath":
            member.target = fsdecode(value)
        elif key == "size":
            member.stored = self._decimal(member, key, value, 1)
        elif key == "uid":
            member.uid = self._decimal(member, key, value, 1)
        elif key == "gid":
            member.gid = self._decimal(member, key, value, 1)
        elif key == "mtime":
            member.mtime_ns = self._decimal(member, key, value, 10**9)

    def _screen(self, member: Member) -> None:
        if "\0" in member.name or "\0" in member.target:
            raise self.error(f"member {member.name!r} has a NUL in its name or target")
        if not 0 <= member.stored <= _SIZE_AT_MOST:
            raise self.error(f"member {member.name!r} claims {member.stored} octets")
        if not (0 <= member.uid < 2**32 - 1 and 0 <= member.gid < 2**32 - 1):
            raise self.error(
                f"member {member.name!r} belongs to {member.uid}:{member.gid}, which no one can be"
            )

    def _map(self, member: Member, header: bytes, records: list[tuple[str, bytes]]) -> None:
        """Read where a sparse file's pieces are; leave the data of any file next to be read."""
        try:
            if header[156:157] == b"S":
                member.sparse = tarsparse.header_map(header, self._sparse_number, self._exact)
            self._expect(member.stored)
            if member.kind == "file" and records:
                member.sparse = tarsparse.record_map(records, self.data) or member.sparse
        except ValueError as error:
            raise self.error(f"member {member.name!r}: {error}") from error
        if member.sparse and sum(length for _, length in member.sparse.pieces) != self._left:
            raise self.error(f"member {member.name!r} stores other pieces than its map says")

    def _sparse_number(self, raw: bytes) -> int:
        return self._number(raw, "sparse map")

    def _number(self, raw: bytes, what: str) -> int:
        number = _octal(raw)
        if number is None:
            raise self.error(f"a header has {raw!r} as {what}")
        return number

    def _decimal(self, member: Member, key: str, value: bytes, factor: int) -> int:
        matched = _DECIMAL.fullmatch(value)
        if not matched:
            raise self.error(f"member {member.name!r} has {value[:64]!r} as {key}")
        sign, whole, fraction = matched.groups()
        number = int(whole) * factor + int((fraction or b"")[:9].ljust(9, b"0")) * factor // 10**9
        return -number if sign else number


def _pax_records(content: bytes, tar: TarStream) -> list[tuple[str, bytes]]:
    """Split `length key=value` lines, whose length counts all of the line."""
    found = []
    at = 0
    while at < len(content) and content[at]:
        space = content.find(b" ", at, at + 9)
        digits = content[at:space]
        if space < 0 or not digits.isdigit():
            raise tar.error("an extended header has a record without a length")
        end = at + int(digits)
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not (space + 1 < end <= len(content)) or not equals or content[end - 1] != 10:
            raise tar.error("an extended header has a record of a wrong length")
        found.append((fsdecode(key), value))
        at = end
    return found


def _octal(raw: bytes) -> int | None:
    """Return a header's number: octal digits, or (GNU) base 256 with the highest bit set."""
    if raw[0] & 0x80:
        number = int.from_bytes(raw, "big") & ((1 << (8 * len(raw) - 1)) - 1)
        # A second highest bit of one: negative, in two's complement.
        return number - (1 << (8 * len(raw) - 1)) if raw[0] & 0x40 else number
    digits = raw.split(b"\0", 1)[0].strip() or b"0"
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None


def _signed_sum(header: bytes) -> int:
    """Return the checksum as writers with signed characters made it."""
    plain = header[:148] + b" " * 8 + header[156:]
    return sum(octet - 256 if octet > 127 else octet for octet in plain)


def _name(header: bytes) -> str:
    name = _text(header[0:100])
    if header[257:263] == b"ustar\0" and header[345]:
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(raw: bytes) -> str:
    return fsdecode(raw.split(b"\0", 1)[0])
