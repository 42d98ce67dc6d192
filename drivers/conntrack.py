"""Forget flows of connection tracking that yesterday's rules have led somewhere.

Only the first packet of a flow meets the rules that translate addresses; the others go the way it
went. As long as a client of a published UDP port keeps on sending, its packets stay with the host,
or with the container that had the port before. So whoever changes what a port or an address means
changes the rules first, and has the flows forgotten then.

A flow is known by where it was sent originally, which is the *host's* port. The container's is
another number, and stands for other people's flows to that number as well. The protocol is
ctnetlink (linux/netfilter/nfnetlink_conntrack.h): one list, and a message for each flow to forget.
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers import netlink, rtnetlink
from drivers.contract import Address, DriverError

GET, DELETE = (1 << 8) | 1, (1 << 8) | 2  # IPCTNL_MSG_CT_... of NFNL_SUBSYS_CTNETLINK
ORIGINAL, REPLY, ID, ZONE, FILTER = 1, 2, 12, 18, 25  # CTA_...
FILTER_ORIGINAL = 1  # CTA_FILTER_ORIG_FLAGS
SAME_PROTOCOL, SAME_PORT = 1 << 3, 1 << 5  # what must be equal, net/netfilter/nf_internals.h
TUPLE_IP, TUPLE_PROTOCOL = 1, 2  # CTA_TUPLE_...
PROTOCOL_NUMBER, PROTOCOL_PORT = 1, 3  # CTA_PROTO_NUM, CTA_PROTO_DST_PORT
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
GENERIC = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource
SIZES: Mapping[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 16}  # of an address
# What comes before the addresses of a tuple where all is where it is looked for.
HEADS = {size: struct.pack("=HH", 12 + 2 * size, TUPLE_IP | netlink.NESTED) for size in (4, 16)}

COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
MANY = 100_000  # flows that are assumed where the kernel does not tell
# Looking through the table takes the kernel 9 to 25 ms, listing a flow 2 us: this many more flows
# in the table, and a further look for one port is faster than a list of all of them.
FLOWS_OF_A_LIST = 16_000


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the host, or a run of ports, that is published or was."""

    protocol: str  # tcp, udp, sctp
    address: Address  # unspecified: any of the host's addresses of this family
    first: int
    count: int = 1


def flush(ports: Collection[HostPort] = (), addresses: Collection[Address] = ()) -> int:
    """Forget flows in this thread's network namespace; return how many.

    Those that were sent to one of the ports, and those that an address has a part in, translated or
    not. DriverError if a port makes no sense, or the kernel cannot be asked.
    """
    _check(ports)
    tracked = _tracked() if ports or addresses else 0
    if tracked == 0:
        return 0
    try:
        sought = _sought(ports, addresses)
        questions = _questions(ports, addresses, tracked)
        deletions = netlink.undisturbed(lambda: list(_deletions(questions, sought)))
        refusals = netlink.refusals(netlink.NETFILTER, deletions)
    except OSError as error:
        raise DriverError(f"flows of connection tracking: {_words(error)}") from error
    for refusal in refusals:
        if refusal is not None and refusal.errno != errno.ENOENT:  # it may have ended meanwhile
            raise DriverError(f"flow of connection tracking: {refusal.strerror}") from refusal
    return refusals.count(None)


@dataclass(frozen=True, slots=True)
class _Sought:
    """What flows are known by, in network order."""

    ports: Mapping[int, Mapping[bytes, tuple[bytes, ...]]]  # protocol, port: destinations
    own: Collection[bytes]  # what an unspecified destination stands for
    addresses: Collection[bytes]

    def has(self, flow: bytes) -> bool:
        """Return whether a message is about a flow that is sought.

        There may be 100,000, so nothing is taken apart. With addresses of `size` octets:

            0 family   4 tuple   8 addresses   16 source   20 + size destination
            20 + 2 size protocol   28 + 2 size its number   44 + 2 size destination port
        """
        size = SIZES[flow[0]]
        if flow[8:12] != HEADS[size]:
            raise OSError(errno.EPROTO, "the kernel writes them in an order unknown to netd")
        ports = self.ports.get(flow[28 + 2 * size])
        if ports and (wanted := ports.get(flow[44 + 2 * size : 46 + 2 * size])):
            destination = flow[20 + size : 20 + 2 * size]
            if destination in wanted or (bytes(size) in wanted and self._is_own(destination)):
                return True
        if not self.addresses:
            return False
        reply = netlink.aligned(netlink.ATTRIBUTE.unpack_from(flow, 4)[0])
        return (
            flow[16 : 16 + size] in self.addresses
            or flow[20 + size : 20 + 2 * size] in self.addresses
            or flow[16 + reply : 16 + reply + size] in self.addresses
            or flow[20 + reply + size : 20 + reply + 2 * size] in self.addresses
        )

    def _is_own(self, address: bytes) -> bool:
        # All of 127.0.0.0/8 is the host's, though it lists one address of it.
        return address in self.own or (len(address) == 4 and address[0] == 127)


def _check(ports: Collection[HostPort]) -> None:
    problems = []
    for port in ports:
        last = port.first + port.count - 1
        if port.protocol not in PROTOCOLS:
            problems.append(f"{port.protocol} has no ports that flows are known by")
        elif not 1 <= port.first <= last <= 65535:
            problems.append(f"{port.first} to {last} is no run of {port.protocol} ports")
    if problems:
        raise DriverError("; ".join(problems))


def _tracked() -> int:
    """Return how many flows there are."""
    try:
        return int(COUNT.read_text())
    except (OSError, ValueError):
        return MANY


def _sought(ports: Collection[HostPort], addresses: Collection[Address]) -> _Sought:
    found: dict[int, dict[bytes, tuple[bytes, ...]]] = {}
    for port in ports:
        by_port = found.setdefault(PROTOCOLS[port.protocol], {})
        for number in range(port.first, port.first + port.count):
            key = number.to_bytes(2, "big")
            by_port[key] = (*by_port.get(key, ()), port.address.packed)
    own = rtnetlink.addresses() if any(port.address.is_unspecified for port in ports) else ()
    return _Sought(
        found, {one.ip.packed for _, one in own}, {address.packed for address in addresses}
    )


def _questions(
    ports: Collection[HostPort], addresses: Collection[Address], tracked: int
) -> list[bytes]:
    """Return what to ask the kernel for, so that all that is sought is in the answers."""
    if not addresses and sum(port.count for port in ports) <= 1 + tracked // FLOWS_OF_A_LIST:
        numbers = ((port, port.first + number) for port in ports for number in range(port.count))
        return [_question(port, number) for port, number in numbers]
    versions = {port.address.version for port in ports} | {one.version for one in addresses}
    family = socket.AF_UNSPEC if len(versions) > 1 else FAMILIES[versions.pop()]
    return [_generic(family)]


def _question(port: HostPort, number: int) -> bytes:
    """Return the question for the flows to one port of a family.

    A kernel before 5.8 does not know of filters, and lists all flows of the family.
    """
    protocol = (
        netlink.attribute(PROTOCOL_NUMBER, bytes([PROTOCOLS[port.protocol]])),
        netlink.attribute(PROTOCOL_PORT, struct.pack("!H", number)),
    )
    flags = netlink.attribute(FILTER_ORIGINAL, struct.pack("=I", SAME_PROTOCOL | SAME_PORT))
    wanted = netlink.nested(ORIGINAL, netlink.nested(TUPLE_PROTOCOL, *protocol))
    return _generic(FAMILIES[port.address.version]) + wanted + netlink.nested(FILTER, flags)


def _deletions(questions: Collection[bytes], sought: _Sought) -> Iterator[bytes]:
    for question in questions:
        for flow in netlink.dump(netlink.NETFILTER, GET, question):
            if sought.has(flow):
                yield _deletion(flow)


def _deletion(flow: bytes) -> bytes:
    """Return the request to forget a flow; one that has taken its place has another id."""
    found = netlink.attributes(flow, GENERIC.size)
    body = _generic(flow[0]) + netlink.attribute(ORIGINAL | netlink.NESTED, found[ORIGINAL])
    for kind in (ZONE, ID):
        if kind in found:
            body += netlink.attribute(kind, found[kind])
    return netlink.request(DELETE, body)


def _generic(family: int) -> bytes:
    return GENERIC.pack(family, 0, 0)


def _words(error: OSError) -> str:
    if error.errno in {errno.EINVAL, errno.EPROTONOSUPPORT}:  # what nfnetlink says to strangers
        return "the kernel has no ctnetlink to ask (modprobe nf_conntrack_netlink)"
    return error.strerror or str(error)
