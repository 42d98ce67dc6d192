"""The sockets that hold ports, and the filters that keep packets out of them.

The filters are classic BPF programs (bpf(4), linux/filter.h). One is attached before a socket is
bound, so that not even the first packet gets in: TCP would refuse it, or hold on to it for ever.
"""

import ctypes
import socket
import struct
from contextlib import ExitStack
from errno import ENODEV

from drivers.contract import Address
from drivers.ports import descriptors
from drivers.ports.protocol import Hold

KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
SO_ATTACH_FILTER = 26  # asm-generic/socket.h

_LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x28, 0x15, 0x06  # linux/bpf_common.h
_PACKETS_PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: what family a packet is of
_ETH_P_IP = 0x0800
_ALL_OCTETS = 0xFFFFFFFF

_Instruction = tuple[int, int, int, int]  # code, steps if true, steps if false, value

NOTHING: tuple[_Instruction, ...] = ((_RETURN, 0, 0, 0),)
ALL_BUT_IPV4: tuple[_Instruction, ...] = (
    (_LOAD_HALF, 0, 0, _PACKETS_PROTOCOL),
    (_JUMP_EQUAL, 0, 1, _ETH_P_IP),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _ALL_OCTETS),
)


def held_socket(hold: Hold, port: int) -> socket.socket:
    """Bind one of the hold's ports, and listen on it; nothing gets in. Raises OSError."""
    family = socket.AF_INET if hold.address.version == 4 else socket.AF_INET6
    kind, protocol = KINDS[hold.protocol]
    with ExitStack() as undo:
        held = descriptors.new_socket(family, kind, protocol, descriptors.FOR_RELAYS)
        undo.callback(held.close)
        admit(held, NOTHING)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not hold.dual)
        if kind == socket.SOCK_STREAM:
            # Connections that ended lately are no hindrance; what listens is one all the same.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(socket_address(hold.address, port))
        if kind == socket.SOCK_STREAM:
            # Two sockets that may reuse an address can both be bound to it, but only one listens.
            held.listen()
        undo.pop_all()
        return held


def admit(held: socket.socket, packets: tuple[_Instruction, ...]) -> None:
    """Let only these packets into the socket: NOTHING, or ALL_BUT_IPV4."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in packets))
    # The kernel copies the program, so that it need not outlive the call.
    words = struct.pack("HP", len(packets), ctypes.addressof(program))
    held.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, words)


def socket_address(address: Address, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what bind and connect take; raises OSError if it names no interface of this host."""
    if address.version == 4:
        return str(address), port
    plain, _, interface = str(address).partition("%")
    return plain, port, 0, _index(interface) if interface else 0


def _index(interface: str) -> int:
    if interface.isdecimal():
        return int(interface)
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise OSError(ENODEV, f"there is no interface {interface}") from error
