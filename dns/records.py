"""The records: derived from networks and endpoints, kept ready to be sent.

Each network has a table from a name in wire form, lower-cased, to its resource records. A name and
a reverse name are the same kind of key, so one look-up serves A, AAAA and PTR.
"""

import random
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dns.control import Address, ControlError, EndpointRecords, NetworkRecords, Snapshot

TTL_S = 5  # short: a container may get another address with its next start
A, PTR, AAAA = 1, 12, 28

_Resources = Mapping[int, tuple[bytes, ...]]  # type -> resource records, in wire form
_RESOURCE = struct.Struct("!HHHIH")  # RFC 1035 4.1.3 from a compressed name on
_QUESTION_NAME = 0xC00C  # a pointer to the question's name, RFC 1035 4.1.4


@dataclass(frozen=True, slots=True)
class Entry:
    """What one name has: its records, and who holds it."""

    holders: frozenset[str]
    resources: _Resources

    def answers(self, kind: int) -> Sequence[bytes]:
        """Return the records of this type; those of several holders in a new order each time."""
        answers = self.resources.get(kind, ())
        if len(answers) > 1 and len(self.holders) > 1:
            return random.sample(answers, len(answers))
        return answers


@dataclass(slots=True)
class _Network:
    name: str
    endpoints: dict[str, EndpointRecords] = field(default_factory=dict)
    shares: dict[bytes, dict[str, Entry]] = field(default_factory=dict)  # by name, by endpoint
    unions: dict[bytes, Entry] = field(default_factory=dict)  # of the shares, once asked for

    def add(self, endpoint: EndpointRecords) -> None:
        self.endpoints[endpoint.id] = endpoint
        for key, entry in _entries(endpoint, self.name):
            self.shares.setdefault(key, {})[endpoint.id] = entry
            self.unions.pop(key, None)

    def remove(self, endpoint_id: str) -> None:
        endpoint = self.endpoints.pop(endpoint_id)
        for key in {key for key, _ in _entries(endpoint, self.name)}:
            shares = self.shares[key]
            del shares[endpoint_id]
            if not shares:
                del self.shares[key]
            self.unions.pop(key, None)

    def entry(self, key: bytes) -> Entry | None:
        entry = self.unions.get(key)
        if entry is None and key in self.shares:
            entry = self.unions[key] = _union(self.shares[key].values())
        return entry


class Records:
    """All networks' tables."""

    def __init__(self) -> None:
        self._networks: dict[str, _Network] = {}
        self._network_of: dict[str, str] = {}  # endpoint -> network

    def replace(self, snapshot: Snapshot) -> None:
        """Take the snapshot's records in place of all others, at once; raises ControlError."""
        records = Records()
        for network in snapshot.networks:
            records.put_network(network)
        for endpoint in snapshot.endpoints:
            records.put_endpoint(endpoint)
        self._networks, self._network_of = records._networks, records._network_of

    def put_network(self, network: NetworkRecords) -> None:
        """Add the network or change its name."""
        former = self._networks.get(network.id)
        if former is not None and former.name == network.name:
            return
        renamed = _Network(network.name)
        for endpoint in former.endpoints.values() if former else ():
            renamed.add(endpoint)
        self._networks[network.id] = renamed

    def remove_network(self, network_id: str) -> None:
        """Forget the network and its endpoints; may be repeated."""
        network = self._networks.pop(network_id, None)
        for endpoint_id in network.endpoints if network else ():
            del self._network_of[endpoint_id]

    def put_endpoint(self, endpoint: EndpointRecords) -> None:
        """Add the endpoint or replace its records; raises ControlError without its network."""
        network = self._networks.get(endpoint.network)
        if network is None:
            raise ControlError(f"endpoint {endpoint.id} is on no known network: {endpoint.network}")
        self.remove_endpoint(endpoint.id)
        self._network_of[endpoint.id] = endpoint.network
        network.add(endpoint)

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Forget the endpoint; may be repeated."""
        network_id = self._network_of.pop(endpoint_id, None)
        if network_id is not None:
            self._networks[network_id].remove(endpoint_id)

    def entry(self, networks: Iterable[str], key: bytes) -> Entry | None:
        """Return what the name has on these networks; None if none of them knows it.

        `key` is the name in wire form, lower-cased.
        """
        found = []
        for network_id in networks:
            network = self._networks.get(network_id)
            if network and (entry := network.entry(key)):
                found.append(entry)
        return _union(found) if found else None


def wire_name(name: str) -> bytes | None:
    """Return the name in wire form; None for one that no question can hold (RFC 1035 2.3.4)."""
    try:
        labels = name.removesuffix(".").encode().split(b".")
    except UnicodeEncodeError:
        return None
    if b"\0" in name.encode() or not all(0 < len(label) < 64 for label in labels):
        return None
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return wire if len(wire) < 256 else None


def _entries(endpoint: EndpointRecords, network_name: str) -> Iterable[tuple[bytes, Entry]]:
    # A holder is a container, not an endpoint: its name is what the PTR starts with. Only then
    # are its addresses on two networks kept in the view's order instead of shuffled.
    holders = frozenset({endpoint.ptr.lower().removesuffix(f".{network_name.lower()}")})
    forward = Entry(holders, _address_records(endpoint.addresses))
    for name in dict.fromkeys(endpoint.names):
        for full_name in (name, f"{name.removesuffix('.')}.{network_name}"):
            if wire := wire_name(full_name):
                yield wire.lower(), forward
    target = wire_name(endpoint.ptr)
    for address in endpoint.addresses if target else ():
        if wire := wire_name(address.reverse_pointer):
            yield wire, Entry(holders, {PTR: (_resource(PTR, target or b""),)})


def _address_records(addresses: Iterable[Address]) -> _Resources:
    resources: dict[int, tuple[bytes, ...]] = {}
    for address in addresses:
        kind = A if address.version == 4 else AAAA
        resources[kind] = (*resources.get(kind, ()), _resource(kind, address.packed))
    return resources


def _resource(kind: int, content: bytes) -> bytes:
    return _RESOURCE.pack(_QUESTION_NAME, kind, 1, TTL_S, len(content)) + content


def _union(entries: Collection[Entry]) -> Entry:
    if len(entries) == 1:
        return next(iter(entries))
    resources: dict[int, dict[bytes, None]] = {}  # a set that keeps the order
    for entry in entries:
        for kind, records in entry.resources.items():
            resources.setdefault(kind, {}).update(dict.fromkeys(records))
    holders = frozenset().union(*(entry.holders for entry in entries))
    return Entry(holders, {kind: tuple(records) for kind, records in resources.items()})
