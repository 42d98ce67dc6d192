r"""One client's connection: between the socket and aiohttp's HTTP, until a handler takes it over.

    socket -- Connection -- aiohttp          a request, its answer
                   \------- read, send       after `take_over`: raw octets both ways

aiohttp alone cannot carry Docker's streams: it closes a connection when the client ends its sending
side, even while an answer is under way, and reads input that was sent right behind the request for
attach or exec as a further request. So the octets behind such a request are held back here until it
is known whose they are; and a client that has only ended its sending side is told apart from one
that has gone by what poll(2) says of the socket.
"""

import asyncio
import re
import select
from collections.abc import Callable
from contextlib import suppress

from aiohttp import StreamReader

from netd.errors import InvalidError

_HEAD_LIMIT = 64 << 10  # more than one line of it, which aiohttp would refuse
_BUFFER_LIMIT = 64 << 10  # octets read ahead of the process, and written ahead of the client
_LINGER_S = 1.0  # how long a client may take to close after we did
_TAKEN_OVER = re.compile(rb"POST (?:/v[0-9.]+)?/(?:containers/[^ ?]+/attach|exec/[^ ?]+/start)[ ?]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """The transport's protocol; hands octets to aiohttp's while they are HTTP."""

    def __init__(self, http: Callable[[], asyncio.Protocol]) -> None:
        """`http` makes the protocol that answers requests."""
        self._http = http()
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()  # of a request, until it is whole
        self._expected = 0  # octets of the body of a request that may take the connection over
        self._held: bytearray | None = None  # octets behind such a request
        self._answering = False
        self._body: StreamReader | None = None  # of the request that is answered
        self._ended = False  # the client sends no more
        self._input: asyncio.StreamReader | None = None  # set: taken over
        self._writable = asyncio.Event()
        self._writable.set()
        self._hang_up: select.epoll | None = None

    # What a request's handler calls.

    def reading(self, body: StreamReader) -> None:
        """Note what the request's body is read from: it may be cut off."""
        self._body = body
        if self._ended:
            self._cut_off()

    def answered(self) -> bool:
        """Note that the request's answer is made; return whether the connection is to close."""
        self._answering = False
        self._body = None
        held, self._held = self._held, None
        if held and not self._ended:
            asyncio.get_running_loop().call_soon(self.data_received, bytes(held))
            self._resume_reading()
        return self._ended

    def take_over(self) -> None:
        """Take the connection from HTTP; `read` and `send` may be called from now on."""
        assert self._transport is not None
        self._input = asyncio.StreamReader(limit=_BUFFER_LIMIT)
        self._resume_reading()
        self._input.set_transport(self._transport)
        if self._held:
            self._input.feed_data(bytes(self._held))
        self._held = None
        if self._ended or self._transport.is_closing():
            self._input.feed_eof()

    async def read(self) -> bytes:
        """Return what the client sent; empty when it has ended its side."""
        assert self._input is not None
        return await self._input.read(_BUFFER_LIMIT)

    async def send(self, data: bytes) -> None:
        """Send to the client, and wait while it does not read; ConnectionResetError if gone."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._writable.wait()

    async def finish(self) -> None:
        """End our side, give the client a moment to close its own, and close."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # Closing with unread input would reset the connection, and take our last octets with it.
        with suppress(OSError, TimeoutError):
            transport.write_eof()
            async with asyncio.timeout(_LINGER_S):
                while not self._ended and await self.read():
                    pass
        transport.close()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with HTTP."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_BUFFER_LIMIT)
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that the client has gone."""
        self._stop_watching()
        self._transport = None
        self._writable.set()
        if self._input is not None:
            self._input.feed_eof()
        self._http.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass octets on to whom they belong."""
        if self._input is not None:
            self._input.feed_data(data)
        elif self._held is not None or self._expected:
            self._receive_taking(data)
        elif self._answering:
            self._http.data_received(data)
        else:
            self._receive_head(data)

    def eof_received(self) -> bool:
        """Keep the connection for our answer, unless the client has gone or asked for none."""
        self._ended = True
        if self._input is not None:
            self._input.feed_eof()
        self._cut_off()
        busy = self._input is not None or self._answering
        return busy and self._watch()

    def pause_writing(self) -> None:
        """Let writers wait: the client does not read."""
        self._writable.clear()
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()
        self._http.resume_writing()

    def _receive_head(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and len(self._head) <= _HEAD_LIMIT:
            return
        received = bytes(self._head)
        self._head.clear()
        self._answering = True
        head = received[: end + 4]
        if end < 0 or not _TAKEN_OVER.match(head) or _CHUNKED.search(head):
            self._http.data_received(received)
            return
        length = _LENGTH.search(head)
        self._expected = int(length[1]) if length else 0
        if not self._expected:
            self._held = bytearray()
        self._http.data_received(head)
        if rest := received[end + 4 :]:
            self._receive_taking(rest)

    def _receive_taking(self, data: bytes) -> None:
        body, rest = data[: self._expected], data[self._expected :]
        if body:
            self._expected -= len(body)
            if not self._expected:
                self._held = bytearray()
            self._http.data_received(body)
        if rest and self._held is not None:
            self._held += rest
            if len(self._held) > _BUFFER_LIMIT and self._transport is not None:
                self._transport.pause_reading()

    def _cut_off(self) -> None:
        """Tell who reads the body that the rest of it will never come."""
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(InvalidError("the request's body ends early"))

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _watch(self) -> bool:
        """Return whether the client is still there; if so, close when it goes."""
        sock = self._transport.get_extra_info("socket") if self._transport else None
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        if poll.poll(0):
            return False  # both directions are shut: it has closed its socket
        # The loop watches sockets for input only; an epoll inside its own tells of hang-ups.
        self._hang_up = select.epoll()
        self._hang_up.register(sock.fileno(), 0)
        asyncio.get_running_loop().add_reader(self._hang_up.fileno(), self._gone)
        return True

    def _gone(self) -> None:
        self._stop_watching()
        if self._transport is not None:
            self._transport.abort()

    def _stop_watching(self) -> None:
        if self._hang_up is not None:
            asyncio.get_running_loop().remove_reader(self._hang_up.fileno())
            self._hang_up.close()
            self._hang_up = None
