"""By which of the host's interfaces a client came in, and that internal networks are closed.

A container of an internal network may speak to the host, so it gets at the held ports. The firewall
sees to it that the kernel leads it nowhere; what is relayed must not, either.
"""

import socket
import sys
from contextlib import suppress
from errno import EACCES

from drivers import sysctl

_IPV6_2292PKTOPTIONS = 6  # linux/in6.h
_ADDRESS_OCTETS, _INDEX_OCTETS = 16, 4  # struct in6_pktinfo, ipv6(7)


def ask_for(listening: socket.socket) -> None:
    """Let the kernel note for each client of an IPv6 socket where it came in."""
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def refuse_internal(client: socket.socket) -> None:
    """Raise OSError if a client that was accepted is in an internal network."""
    # RFC 2292 5: on a stream's socket, what came with its first packet, as control messages.
    room = socket.CMSG_SPACE(_ADDRESS_OCTETS + _INDEX_OCTETS)
    told = client.getsockopt(socket.IPPROTO_IPV6, _IPV6_2292PKTOPTIONS, room)
    if is_internal(told[socket.CMSG_LEN(0) :]):
        raise OSError(EACCES, f"{client.getpeername()[0]} is in an internal network")


def is_internal(pktinfo: bytes) -> bool:
    """Return whether an interface is an internal network's, by the kernel's words for both."""
    index = int.from_bytes(pktinfo[_ADDRESS_OCTETS:][:_INDEX_OCTETS], sys.byteorder)
    with suppress(OSError):  # it has gone
        return sysctl.is_internal(socket.if_indextoname(index))
    return False
