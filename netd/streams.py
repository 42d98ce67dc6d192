"""What a client reads from and writes to: a container's or an exec's three standard streams."""

import asyncio
from collections.abc import Callable
from typing import Protocol

STDOUT, STDERR = 1, 2


class Stream(Protocol):
    """Both directions of an attached process."""

    async def read(self) -> tuple[int, bytes] | None:
        """Return (1 for stdout or 2 for stderr, octets); None at the end."""

    async def write(self, data: bytes) -> None:
        """Write to the standard input; waits while the process does not read."""

    def write_eof(self) -> None:
        """End the standard input."""

    def close(self) -> None:
        """Let go; the process goes on. Repeatable."""


class ContainerStream:
    """A stream that may be opened before its container is started.

    Docker's client attaches first and starts then: the stream is connected between the two, so
    that the first octet is already seen. Input written earlier waits.
    """

    def __init__(self, outputs: frozenset[int], forget: "Callable[[ContainerStream], None]"):
        """Take the outputs that are wanted, and what to call when it is closed while waiting."""
        self._outputs, self._forget = outputs, forget
        self._source: asyncio.Future[Stream | None] = asyncio.get_running_loop().create_future()

    def connect(self, source: Stream | None) -> None:
        """Give it its source; None: the container did not start, and the stream ends."""
        if not self._source.done():
            self._source.set_result(source)
        elif source is not None:
            source.close()

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of the outputs that were asked for."""
        source = await asyncio.shield(self._source)
        while source is not None:
            piece = await source.read()
            if piece is None or piece[0] in self._outputs:
                return piece
        return None

    async def write(self, data: bytes) -> None:
        """Write to the standard input, once there is one."""
        source = await asyncio.shield(self._source)
        if source is not None:
            await source.write(data)

    def write_eof(self) -> None:
        """End the standard input, once there is one."""
        self._source.add_done_callback(_end_input)

    def close(self) -> None:
        """Let go."""
        self._forget(self)
        if not self._source.done():
            self._source.set_result(None)
        elif not self._source.cancelled() and (source := self._source.result()) is not None:
            source.close()


def _end_input(source: "asyncio.Future[Stream | None]") -> None:
    if not source.cancelled() and (stream := source.result()) is not None:
        stream.write_eof()
