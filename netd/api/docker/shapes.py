"""Shapes shared by requests: Go's null is everywhere, and 64 bits are the limit."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Characters = Annotated[int, Meta(ge=0, le=65535)]  # a side of a terminal
Texts = list[str] | None
TextMap = dict[str, str] | None
Json = dict[str, object]


def texts(values: Sequence[str] | None) -> tuple[str, ...]:
    """Return a list that may be null."""
    return tuple(values or ())


def text_map(values: Mapping[str, str] | None) -> dict[str, str]:
    """Return a map that may be null."""
    return dict(values or {})


def or_null(values: Sequence[str]) -> list[str] | None:
    """Return a list, or null where it is empty, as Go does with what was never set."""
    return list(values) or None


def unset(value: object) -> bool:
    """Return whether a JSON value is Go's zero, or -1, which clients fill in for "not set".

    `{"Interval": 0}` is not set, but `{"/data": {}}` is: an empty object is how Go writes a set.
    """
    if isinstance(value, dict):
        return all(each != {} and unset(each) for each in value.values())
    return value in (None, 0, -1, "", False, [])
