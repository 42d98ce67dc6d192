"""Requests taken apart: bodies, and the words of queries as Docker's clients write them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec
from aiohttp import web

from netd.errors import InvalidError

JSON = "application/json"
JSON_LIMIT = 4 << 20  # octets
_FALSE = {"", "0", "no", "false", "none"}
_INT64 = 1 << 63
Shape = TypeVar("Shape")


async def json_body(request: web.Request, shape: type[Shape]) -> Shape:
    """Return the request's JSON as `shape`; raises InvalidError with a sentence, naming fields."""
    return shaped(await json_value(request), shape)


async def json_value(request: web.Request) -> object:
    """Return the request's JSON; an absent body is an empty object."""
    data = await request.read()
    if not data:
        return {}
    if request.content_type != JSON:
        given = request.headers.get("Content-Type", "")
        raise InvalidError(f"unsupported Content-Type header ({given}): must be '{JSON}'")
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"invalid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidError("invalid JSON: nested too deeply") from error
    # No name, path or argument can hold one: it would end a C string in the middle.
    if b"\\u0000" in data and any("\0" in text for text in _texts(value)):
        raise InvalidError("invalid JSON: a text holds a NUL character")
    return value


def shaped(value: object, shape: type[Shape]) -> Shape:
    """Return a decoded JSON value as `shape`; raises InvalidError that names the field."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at ")
        path = where.removeprefix("$").removeprefix(".") or "the body"
        raise InvalidError(f"invalid JSON: {path}: {what[:1].lower()}{what[1:]}") from error


def flag(request: web.Request, name: str) -> bool:
    """Return whether a query's flag is set; absent, `0`, `no`, `false` and `none` are not."""
    return request.query.get(name, "").strip().lower() not in _FALSE


def number(request: web.Request, name: str) -> int | None:
    """Return a query's whole number; absent: it is not given."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        value = int(text) if text.isascii() else None
    except ValueError:
        value = None
    if value is None or not -_INT64 <= value < _INT64:
        raise InvalidError(f"invalid number for {name!r}: {text!r}")
    return value


def size(request: web.Request) -> tuple[int, int]:
    """Return a terminal's (rows, columns) from the query's `h` and `w`."""
    rows, columns = (number(request, name) for name in ("h", "w"))
    if rows is None or columns is None:
        raise InvalidError("a terminal's size needs both h (rows) and w (columns)")
    if not (0 <= rows < 65536 and 0 <= columns < 65536):
        raise InvalidError(f"invalid terminal size: {rows} rows, {columns} columns")
    return rows, columns


def moment_ns(request: web.Request, name: str) -> int | None:
    """Return a moment of the query in ns since 1970: Docker sends `1795458545.755966227`."""
    text = request.query.get(name, "")
    return moment(text, name) if text else None


def moment(text: str, name: str) -> int:
    """Return what `since` or `until` says in ns since 1970: seconds or RFC 3339."""
    try:
        # Decimal and not float: nine digits behind the point must not be rounded away.
        nanoseconds = Decimal(text) * 10**9
        if not abs(nanoseconds) < _INT64:  # NaN, too
            raise InvalidError(f"invalid value for {name!r}: {text!r}")
        return int(nanoseconds)
    except InvalidOperation:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(f"invalid value for {name!r}: {text!r}") from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(Decimal(when.timestamp()).quantize(Decimal("0.000001")) * 10**9)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
