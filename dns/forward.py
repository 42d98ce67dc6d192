"""Questions nobody here can answer: asked of the upstreams, staggered, within one deadline.

    0 s           1 s           2 s                 4 s
    |- first -----|-------------|-------------------|  give up
                  |- second ----|-------------------|
                                |- third -----------|

An upstream that refuses or cannot be reached lets the next one start at once. The first usable
answer wins. Each try has a socket of its own, and so a fresh source port (RFC 5452 9.2).
"""

import asyncio
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from dns.control import Address
from dns.question import FORMERR, HEADER_OCTETS, NOTIMP, REFUSED, SERVFAIL

DEADLINE_S = 4.0  # less than the 5 s after which the C libraries ask again
STAGGER_S = 1.0
RESEND_S = 1.5  # datagrams get lost
_LARGEST_DATAGRAM = 65535

Upstream = tuple[Address, int]


@dataclass(slots=True)
class Forwarder:
    """Asks upstreams, at most `capacity` questions at a time: each costs descriptors."""

    capacity: int
    in_flight: int = 0

    async def reply(
        self, query: bytes, end: int, upstreams: Sequence[Upstream], *, stream: bool
    ) -> bytes | None:
        """Return an upstream's reply with the query's id; None if there is no usable one.

        `end` is where the query's question section ends; `stream` asks by TCP.
        """
        self.in_flight += 1
        try:
            reply = await _first_usable(query, end, upstreams, stream=stream)
        finally:
            self.in_flight -= 1
        return query[:2] + reply[2:] if reply else None

    @property
    def full(self) -> bool:
        """Whether another question must be refused."""
        return self.in_flight >= self.capacity


async def _first_usable(
    query: bytes, end: int, upstreams: Sequence[Upstream], *, stream: bool
) -> bytes | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    waiting = list(upstreams)
    tries: set[asyncio.Task[bytes | None]] = set()
    try:
        while (waiting or tries) and loop.time() < deadline:
            if waiting:
                tries.add(loop.create_task(_reply(query, end, waiting.pop(0), stream=stream)))
            patience = min(STAGGER_S, deadline - loop.time()) if waiting else deadline - loop.time()
            ended, tries = await asyncio.wait(
                tries, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            for each in ended:
                if reply := each.result():
                    return reply
    finally:
        for each in tries:
            each.cancel()
    return None


async def _reply(query: bytes, end: int, upstream: Upstream, *, stream: bool) -> bytes | None:
    address, port = upstream
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    query = secrets.token_bytes(2) + query[2:]
    exchange = _stream_reply if stream else _datagram_reply
    try:
        with socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            await asyncio.get_running_loop().sock_connect(asking, (str(address), port))
            reply = await exchange(asking, query, end)
    except OSError:
        return None
    return None if reply[3] & 0x0F in (SERVFAIL, REFUSED) else reply


async def _datagram_reply(asking: socket.socket, query: bytes, end: int) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        asking.send(query)
        try:
            async with asyncio.timeout(RESEND_S):
                while True:
                    reply = await loop.sock_recv(asking, _LARGEST_DATAGRAM)
                    if _answers(reply, query, end):
                        return reply
        except TimeoutError:
            continue


async def _stream_reply(asking: socket.socket, query: bytes, end: int) -> bytes:
    await asyncio.get_running_loop().sock_sendall(asking, len(query).to_bytes(2) + query)
    reply = await _octets(asking, int.from_bytes(await _octets(asking, 2)))
    if not _answers(reply, query, end):
        raise ConnectionError("upstream answered another question")
    return reply


async def _octets(asking: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = await asyncio.get_running_loop().sock_recv(asking, count - len(octets))
        if not more:
            raise ConnectionError("upstream closed the connection")
        octets += more
    return octets


def _answers(reply: bytes, query: bytes, end: int) -> bool:
    # The peer is right already: the socket is connected. A server that could not or would not
    # read the question may leave it out.
    if len(reply) < HEADER_OCTETS or reply[:2] != query[:2] or not reply[2] & 0x80:
        return False
    if reply[4:6] == b"\0\0":
        return reply[3] & 0x0F in (FORMERR, SERVFAIL, NOTIMP, REFUSED)
    return (
        reply[4:6] == b"\0\1"
        and reply[HEADER_OCTETS:end].lower() == query[HEADER_OCTETS:end].lower()
    )
