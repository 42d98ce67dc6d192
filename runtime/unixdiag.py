"""Ask the kernel whether a connection to a unix socket was accepted.

connect(2) returns once the connection is queued. What conmon writes before it takes it from the
queue is not for us, so whoever wants the first octet has to know. The other end of a queued
connection has no inode yet, and sock_diag(7) tells it (linux/unix_diag.h).
"""

import os
import select
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_SHOW_PEER = 0x4
_ATTRIBUTE_PEER = 2
_ANY_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ASK = struct.Struct("=BBHIIIII")  # family, protocol, pad, states, inode, show, cookie
_ANSWER = struct.Struct("=BBBBIII")  # family, type, state, pad, inode, cookie
_ATTRIBUTE = struct.Struct("=HH")


def accepted(connection: socket.socket) -> bool:
    """Return whether the other side took the connection, be it that it has left again.

    True also where the kernel cannot tell.
    """
    something = select.poll()
    something.register(connection, select.POLLIN)
    if something.poll(0):
        return True
    inode = os.fstat(connection.fileno()).st_ino
    ask = _ASK.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _SHOW_PEER, _ANY_COOKIE, _ANY_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(ask), _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.setblocking(False)  # the kernel answers before send returns
            netlink.send(header + ask)
            answer = netlink.recv(4096)
    except OSError:
        return True
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return True  # no such module, or no such socket
    return _peer(answer[_HEADER.size + _ANSWER.size :]) != 0


def _peer(attributes: bytes) -> int | None:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _ATTRIBUTE_PEER:
            inode: int = struct.unpack_from("=I", attributes, _ATTRIBUTE.size)[0]
            return inode
        attributes = attributes[max(_ATTRIBUTE.size, length + 3 & ~3) :]
    return None
