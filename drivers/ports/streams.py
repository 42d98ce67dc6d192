"""Relaying TCP: each connection that a held socket accepts is led to the target."""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from drivers.contract import Address
from drivers.ports import descriptors, entrances
from drivers.ports.sockets import socket_address

CONNECT_TIMEOUT_S = 30.0
ACCEPT_PAUSE_S = 1.0
_AT_ONCE = 64
_CHUNK = 1 << 18

log = logging.getLogger(__name__)


class StreamRelay:
    """Accepts connections on a listening socket and relays them until it is closed."""

    def __init__(self, listening: socket.socket, target: Address, port: int) -> None:
        self._listening = listening
        self._target = target
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        entrances.ask_for(listening)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Stop accepting and reset all connections; the listening socket stays open."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        for connection in self._connections:
            connection.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                # The socket stays readable, so asking again at once would spin.
                self._rest(error)
                return
            if descriptors.is_scarce(client, descriptors.FOR_CONTROL):
                client.close()
                self._rest(descriptors.exhausted())
                return
            client.setblocking(False)
            connection = self._loop.create_task(self._serve(client))
            self._connections.add(connection)
            connection.add_done_callback(partial(self._ended, client))

    def _ended(self, client: socket.socket, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        client.close()  # one that was cancelled before its first step has closed nothing

    def _rest(self, error: OSError) -> None:
        log.warning("port %s rests for %s s: %s", self._own_port(), ACCEPT_PAUSE_S, error)
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(
            ACCEPT_PAUSE_S, self._loop.add_reader, self._listening, self._accept
        )

    def _own_port(self) -> int:
        return int(self._listening.getsockname()[1])

    async def _serve(self, client: socket.socket) -> None:
        try:
            await self._relay(client)
        except* OSError as errors:  # TimeoutError is one
            log.debug("a connection to %s ended: %s", self._target, errors.exceptions[0])
        except* Exception:
            log.exception("a connection to %s ended by a mistake", self._target)

    async def _relay(self, client: socket.socket) -> None:
        with _reset_by_accident(client):
            entrances.refuse_internal(client)
            with _reset_by_accident(self._new_socket()) as target:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._loop.sock_connect(target, socket_address(self._target, self._port))
                await _joined(client, target)

    def _new_socket(self) -> socket.socket:
        family = socket.AF_INET if self._target.version == 4 else socket.AF_INET6
        return descriptors.new_socket(
            family, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptors.FOR_CONTROL
        )


async def _joined(client: socket.socket, target: socket.socket) -> None:
    """Copy both ways until both have ended."""
    for each in (client, target):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # peers vanish without a word
    async with asyncio.TaskGroup() as other_way:
        other_way.create_task(_copy(target, client))
        await _copy(client, target)


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while octets := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(sink, octets)
        # Neither call waits while a fast pair of peers keeps up; the others want their turn.
        await asyncio.sleep(0)
    sink.shutdown(socket.SHUT_WR)


@contextmanager
def _reset_by_accident(connection: socket.socket) -> Iterator[socket.socket]:
    """Close the connection; its peer shall not take an error, or a withdrawal, for a proper end."""
    with connection:
        try:
            yield connection
        except BaseException:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise
