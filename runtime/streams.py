"""The output and input of a process, through conmon's attach socket.

conmon listens on a SEQPACKET socket: each packet from it is one octet that says which stream (2
output, 3 errors) and up to 8192 octets; each packet to it is input; shutting the write side down
ends the input. conmon writes with blocking calls, so whoever reads slowly slows the process down,
and nothing piles up here.
"""

import asyncio
import os
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path

from runtime.errors import MonitorError
from runtime.unixdiag import accepted

_PACKET = 8193
_CHUNK = 16384  # conmon reads 32 KiB at a time and a packet's rest would be lost
_FAIR = 16  # packets without letting others run
_KEPT_AT_MOST = 4 << 20  # a pipe holds 1 MiB at most; more than two of them cannot be left over


class AttachStream:
    """One connection to a process; any number may exist, each gets all output."""

    def __init__(self, connection: socket.socket, *, stdin: bool) -> None:
        """Take the connection over; without `stdin` what is written is dropped."""
        self._socket = connection
        self._stdin = stdin
        self._loop = asyncio.get_running_loop()
        self._packets: deque[tuple[int, bytes]] = deque()
        self._kept = 0  # octets of them
        self._ended = False  # no more output comes, and the connection is closed
        self._draining = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._taken = 0

    async def accepted(self, timeout_s: float) -> None:
        """Wait until conmon has taken the connection: what it writes from then on arrives here.

        It may take longer when another stream is not read; waiting ends after the time.
        """
        deadline = self._loop.time() + timeout_s
        # There is no event for it.
        while not accepted(self._socket) and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output, 1 (standard output) or 2 and octets; None at the end.

        Only one may read at a time; being cancelled loses nothing.
        """
        while not self._packets and not self._ended:
            if self._draining or not self._receive():
                await self._readable()
        self._taken += 1
        if self._taken % _FAIR == 0:
            await asyncio.sleep(0)
        if not self._packets:
            return None
        packet = self._packets.popleft()
        self._kept -= len(packet[1])
        return packet

    async def write(self, data: bytes) -> None:
        """Write input, waiting while the process does not take it.

        Raises ConnectionError when the process, or this stream, is at its end.
        """
        view = memoryview(data if self._stdin else b"")
        while view:
            if self._ended:
                raise BrokenPipeError("the stream has ended")
            try:
                sent = self._socket.send(view[:_CHUNK])
            except BlockingIOError:
                await self._writable()
                continue
            view = view[sent:]

    def write_eof(self) -> None:
        """End the input; output goes on."""
        if self._stdin and not self._ended:
            with suppress(OSError):  # the other side may be gone already
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leave; who waits in read or write is told. May be repeated.

        A stream that was read to its end is closed already.
        """
        if self._ended:
            return
        self._ended = True
        self._draining = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        _wake(self._reader)
        _wake(self._writer)

    def drain(self) -> None:
        """Take all output that is left, to be read later; called when the process has ended.

        conmon cannot tell the end before it is rid of its output, and what is left is little.
        """
        if not self._ended and not self._draining:
            self._draining = True
            self._loop.add_reader(self._socket, self._pump)

    def _pump(self) -> None:
        for _ in range(_FAIR):
            if self._ended or not self._receive():
                break
        if self._draining and self._kept > _KEPT_AT_MOST:
            self._draining = False
            self._loop.remove_reader(self._socket)
        _wake(self._reader)

    def _receive(self) -> bool:
        """Take one packet if there is one."""
        try:
            packet = self._socket.recv(_PACKET)
        except BlockingIOError:
            return False
        except OSError:  # a process that never ran resets the connection
            packet = b""
        if not packet:
            self.close()
            return True
        self._packets.append((2 if packet[0] == 3 else 1, packet[1:]))
        self._kept += len(packet) - 1
        return True

    async def _readable(self) -> None:
        self._reader = self._loop.create_future()
        if not self._draining:
            self._loop.add_reader(self._socket, _wake, self._reader)
        try:
            await self._reader
        finally:
            self._reader = None
            if not self._draining and not self._ended:
                self._loop.remove_reader(self._socket)

    async def _writable(self) -> None:
        self._writer = self._loop.create_future()
        self._loop.add_writer(self._socket, _wake, self._writer)
        try:
            await self._writer
        finally:
            self._writer = None
            if not self._ended:
                self._loop.remove_writer(self._socket)


async def connect(folder: Path, timeout_s: float = 5) -> socket.socket:
    """Connect to the attach socket in a folder; MonitorError if nobody listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(timeout_s):
            # The queue holds ten; there is no event for a place in it.
            while not _connected(connection, folder):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except OSError as error:  # TimeoutError is one
        connection.close()
        reason = error.strerror or "it is busy"
        raise MonitorError(f"cannot attach to the process of {folder}: {reason}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(connection: socket.socket, folder: Path) -> bool:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A unix socket's path has 107 octets at most (unix(7)), the folder's may have more.
        connection.connect(f"/proc/self/fd/{descriptor}/attach")
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)
