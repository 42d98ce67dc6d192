"""A few requests of rtnetlink(7) in one go, where pyroute2's 0.4 ms each would be most of the time.

Whatever is rare or answers with more than yes or no goes through `drivers.link`.
"""

import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_interface

from drivers import netlink
from drivers.contract import Interface

NEW_LINK, NEW_ADDRESS, GET_ADDRESS = 16, 20, 22  # RTM_..., linux/rtnetlink.h
ADDRESS, LOCAL, BROADCAST, FLAGS = 1, 2, 4, 8  # IFA_..., linux/if_addr.h
NO_DAD = 0x02  # IFA_F_NODAD
UP = 1  # IFF_UP

LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
OF_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, index


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
