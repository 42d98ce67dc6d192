"""-p and --expose, turned into the API's objects (pure)."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from netd.cli.errors import CliError

_STATUS = 125  # docker's for words about ports that make no sense
_FORM = "write it as [[ADDRESS:]PORT:]PORT[/PROTOCOL], for example 8080:80 or [::1]:5353:53/udp"
_PROTOCOLS = ("tcp", "udp", "sctp")
_LONG_FORM = ("published", "target", "protocol")

Span = tuple[int, int]


def bindings(words: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Read `[address:][port[-end]:]port[-end][/protocol]`; a range stays one entry."""
    found: dict[str, list[dict[str, str]]] = {}
    for word in words:
        key, binding = _binding(_short_form(word) if "=" in word else word)
        known = found.setdefault(key, [])
        if binding not in known:
            known.append(binding)
    return found


def exposed(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read `port[-end][/protocol]`."""
    found: dict[str, dict[str, str]] = {}
    for word in words:
        ports, _, protocol = word.partition("/")
        span = _span(ports)
        if span is None:
            raise CliError(
                f"--expose {word!r} is no port", "write it as 80, 80-90 or 53/udp", _STATUS
            )
        found[_key(span, protocol)] = {}
    return found


def _binding(word: str) -> tuple[str, dict[str, str]]:
    """Give the API's key and binding; mistakes are told in docker's words."""
    before, _, container = word.rpartition(":")
    # Of an address in brackets the colons count only behind them.
    address, _, host = ("", "", before) if before.endswith("]") else before.rpartition(":")
    ports, _, protocol = container.partition("/")
    address = _address(address)
    if not ports:
        raise _wrong(f"no port specified: {word}<empty>")
    span = _span(ports)
    if span is None:
        raise _wrong(f"invalid containerPort: {ports}")
    key = _key(span, protocol)
    if host in {"", "0"}:
        return key, {"HostIp": address, "HostPort": ""}
    outside = _span(host)
    if outside is None:
        raise _wrong(f"invalid hostPort: {host}")
    if span[1] - span[0] not in {0, outside[1] - outside[0]}:
        raise _wrong(f"invalid ranges specified for container and host Ports: {ports} and {host}")
    return key, {"HostIp": address, "HostPort": host}


def _short_form(word: str) -> str:
    """Give `published=8080,target=80,protocol=tcp` as `8080:80/tcp`."""
    given = dict.fromkeys(_LONG_FORM, "")
    for part in word.split(","):
        name, separator, value = part.partition("=")
        if not separator or name not in _LONG_FORM:
            raise CliError(
                f"invalid publish opts format (should be name=value but got '{part}')",
                f"names are {', '.join(_LONG_FORM)}",
                _STATUS,
            )
        given[name] = value
    return f"{given['published']}:{given['target']}/{given['protocol']}"


def _address(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        if not bare or not getattr(ip_address(bare), "scope_id", None):
            return bare
    except ValueError:
        pass
    raise _wrong(f"invalid IP address: {text}")


def _span(text: str) -> Span | None:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if 0 < first <= last < 65536 else None


def _key(span: Span, protocol: str) -> str:
    word = protocol.lower() or "tcp"
    if word not in _PROTOCOLS:
        raise CliError(
            f"invalid proto: {protocol}", f"protocols are {', '.join(_PROTOCOLS)}", _STATUS
        )
    first, last = span
    return f"{first}/{word}" if first == last else f"{first}-{last}/{word}"


def _wrong(message: str) -> CliError:
    return CliError(message, _FORM, _STATUS)
