"""A few requests of rtnetlink(7) in one go, where pyroute2's 0.4 ms each would be most of the time.

Whatever is rare or answers with more than yes or no goes through `drivers.link`.
"""

import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from errno import ENODEV
from ipaddress import ip_interface

from drivers import netlink
from drivers.contract import Interface

NEW_LINK, GET_LINK, SET_LINK = 16, 18, 19  # RTM_..., linux/rtnetlink.h
NEW_ADDRESS, GET_ADDRESS = 20, 22
# IFLA_..., linux/if_link.h
HARDWARE, NAME, MASTER, PORT, LINK_INFO, ALIAS = 1, 3, 10, 12, 18, 20
HAIRPIN, ISOLATED = 4, 33  # IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED
KIND, DATA, PORT_DATA = 1, 2, 5  # IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA
BOOL_OPTIONS = 46  # IFLA_BR_MULTI_BOOLOPT
NO_LINK_LOCAL_LEARNING = 1 << 0  # BR_BOOLOPT_NO_LL_LEARN, linux/if_bridge.h
AF_BRIDGE = 7
ADDRESS, LOCAL, BROADCAST, FLAGS = 1, 2, 4, 8  # IFA_..., linux/if_addr.h
NO_DAD = 0x02  # IFA_F_NODAD
UP = 1  # IFF_UP

LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
OF_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, index


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as it is now."""

    index: int
    up: bool
    master: int  # the number of its bridge, zero for none
    mac: str
    alias: str
    hairpin: bool  # of a bridge's port: frames may go back where they came from
    isolated: bool  # likewise: from the other isolated ports


def link(name: str) -> Link | None:
    """Return an interface of this thread's network namespace; None if there is none."""
    body = LINK.pack(0, 0, 0, 0, 0) + netlink.attribute(NAME, name.encode() + b"\0")
    try:
        found = netlink.answer(socket.NETLINK_ROUTE, GET_LINK, body)
    except OSError as error:
        if error.errno == ENODEV:
            return None
        raise
    _, _, index, flags, _ = LINK.unpack_from(found)
    said = netlink.attributes(found, LINK.size)
    port = netlink.attributes(netlink.attributes(said.get(LINK_INFO, b"")).get(PORT_DATA, b""))
    return Link(
        index=index,
        up=bool(flags & UP),
        master=int.from_bytes(said.get(MASTER, b""), sys.byteorder),
        mac=said.get(HARDWARE, b"").hex(":"),
        alias=said.get(ALIAS, b"").rstrip(b"\0").decode(errors="replace"),
        hairpin=any(port.get(HAIRPIN, b"")),
        isolated=any(port.get(ISOLATED, b"")),
    )


def alias(index: int, text: str) -> bytes:
    """Return the request that gives an interface the alias that `ip link` shows."""
    return netlink.request(
        NEW_LINK, LINK.pack(0, 0, index, 0, 0) + netlink.attribute(ALIAS, text.encode())
    )


def bridge(index: int) -> bytes:
    """Return the request that lets a bridge learn no MAC from frames for switches (LLDP, LACP).

    They pass no rule of nf_tables, so with one of them a container would take another's MAC.
    """
    option = struct.pack("=II", NO_LINK_LOCAL_LEARNING, NO_LINK_LOCAL_LEARNING)
    kind = netlink.attribute(KIND, b"bridge\0")
    data = netlink.nested(DATA, netlink.attribute(BOOL_OPTIONS, option))
    return netlink.request(
        NEW_LINK, LINK.pack(0, 0, index, 0, 0) + netlink.nested(LINK_INFO, kind, data)
    )


def bridge_port(index: int, *, hairpin: bool, isolated: bool) -> bytes:
    """Return the request that sets how a bridge treats one of its ports."""
    settings = ((HAIRPIN, hairpin), (ISOLATED, isolated))
    inner = [netlink.attribute(kind, bytes([value])) for kind, value in settings]
    return netlink.request(
        SET_LINK, LINK.pack(AF_BRIDGE, 0, index, 0, 0) + netlink.nested(PORT, *inner)
    )


def up(index: int) -> bytes:
    """Return the request that sets an interface up."""
    return netlink.request(NEW_LINK, LINK.pack(0, 0, index, UP, UP))


def address(index: int, given: Interface) -> bytes:
    """Return the request that gives an interface an address, or leaves it as it is.

    netd gives each address once, so there is no duplicate to detect, and nothing to wait for.
    """
    family = socket.AF_INET if given.version == 4 else socket.AF_INET6
    octets, prefix_length = given.ip.packed, given.network.prefixlen
    body = OF_ADDRESS.pack(family, prefix_length, 0, 0, index)
    body += netlink.attribute(LOCAL, octets) + netlink.attribute(ADDRESS, octets)
    if given.version == 6:
        body += netlink.attribute(FLAGS, struct.pack("=I", NO_DAD))
    elif prefix_length < 31:
        body += netlink.attribute(BROADCAST, given.network.broadcast_address.packed)
    return netlink.request(NEW_ADDRESS, body, netlink.CREATE | netlink.REPLACE)


def send(requests: Sequence[bytes]) -> None:
    """Do all of them in this thread's network namespace; OSError for the first that is refused."""
    netlink.do(socket.NETLINK_ROUTE, requests)


def addresses() -> list[tuple[int, Interface]]:
    """Return the addresses of this thread's network namespace, each with its interface's number."""
    asked = OF_ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    bodies = netlink.undisturbed(
        lambda: list(netlink.dump(socket.NETLINK_ROUTE, GET_ADDRESS, asked))
    )
    return [found for body in bodies if (found := address_of(body))]


def address_of(body: bytes) -> tuple[int, Interface] | None:
    """Return the interface's number and the address that a message is about; None: no IP."""
    family, prefix_length, _, _, index = OF_ADDRESS.unpack_from(body)
    found = netlink.attributes(body, OF_ADDRESS.size)
    octets = found.get(LOCAL) or found.get(ADDRESS)  # with a peer, ADDRESS is the peer's
    if family not in {socket.AF_INET, socket.AF_INET6} or octets is None:
        return None
    return index, ip_interface((octets, prefix_length))
