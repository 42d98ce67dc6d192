"""What the daemon and the holding process say to each other: the values, and their form.

Each message is a line of JSON. A request is an object with a "verb" and the verb's fields; the
answers come in the order of the requests and are objects with a "result" or an "error".
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import EPROTONOSUPPORT
from ipaddress import IPv6Address, ip_address

from drivers.contract import Address

# Raised with each incompatible change; "hello" and "shutdown" must stay as they are for ever, so
# that a daemon can always end the process of another version.
PROTOCOL_VERSION = 1

ANOTHER_HOLDS = 3  # the process's exit status when there is one on its path already
LONGEST_REQUEST = 16 << 20  # octets: every port there is, each a hold of its own, has less
LONGEST_ANSWER = 64 << 20
PROTOCOLS = ("tcp", "udp", "sctp")
_LAST_PORT = 65535

Fields = Mapping[str, object]
Key = tuple[str, Address, int, bool]  # a port that is held: protocol, address, port, dual


class PortsError(Exception):
    """The process did not start, has ended, or refused a request; in a sentence."""


class ProtocolError(PortsError):
    """A message makes no sense."""


class PortRefusedError(PortsError):
    """One port could not be held; `errno` says why."""

    def __init__(self, hold: "Hold", port: int, errno: int, reason: str = "") -> None:
        if errno == EPROTONOSUPPORT:
            reason = f"this kernel has no {hold.protocol.upper()}"
        reason = reason or os.strerror(errno)
        super().__init__(f"cannot hold port {port}/{hold.protocol} of {hold.address}: {reason}")
        self.hold = hold
        self.port = port
        self.errno = errno
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hold:
    """A port of the host, or a run of ports, and where IPv6 that arrives there is relayed to.

    SCTP is never relayed. IPv4 isn't, either: a target of an IPv4 address has no effect.
    """

    protocol: str  # tcp, udp, sctp
    address: Address  # of the host; the unspecified one: all of its family
    port: int  # the first
    count: int = 1
    dual: bool = False  # the address is ::, and the same socket holds 0.0.0.0
    target: Address | None = None  # absent: nowhere
    target_port: int = 0  # the first; a run shifts together

    @property
    def keys(self) -> Iterator[Key]:
        """The ports one by one."""
        for port in range(self.port, self.port + self.count):
            yield self.protocol, self.address, port, self.dual


def encoded(fields: Fields) -> bytes:
    """Return a request or an answer as it is sent."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def decoded(line: bytes) -> Fields:
    """Return what `encoded` was given; raises ProtocolError."""
    try:
        return record(json.loads(line), "message")
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message is no JSON: {error}") from error


def hold_fields(hold: Hold) -> Fields:
    """Return the hold as JSON's types."""
    return {
        "protocol": hold.protocol,
        "address": str(hold.address),
        "port": hold.port,
        "count": hold.count,
        "dual": hold.dual,
        "target": None if hold.target is None else str(hold.target),
        "target_port": hold.target_port,
    }


def holds(fields: Fields) -> Sequence[Hold]:
    """Return a request's holds; raises ProtocolError."""
    return tuple(hold(record(each, "hold")) for each in values(fields, "holds"))


def hold(fields: Fields) -> Hold:
    """Return the hold that `hold_fields` described; raises ProtocolError if there can be none."""
    described = Hold(
        protocol=text(fields, "protocol"),
        address=_address(text(fields, "address")),
        port=number(fields, "port"),
        count=number(fields, "count"),
        dual=_flag(fields, "dual"),
        target=None if fields.get("target") is None else _address(text(fields, "target")),
        target_port=number(fields, "target_port"),
    )
    if described.protocol not in PROTOCOLS:
        raise ProtocolError(f"protocol is none of {', '.join(PROTOCOLS)}: {described.protocol!r}")
    if described.dual and described.address != IPv6Address("::"):
        raise ProtocolError(f"only :: can be held together with IPv4: {described.address}")
    _check_run("ports", described.port, described.count)
    if described.target is not None:
        _check_run("target's ports", described.target_port, described.count)
    return described


def refusal_fields(refusal: PortRefusedError) -> Fields:
    """Return the refusal as JSON's types."""
    return {
        "hold": hold_fields(refusal.hold),
        "port": refusal.port,
        "errno": refusal.errno,
        "reason": refusal.reason,
    }


def refusal(fields: Fields) -> PortRefusedError:
    """Return the refusal that `refusal_fields` described; raises ProtocolError."""
    refused = hold(record(fields.get("hold"), "hold"))
    return PortRefusedError(
        refused, number(fields, "port"), number(fields, "errno"), text(fields, "reason")
    )


def key_fields(key: Key) -> Sequence[object]:
    """Return a held port as JSON's types."""
    protocol, address, port, dual = key
    return [protocol, str(address), port, dual]


def key(value: object) -> Key:
    """Return the port that `key_fields` described; raises ProtocolError."""
    match value:
        case [str(protocol), str(address), int(port), bool(dual)]:
            return protocol, _address(address), port, dual
    raise ProtocolError(f"no held port: {_shown(value)}")


def record(value: object, what: str) -> Fields:
    """Return the value if it is a JSON object; `what` names it in the ProtocolError."""
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} is no object: {_shown(value)}")
    return value


def text(fields: Fields, name: str) -> str:
    """Return a field that must be a string; raises ProtocolError."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{name} is no string: {_shown(value)}")
    return value


def number(fields: Fields, name: str) -> int:
    """Return a field that must be an integer; raises ProtocolError."""
    value = fields.get(name)
    if type(value) is not int:
        raise ProtocolError(f"{name} is no integer: {_shown(value)}")
    return value


def values(fields: Fields, name: str) -> list[object]:
    """Return a field that must be a list; raises ProtocolError."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise ProtocolError(f"{name} is no list: {_shown(value)}")
    return value


def _flag(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise ProtocolError(f"{name} is neither true nor false: {_shown(value)}")
    return value


def _address(value: str) -> Address:
    try:
        return ip_address(value)
    except ValueError as error:
        raise ProtocolError(f"no IP address: {_shown(value)}") from error


def _check_run(what: str, first: int, count: int) -> None:
    if count < 1 or not 1 <= first <= first + count - 1 <= _LAST_PORT:
        raise ProtocolError(f"{what} are not within 1 to {_LAST_PORT}: {count} from {first} on")


def _shown(value: object) -> str:
    return f"{value!r:.80}"
