"""Maps of sparse files in tar archives: which pieces of the file hold data.

GNU tar has written four kinds: in the header's tail (type S), and in pax records, versions 0.0
(a record a figure), 0.1 (all in one record) and 1.0 (at the front of the data).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_BLOCK = 512
_PIECES_AT_MOST = 1 << 20
_DIGITS_AT_MOST = 19


@dataclass(frozen=True, slots=True)
class Sparse:
    """A file of `size` octets, of which only the pieces (offset, length) are stored."""

    size: int
    pieces: tuple[tuple[int, int], ...]


def header_map(
    header: bytes, number: Callable[[bytes], int], more: Callable[[int], bytes]
) -> Sparse:
    """Return the map of a header of type S; `more` reads the blocks that continue it."""
    figures = list(_figures(header[386:482], number))
    continued = header[482]
    while continued:
        block = more(_BLOCK)
        figures += _figures(block[:504], number)
        continued = block[504]
        _bound(len(figures))
    return _sparse(number(header[483:495]), figures)


def record_map(records: Sequence[tuple[str, bytes]], data: Callable[[int], bytes]) -> Sparse | None:
    """Return the map in a member's pax records, None if there is none.

    `data` reads the member's own data, which version 1.0 begins with the map. ValueError if it
    makes no sense.
    """
    fields = {key.removeprefix("GNU.sparse."): value for key, value in records if _is_sparse(key)}
    if not fields:
        return None
    size = _decimal(fields.get("realsize") or fields.get("size") or b"")
    if fields.get("major") == b"1":
        return _sparse(size, _leading_figures(data))
    if "map" in fields:
        words = fields["map"].split(b",") if fields["map"] else []
        _bound(len(words))
        return _sparse(size, [_decimal(word) for word in words])
    keys = ("GNU.sparse.offset", "GNU.sparse.numbytes")
    return _sparse(size, [_decimal(value) for key, value in records if key in keys])


def _is_sparse(key: str) -> bool:
    return key.startswith("GNU.sparse.") and key != "GNU.sparse.name"


def _figures(raw: bytes, number: Callable[[bytes], int]) -> Iterator[int]:
    """Yield offset, length, offset, ... until an empty entry."""
    for at in range(0, len(raw), 24):
        entry = raw[at : at + 24]
        if not entry[12]:  # a used entry always has a length, if only of zeros
            return
        yield number(entry[:12])
        yield number(entry[12:])


def _leading_figures(data: Callable[[int], bytes]) -> list[int]:
    """Read a count and its pairs, one figure a line, filled up to whole blocks."""
    lines: list[bytes] = []
    rest = b""
    wanted = 1
    while len(lines) < wanted:
        block = data(_BLOCK)
        if len(block) < _BLOCK:
            raise ValueError("its map of pieces has no end")
        *whole, rest = (rest + block).split(b"\n")
        lines += whole
        if lines:
            wanted = 1 + 2 * _decimal(lines[0])
            _bound(wanted)
    return [_decimal(line) for line in lines[1:wanted]]


def _sparse(size: int, figures: Sequence[int]) -> Sparse:
    pieces = tuple(zip(figures[::2], figures[1::2], strict=True))
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise ValueError("its map of pieces overlaps or runs backwards")
        end = offset + length
    if end > size:
        raise ValueError(f"its pieces reach {end} in a file of {size} octets")
    return Sparse(size, pieces)


def _decimal(word: bytes) -> int:
    if not word.isdigit() or len(word) > _DIGITS_AT_MOST:
        raise ValueError(f"its map of pieces has {word[:40]!r} for a figure")
    return int(word)


def _bound(figures: int) -> None:
    if figures > 2 * _PIECES_AT_MOST + 1:
        raise ValueError("its map has too many pieces")
