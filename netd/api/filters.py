"""Filters of lists, events and prunes: `{"label":{"a=b":true}}` or `{"label":["a=b"]}`.

Several values of one key are alternatives, labels must all hold; all keys must hold.
"""

import re
from collections.abc import Callable, Collection, Mapping

import msgspec
from aiohttp import web

from netd.errors import InvalidError

Filters = Mapping[str, tuple[str, ...]]


def filters(request: web.Request, known: Collection[str]) -> Filters:
    """Return the request's filters; raises InvalidError for broken ones and unknown keys."""
    text = request.query.get("filters", "")
    if not text:
        return {}
    try:
        raw = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidError(f"invalid filters: {error}") from error
    except RecursionError as error:
        raise InvalidError("invalid filters: nested too deeply") from error
    for key in raw:
        if key not in known:
            raise InvalidError(f"invalid filter '{key}'")
    return {key: tuple(values) for key, values in raw.items() if values}


def any_holds(chosen: Filters, key: str, holds: Callable[[str], bool]) -> bool:
    """Return whether one of a key's values holds; a key that is not given does."""
    return key not in chosen or any(holds(value) for value in chosen[key])


def labels_hold(chosen: Filters, labels: Mapping[str, str]) -> bool:
    """Return whether all of `label` and none of `label!` hold: `key` or `key=value`."""
    return all(_labelled(labels, each) for each in chosen.get("label", ())) and not any(
        _labelled(labels, each) for each in chosen.get("label!", ())
    )


def one_of(chosen: Filters, key: str, allowed: Collection[str]) -> None:
    """Raise InvalidError for values of a key that cannot be."""
    for value in chosen.get(key, ()):
        if value not in allowed:
            raise InvalidError(f"invalid filter '{key}={value}'")


def truth(chosen: Filters, key: str) -> bool | None:
    """Return a filter that is yes or no; absent: it is not given."""
    if key not in chosen:
        return None
    one_of(chosen, key, ("1", "true", "True", "0", "false", "False"))
    return chosen[key][0] in {"1", "true", "True"}


def found(pattern: str, name: str) -> bool:
    """Return whether a regular expression is found in a name; a broken one is taken as text."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return pattern in name


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
