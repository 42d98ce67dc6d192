"""Frames over a unix stream socket, each with the sockets that go along with it.

    +----------------+---------+------------------+
    | payload octets | sockets | payload ...      |     header: RFC 1700 order, 4 + 1 octets
    +----------------+---------+------------------+

The descriptors travel by SCM_RIGHTS with the frame's first octet (unix(7)). The header counts
them, so that a frame nobody understands cannot shift the descriptors of the next one.
"""

import array
import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence

_HEADER = struct.Struct("!IB")
_LARGEST_PAYLOAD = 64 << 20  # a snapshot of 10 000 endpoints has about 3 MiB
_MOST_SOCKETS = 8
_CHUNK = 1 << 16


class ChannelError(Exception):
    """The peer sent what is no frame; the channel is of no further use."""


class Frame:
    """A received payload and its descriptors; closing it closes those that were not taken."""

    def __init__(self, payload: bytes, descriptors: list[int]) -> None:
        self.payload = payload
        self._descriptors = descriptors

    def close(self) -> None:
        """Close the descriptors that nobody took; may be repeated."""
        for descriptor in self.taken():
            os.close(descriptor)

    def taken(self) -> list[int]:
        """Return the descriptors; from now on they are the caller's to close."""
        taken, self._descriptors = self._descriptors, []
        return taken


class Channel:
    """One end of the connection; one task may send while another receives."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._octets = bytearray()
        self._descriptors: list[int] = []

    async def send(self, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send one frame; raises OSError. After a cancelled call the channel is of no use."""
        octets = memoryview(_HEADER.pack(len(payload), len(descriptors)) + payload)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        ancillary = rights if descriptors else []
        loop = asyncio.get_running_loop()
        while octets:
            try:
                sent = self._socket.sendmsg([octets], ancillary)
            except BlockingIOError:
                await _ready(self._socket, loop.add_writer, loop.remove_writer)
            else:
                octets, ancillary = octets[sent:], []

    async def receive(self) -> Frame | None:
        """Return the next frame, or None at the end; raises ChannelError and OSError."""
        loop = asyncio.get_running_loop()
        while (frame := self._frame()) is None:
            try:
                if not self._read():
                    return None
            except BlockingIOError:
                await _ready(self._socket, loop.add_reader, loop.remove_reader)
        return frame

    def close(self) -> None:
        """Close the connection and what was received and not yet handed out; may be repeated."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _frame(self) -> Frame | None:
        if len(self._octets) < _HEADER.size:
            return None
        length, count = _HEADER.unpack_from(self._octets)
        if length > _LARGEST_PAYLOAD or count > _MOST_SOCKETS:
            raise ChannelError(f"frame of {length} octets and {count} sockets is too large")
        end = _HEADER.size + length
        if len(self._octets) < end:
            return None
        if count > len(self._descriptors):
            raise ChannelError(f"frame came without {count - len(self._descriptors)} sockets")
        payload = bytes(self._octets[_HEADER.size : end])
        descriptors = self._descriptors[:count]
        del self._octets[:end], self._descriptors[:count]
        return Frame(payload, descriptors)

    def _read(self) -> bool:
        space = socket.CMSG_SPACE(_MOST_SOCKETS * array.array("i").itemsize)
        octets, ancillary, flags, _ = self._socket.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                rights = array.array("i")
                rights.frombytes(content[: len(content) - len(content) % rights.itemsize])
                self._descriptors += rights
        if flags & socket.MSG_CTRUNC:
            raise ChannelError("sockets were lost: no descriptor was free, or too many came")
        self._octets += octets
        return bool(octets)


async def _ready(
    watched: socket.socket,
    add: Callable[[socket.socket, Callable[[], None]], None],
    remove: Callable[[socket.socket], bool],
) -> None:
    ready = asyncio.Event()
    add(watched, ready.set)
    try:
        await ready.wait()
    finally:
        remove(watched)
