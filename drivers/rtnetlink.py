"""A few requests of rtnetlink(7) in one go, where pyroute2's 0.4 ms each would be most of the time.

Whatever is rare or answers with more than yes or no goes through `drivers.link`.
"""

import os
import socket
import struct
from collections.abc import Sequence

from drivers.contract import Interface

REQUEST, ACK, REPLACE, CREATE = 0x01, 0x04, 0x100, 0x400  # NLM_F_..., linux/netlink.h
ERROR = 2  # NLMSG_ERROR, also the type of a good answer
NEW_LINK, NEW_ADDRESS = 16, 20  # RTM_..., linux/rtnetlink.h
ADDRESS, LOCAL, BROADCAST, FLAGS = 1, 2, 4, 8  # IFA_..., linux/if_addr.h
NO_DAD = 0x02  # IFA_F_NODAD
UP = 1  # IFF_UP
SOL_NETLINK, CAP_ACK = 270, 10

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port


def up(index: int) -> bytes:
    """Return the request that sets an interface up."""
    return _message(NEW_LINK, 0, struct.pack("=BxHiII", 0, 0, index, UP, UP))


def address(index: int, given: Interface) -> bytes:
    """Return the request that gives an interface an address, or leaves it as it is.

    netd gives each address once, so there is no duplicate to detect, and nothing to wait for.
    """
    family = socket.AF_INET if given.version == 4 else socket.AF_INET6
    octets, prefix_length = given.ip.packed, given.network.prefixlen
    body = struct.pack("=BBBBi", family, prefix_length, 0, 0, index)
    body += _attribute(LOCAL, octets) + _attribute(ADDRESS, octets)
    if given.version == 6:
        body += _attribute(FLAGS, struct.pack("=I", NO_DAD))
    elif prefix_length < 31:
        body += _attribute(BROADCAST, given.network.broadcast_address.packed)
    return _message(NEW_ADDRESS, CREATE | REPLACE, body)


def send(requests: Sequence[bytes]) -> None:
    """Do all of them in this thread's network namespace; OSError for the first that is refused."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as kernel:
        kernel.setsockopt(SOL_NETLINK, CAP_ACK, 1)  # answers without the request in them
        kernel.send(b"".join(requests))
        answers = [_refusal(kernel.recv(4096)) for _ in requests]
    for code in answers:
        if code:
            raise OSError(code, os.strerror(code))


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, REQUEST | ACK | flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    """Return a struct rtattr; the values used here need no padding."""
    return struct.pack("=HH", 4 + len(value), kind) + value


def _refusal(answer: bytes) -> int:
    """Return the error in an answer, 0 if there is none."""
    _, kind, *_ = HEADER.unpack_from(answer)
    if kind != ERROR:
        raise OSError(f"rtnetlink gave an answer of type {kind}, not an acknowledgement")
    return -int(struct.unpack_from("=i", answer, HEADER.size)[0])
