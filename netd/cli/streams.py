"""A hijacked connection and the user's standard streams, joined until one side ends.

    standard input --> keys watched --> connection --> frames taken apart --> standard output, error

One thread and poll(2): a process that reads nothing while it writes much must not stall us, so
input is only taken while little of it waits to be sent.
"""

import os
import select
import socket

from netd.cli.client import Hijacked
from netd.cli.frames import STDERR, Frames
from netd.cli.keys import Escape

_PIECE_BYTES = 65536
_MOST_UNSENT_BYTES = 4 * _PIECE_BYTES
_INPUT = 0


class Stream:
    """One attach or exec; `pump` joins the streams, then the fields say how it ended."""

    def __init__(
        self, hijacked: Hijacked, *, tty: bool, stdin: bool, keys: bytes | None = None
    ) -> None:
        self.input_ended = False
        self.detached = False
        self._connection = hijacked.connection.socket
        self._early = hijacked.early
        self._frames = None if tty else Frames()
        self._escape = Escape(keys) if keys else None
        self._reading = stdin
        self._unsent = bytearray()

    def pump(self) -> None:
        """Pass data both ways until the daemon ends the stream or the user detaches."""
        self._connection.setblocking(False)
        self._show(self._early)
        poller = select.poll()
        fd = self._connection.fileno()
        while not self.detached:
            poller.register(fd, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            if self._reading and len(self._unsent) < _MOST_UNSENT_BYTES:
                poller.register(_INPUT, select.POLLIN)
            elif self._reading:
                poller.modify(_INPUT, 0)
            ready = dict(poller.poll())
            if ready.get(fd, 0) & select.POLLOUT:
                self._send()
            if ready.get(fd, 0) & ~select.POLLOUT and not self._receive():
                return
            if ready.get(_INPUT, 0) & ~select.POLLNVAL:
                self._read_input(poller)
            elif _INPUT in ready:  # standard input is closed
                self._end_input(poller)

    def _receive(self) -> bool:
        try:
            data = self._connection.recv(_PIECE_BYTES)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
        if self._frames is None:
            _write(1, data)
            return
        for stream, part in self._frames.feed(data):
            _write(2 if stream == STDERR else 1, part)

    def _read_input(self, poller: select.poll) -> None:
        try:
            data = os.read(_INPUT, _PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the terminal hung up
            data = b""
        if not data:
            self._end_input(poller)
            return
        if self._escape:
            data = self._escape.typed(data)
            self.detached = self._escape.detached
        self._unsent += data
        self._send()

    def _end_input(self, poller: select.poll) -> None:
        poller.unregister(_INPUT)
        self._reading = False
        self.input_ended = True
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
            if self.input_ended:
                self._connection.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:  # the process closed its input, or ended: its output says the rest
            self._unsent.clear()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another program made our terminal non-blocking
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()
