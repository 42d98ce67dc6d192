"""DNS over TCP for one listening socket (RFC 7766): each connection is a task of its own.

Questions of one connection are answered side by side and in any order, so that one that is
forwarded does not hold up the next.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from dns.question import HEADER_OCTETS

IDLE_S = 10.0  # for a whole question to arrive, and for an answer to be taken
CONNECTIONS = 64  # for one socket; one more closes the oldest
_LARGEST_QUESTION = 4096
_SIDE_BY_SIDE = 64
_ACCEPT_PAUSE_S = 1.0

Reply = Callable[[bytes], Awaitable[bytes | None]]

log = logging.getLogger(__name__)


class StreamListener:
    """Accepts connections until it is closed; `reply` returns a packet's answer, if it has one."""

    def __init__(self, listening: socket.socket, reply: Reply) -> None:
        self._socket = listening
        self._reply = reply
        self._connections: list[asyncio.Task[None]] = []  # the oldest first
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Close the socket and all connections."""
        self._loop.remove_reader(self._socket)
        if self._pause:
            self._pause.cancel()
        self._socket.close()
        for connection in self._connections:
            connection.cancel()

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            # No descriptor is free: the socket stays readable, so asking again at once would spin.
            log.warning("accepts no connection for %s s: %s", _ACCEPT_PAUSE_S, error)
            self._loop.remove_reader(self._socket)
            self._pause = self._loop.call_later(
                _ACCEPT_PAUSE_S, self._loop.add_reader, self._socket, self._accept
            )
            return
        connection.setblocking(False)
        if len(self._connections) >= CONNECTIONS:
            self._connections[0].cancel()
        task = self._loop.create_task(_serve(connection, self._reply))
        self._connections.append(task)
        task.add_done_callback(self._connections.remove)


async def _serve(connection: socket.socket, reply: Reply) -> None:
    slots = asyncio.Semaphore(_SIDE_BY_SIDE)
    sending = asyncio.Lock()

    async def answer(packet: bytes) -> None:
        try:
            if octets := await reply(packet):
                async with sending, asyncio.timeout(IDLE_S):
                    await loop.sock_sendall(connection, len(octets).to_bytes(2) + octets)
        finally:
            slots.release()

    loop = asyncio.get_running_loop()
    with connection:
        try:
            async with asyncio.TaskGroup() as answers:
                octets = bytearray()
                while packet := await _packet(connection, octets):
                    await slots.acquire()
                    answers.create_task(answer(packet))
        except* OSError as errors:  # TimeoutError is one
            log.debug("connection ended: %s", errors.exceptions[0])
        except* Exception:
            log.exception("connection ended by a packet that was not understood")


async def _packet(connection: socket.socket, octets: bytearray) -> bytes | None:
    """Return the next packet; None when there is none, or what came can be none."""
    async with asyncio.timeout(IDLE_S):
        if not await _filled(connection, octets, 2):
            return None
        length = int.from_bytes(octets[:2])
        if not HEADER_OCTETS <= length <= _LARGEST_QUESTION:
            return None
        if not await _filled(connection, octets, 2 + length):
            return None
    packet = bytes(octets[2 : 2 + length])
    del octets[: 2 + length]
    return packet


async def _filled(connection: socket.socket, octets: bytearray, count: int) -> bool:
    loop = asyncio.get_running_loop()
    while len(octets) < count:
        more = await loop.sock_recv(connection, _LARGEST_QUESTION)
        if not more:
            return False
        octets += more
    return True
