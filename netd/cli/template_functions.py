"""The functions of templates, and how Go prints, compares and judges values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from netd.cli.errors import CliError


class TemplateError(CliError):
    """A template that cannot be read, or asks for what is not there."""


class Missing:
    """What a field that is not there gives: false in conditions, an error when used."""

    def __init__(self, message: str, hint: str = "") -> None:
        self._message = message
        self._hint = hint

    def error(self) -> TemplateError:
        """Give the error to raise where it is used."""
        return TemplateError(self._message, self._hint)


def truth(value: object) -> bool:
    """Say whether a condition holds: not zero, not empty, not absent."""
    return not isinstance(value, Missing) and bool(value)


def go_text(value: object) -> str:
    """Give a value as Go prints it."""
    if isinstance(value, Missing):
        raise value.error()
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value))
        return f"map[{inner}]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return str(value)


def json_text(value: object) -> str:
    """Give a value as JSON in one line; the keys stay in the API's order, as in docker's."""
    if isinstance(value, Mapping):  # what can be called is no data
        value = {name: inner for name, inner in value.items() if not callable(inner)}
    return json.dumps(_there(value), separators=(",", ":"), ensure_ascii=False)


def _there(value: object) -> Any:
    if isinstance(value, Missing):
        raise value.error()
    return value


def _index(value: object, *keys: object) -> object:
    for key in keys:
        inner = _there(value)
        if inner is None:
            return None
        if isinstance(inner, Mapping):
            value = inner.get(str(key), "")
        elif isinstance(inner, list | str) and isinstance(key, int):
            value = inner[key]
        else:
            raise TemplateError(f"index: cannot look up {key!r} in {go_text(inner)!r}")
    return value


def _join(values: object, separator: str = "") -> str:
    return separator.join(go_text(value) for value in _there(values) or [])


def _equal(first: object, *others: object) -> bool:
    return any(_there(first) == _there(other) for other in others)


def _any(*values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


def _all(*values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


def _printf(pattern: str, *values: object) -> str:
    filled = pattern.replace("%v", "%s").replace("%q", "%s")
    shown = [value if isinstance(value, int | float) else go_text(value) for value in values]
    if "%q" in pattern:
        shown = [json.dumps(value) if isinstance(value, str) else value for value in shown]
    return filled % tuple(shown)


def _pad(text: object, before: int, after: int) -> str:
    shown = go_text(text)
    return " " * before + shown + " " * after if shown else ""


def _slice(value: object, start: int = 0, end: int | None = None) -> object:
    return _there(value)[start:end]


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "json": json_text,
    "index": _index,
    "len": lambda value: len(_there(value) or ""),
    "join": _join,
    "split": lambda value, separator: go_text(value).split(separator),
    "upper": lambda value: go_text(value).upper(),
    "lower": lambda value: go_text(value).lower(),
    "title": lambda value: go_text(value).title(),
    "truncate": lambda value, length: go_text(value)[:length],
    "pad": _pad,
    "slice": _slice,
    "print": lambda *values: "".join(map(go_text, values)),
    "println": lambda *values: " ".join(map(go_text, values)) + "\n",
    "printf": _printf,
    "eq": _equal,
    "ne": lambda first, other: not _equal(first, other),
    "lt": lambda first, other: _there(first) < _there(other),
    "le": lambda first, other: _there(first) <= _there(other),
    "gt": lambda first, other: _there(first) > _there(other),
    "ge": lambda first, other: _there(first) >= _there(other),
    "and": _all,
    "or": _any,
    "not": lambda value: not truth(value),
}
