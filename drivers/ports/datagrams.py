"""Relaying UDP: for each client of a held socket there is one socket that asks the target."""

import asyncio
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address

from drivers.contract import Address
from drivers.ports import descriptors, entrances
from drivers.ports.sockets import socket_address

IDLE_S = 90.0  # as long as Docker keeps them
MOST_CLIENTS = 1024  # of one port; one more takes the place of the longest idle
_AT_ONCE = 64
_LARGEST = 65535
_PKTINFO_OCTETS = 20  # an address and an interface's index: ipv6(7)

_Peer = tuple[str, int, int, int]
_Ends = tuple[_Peer, bytes]  # a client, and the address of the host that it speaks to

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Session:
    asking: socket.socket
    last_use: float


class DatagramRelay:
    """Relays a bound IPv6 socket's datagrams, and their answers, until it is closed."""

    def __init__(
        self, held: socket.socket, target: Address, port: int, idle_s: float = IDLE_S
    ) -> None:
        self._held = held
        self._target = target
        self._port = port
        self._idle_s = idle_s
        self._sessions: dict[_Ends, _Session] = {}  # the longest idle first
        self._expiry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        # An answer must come from the address that was asked, whatever the routes suggest.
        entrances.ask_for(held)
        self._loop.add_reader(held, self._from_clients)

    def close(self) -> None:
        """Stop relaying and forget the clients; the held socket stays open."""
        self._loop.remove_reader(self._held)
        for ends in list(self._sessions):
            self._forget(ends)
        if self._expiry is not None:
            self._expiry.cancel()

    def _from_clients(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                octets, ancillary, _, client = self._held.recvmsg(
                    _LARGEST, socket.CMSG_SPACE(_PKTINFO_OCTETS)
                )
            except OSError:  # nothing is left, or an ICMP error came in
                return
            for level, kind, content in ancillary:
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                    ends = client, _answering(content)
                    if ends in self._sessions or not entrances.is_internal(content):
                        self._ask(octets, ends)

    def _ask(self, octets: bytes, ends: _Ends) -> None:
        # Nobody listens there (yet), or a queue is full: UDP may lose what it carries.
        with suppress(OSError):
            self._used(ends).asking.send(octets)

    def _used(self, ends: _Ends) -> _Session:
        session = self._sessions.pop(ends, None) or self._begun(ends)
        session.last_use = self._loop.time()
        self._sessions[ends] = session
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._idle_s, self._expire)
        return session

    def _begun(self, ends: _Ends) -> _Session:
        if len(self._sessions) >= MOST_CLIENTS:
            self._forget(next(iter(self._sessions)))
        asking = self._new_socket()
        try:
            asking.connect(socket_address(self._target, self._port))
        except OSError:
            asking.close()
            raise
        self._loop.add_reader(asking, self._from_target, asking, ends)
        return _Session(asking, 0.0)

    def _new_socket(self) -> socket.socket:
        family = socket.AF_INET if self._target.version == 4 else socket.AF_INET6
        words = (family, socket.SOCK_DGRAM, socket.IPPROTO_UDP, descriptors.FOR_CONTROL)
        try:
            return descriptors.new_socket(*words)
        except OSError as error:
            log.debug("a client of %s is turned away, or displaced: %s", self._target, error)
            if not self._sessions:
                raise
            self._forget(next(iter(self._sessions)))
            return descriptors.new_socket(*words)

    def _from_target(self, asking: socket.socket, ends: _Ends) -> None:
        client, answering = ends
        ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, answering)]
        for _ in range(_AT_ONCE):
            try:
                octets = asking.recv(_LARGEST)
            except OSError:
                return
            with suppress(OSError):
                self._held.sendmsg([octets], ancillary, 0, client)
            self._used(ends)

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        for ends, session in list(self._sessions.items()):
            if session.last_use + self._idle_s > now:
                self._expiry = self._loop.call_at(session.last_use + self._idle_s, self._expire)
                return
            self._forget(ends)

    def _forget(self, ends: _Ends) -> None:
        session = self._sessions.pop(ends)
        self._loop.remove_reader(session.asking)
        session.asking.close()


def _answering(pktinfo: bytes) -> bytes:
    """Return the source for answers to what came with this information: ipv6(7)."""
    address, index = IPv6Address(pktinfo[:16]), pktinfo[16:]
    if address.is_multicast:
        return bytes(16) + index
    # A link-local address means nothing without its interface; others go as the routes say.
    return pktinfo if address.is_link_local else pktinfo[:16] + bytes(4)
