"""What the daemon and the DNS server say to each other: the values, and their form in messages.

A request is a JSON object with a "verb" and the verb's fields; a reply is one with a "result" or
an "error". `dns.channel` frames them and carries the sockets that go along with a request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

# Raised with each incompatible change; "hello" and "shutdown" must stay as they are for ever, so
# that a daemon can always end the server of another version.
PROTOCOL_VERSION = 1

ANOTHER_SERVES = 3  # the server's exit status when there is one on its path already

Address = IPv4Address | IPv6Address
Fields = Mapping[str, object]


class ControlError(Exception):
    """A request that makes no sense, in a sentence."""


@dataclass(frozen=True, slots=True)
class NetworkRecords:
    """A network; its name is the suffix of the qualified names on it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class EndpointRecords:
    """What one endpoint answers to on its network.

    `names` are the plain ones ("web", aliases, short id, hostname); the qualified forms
    ("web.front") follow from the network's name. `ptr` is what reverse look-ups give.
    """

    id: str
    network: str
    names: tuple[str, ...]
    addresses: tuple[Address, ...]
    ptr: str


@dataclass(frozen=True, slots=True)
class View:
    """One asker: the networks it shares, the first one first, and where else its questions go."""

    id: str
    networks: tuple[str, ...]
    upstreams: tuple[tuple[Address, int], ...] = ()  # empty: nothing is forwarded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All records and views at one moment."""

    networks: tuple[NetworkRecords, ...] = ()
    endpoints: tuple[EndpointRecords, ...] = ()
    views: tuple[View, ...] = ()


def encoded(fields: Fields) -> bytes:
    """Return a request or reply as it is sent."""
    return json.dumps(fields, separators=(",", ":")).encode()


def decoded(payload: bytes) -> Fields:
    """Return what `encoded` was given; raises ControlError."""
    try:
        return record(json.loads(payload), "message")
    except (ValueError, RecursionError) as error:
        raise ControlError(f"message is no JSON: {error}") from error


def network_fields(network: NetworkRecords) -> Fields:
    """Return the network as JSON's types."""
    return {"id": network.id, "name": network.name}


def endpoint_fields(endpoint: EndpointRecords) -> Fields:
    """Return the endpoint as JSON's types."""
    return {
        "id": endpoint.id,
        "network": endpoint.network,
        "names": list(endpoint.names),
        "addresses": [str(address) for address in endpoint.addresses],
        "ptr": endpoint.ptr,
    }


def view_fields(view: View) -> Fields:
    """Return the view as JSON's types."""
    upstreams = [{"address": str(address), "port": port} for address, port in view.upstreams]
    return {"id": view.id, "networks": list(view.networks), "upstreams": upstreams}


def snapshot_fields(snapshot: Snapshot) -> Fields:
    """Return the snapshot as JSON's types."""
    return {
        "networks": [network_fields(network) for network in snapshot.networks],
        "endpoints": [endpoint_fields(endpoint) for endpoint in snapshot.endpoints],
        "views": [view_fields(view) for view in snapshot.views],
    }


def network(fields: Fields) -> NetworkRecords:
    """Return the network that `network_fields` described; raises ControlError."""
    return NetworkRecords(text(fields, "id"), text(fields, "name"))


def endpoint(fields: Fields) -> EndpointRecords:
    """Return the endpoint that `endpoint_fields` described; raises ControlError."""
    return EndpointRecords(
        id=text(fields, "id"),
        network=text(fields, "network"),
        names=_texts(fields, "names"),
        addresses=tuple(_address(address) for address in _texts(fields, "addresses")),
        ptr=text(fields, "ptr"),
    )


def view(fields: Fields) -> View:
    """Return the view that `view_fields` described; raises ControlError."""
    upstreams = (record(upstream, "upstream") for upstream in _values(fields, "upstreams"))
    return View(
        id=text(fields, "id"),
        networks=_texts(fields, "networks"),
        upstreams=tuple((_address(text(each, "address")), _port(each)) for each in upstreams),
    )


def snapshot(fields: Fields) -> Snapshot:
    """Return the snapshot that `snapshot_fields` described; raises ControlError."""
    return Snapshot(
        tuple(network(record(each, "network")) for each in _values(fields, "networks")),
        tuple(endpoint(record(each, "endpoint")) for each in _values(fields, "endpoints")),
        tuple(view(record(each, "view")) for each in _values(fields, "views")),
    )


def record(value: object, what: str) -> Fields:
    """Return the value if it is a JSON object; `what` names it in the ControlError."""
    if not isinstance(value, dict):
        raise ControlError(f"{what} is no object: {_shown(value)}")
    return value


def text(fields: Fields, key: str) -> str:
    """Return a field that must be a string; raises ControlError."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise ControlError(f"{key} is no string: {_shown(value)}")
    return value


def number(fields: Fields, key: str) -> int:
    """Return a field that must be an integer; raises ControlError."""
    value = fields.get(key)
    if type(value) is not int:
        raise ControlError(f"{key} is no integer: {_shown(value)}")
    return value


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    values = _values(fields, key)
    for value in values:
        if not isinstance(value, str):
            raise ControlError(f"{key} holds what is no string: {_shown(value)}")
    return tuple(str(value) for value in values)


def _values(fields: Fields, key: str) -> list[object]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise ControlError(f"{key} is no list: {_shown(value)}")
    return value


def _address(value: str) -> Address:
    try:
        return ip_address(value)
    except ValueError as error:
        raise ControlError(f"no IP address: {_shown(value)}") from error


def _port(fields: Fields) -> int:
    port = number(fields, "port")
    if not 0 < port < 65536:
        raise ControlError(f"port is none of 1 to 65535: {port}")
    return port


def _shown(value: object) -> str:
    return f"{value!r:.80}"
