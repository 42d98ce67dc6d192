"""Ask the kernel by netlink what it has, without the library that the daemon uses.

The probes run in a short-lived process, also as an ordinary user; pyroute2 alone would take longer
to import than all of them need. Messages: linux/rtnetlink.h.
"""

import errno
import os
import socket
import struct

from drivers import netlink

_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_IFALIAS = 3, 18, 20
_IFLA_INFO_KIND = 1
_LINK_HEADER = struct.Struct("=BxHiII")


def link_problem(kind: str) -> str:
    """Try to make a link of a kind in this namespace; give why not, empty if it can be.

    A kind that wants more than its name (vxlan, macvlan) is there when the kernel asks for it.
    """
    body = _LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    body += netlink.attribute(_IFLA_IFNAME, f"probe-{kind}"[:15].encode() + b"\0")
    body += netlink.nested(_IFLA_LINKINFO, netlink.attribute(_IFLA_INFO_KIND, kind.encode()))
    flags = netlink.CREATE | netlink.EXCLUSIVE
    number = _error_of(socket.NETLINK_ROUTE, netlink.request(_RTM_NEWLINK, body, flags))
    return "" if number in {0, errno.EINVAL, errno.ENODEV} else os.strerror(number)


def aliases() -> dict[str, str]:
    """Give the alias of each interface of this namespace that has one."""
    out = {}
    for attributes in netlink.undisturbed(_links):
        if _IFLA_IFALIAS in attributes:
            name, alias = (attributes[key].rstrip(b"\0") for key in (_IFLA_IFNAME, _IFLA_IFALIAS))
            out[name.decode(errors="replace")] = alias.decode(errors="replace")
    return out


def _links() -> list[dict[int, bytes]]:
    asked = _LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    listed = netlink.dump(socket.NETLINK_ROUTE, _RTM_GETLINK, asked)
    return [netlink.attributes(body, _LINK_HEADER.size) for body in listed]


def _error_of(protocol: int, request: bytes) -> int:
    """Send a request; give the errno of its answer, zero if it was done."""
    try:
        netlink.do(protocol, [request])
    except OSError as error:
        return error.errno or errno.EIO
    return 0
