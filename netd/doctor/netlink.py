"""Ask the kernel by netlink what it has, without the library that the daemon uses.

The probes run in a short-lived process, also as an ordinary user; pyroute2 alone would take longer
to import than all of them need. Messages: linux/netlink.h, linux/rtnetlink.h, linux/nfnetlink.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator

_NETLINK_NETFILTER = 12
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _DUMP, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x300, 0x400, 0x200
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_IFALIAS = 3, 18, 20
_IFLA_INFO_KIND = 1
_NFT_MSG_GETGEN = (10 << 8) | 16  # NFNL_SUBSYS_NFTABLES
_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")
_RECEIVE_BYTES = 1 << 16


def link_problem(kind: str) -> str:
    """Try to make a link of a kind in this namespace; give why not, empty if it can be.

    A kind that wants more than its name (vxlan, macvlan) is there when the kernel asks for it.
    """
    body = _LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    body += _attribute(_IFLA_IFNAME, f"probe-{kind}"[:15].encode() + b"\0")
    body += _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, kind.encode()))
    number = _error_of(
        socket.NETLINK_ROUTE, _RTM_NEWLINK, _REQUEST | _ACK | _CREATE | _EXCLUSIVE, body
    )
    return "" if number in {0, errno.EINVAL, errno.ENODEV} else os.strerror(number)


def nftables_problem() -> str:
    """Ask nf_tables for its generation; give why it does not answer, empty if it does."""
    number = _error_of(_NETLINK_NETFILTER, _NFT_MSG_GETGEN, _REQUEST | _ACK, bytes(4))
    return os.strerror(number) if number else ""


def aliases() -> dict[str, str]:
    """Give the alias of each interface of this namespace that has one."""
    out = {}
    for attributes in _links():
        if _IFLA_IFALIAS in attributes:
            name, alias = (attributes[key].rstrip(b"\0") for key in (_IFLA_IFNAME, _IFLA_IFALIAS))
            out[name.decode(errors="replace")] = alias.decode(errors="replace")
    return out


def _links() -> Iterator[dict[int, bytes]]:
    body = _LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.send(_message(_RTM_GETLINK, _REQUEST | _DUMP, body))
        while True:
            for kind, payload in _messages(asking.recv(_RECEIVE_BYTES)):
                if kind in {_NLMSG_DONE, _NLMSG_ERROR}:
                    return
                yield _attributes(payload[_LINK_HEADER.size :])


def _error_of(protocol: int, kind: int, flags: int, body: bytes) -> int:
    """Send a request; give the errno of its answer, zero if it was done."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as asking:
        asking.send(_message(kind, flags, body))
        while True:
            for answer, payload in _messages(asking.recv(_RECEIVE_BYTES)):
                if answer == _NLMSG_ERROR:
                    return -int(struct.unpack_from("=i", payload)[0])


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _attribute(kind: int, value: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(value), kind) + value).ljust(_aligned(4 + len(value)), b"\0")


def _attributes(data: bytes) -> dict[int, bytes]:
    out = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        out[kind] = data[4:length]
        data = data[_aligned(length) :]
    return out


def _aligned(length: int) -> int:
    return (length + 3) & ~3
