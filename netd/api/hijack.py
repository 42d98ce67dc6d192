"""Attach and exec: the connection taken over, input and output passed on until one of them ends."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import web

from netd.api.connection import Connection
from netd.api.frames import RAW, STDOUT, content_type, frame
from netd.api.keys import DetachScanner
from netd.api.state import open_stream
from netd.api.versions import version_of
from netd.errors import InvalidError, NetdError
from netd.streams import Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How octets travel on a connection that was taken over."""

    tty: bool  # raw octets, and the detach keys hold; else frames
    stdin: bool = False
    eof_ends: bool = False  # the end of the client's input ends the stream, not the process's input
    detach_keys: bytes = b""


@asynccontextmanager
async def taken_over(request: web.Request, *, tty: bool) -> AsyncIterator[Connection]:
    """Give the raw connection, its head sent; on leaving it is ended and closed.

    Clients that do not ask for an upgrade get a 200 and the same octets.
    """
    connection = connection_of(request)
    await request.read()
    upgrade = "upgrade" in request.headers
    kind = content_type(version_of(request), tty=tty) if upgrade else RAW
    first = "HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK"
    lines = [first, f"Content-Type: {kind}"]
    if upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    connection.take_over()
    with open_stream(request), suppress(ConnectionError):
        await connection.send("\r\n".join([*lines, "", ""]).encode())
        yield connection
        await connection.finish()


def connection_of(request: web.Request) -> Connection:
    """Return the connection a request came on."""
    protocol = request.transport.get_protocol() if request.transport else None
    if protocol is None:
        raise ConnectionResetError("the client has gone")
    if not isinstance(protocol, Connection):
        raise InvalidError("this connection cannot be taken over")
    return protocol


def outgoing(terms: Terms, stream: int, data: bytes) -> bytes:
    """Return output as it travels."""
    return data if terms.tty else frame(stream, data)


async def say(connection: Connection, terms: Terms, message: str) -> None:
    """Send a sentence as if the process had written it."""
    await connection.send(outgoing(terms, STDOUT, f"{message}\r\n".encode()))


async def pass_on(connection: Connection, stream: Stream, terms: Terms) -> None:
    """Pass octets both ways until the output ends or the client detaches or goes; close stream."""
    output = asyncio.create_task(_output(connection, stream, terms))
    input_ = asyncio.create_task(_input(connection, stream, terms))
    tasks = {output, input_}
    try:
        while not output.done():
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks -= done
            if input_ in done and input_.result() and not output.done():
                return  # detached
        output.result()
    finally:
        for task in (output, input_):
            task.cancel()
        await asyncio.gather(output, input_, return_exceptions=True)
        stream.close()


async def _output(connection: Connection, stream: Stream, terms: Terms) -> None:
    while (piece := await stream.read()) is not None:
        await connection.send(outgoing(terms, *piece))


async def _input(connection: Connection, stream: Stream, terms: Terms) -> bool:
    """Return whether the client detached."""
    scanner = DetachScanner(terms.detach_keys) if terms.tty and terms.detach_keys else None
    writing = terms.stdin
    while data := await connection.read():
        detached = False
        if scanner:
            data, detached = scanner.scan(data)
        if writing and data:
            try:
                await stream.write(data)
            except (OSError, NetdError) as error:
                # The process reads no more. What follows is thrown away, so that the client is
                # not held up; the output decides when this ends.
                log.debug("input has nowhere to go: %s", error)
                writing = False
        if detached:
            return True
    if terms.stdin and terms.eof_ends:
        return True
    if writing:
        stream.write_eof()
    return False
