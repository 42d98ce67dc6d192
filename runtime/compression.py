"""Recognise and undo the compression of an archive or a layer."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from runtime.errors import ArchiveError

BUFFER = 1 << 18
_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
MAGIC_OCTETS = 6


class Digest(Protocol):
    """What hashlib's objects do."""

    def update(self, data: memoryview, /) -> None:
        """Take in more octets."""
        ...


class Digesting(io.RawIOBase):
    """The octets of a file from its position on, at most `size`, counted and digested."""

    def __init__(self, file: BinaryIO, size: int | None, digest: Digest | None) -> None:
        super().__init__()
        self._file = file
        self._left = size
        self._digest = digest
        self.count = 0

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as one read of the file does."""
        if self._left is not None:
            buffer = buffer[: self._left]
        count = cast("io.BufferedIOBase", self._file).readinto(buffer) if len(buffer) else 0
        if self._left is not None:
            self._left -= count
        if self._digest is not None:
            self._digest.update(memoryview(buffer)[:count])
        self.count += count
        return count


class _Gunzip(io.RawIOBase):
    """gzip (RFC 1952), several members in a row as well; gzip.GzipFile takes half as long again."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._inflate = zlib.decompressobj(31)
        self._pending = b""

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer at least in part; 0 at the end."""
        while len(buffer):
            if self._inflate.eof and not self._next_member():
                return 0
            if not self._pending:
                self._pending = self._file.read(BUFFER)
            out = self._inflate.decompress(self._pending, len(buffer))
            if not out and not self._pending and not self._inflate.eof:
                raise EOFError("compressed data ends early")
            self._pending = self._inflate.unconsumed_tail or self._inflate.unused_data
            buffer[: len(out)] = out
            if out:
                return len(out)
        return 0

    def _next_member(self) -> bool:
        """Begin with the next member; zeros after the last one are padding."""
        rest = self._pending.lstrip(b"\0")
        while not rest:
            more = self._file.read(BUFFER)
            if not more:
                return False
            rest = more.lstrip(b"\0")
        self._inflate = zlib.decompressobj(31)
        self._pending = rest
        return True


def is_compressed(magic: bytes) -> bool:
    """Say whether octets that begin so are compressed in a way known here."""
    return magic.startswith((_GZIP, _BZIP2, _XZ, _ZSTD))


def decompressed(file: BinaryIO, magic: bytes, what: str) -> BinaryIO:
    """Return a reader of the plain octets of a file that begins with `magic`."""
    if magic.startswith(_GZIP):
        return cast("BinaryIO", io.BufferedReader(_Gunzip(file), BUFFER))
    if magic.startswith(_BZIP2):
        return cast("BinaryIO", bz2.BZ2File(file))
    if magic.startswith(_XZ):
        return cast("BinaryIO", lzma.LZMAFile(file))
    if magic.startswith(_ZSTD):
        raise ArchiveError(f"{what} is compressed with zstd; gzip, xz, bzip2 and none are known")
    return file


@contextmanager
def damage_named(what: str) -> Iterator[None]:
    """Turn what the decompressors raise about damaged data into ArchiveError."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{what} is damaged: {error}") from error
    except OSError as error:
        if error.errno is None:  # bz2 says so of its input; the kernel always has a number
            raise ArchiveError(f"{what} is damaged: {error}") from error
        raise
