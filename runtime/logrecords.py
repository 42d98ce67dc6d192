"""The records of conmon's k8s-file log, forwards and from the end, and how they make lines."""

import functools
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

StreamName = Literal["stdout", "stderr"]
_STREAMS: dict[bytes, StreamName] = {b"stdout": "stdout", b"stderr": "stderr"}
_BLOCK = 1 << 16
# A line that does not end is handed on in pieces of this size, or it would fill the memory.
_LINE_AT_MOST = 1 << 20
_SECONDS = len("2026-11-23T16:57:59")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's output."""

    stream: StreamName
    time_ns: int  # since 1970, when its first part was written
    text: bytes  # with its newline, where the process wrote one


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log file."""

    stream: StreamName
    time_ns: int
    text: bytes  # with the newline if it ends a line
    ends: bool


def record(line: bytes) -> Record | None:
    """Parse a line of the file without its newline; None if it is damaged."""
    try:
        when, stream, tag, text = line.split(b" ", 3)
        ends = tag[:1] == b"F"
        return Record(_STREAMS[stream], _time_ns(when), text + b"\n" if ends else text, ends)
    except (ValueError, KeyError):
        return None


class Joiner:
    """Makes lines of records."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._parts: dict[StreamName, list[Record]] = {}
        self._held: dict[StreamName, int] = {}

    def joined(self, piece: Record) -> Iterator[LogLine]:
        """Take a record; yield the line that it completes, if it does."""
        parts = self._parts.setdefault(piece.stream, [])
        parts.append(piece)
        held = self._held.get(piece.stream, 0) + len(piece.text)
        self._held[piece.stream] = held
        if piece.ends or held >= _LINE_AT_MOST:
            yield self._line(piece.stream)

    def rest(self) -> Iterator[LogLine]:
        """Yield lines that never ended, the older first."""
        yield from sorted(map(self._line, list(self._parts)), key=lambda line: line.time_ns)

    def _line(self, stream: StreamName) -> LogLine:
        parts = self._parts.pop(stream)
        self._held.pop(stream)
        return LogLine(stream, parts[0].time_ns, b"".join(part.text for part in parts))


class LogFile:
    """A log file that may grow, or not be there yet."""

    def __init__(self, path: Path, streams: frozenset[StreamName]) -> None:
        """Begin at its start; records of other streams are left out."""
        self._path = path
        self._streams = streams
        self._descriptor = -1
        self._offset = 0
        self._rest = b""

    def blocks(self) -> Iterator[list[Record]]:
        """Yield what there is from the current place on, in blocks; stop at the end."""
        while self._opened() and (data := os.pread(self._descriptor, _BLOCK, self._offset)):
            self._offset += len(data)
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            yield [one for line in lines if (one := self._wanted(line))]

    def seek_last(self, count: int) -> None:
        """Go to where reading on yields at least the last `count` lines, and not many more."""
        if self._opened():
            self._offset = self._last(count)

    def close(self) -> None:
        """Close the file. May be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> bool:
        if self._descriptor < 0:
            with suppress(FileNotFoundError):
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor >= 0

    def _wanted(self, line: bytes) -> Record | None:
        parsed = record(line)
        return parsed if parsed and parsed.stream in self._streams else None

    def _last(self, count: int) -> int:
        """Return the offset after the record that ends the line before the last `count`.

        The two streams' lines may be interleaved: the place is before the first part of each of
        the wanted lines (`begun` holds the streams where that was not met yet).
        """
        ends, begun, seen = 0, set[StreamName](), set[StreamName]()
        enough = -1
        for offset, line in self._backwards():
            if ends >= count and not begun:
                return offset + len(line) + 1
            if enough >= 0 and offset < enough - _LINE_AT_MOST:
                return offset  # one of the streams wrote nothing before; this goes far enough back
            if not (one := self._wanted(line)):
                continue
            if one.ends or one.stream not in seen:
                begun.discard(one.stream)
                if ends < count:
                    ends += 1
                    begun.add(one.stream)
            if ends >= count and enough < 0:
                enough = offset
            seen.add(one.stream)
        return 0

    def _backwards(self) -> Iterator[tuple[int, bytes]]:
        """Yield the whole lines of the file from the end, each with its offset."""
        begin = os.fstat(self._descriptor).st_size
        carry = b""  # the end of a line whose beginning is further to the front
        whole = False  # what follows the last newline of the file is not a line yet
        while begin > 0:
            end = begin
            begin = max(0, end - _BLOCK)
            data = os.pread(self._descriptor, end - begin, begin) + carry
            carry, *lines = data.split(b"\n")
            offset = begin + len(data)
            for line in reversed(lines):
                offset -= len(line)
                if whole:
                    yield offset, line
                whole = True
                offset -= 1
        if whole:
            yield 0, carry


def _time_ns(text: bytes) -> int:
    fraction, zone = text[_SECONDS + 1 : -6], text[-6:]
    return _seconds(text[:_SECONDS], zone) * 1_000_000_000 + int(fraction.ljust(9, b"0")[:9])


@functools.lru_cache(maxsize=64)
def _seconds(text: bytes, zone: bytes) -> int:
    return int(datetime.fromisoformat((text + zone).decode()).astimezone(UTC).timestamp())
